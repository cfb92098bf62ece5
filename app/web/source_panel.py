"""The source panel of img2img and inpaint: picture, mask and modes, which script/source.js brings to life.

Lays out only; beside it the widgets that say how the picture is redrawn, and where.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from app.web.batch_routes import TAKEN
from app.web.form import INPAINT, Form, widget

_PANEL = Path(__file__).with_name("source.html")
_BATCH = Path(__file__).with_name("batch.html")
_SIZE = Path(__file__).with_name("resize_by.html")


class Mode(NamedTuple):
    """name: as the script and DOM ids have it. label: of its button. paints: 'mask', 'colour', or '' for nothing."""

    name: str
    label: str
    paints: str


INPAINT_MODE = Mode("inpaint", "Inpaint", "mask")
MODES = (
    Mode("img2img", "img2img", ""),
    Mode("sketch", "Sketch", "colour"),
    Mode("inpaint_sketch", "Inpaint sketch", "colour"),
    Mode("inpaint_upload", "Inpaint upload", "mask"),
    Mode("batch", "Batch", ""),
)
"""A1111's sub-tabs of img2img; its Inpaint is a tab of its own here."""


def source_panel(form: Form) -> None:
    """The picture with its tools. The inpaint tab has one mode and shows no buttons for it."""
    modes = (INPAINT_MODE,) if form == INPAINT else MODES
    buttons = "".join(
        f'<button type="button" role="tab" class="easel-button" id="{form.tab}_mode_{mode.name}" '
        f'data-mode="{mode.name}" data-paints="{mode.paints}">{mode.label}</button>'
        for mode in modes
    )
    copies = "".join(
        f'<button type="button" class="easel-button" data-copy="{mode.name}">{mode.label}</button>'
        for mode in (*MODES[:2], INPAINT_MODE, *MODES[2:-1])
    )
    takes = "".join(
        f'<label class="easel-check"><input type="checkbox" data-take="{field}"> {word}</label>'
        for field, word in TAKEN.items()
    )
    batch = _BATCH.read_text(encoding="utf-8").replace("<!-- takes -->", takes) if form != INPAINT else ""
    text = _PANEL.read_text(encoding="utf-8").replace("<!-- batch -->", batch).replace("TAB", form.tab)
    gr.HTML(
        text.replace("<!-- modes -->", buttons).replace("<!-- copies -->", copies),
        js_on_load=None,
        apply_default_css=False,
    )


def redrawing_settings(made: dict[str, Any], form: Form) -> None:
    """How much of the picture stays, and how it is brought to size."""
    made["resize_mode"] = widget("resize_mode", form)
    made["denoising_strength"] = widget("denoising_strength", form)
    made["image_cfg_scale"] = widget("image_cfg_scale", form, elem_classes="easel-edits-only")


def mask_settings(made: dict[str, Any], form: Form) -> None:
    """What a mask means; the script hides them where there is none."""
    with gr.Column(elem_id=f"{form.tab}_inpaint_controls", elem_classes="easel-mask-settings"):
        made["mask_blur_x"] = widget("mask_blur_x", form)
        made["mask_mode"] = widget("mask_mode", form)
        made["masked_content"] = widget("masked_content", form)
        with gr.Row():
            made["inpaint_area"] = widget("inpaint_area", form)
            made["masked_padding"] = widget("masked_padding", form)


def size_tools(form: Form) -> None:
    """Resize to, or by a factor of the picture's own size."""
    gr.HTML(_SIZE.read_text(encoding="utf-8").replace("TAB", form.tab), js_on_load=None, apply_default_css=False)
