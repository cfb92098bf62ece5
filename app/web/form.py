"""The txt2img form: a widget for each Control, values into a request, a kept form back.

Builds from the schema alone; knows nothing of layout or of jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from app.schema.choices import SAMPLER_NAMES, SCHEDULE_NAMES
from app.schema.control import controls_of
from app.schema.errors import EaselError, InvalidField
from app.schema.request import GenerationRequest, parse_request
from app.schema.settings import SettingValues, request_values

Values = dict[str, Any]

CONTROLS = controls_of(GenerationRequest)
ELEMENT_IDS: Mapping[str, str] = {
    "checkpoint": "setting_sd_model_checkpoint",
    "vae": "setting_sd_vae",
    "prompt": "txt2img_prompt",
    "negative_prompt": "txt2img_neg_prompt",
    "styles": "txt2img_styles",
    "sampler": "txt2img_sampling",
    "schedule": "txt2img_scheduler",
    "steps": "txt2img_steps",
    "width": "txt2img_width",
    "height": "txt2img_height",
    "batch_count": "txt2img_batch_count",
    "batch_size": "txt2img_batch_size",
    "cfg_scale": "txt2img_cfg_scale",
    "seed": "txt2img_seed",
    "variation_seed": "txt2img_subseed",
    "variation_strength": "txt2img_subseed_strength",
    "seed_resize_width": "txt2img_seed_resize_from_w",
    "seed_resize_height": "txt2img_seed_resize_from_h",
}
"""Fields of the form, in the order of the page, and the DOM ids that AUTOMATIC1111 gave them."""
HELP = {name: CONTROLS[name].help for name in ELEMENT_IDS if CONTROLS[name].help}
EXTRA_FIELDS = ("variation_seed", "variation_strength", "seed_resize_width", "seed_resize_height")
SEEDS = ("seed", "variation_seed")
START: Mapping[str, Any] = {
    name: GenerationRequest.model_fields[name].get_default(call_default_factory=True) for name in ELEMENT_IDS
}

_MENUS = {
    "sampler": [sampler.name for sampler in SAMPLER_NAMES],
    "schedule": [schedule.label for schedule in SCHEDULE_NAMES],
}


def widget(name: str, **options: Any) -> Any:
    """A Gradio component for one field of the request, with A1111's DOM id."""
    control = CONTROLS[name]
    common = {"label": control.label, "elem_id": ELEMENT_IDS[name], **options}
    if control.choices is not None:
        return gr.Dropdown(_MENUS.get(name, [START[name]] if START[name] else []), value=START[name] or None, **common)
    if name in SEEDS:
        # A text: a browser's numbers hold no more than 53 bits, a seed has 64.
        return gr.Textbox(str(START[name]), lines=1, max_lines=1, **common)
    if control.minimum is None:
        return gr.Textbox(START[name], **common)
    return gr.Slider(control.minimum, control.maximum, START[name], step=control.step, **common)


def request_of(
    values: Sequence[Any], settings: SettingValues, overrides: Mapping[str, Any] | None = None
) -> GenerationRequest:
    """The request that the widgets' raw values (in the order of ELEMENT_IDS) and the user's settings come to.

    overrides: fields that the form does not show, in place of the settings' values. Raises InvalidField and its kin,
    naming the first field at fault.
    """
    shown = {name: _read(name, value) for name, value in zip(ELEMENT_IDS, values, strict=True)}
    unseen = request_values(settings, str(shown["sampler"]))
    return parse_request({**unseen, "save_images": settings.samples_save, **(overrides or {}), **shown})


def restored(saved: Any) -> Values:
    """What a browser kept of its form, without what is not valid any more."""
    found: Values = {}
    for name, value in saved.items() if isinstance(saved, dict) else ():
        if name not in ELEMENT_IDS:
            continue
        try:
            read = _read(name, value)
            parse_request({name: read})
        except EaselError:
            continue
        if name in _MENUS and read not in _MENUS[name]:
            continue
        found[name] = str(read) if name in SEEDS else read
    return found


def _read(name: str, value: Any) -> Any:
    """One widget's raw value in the request's own type. Raises InvalidField for what is no number where one is due."""
    if CONTROLS[name].choices is not None:
        if name == "styles":
            return tuple(value) if isinstance(value, list) else value or ()
        return value or START[name]
    if isinstance(START[name], str):
        return value or ""
    if value is None or value == "":
        if name in SEEDS:
            return START[name]
        raise InvalidField(f"{CONTROLS[name].label} is empty.", field=name, hint="Fill in a number.")
    try:
        number = int(value) if isinstance(value, str) else value
        whole = isinstance(START[name], int) and isinstance(number, float) and number.is_integer()
        return int(number) if whole else number
    except ValueError:
        raise InvalidField(
            f"{CONTROLS[name].label} is no whole number: {str(value)[:40]!r}.",
            field=name,
            hint="-1 draws a new one." if name in SEEDS else "",
        ) from None
