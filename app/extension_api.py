"""All that an extension may import of this program; `__all__` is the promise.

Names that need torch are looked up when they are first used, so that importing this module costs a page nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.entries import SamplerEntry, ScheduleEntry, TargetEntry, UpscalerEntry
from app.hooks import Command, NetworkKind, Part, Tab, hook
from app.schema.choices import LATENT_MODES, SamplerName, ScheduleName, find_sampler, find_schedule
from app.schema.control import Control, Script
from app.schema.errors import EaselError, InvalidField, UnknownChoice
from app.schema.request import GenerationRequest, ImagePlan, ResolvedRequest
from app.schema.training import TrainingRequest

if TYPE_CHECKING:
    from app.language import Tokenizer
    from app.models import LoadedModel
    from app.networks import Hook, Network, Patch, Report, Vocabulary
    from app.recipes import (
        Answered,
        Call,
        ChangeModel,
        Decode,
        Draw,
        Drawing,
        Drawn,
        Effect,
        EncodeImage,
        EncodeText,
        Evaluate,
        Guide,
        Guiding,
        MakeGuides,
        ModelFacts,
        Pass,
        Picture,
        PlainGuide,
        Recipe,
        Repaint,
        Residuals,
        RestoreFaces,
        Scene,
        Skip,
        Stage,
        Tools,
        Turn,
        Upscale,
        decoded,
        flattened,
        require_same_latents,
    )
    from app.samplers import Denoised, Noise, Point, Sampler, SamplerOptions, Sampling, Schedule, ScheduleInputs
    from app.training import Target

VERSION = 1
"""Of this interface. Names are added under the same number; one that changes its meaning raises it."""

_HOMES = {
    "app.language": ("Tokenizer",),
    "app.models": ("LoadedModel",),
    "app.networks": ("Hook", "Network", "Patch", "Report", "Vocabulary"),
    "app.recipes": (
        "Answered",
        "Call",
        "ChangeModel",
        "Decode",
        "Draw",
        "Drawing",
        "Drawn",
        "Effect",
        "EncodeImage",
        "EncodeText",
        "Evaluate",
        "Guide",
        "Guiding",
        "MakeGuides",
        "ModelFacts",
        "Pass",
        "Picture",
        "PlainGuide",
        "Recipe",
        "Repaint",
        "Residuals",
        "RestoreFaces",
        "Scene",
        "Skip",
        "Stage",
        "Tools",
        "Turn",
        "Upscale",
        "decoded",
        "flattened",
        "require_same_latents",
    ),
    "app.samplers": (
        "Denoised",
        "Noise",
        "Point",
        "Sampler",
        "SamplerOptions",
        "Sampling",
        "Schedule",
        "ScheduleInputs",
    ),
    "app.training": ("Target",),
}

__all__ = [
    "LATENT_MODES",
    "VERSION",
    "Answered",
    "Call",
    "ChangeModel",
    "Command",
    "Control",
    "Decode",
    "Denoised",
    "Draw",
    "Drawing",
    "Drawn",
    "EaselError",
    "Effect",
    "EncodeImage",
    "EncodeText",
    "Evaluate",
    "GenerationRequest",
    "Guide",
    "Guiding",
    "Hook",
    "ImagePlan",
    "InvalidField",
    "LoadedModel",
    "MakeGuides",
    "ModelFacts",
    "Network",
    "NetworkKind",
    "Noise",
    "Part",
    "Pass",
    "Patch",
    "Picture",
    "PlainGuide",
    "Point",
    "Recipe",
    "Repaint",
    "Report",
    "Residuals",
    "ResolvedRequest",
    "RestoreFaces",
    "Sampler",
    "SamplerEntry",
    "SamplerName",
    "SamplerOptions",
    "Sampling",
    "Scene",
    "Schedule",
    "ScheduleEntry",
    "ScheduleInputs",
    "ScheduleName",
    "Script",
    "Skip",
    "Stage",
    "Tab",
    "Target",
    "TargetEntry",
    "Tokenizer",
    "Tools",
    "TrainingRequest",
    "Turn",
    "UnknownChoice",
    "Upscale",
    "UpscalerEntry",
    "Vocabulary",
    "decoded",
    "find_sampler",
    "find_schedule",
    "flattened",
    "hook",
    "require_same_latents",
]


def __getattr__(name: str) -> Any:
    """The torch-bound names (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"app.extension_api has no name '{name}'")


def __dir__() -> list[str]:
    return __all__
