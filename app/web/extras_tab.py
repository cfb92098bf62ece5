"""The Extras tab: pictures made larger, their faces restored, cut and mirrored; script/extras.js brings it to life."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, get_args, get_origin

import gradio as gr

from app.schema.control import Control, controls_of
from app.schema.extras import ExtrasRequest

_CONTENT = Path(__file__).with_name("extras.html")
_IDS = {
    "factor": "upscaling_resize",
    "most_side": "max_side_length",
    "width": "upscaling_resize_w",
    "height": "upscaling_resize_h",
    "crop": "upscaling_crop",
}
"""A1111's DOM ids, after `extras_`, where they are not the field's name."""
_GROUPS = {
    "upscalers": ("upscaler_1", "upscaler_2", "upscaler_2_visibility"),
    "by": ("factor", "most_side"),
    "to": ("width", "height", "crop"),
    "faces": ("gfpgan_visibility",),
    "parts": ("target_width", "target_height"),
    "split": ("split", "split_threshold", "split_overlap"),
    "focal": ("focal_crop", "focal_entropy", "focal_edges"),
    "autosized": (
        "autosized",
        "least_side",
        "largest_side",
        "least_area",
        "largest_area",
        "objective",
        "error_threshold",
    ),
    "flips": ("flips",),
    "captions": ("captions",),
}


_SLIDERS = ("upscaler_2_visibility", "gfpgan_visibility")


def extras_layout() -> None:
    """The tab's content."""
    text = _CONTENT.read_text(encoding="utf-8")
    for group, names in _GROUPS.items():
        text = text.replace(f"<!-- {group} -->", "".join(_field(name) for name in names))
    gr.HTML(text, js_on_load=None)


def _field(name: str) -> str:
    control, info = controls_of(ExtrasRequest)[name], ExtrasRequest.model_fields[name]
    kind, id = info.annotation, f"extras_{_IDS.get(name, name)}"
    label = f"{escape(control.label)}{f' <small>{escape(control.help)}</small>' if control.help else ''}"
    known = f'id="{id}" data-field="{name}"'
    if control.choices:
        return f'<label>{label}<select {known} class="easel-input"><option>{info.default}</option></select></label>'
    if kind is bool:
        checked = " checked" if info.default else ""
        return f'<label class="easel-check"><input type="checkbox" {known}{checked}>{label}</label>'
    if get_origin(kind) is tuple:
        boxes = "".join(
            f'<label class="easel-check"><input type="checkbox" data-field="{name}" value="{choice}">{choice}</label>'
            for choice in get_args(get_args(kind)[0])
        )
        return f'<fieldset id="{id}"><legend>{label}</legend>{boxes}</fieldset>'
    if get_args(kind):
        options = "".join(f"<option>{escape(choice)}</option>" for choice in get_args(kind))
        return f'<label>{label}<select {known} class="easel-input">{options}</select></label>'
    known = f'{known} {_limits(control)} value="{info.default}"'
    if name in _SLIDERS:
        shown = f'<output for="{id}">{info.default:g}</output>'
        return f'<label class="easel-slider"><span>{label}</span><input type="range" {known}>{shown}</label>'
    return f'<label>{label}<input type="number" {known} class="easel-input"></label>'


def _limits(control: Control) -> str:
    limits: dict[str, Any] = {"min": control.minimum, "max": control.maximum, "step": control.step}
    return " ".join(f'{name}="{value}"' for name, value in limits.items() if value is not None)
