"""Accordions of extensions in a generation tab, built from their Controls alone; one JSON text carries their values.

The script writes the text from the widgets and the widgets from the text, so that forms keep and paste it as any field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr
from pydantic import BaseModel

from app.files import face_restorers, upscalers
from app.schema.choices import LATENT_MODES, Choices
from app.schema.control import Control, controls_of, menu_scripts, words_of
from app.schema.infotext import Models
from app.web.form import Form, menus_of
from app.web.model_menus import ModelMenus

UNSEEN = ("picture", "switch")
"""What a Control holds that no widget shows."""
_ACCORDIONS: Mapping[str, str] = {"hires_fix": "hr", "refiner": "enable"}
_IDS: Mapping[str, str] = {
    "hr_second_pass_steps": "hires_steps",
    "hr_checkpoint_name": "hr_checkpoint",
    "hr_sampler_name": "hr_sampler",
    "hr_prompt": "hires_prompt",
    "hr_negative_prompt": "hires_neg_prompt",
    "refiner_checkpoint": "checkpoint",
    "refiner_switch_at": "switch_at",
}
"""The DOM ids that A1111 gave, where they are not the names of its interface."""
_SILENT: dict[str, Any] = {"preprocess": False, "queue": False, "show_progress": "hidden", "api_visibility": "private"}


NO_SCRIPT = "None"


class Panel(NamedTuple):
    """One extension in one tab. switch: its checkbox, None for one of the Script menu. fields: its widgets by the names
    of its values."""

    name: str
    model: type[BaseModel]
    switch: Any
    fields: dict[str, Any]

    @property
    def widgets(self) -> list[Any]:
        """As the script knows them, the switch first."""
        return [*([self.switch] if self.switch else []), *self.fields.values()]


def shown_in(tab: str, models: Models) -> list[tuple[str, type[BaseModel]]]:
    """The extensions with something to show in a tab, those of the Script menu last; a model may name its tabs in
    TABS."""
    shown = [(name, model) for name, model in models.items() if tab in getattr(model, "TABS", (tab,))]
    return sorted(shown, key=lambda entry: bool(menu_scripts(entry[1])))


def panel_facts(form: Form, models: Models) -> dict[str, Any]:
    """What the script must know: extension -> [DOM id of its accordion, [[field, its usual value, DOM id] ...], its
    entry in the Script menu or "", whether it makes its own mask]."""
    facts = {}
    for name, model in shown_in(form.tab, models):
        fields = [
            [field, model.model_fields[field].default, _id(form, name, field, control)]
            for field, control in _shown(model)
        ]
        entry = _title(name, model) if menu_scripts(model) else ""
        facts[name] = [_accordion(form, name), fields, entry, getattr(model, "OWN_MASK", False)]
    return facts


def extension_panels(made: dict[str, Any], form: Form, models: Models, choices: Choices) -> None:
    """Adds the accordions; `made["panels"]` holds them, `made["extensions"]` the text. choices: what menus offer."""
    made["extensions"] = gr.Textbox("{}", elem_id=form.ids["extensions"], visible="hidden")
    shown = shown_in(form.tab, models)
    made["panels"] = [_panel(form, name, model, choices) for name, model in shown if not menu_scripts(model)]


def script_menu(made: dict[str, Any], form: Form, models: Models, choices: Choices) -> None:
    """Adds the Script menu with what each script asks for, of which the chosen one's is seen; nothing without any."""
    scripts = [(name, model) for name, model in shown_in(form.tab, models) if menu_scripts(model)]
    if not scripts:
        return
    titles = [NO_SCRIPT, *(_title(name, model) for name, model in scripts)]
    made["script"] = gr.Dropdown(titles, value=NO_SCRIPT, label="Script", elem_id=f"{form.tab}_script_list")
    for name, model in scripts:
        with gr.Column(elem_id=_accordion(form, name), elem_classes="easel-script"):
            made["panels"].append(Panel(name, model, None, _fields(form, name, model, choices)))


def wire_panels(form: Form, made: Mapping[str, Any], menus: ModelMenus, page: gr.Blocks, refresh: Any) -> None:
    """Text and widgets follow each other; menus of files are filled when the page opens, and by `refresh`."""
    text, panels = made["extensions"], made["panels"]
    widgets = [widget for panel in panels for widget in panel.widgets]
    widgets += [made["script"]] if "script" in made else []
    if not widgets:
        return
    gr.on(
        [widget.change for widget in widgets],
        None,
        widgets,
        text,
        js=f"(...values) => easel.extensions.collected('{form.tab}', values)",
        trigger_mode="multiple",
    )
    text.change(
        None,
        [text, *widgets],
        widgets,
        js=f"(text, ...values) => easel.extensions.spread('{form.tab}', text, values)",
        trigger_mode="multiple",
    )
    files = [
        (panel.fields[field], panel.model.model_fields[field].default, control.choices)
        for panel in panels
        for field, control in _shown(panel.model)
        if control.choices in ("checkpoints", "upscalers", "face_restorers")
    ]

    def fill() -> Any:
        filled = [gr.Dropdown(choices=_files(menus, str(choices), default)) for _, default, choices in files]
        # Gradio takes a list for the value itself where there is one output.
        return filled[0] if len(filled) == 1 else filled

    for trigger in (page.load, refresh.click) if files else ():
        trigger(fill, None, [widget for widget, _, _ in files], **_SILENT)


def _panel(form: Form, name: str, model: type[BaseModel], choices: Choices) -> Panel:
    title = _title(name, model)
    accordion = _accordion(form, name)
    with gr.Accordion(title, open=False, elem_id=accordion, elem_classes="easel-extension"):
        switch = gr.Checkbox(False, label=f"Use {title}", elem_id=f"{accordion}-checkbox")
        if name == "hires_fix":
            gr.HTML(f'<p id="{form.tab}_hr_label" class="easel-hires-size"></p>', js_on_load=None)
        fields = _fields(form, name, model, choices)
    return Panel(name, model, switch, fields)


def _fields(form: Form, name: str, model: type[BaseModel], choices: Choices) -> dict[str, Any]:
    """The widgets of an extension's values, two in a row."""
    fields = {}
    controls = _shown(model)
    for first in range(0, len(controls), 2):
        with gr.Row():
            for field, control in controls[first : first + 2]:
                fields[field] = _widget(model, field, control, _id(form, name, field, control), choices)
    return fields


def _title(name: str, model: type[BaseModel]) -> str:
    return model.model_config.get("title") or name


def _shown(model: type[BaseModel]) -> list[tuple[str, Control]]:
    return [(field, control) for field, control in controls_of(model).items() if control.holds not in UNSEEN]


def _widget(model: type[BaseModel], field: str, control: Control, element: str, choices: Choices) -> Any:
    info = model.model_fields[field]
    common = {"label": control.label, "elem_id": element, "info": control.help or None, "min_width": 160}
    words = words_of(model, field)
    if words and isinstance(info.default, tuple):
        return gr.CheckboxGroup(words, value=list(info.default), **common)
    if words:
        return gr.Radio(words, value=info.default, **common)
    if info.annotation is bool:
        return gr.Checkbox(info.default, **common)
    if control.choices is not None:
        return gr.Dropdown(_fixed(control.choices, info.default, choices), value=info.default or None, **common)
    if control.minimum is None:
        return gr.Textbox(info.default, lines=2 if control.holds else 1, **common)
    return gr.Slider(control.minimum, control.maximum, info.default, step=control.step, **common)


def _fixed(which: str, default: Any, choices: Choices) -> list[str]:
    """A menu's entries before its files are known."""
    first = [default] if default else []
    menus = menus_of(choices)
    return first + {"samplers": menus["sampler"], "schedules": menus["schedule"]}.get(which, [])


def _files(menus: ModelMenus, choices: str, default: Any) -> list[tuple[str, str]]:
    if choices == "upscalers":
        names = [upscaler.name for upscaler in upscalers(menus.library, menus.resolver.choices.upscalers)]
        latent = LATENT_MODES if default in LATENT_MODES else ()
        return [(name, name) for name in (*latent, *names)]
    if choices == "face_restorers":
        names = [restorer.name for restorer in face_restorers(menus.library)]
        return [(name, name) for name in names or [default]]
    return [(default or "None", default or "None"), *menus.checkpoints()]


def _accordion(form: Form, name: str) -> str:
    return f"{form.tab}_{_ACCORDIONS.get(name, name)}"


def _id(form: Form, name: str, field: str, control: Control) -> str:
    known = control.api or f"{name}_{field}"
    return f"{form.tab}_{_IDS.get(known, known)}"
