"""The Train tab: its form from TrainingRequest's Controls, places for what is seen; script/train.js does the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.entries import TargetEntry
from app.schema.control import Control, controls_of
from app.schema.training import ACTIVATIONS, FIELDS_OF, Method, TrainingRequest
from app.schema.training_presets import presets

_CONTENT = Path(__file__).with_name("train.html")
CONTROLS = controls_of(TrainingRequest)


class Group(NamedTuple):
    """Fields that stand together. methods: which of them show a field, where not all do."""

    place: str
    fields: tuple[str, ...]


GROUPS = (
    Group(
        "what",
        (
            "name",
            "checkpoint",
            "data",
            "trigger",
            "class_words",
            "prior",
            "prior_weight",
            "class_data",
            "class_pictures",
        ),
    ),
    Group(
        "data",
        (
            "buckets",
            "upscale",
            "flip",
            "masked_loss",
            "shuffle_captions",
            "keep_parts",
            "drop_parts",
            "drop_captions",
            "template",
        ),
    ),
    Group(
        "how",
        (
            "steps",
            "epochs",
            "learning_rate",
            "text_encoder_rate",
            "schedule",
            "schedule_cycles",
            "schedule_power",
            "warm_up",
            "optimizer",
            "batch_size",
            "accumulation",
            "width",
            "height",
            "rank",
            "alpha",
            "lora_kind",
            "vectors",
            "initial_text",
            "widths",
            "layer_structure",
            "activation",
            "precision",
            "gradient_checkpointing",
            "noise_offset",
            "min_snr_gamma",
            "seed",
        ),
    ),
    Group("watch", ("sample_prompts", "sample_every", "save_every", "keep_copies", "validation_share")),
)
"""The fields that matter; all others are folded away."""
_HIDDEN = frozenset({"method"})
_LONG = frozenset({"sample_prompts"})
_WIDE = frozenset({"data", "prior", "class_data", "template", "comment", "sample_prompts"})
_WORDS = {
    "dreambooth": "DreamBooth: a whole checkpoint",
    "lora": "LoRA: a small file beside it",
    "textual_inversion": "Textual inversion: a new word",
    "hypernetwork": "Hypernetwork: A1111's older kind",
    "none": "no",
    "pictures": "by pictures of ordinary ones",
    "prediction": "by what the untouched model draws",
}


def train_layout(targets: Mapping[str, TargetEntry] | None = None) -> None:
    """The tab's content. targets: what extensions teach, by method."""
    text = _CONTENT.read_text(encoding="utf-8")
    shown = {name for group in GROUPS for name in group.fields} | _HIDDEN
    rest = tuple(name for name in CONTROLS if name not in shown)
    for place, names in (*GROUPS, Group("more", rest)):
        text = text.replace(f"<!-- {place} -->", "".join(map(field, names)))
    methods = "".join(_method(name, _WORDS[name]) for name in get_args(Method))
    methods += "".join(_method(name, entry.label) for name, entry in (targets or {}).items())
    text = text.replace("<!-- methods -->", methods)
    text = text.replace("<!-- settings -->", "".join(settings_of(targets or {})))
    text = text.replace("PRESETS", escape(json.dumps(presets()), quote=True))
    gr.HTML(text, js_on_load=None, apply_default_css=False)


def field(name: str) -> str:
    """One field as HTML, from its Control, its type and its default."""
    methods = [method for method, names in FIELDS_OF.items() if name in names]
    known = f'id="train_{name}" data-field="{name}"'
    return _field(name, CONTROLS[name], TrainingRequest.model_fields[name], known, methods)


def settings_of(targets: Mapping[str, TargetEntry]) -> Iterator[str]:
    """The fields of `method_settings` that carry a Control, each seen with its method alone."""
    for method, entry in targets.items():
        if (model := entry.settings) is None:
            continue
        for name, control in controls_of(model).items():
            known = f'data-setting="{escape(name, quote=True)}" data-of="{escape(method, quote=True)}"'
            yield _field(name, control, model.model_fields[name], known, [method])


def _field(name: str, control: Control, info: FieldInfo, known: str, methods: Sequence[str]) -> str:
    """known: attributes by which the script finds it. methods: that it is seen with, () for all."""
    label = escape(control.label) + (f" <small>{escape(control.help)}</small>" if control.help else "")
    only = f' data-methods="{escape(" ".join(methods), quote=True)}"' if methods else ""
    wide = " easel-wide" if name in _WIDE else ""
    known += f' data-type="{_type(info.annotation)}"'
    if info.annotation is bool:
        checked = " checked" if info.default is True else ""
        return f'<label class="easel-check"{only}><input type="checkbox" {known}{checked}><span>{label}</span></label>'
    return f'<label class="easel-train-field{wide}"{only}><span>{label}</span>{_input(name, info, known)}</label>'


def _input(name: str, info: FieldInfo, known: str) -> str:
    if choices := _choices(name, info.annotation):
        options = "".join(_option(choice, info.default) for choice in choices)
        return f'<select {known} class="easel-input">{options}</select>'
    if name in ("checkpoint", "vae"):
        return f'<select {known} class="easel-input" data-models="{name}"></select>'
    default = _text(info.default)
    if name in _LONG:
        return f'<textarea {known} class="easel-input" rows="3">{escape(default)}</textarea>'
    value = f'value="{escape(default, quote=True)}"'
    if _type(info.annotation) in ("int", "float"):
        step = "any" if _type(info.annotation) == "float" else "1"
        return f'<input type="number" {known} class="easel-input" {value} step="{step}"{_limits(info)}>'
    return f'<input type="text" {known} class="easel-input" {value} autocomplete="off" spellcheck="false">'


def _limits(info: FieldInfo) -> str:
    """A field's own limits, where the input's arrows end; whatever is typed beyond them the server refuses in words."""
    names = {"min": ("ge", "gt"), "max": ("le", "lt")}
    said = [(side, getattr(one, name, None)) for side in names for name in names[side] for one in info.metadata]
    return "".join(f' {side}="{value}"' for side, value in said if value is not None)


def _choices(name: str, annotation: Any) -> Iterable[str]:
    if name == "activation":
        return ACTIVATIONS
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _option(choice: str, default: object) -> str:
    selected = " selected" if choice == default else ""
    return f'<option value="{escape(choice)}"{selected}>{escape(_WORDS.get(choice, choice))}</option>'


def _type(annotation: Any) -> str:
    """How the script sends a value: 'text', 'int', 'float', 'bool', 'ints' or 'floats'; 'optional' for a number or
    nothing."""
    if get_origin(annotation) is tuple:
        return "ints" if get_args(annotation)[0] is int else "floats"
    if get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
        return "optional"
    return {int: "int", float: "float", bool: "bool"}.get(annotation, "text")


def _text(default: object) -> str:
    if default is None:
        return ""
    if default is PydanticUndefined:
        return ""
    if isinstance(default, tuple):
        return ", ".join(f"{one:g}" for one in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _method(name: str, words: str) -> str:
    label, _, help = words.partition(": ")
    return (
        f'<label class="easel-train-method"><input type="radio" name="train_method" value="{escape(name)}">'
        f"<span>{escape(label)}<small>{escape(help)}</small></span></label>"
    )
