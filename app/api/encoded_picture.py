"""Pictures in requests: base64 with or without its `data:` prefix becomes the bytes of a file."""

from __future__ import annotations

import base64
import binascii

from app.schema.errors import InvalidImage

LARGEST = 200 * 1024 * 1024
"""Bytes of one picture."""


def decoded_picture(text: str, field: str = "image") -> bytes:
    """The file's bytes. Raises InvalidImage, naming the field, for what is no base64 or too long."""
    text = text.strip()
    if text.startswith(("http://", "https://")):
        raise InvalidImage(
            "A picture's address is not fetched by this server.", field=field, hint="Send the picture as base64."
        )
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise InvalidImage("The picture's data: address is not in base64.", field=field)
    if len(text) * 3 // 4 > LARGEST:
        raise InvalidImage(f"The picture is larger than {LARGEST >> 20} MB.", field=field)
    try:
        # Line breaks, as some encoders put in, are let pass.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidImage("Invalid encoded image", field=field, hint="Send a picture file as base64.") from None
