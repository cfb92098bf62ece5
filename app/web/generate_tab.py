"""The layout of the generation tabs, one builder for all, as A1111's users know it; handlers.py brings it to life."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.schema.choices import Choices
from app.schema.infotext import Models
from app.web.cards_tab import cards_tabs
from app.web.extension_panel import extension_panels, panel_facts, script_menu
from app.web.form import EXTRA_FIELDS, FORMS, HELP, IMG2IMG, INPAINT, TXT2IMG, Form, widget
from app.web.prompt_tools import override_box, prompt_tools, tool_names
from app.web.source_panel import mask_settings, redrawing_settings, size_tools, source_panel

_RESULTS = Path(__file__).with_name("results.html")
_STOP_BUTTONS = """
<div class="easel-stop">
  <button id="TAB_interrupt" class="easel-button" type="button" disabled
    title="End with the pictures as they are (Esc)">Interrupt</button>
  <button id="TAB_skip" class="easel-button" type="button" disabled
    title="On to the next picture (Alt+Enter)">Skip</button>
</div>
<div id="TAB_error" class="easel-error" role="alert" hidden></div>
"""
_MEMORY = """
<details id="easel_memory" class="easel-memory">
  <summary>In memory</summary>
  <div class="easel-models"></div>
  <p class="easel-told" role="status" aria-live="polite"></p>
</details>
"""
Widgets = dict[str, Any]


def quicksettings() -> Widgets:
    """The row of models above the tabs."""
    with gr.Row(elem_id="quicksettings"):
        checkpoint = widget("checkpoint", scale=3)
        refresh = gr.Button("↻", elem_id="refresh_sd_model_checkpoint", elem_classes="easel-tool", size="sm")
        vae = widget("vae", scale=2)
        choose = gr.Button(visible="hidden", elem_id="setting_sd_model_checkpoint_choose")
    gr.HTML(_MEMORY, js_on_load=None, apply_default_css=False)
    return {"checkpoint": checkpoint, "refresh": refresh, "vae": vae, "choose": choose}


def page_facts(models: Models) -> None:
    """The table of fields, DOM ids and words by which the script finds its way; seen by nobody."""
    facts = {
        "tabs": {form.tab: form.ids for form in FORMS},
        "extensions": {form.tab: panel_facts(form, models) for form in FORMS},
        "help": HELP,
        "names": {form.tab: tool_names(form.tab) for form in FORMS},
    }
    gr.HTML(f'<div id="easel_page" data-page="{escape(json.dumps(facts), quote=True)}" hidden></div>', js_on_load=None)


def generation_layout(form: Form, models: Models, choices: Choices) -> Widgets:
    """The tab's widgets by the names of their fields, and buttons by their own.

    models: of the extensions. choices: what menus offer.
    """
    made: Widgets = {}
    tab = form.tab
    with gr.Row(elem_id=f"{tab}_toprow"):
        with gr.Column(scale=6, min_width=300):
            made["prompt"] = _prompt(form, "prompt", "token_counter", "Prompt")
            made["negative_prompt"] = _prompt(form, "negative_prompt", "negative_token_counter", "Negative prompt")
        with gr.Column(scale=2, min_width=200, elem_id=f"{tab}_actions_column"):
            made["generate"] = gr.Button(
                "Generate", variant="primary", elem_id=f"{tab}_generate", elem_classes="easel-generate"
            )
            gr.HTML(_STOP_BUTTONS.replace("TAB", tab), js_on_load=None)
            prompt_tools(made, form)
    with gr.Tabs(elem_id=f"{tab}_extra_tabs", elem_classes="extra-networks"):
        with (
            gr.Tab("Generation", id=f"{tab}_generation", elem_id=f"{tab}_generation"),
            gr.Row(elem_id=f"{tab}_below"),
        ):
            with gr.Column(scale=1, min_width=300, elem_id=f"{tab}_settings"):
                _settings(made, form, models, choices)
            with gr.Column(scale=1, min_width=300):
                gr.HTML(_results(tab), js_on_load=None)
        cards_tabs(tab)
    return made


def _prompt(form: Form, name: str, counter: str, placeholder: str) -> Any:
    with gr.Group(elem_classes="easel-prompt"):
        gr.HTML(
            f'<span id="{form.tab}_{counter}" class="easel-counter" '
            'title="tokens used / room before the next chunk">0/75</span>',
            js_on_load=None,
        )
        return widget(name, form, lines=3, max_lines=12, placeholder=f"{placeholder} (Ctrl+Enter generates)")


def _settings(made: Widgets, form: Form, models: Models, choices: Choices) -> None:
    if form.redraws:
        source_panel(form)
        redrawing_settings(made, form)
        mask_settings(made, form)
    with gr.Row():
        made["sampler"] = widget("sampler", form, choices)
        made["schedule"] = widget("schedule", form, choices)
    made["steps"] = widget("steps", form)
    extension_panels(made, form, models, choices)
    with gr.Row():
        with gr.Column(scale=4, min_width=200):
            made["width"] = widget("width", form)
            made["height"] = widget("height", form)
        made["swap"] = _tool("⇅", f"{form.tab}_res_switch_btn")
        if form.redraws:
            made["detect"] = _tool("⊿", f"{form.tab}_detect_image_size_btn")
        with gr.Column(scale=3, min_width=160):
            made["batch_count"] = widget("batch_count", form)
            made["batch_size"] = widget("batch_size", form)
    if form.redraws:
        size_tools(form)
    with gr.Row():
        made["cfg_scale"] = widget("cfg_scale", form, scale=3, min_width=240)
        made["cfg_rescale"] = widget("cfg_rescale", form, scale=2, min_width=160)
    with gr.Row():
        made["seed"] = widget("seed", form, scale=4)
        made["dice"] = _tool("⚄", f"{form.tab}_random_seed")
        made["recycle"] = _tool("♻", f"{form.tab}_reuse_seed")
    with gr.Accordion("Extra", open=False, elem_id=f"{form.tab}_subseed_show") as made["extra"]:
        for first, second in (EXTRA_FIELDS[:2], EXTRA_FIELDS[2:]):
            with gr.Row():
                made[first] = widget(first, form)
                made[second] = widget(second, form)
    script_menu(made, form, models, choices)
    made["overrides"] = override_box(form.tab)
    made["reset"] = gr.Button("Reset the form", elem_id=f"{form.tab}_reset", elem_classes="easel-reset", size="sm")


def _tool(sign: str, name: str) -> Any:
    return gr.Button(sign, elem_id=name, elem_classes="easel-tool", size="sm")


def _results(tab: str) -> str:
    """The results' skeleton, with buttons that send a picture on."""
    sends = "".join(
        f'<button id="{tab}_send_to_{target.tab}" class="easel-button" type="button" data-send="{target.tab}">'
        f"Send to {target.tab}</button>"
        for target in (IMG2IMG, INPAINT)
    )
    if tab == TXT2IMG.tab:
        words = "Once more through hires fix alone, with its own seed"
        sends += (
            f'<button id="{tab}_upscale" class="easel-button" type="button" data-upscale="{tab}" '
            f'title="{words}">✦ Upscale</button>'
        )
    sends += f'<button id="{tab}_send_to_extras" class="easel-button" type="button" data-to-extras="{tab}">'
    sends += "Send to Extras</button>"
    text = _RESULTS.read_text(encoding="utf-8").replace(TXT2IMG.tab, tab)
    return text.replace("<!-- send -->", sends)
