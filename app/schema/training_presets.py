"""Presets of trainings: what works for a method on a family; plain values over a request's own defaults.

Sources: kohya's and diffusers' guides, A1111's defaults; for the starter, own runs (benchmarks/training.md): captions
are left out since guidance measures from what is drawn without one, and goes too far from what was never taught. Where
all weights learn, a text encoder that learns as fast as in a LoRA brings the subject up by other words, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.schema.training import TrainingRequest

Values = Mapping[str, Any]

_SIZE: Mapping[str, Values] = {
    "SD1": {"width": 512, "height": 512},
    "SD2": {"width": 768, "height": 768, "gradient_checkpointing": True},
    "SDXL": {"width": 1024, "height": 1024, "gradient_checkpointing": True, "batch_size": 1},
    "starter": {"width": 128, "height": 128, "batch_size": 2, "sample_every": 100, "schedule": "cosine"},
}
_METHODS: Mapping[str, Mapping[str, Values]] = {
    "lora": {
        "": {"steps": 1500, "learning_rate": "1e-4", "rank": 16, "alpha": 16.0, "batch_size": 2, "sample_every": 250},
        "starter": {
            "steps": 600,
            "learning_rate": "3e-3",
            "text_encoder_rate": 0.5,
            "conv_rank": 8,
            "conv_alpha": 8.0,
            "drop_captions": 0.2,
        },
    },
    "dreambooth": {
        "": {"steps": 800, "learning_rate": "2e-6", "batch_size": 1, "sample_every": 200},
        "SDXL": {"learning_rate": "1e-6"},
        "starter": {
            "steps": 800,
            "learning_rate": "1e-3",
            "text_encoder_rate": 0.05,
            "drop_captions": 0.1,
        },
    },
    "textual_inversion": {
        "": {"steps": 3000, "learning_rate": "5e-3", "vectors": 4, "batch_size": 2, "sample_every": 500},
        "SDXL": {"learning_rate": "1e-3"},
        "starter": {"steps": 250, "learning_rate": "5e-2", "vectors": 6},
    },
    "hypernetwork": {
        "": {"steps": 5000, "learning_rate": "1e-5", "batch_size": 2, "sample_every": 500, "prior": "none"},
        "SD2": {"widths": [1024, 320, 640, 1280]},
        "SDXL": {"widths": [2048, 640, 1280]},
        "starter": {
            "steps": 1500,
            "learning_rate": "4e-3",
            "widths": [96, 48, 64, 128],
            "activation": "relu",
            "drop_captions": 0.2,
        },
    },
}


_NAMES = {name for values in (_SIZE, *_METHODS.values()) for named in values.values() for name in named}


def preset(method: str, family: str) -> dict[str, Any]:
    """The values for a method on a family ('SD1', 'SD2', 'SDXL', 'starter'; SD1's for one that is not known).

    Whatever any of them sets is in all of them, so that nothing stays behind when another is chosen.
    """
    fields = TrainingRequest.model_fields
    untouched = {name: fields[name].get_default() for name in sorted(_NAMES)}
    values = _METHODS[method]
    return {**untouched, **values[""], **_SIZE.get(family, _SIZE["SD1"]), **values.get(family, {})}


def presets() -> dict[str, dict[str, dict[str, Any]]]:
    """All of them, by method and family."""
    return {method: {family: preset(method, family) for family in _SIZE} for method in _METHODS}
