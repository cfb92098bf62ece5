"""Opening pictures that users send: any mode and orientation comes out as plain RGB or RGBA.

Knows PIL. What is too large is refused by its header, before anything is unpacked.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from app.files.picture_info import DECODER_ERRORS
from app.schema.errors import InvalidImage

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")
"""Those that are read; PIL knows others that call foreign programs."""
MOST_PIXELS = 100_000_000
_WIDE = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def open_picture(data: bytes, *, field: str | None = None) -> Image.Image:
    """The first frame, turned as EXIF says; RGBA where it has transparency, else RGB.

    16 bits become 8, CMYK and the like become RGB. Raises InvalidImage for bytes that cannot be decoded whole or have
    more than MOST_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise too_large(MOST_PIXELS, field)
            opened.load()
            turned = ImageOps.exif_transpose(opened)
    except InvalidImage:
        raise
    except Image.DecompressionBombError:
        raise too_large(MOST_PIXELS, field) from None
    except DECODER_ERRORS as error:
        raise InvalidImage(
            "The picture is damaged or of a kind that cannot be read.",
            field=field,
            hint="Open it in another program, save it as PNG and send that.",
        ) from error
    if turned.mode in _WIDE:
        turned = _narrowed(turned)
    clear = turned.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in turned.info
    return turned.convert("RGBA" if clear else "RGB")


def too_large(most_pixels: int, field: str | None) -> InvalidImage:
    """The refusal of a picture with more pixels."""
    return InvalidImage(f"The picture has more than {most_pixels:,} pixels.", field=field, hint="Make it smaller.")


def _narrowed(picture: Image.Image) -> Image.Image:
    """8 bits of a picture with more: 16-bit greys are scaled, numbers from 0 to 1 are taken as such."""
    values = np.asarray(picture).astype(np.float64)
    if picture.mode == "F" and values.size and values.min() >= 0 and values.max() <= 1:
        values = values * 255
    elif values.size and values.max() > 255:
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
