"""All that an extension may import of this program; `__all__` is the promise.

Names that need torch are looked up when they are first used, so that importing this module costs a page nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.hooks import hook
from app.schema.control import Control
from app.schema.errors import EaselError, InvalidField, UnknownChoice
from app.schema.request import GenerationRequest, ImagePlan, ResolvedRequest

if TYPE_CHECKING:
    from app.models import LoadedModel
    from app.networks import Hook, Network, Patch, Vocabulary
    from app.recipes import Decode, Effect, EncodeText, Evaluate, ModelFacts, Picture, Recipe, Tools
    from app.samplers import Denoised, Noise, Point, Sampler, SamplerOptions, Sampling

VERSION = 1
"""Of this interface. Names are added under the same number; one that changes its meaning raises it."""

_HOMES = {
    "app.models": ("LoadedModel",),
    "app.networks": ("Hook", "Network", "Patch", "Vocabulary"),
    "app.recipes": ("Decode", "Effect", "EncodeText", "Evaluate", "ModelFacts", "Picture", "Recipe", "Tools"),
    "app.samplers": ("Denoised", "Noise", "Point", "Sampler", "SamplerOptions", "Sampling"),
}

__all__ = [
    "VERSION",
    "Control",
    "Decode",
    "Denoised",
    "EaselError",
    "Effect",
    "EncodeText",
    "Evaluate",
    "GenerationRequest",
    "Hook",
    "ImagePlan",
    "InvalidField",
    "LoadedModel",
    "ModelFacts",
    "Network",
    "Noise",
    "Patch",
    "Picture",
    "Point",
    "Recipe",
    "ResolvedRequest",
    "Sampler",
    "SamplerOptions",
    "Sampling",
    "Tools",
    "UnknownChoice",
    "Vocabulary",
    "hook",
]


def __getattr__(name: str) -> Any:
    """The torch-bound names (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"app.extension_api has no name '{name}'")


def __dir__() -> list[str]:
    return __all__
