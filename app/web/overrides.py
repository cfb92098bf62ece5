"""Override settings: fields of a request that the form does not show, as texts such as `Clip skip: 2`, and back.

A1111's box of the same name: filled when a text is pasted, emptied by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.schema.errors import InvalidField
from app.schema.infotext import request_fields
from app.schema.request import GenerationRequest
from app.web.form import CONTROLS, TXT2IMG, Form

EXTENSIONS = "Extension settings"
_FIELDS = {control.infotext: name for name, control in CONTROLS.items() if control.infotext and name not in TXT2IMG.ids}


def overrides_of(form: Form, wanted: Mapping[str, Any], otherwise: GenerationRequest) -> list[str]:
    """A text for each wanted value that the form does not show, and that the request would not hold without it."""
    found = [
        f"{key}: {wanted[name]}"
        for key, name in _FIELDS.items()
        if name in wanted and name not in form.ids and wanted[name] != getattr(otherwise, name)
    ]
    extensions = wanted.get("extensions") or {}
    return [*found, *([f"{EXTENSIONS}: {json.dumps(extensions)}"] if extensions != otherwise.extensions else [])]


def read_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """The fields that such texts set. Raises InvalidField for one that cannot be read."""
    found: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition(":")
        name = "extensions" if key.strip() == EXTENSIONS else _FIELDS.get(key.strip(), "")
        values, _ = request_fields({name: _value(name, value.strip())}) if name else ({}, {})
        if name not in values:
            raise InvalidField(
                f"The override '{text[:80]}' cannot be read.", field="overrides", hint="Take it out of the box."
            )
        found |= values
    return found


def _value(name: str, text: str) -> Any:
    if name == "extensions":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return None if text == "None" and name == "eta" else text
