"""Recommended: the settings that a checkpoint's own header asks for, without opening the file again.

What a front end fills a fresh form with; the user's own values always win.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.files.model_file import ModelFile
from app.files.prediction import CONFIG_KEY
from app.schema.choices import find_sampler
from app.schema.errors import UnknownChoice
from app.schema.request import GenerationRequest

_RESOLUTION = re.compile(r"\s*(\d{2,5})\s*x\s*(\d{2,5})\s*")
_NATIVE = {"SDXL": 1024, "SDXL refiner": 1024, "SD3": 1024, "Flux": 1024}
_FIELDS = ("width", "height", "steps", "cfg_scale", "sampler")


def recommended(file: ModelFile) -> dict[str, Any]:
    """Request fields width, height and, where the file says so, steps, cfg_scale and sampler.

    From `easel.config`, else `modelspec.resolution`, else the family's native size. What no request may say (a width
    of a million, an unknown sampler) is passed over.
    """
    found: dict[str, Any] = {}
    match = _RESOLUTION.fullmatch(file.metadata.get("modelspec.resolution", ""))
    if match:
        found |= _possible({"width": int(match[1]), "height": int(match[2])})
    try:
        config = json.loads(file.metadata.get(CONFIG_KEY, "{}"))
    except (ValueError, RecursionError):
        config = {}
    if isinstance(config, dict):
        found |= _possible({name: config[name] for name in _FIELDS if name in config})
    if "width" not in found or "height" not in found:
        native = 768 if file.family == "SD2" and file.summary.prediction == "v" else _NATIVE.get(file.family, 512)
        found["width"] = found["height"] = native
    return found


def _possible(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that a request takes as they are."""
    return {name: value for name, value in fields.items() if _takes(name, value)}


def _takes(name: str, value: Any) -> bool:
    try:
        GenerationRequest.model_validate({name: value}, strict=True)
        if name == "sampler":
            find_sampler(value)
    except (ValidationError, UnknownChoice):
        return False
    return True
