"""Recommended: the settings that a checkpoint's own header asks for, without opening the file again.

What a front end fills a fresh form with; the user's own values always win.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from app.files.model_file import ModelFile

_RESOLUTION = re.compile(r"\s*(\d{2,5})\s*x\s*(\d{2,5})\s*")
_NATIVE = {"SDXL": 1024, "SDXL refiner": 1024, "SD3": 1024, "Flux": 1024}
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "width": int,
    "height": int,
    "steps": int,
    "cfg_scale": (int, float),
    "sampler": str,
}


def recommended(file: ModelFile) -> dict[str, Any]:
    """Request fields width, height and, where the file says so, steps, cfg_scale and sampler.

    From `easel.config`, else `modelspec.resolution`, else the family's native size.
    """
    found: dict[str, Any] = {}
    match = _RESOLUTION.fullmatch(file.metadata.get("modelspec.resolution", ""))
    if match:
        found["width"], found["height"] = int(match[1]), int(match[2])
    try:
        config = json.loads(file.metadata.get("easel.config", "{}"))
    except ValueError:
        config = {}
    if isinstance(config, dict):
        found |= {name: config[name] for name, kind in _KINDS.items() if isinstance(config.get(name), kind)}
    if "width" not in found or "height" not in found:
        native = 768 if file.family == "SD2" and file.summary.prediction == "v" else _NATIVE.get(file.family, 512)
        found["width"] = found["height"] = native
    return found
