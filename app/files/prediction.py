"""Prediction: what a checkpoint says that its U-Net answers, noise or velocity, and where it says so.

The loader decides by the same words; what no word tells, it finds out by trying the U-Net.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Words = Literal["epsilon", "v"]

YAML = "the .yaml beside it"
CONFIG_KEY = "easel.config"
"""In a file's metadata: JSON that `app.models.file_facts` describes."""
EASEL_CONFIG = f"its metadata {CONFIG_KEY}"
MODELSPEC_KEYS = ("modelspec.prediction_type", "modelspec.predict_key")
V_MARKER = "v_pred"
"""A tensor in fine-tuned SDXL files, read by Forge, reForge and ComfyUI."""

_YAML_PARAMETERIZATION = re.compile(r"^\s*parameterization\s*:\s*[\"']?(\w+)[\"']?\s*(?:#.*)?$", re.MULTILINE)
_YAML_SCALING = re.compile(r"^\s*target\s*:\s*[\"']?[\w.]*\bdenoiser_scaling\.VScaling\w*", re.MULTILINE)


class Prediction(NamedTuple):
    """type: 'epsilon' or 'v'. source: where that stands, in words."""

    type: Words
    source: str


def told_prediction(path: Path, metadata: Mapping[str, str], has_marker: bool) -> Prediction | None:
    """What counts of all that a checkpoint says: the `.yaml` beside it, `easel.config`, modelspec, the marker tensor.

    has_marker: whether it holds the tensor V_MARKER. None where nothing is said.
    """
    if beside := _said_by_yaml(path):
        return Prediction(beside, YAML)
    if own := prediction_word(_configured(metadata.get(CONFIG_KEY, ""))):
        return Prediction(own, EASEL_CONFIG)
    for key in MODELSPEC_KEYS:
        if said := prediction_word(metadata.get(key, "")):
            return Prediction(said, f"its metadata {key}")
    return Prediction("v", f"its tensor {V_MARKER}") if has_marker else None


def prediction_word(said: str) -> Words | None:
    """One of the many spellings; None for what is neither."""
    word = said.lower().replace("-", "_")
    if word in ("v", "v_prediction", "v_pred", "vpred"):
        return "v"
    return "epsilon" if word in ("epsilon", "eps") else None


def _said_by_yaml(path: Path) -> Words | None:
    """A1111's sidecar: `parameterization: "v"` or SDXL's `VScaling` decide; one that says neither means epsilon."""
    sidecar = path.with_suffix(".yaml")
    if path.is_dir() or not sidecar.is_file():
        return None
    text = sidecar.read_text(encoding="utf-8", errors="replace")
    found = _YAML_PARAMETERIZATION.search(text)
    if found is None and _YAML_SCALING.search(text):
        return "v"
    return prediction_word(found.group(1)) if found else "epsilon"


def _configured(text: str) -> str:
    """The prediction_type of an `easel.config`, "" for none and for one that is no JSON."""
    try:
        said = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return ""
    return str(said.get("prediction_type") or "") if isinstance(said, dict) else ""
