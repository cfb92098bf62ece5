"""The form of a generation tab: a widget for each Control, values into a request, a kept form back.

Builds from the schema alone, alike for txt2img, img2img and inpaint; knows nothing of layout or of jobs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import gradio as gr

from app.schema.choices import BUILT_IN, Choices
from app.schema.control import controls_of
from app.schema.errors import EaselError, InvalidField
from app.schema.request import GenerationRequest, parse_request
from app.schema.settings import SettingValues, request_values

Values = dict[str, Any]

CONTROLS = controls_of(GenerationRequest)
MODELS: Mapping[str, str] = {"checkpoint": "setting_sd_model_checkpoint", "vae": "setting_sd_vae"}
"""Fields that all tabs share, in the row above them, and their DOM ids."""
_DRAWING = {
    "prompt": "prompt",
    "negative_prompt": "neg_prompt",
    "styles": "styles",
    "sampler": "sampling",
    "schedule": "scheduler",
    "steps": "steps",
    "width": "width",
    "height": "height",
    "batch_count": "batch_count",
    "batch_size": "batch_size",
    "cfg_scale": "cfg_scale",
    "cfg_rescale": "cfg_rescale",
    "seed": "seed",
    "variation_seed": "subseed",
    "variation_strength": "subseed_strength",
    "seed_resize_width": "seed_resize_from_w",
    "seed_resize_height": "seed_resize_from_h",
    "extensions": "extensions",
}
_REDRAWING = {
    "resize_mode": "resize_mode",
    "denoising_strength": "denoising_strength",
    "image_cfg_scale": "image_cfg_scale",
    "mask_blur_x": "mask_blur",
    "mask_mode": "inpainting_mask_mode",
    "masked_content": "inpainting_fill",
    "inpaint_area": "inpaint_full_res",
    "masked_padding": "inpaint_full_res_padding",
}
EXTRA_FIELDS = ("variation_seed", "variation_strength", "seed_resize_width", "seed_resize_height")
SEEDS = ("seed", "variation_seed")
START: Mapping[str, Any] = {
    name: GenerationRequest.model_fields[name].get_default(call_default_factory=True)
    for name in (*MODELS, *_DRAWING, *_REDRAWING)
} | {"extensions": "{}"}
HELP = {name: CONTROLS[name].help for name in START if name in CONTROLS and CONTROLS[name].help}


class Form(NamedTuple):
    """tab: its id. label: as people read it. ids: the fields it shows, in the order of the
    page, and the DOM ids that AUTOMATIC1111 gave them. redraws: works on a picture that is given."""

    tab: str
    label: str
    ids: Mapping[str, str]
    redraws: bool

    @property
    def own(self) -> tuple[str, ...]:
        """The fields of this tab alone."""
        return tuple(name for name in self.ids if name not in MODELS)


def _form(tab: str, label: str, *, redraws: bool) -> Form:
    suffixes = {**_DRAWING, **(_REDRAWING if redraws else {})}
    return Form(tab, label, {**MODELS, **{name: f"{tab}_{suffix}" for name, suffix in suffixes.items()}}, redraws)


TXT2IMG = _form("txt2img", "txt2img", redraws=False)
IMG2IMG = _form("img2img", "img2img", redraws=True)
INPAINT = _form("inpaint", "Inpaint", redraws=True)
FORMS = (TXT2IMG, IMG2IMG, INPAINT)
"""The generation tabs, in the order of the page."""


def menus_of(choices: Choices) -> Mapping[str, list[str]]:
    """What the menus of fields offer whose choices are known from the start."""
    return {
        "sampler": [sampler.name for sampler in choices.samplers],
        "schedule": [schedule.label for schedule in choices.schedules],
    }


def form_of(tab: str) -> Form:
    """The form of a tab. Raises InvalidField."""
    found = {form.tab: form for form in FORMS}.get(tab)
    if found is None:
        raise InvalidField(f"There is no generation tab '{tab[:80]}'.", field="tab")
    return found


def widget(name: str, form: Form = TXT2IMG, choices: Choices = BUILT_IN, **options: Any) -> Any:
    """A Gradio component for one field of the request, with A1111's DOM id. choices: what menus offer."""
    control = CONTROLS[name]
    common = {"label": control.label, "elem_id": form.ids[name], **options}
    if fixed := _fixed_choices(name):
        return gr.Radio(list(fixed), value=START[name], **common)
    if control.choices is not None:
        menu = menus_of(choices).get(name, [START[name]] if START[name] else [])
        return gr.Dropdown(menu, value=START[name] or None, **common)
    if name in SEEDS:
        # A text: a browser's numbers hold no more than 53 bits, a seed has 64.
        return gr.Textbox(str(START[name]), lines=1, max_lines=1, **common)
    if control.minimum is None:
        return gr.Textbox(START[name], **common)
    return gr.Slider(control.minimum, control.maximum, START[name], step=control.step, **common)


def _fixed_choices(name: str) -> tuple[str, ...]:
    """The words that a field allows, () for one whose choices are a list of names."""
    return tuple(get_args(GenerationRequest.model_fields[name].annotation)) if name in _REDRAWING else ()


def request_of(
    form: Form,
    values: Sequence[Any],
    settings: SettingValues,
    overrides: Mapping[str, Any] | None = None,
    pictures: Mapping[str, Any] | None = None,
) -> GenerationRequest:
    """The request that the widgets' raw values (in the order of form.ids) and the user's settings come to.

    overrides: fields that the form does not show, in place of the settings' values. pictures: those that the source
    panel gives. Raises InvalidField and its kin, naming the first field at fault.
    """
    shown = {name: _read(name, value) for name, value in zip(form.ids, values, strict=True)}
    if "mask_blur_x" in shown:
        shown["mask_blur_y"] = shown["mask_blur_x"]
    unseen = request_values(settings, str(shown["sampler"]))
    return parse_request(
        {**unseen, "save_images": settings.samples_save, **(overrides or {}), **shown, **(pictures or {})}
    )


def restored(form: Form, saved: Any, choices: Choices = BUILT_IN) -> Values:
    """What a browser kept of its form, without what is not valid any more. choices: what menus offer now."""
    menus = menus_of(choices)
    found: Values = {}
    for name, value in saved.items() if isinstance(saved, dict) else ():
        if name not in form.ids:
            continue
        try:
            read = _read(name, value)
            parse_request({name: read})
        except EaselError:
            continue
        if name in menus and read not in menus[name]:
            continue
        if name == "extensions":
            read = json.dumps(read)
        found[name] = str(read) if name in SEEDS else read
    return found


def _read(name: str, value: Any) -> Any:
    """One widget's raw value in the request's own type. Raises InvalidField for what is no number where one is due."""
    if name == "extensions":
        return value if isinstance(value, dict) else _read_json(value or "{}")
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


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidField(
            "The extensions' settings cannot be read.", field="extensions", hint="Set them anew."
        ) from None
