"""The keys of infotexts: their order, what an absent one means, whose fields they set.

Reader and writer go by these and by the Controls alone (a1111-facts 4.2, 4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from app.schema.control import Control, controls_of
from app.schema.request import GenerationRequest

Models = Mapping[str, type[BaseModel]]
"""Name of an extension -> the model whose fields carry its Controls; its values travel in `request.extensions`."""

NO_MODELS: Final[Models] = {}
EXTENSION_SETTINGS: Final = "Extension settings"
"""JSON of the extensions' values that no key of an infotext stands for."""

ORDER: Final[tuple[str, ...]] = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Image CFG scale",
    "Seed",
    "Face restoration",
    "Size",
    "Model hash",
    "Model",
    "FP8 weight",
    "Cache FP16 weight for LoRA",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Denoising strength",
    "Conditional mask weight",
    "Clip skip",
    "ENSD",
    "Token merging ratio",
    "Token merging ratio hr",
    "Init image hash",
    "RNG",
    "Tiling",
    "Hires checkpoint",
    "Hires sampler",
    "Hires prompt",
    "Hires negative prompt",
    "Hires schedule type",
    "Hires upscale",
    "Hires resize",
    "Hires steps",
    "Hires upscaler",
    "Hires refiner",
    "Refiner",
    "Refiner switch at",
    "Refiner switch by sampling steps",
    "Mask mode",
    "Mask blur",
    "Inpaint area",
    "Masked area padding",
    "Masked content",
    "Lora hashes",
    "TI hashes",
    "Emphasis",
    "Noise multiplier",
    "Extra noise",
    "Eta",
    "Eta DDIM",
    "Sigma churn",
    "Sigma tmin",
    "Sigma tmax",
    "Sigma noise",
    "Schedule max sigma",
    "Schedule min sigma",
    "Schedule rho",
    "Discard penultimate sigma",
    "SGM noise multiplier",
    "NGMS",
    "NGMS all steps",
    "Skip Early CFG",
    "Pad conds",
    "Pad conds v0",
    "Precision",
)
"""Keys in this order come first; the others follow as they come, Version last."""

ALWAYS_WRITTEN: Final = frozenset(
    {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size-1", "Size-2", "Model hash", "VAE"}
)
"""A text without one of these was cut or made elsewhere: it says nothing of the field."""
ABSENT: Final[Mapping[str, Any]] = {"RNG": "GPU"}
"""What the absence of another key means where it is not the field's default."""
A1111_DEFAULTS: Final[Mapping[str, str | int]] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
}
"""What A1111 fills in for absent keys, in its order and types."""
UNSAID: Final[Mapping[str, str]] = {"Hires refiner": "second pass"}
"""Values that A1111 leaves out although absence fills nothing in."""
ALIASES: Final[Mapping[str, str]] = {
    "beta schedule alpha": "Beta scheduler alpha",
    "beta schedule beta": "Beta scheduler beta",
    "guidance scale": "CFG scale",
    "scheduler": "Schedule type",
    "variation strength": "Variation seed strength",
    "denoise": "Denoising strength",
}
"""Other spellings in small letters. A1111 itself writes `Beta schedule alpha` and reads the other."""


SHARED: Final = frozenset({"Denoising strength"})
"""Keys of the request that an extension has too, and says where the request itself does not."""
OTHER_KEYS: Final = ("Version", "Model", "VAE hash", "Eta DDIM", "First pass size")
"""Keys that are read although no Control has them."""


class Place(NamedTuple):
    """Where the value of a key goes. model: "" for the request itself, else the extension's name."""

    model: str
    field: str
    control: Control


def places(models: Models = NO_MODELS) -> dict[str, Place]:
    """Key -> place for every Control with an infotext key; of two with the same key the request's, then the first."""
    found: dict[str, Place] = {}
    owners: list[tuple[str, type[BaseModel]]] = [("", GenerationRequest), *models.items()]
    for name, model in owners:
        for field, control in controls_of(model).items():
            if control.infotext:
                found.setdefault(control.infotext, Place(name, field, control))
    return found


def spellings(known: Mapping[str, Place]) -> dict[str, str]:
    """In small letters: other ways to write the known keys, which are aliases, labels of fields, and other capitals."""
    found = dict(ALIASES)
    for key, place in known.items():
        found.setdefault(place.control.label.casefold(), key)
    exact = [*known, *(key[:-2] for key in known if key.endswith("-1")), *OTHER_KEYS]
    return {**found, **{key.casefold(): key for key in exact}}


def checked(model: type[BaseModel], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that fields of a model take, in the fields' types; for each other field what is wrong with its value.

    Text is read as A1111 reads it: for a yes or no anything but "False" and its kin is yes.
    """
    left = {name: _as_bool(value) if _is_bool(model, name) else value for name, value in given.items()}
    wrong: dict[str, str] = {}
    while left:
        try:
            instance = model.model_validate(left)
        except ValidationError as error:
            problems = {str(one["loc"][0]): one["msg"] for one in error.errors(include_url=False) if one["loc"]}
            problems = {name: text for name, text in problems.items() if name in left}
            if not problems:  # a field that is missing, or the values together: none of them can be used
                return {}, {**wrong, **dict.fromkeys(left, "the rest of its settings is missing")}
            wrong |= problems
            left = {name: value for name, value in left.items() if name not in problems}
        else:
            return {name: getattr(instance, name) for name in left}, wrong
    return {}, wrong


def request_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Texts as values of a request's fields; for each other field what is wrong with it."""
    return checked(GenerationRequest, given)


def _is_bool(model: type[BaseModel], name: str) -> bool:
    return name in model.model_fields and model.model_fields[name].annotation is bool


def _as_bool(value: object) -> object:
    return value.strip().casefold() not in ("false", "0", "no", "off", "none") if isinstance(value, str) else value
