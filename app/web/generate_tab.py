"""The txt2img tab's layout, as A1111's users know it; what its widgets do is in handlers.py."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.web.cards_tab import cards_tabs
from app.web.form import ELEMENT_IDS, EXTRA_FIELDS, HELP, widget
from app.web.prompt_tools import NAMES, override_box, prompt_tools

_RESULTS = Path(__file__).with_name("results.html")
_STOP_BUTTONS = """
<div class="easel-stop">
  <button id="txt2img_interrupt" class="easel-button" type="button" disabled
    title="End with the pictures as they are (Esc)">Interrupt</button>
  <button id="txt2img_skip" class="easel-button" type="button" disabled
    title="On to the next picture (Alt+Enter)">Skip</button>
</div>
<div id="txt2img_error" class="easel-error" role="alert" hidden></div>
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


def txt2img_layout() -> Widgets:
    """The tab's widgets by the names of their fields, and buttons by their own."""
    made: Widgets = {}
    with gr.Row(elem_id="txt2img_toprow"):
        with gr.Column(scale=6, min_width=300):
            made["prompt"] = _prompt("prompt", "txt2img_token_counter", "Prompt")
            made["negative_prompt"] = _prompt("negative_prompt", "txt2img_negative_token_counter", "Negative prompt")
        with gr.Column(scale=2, min_width=200, elem_id="txt2img_actions_column"):
            made["generate"] = gr.Button("Generate", variant="primary", elem_id="txt2img_generate")
            gr.HTML(_STOP_BUTTONS, js_on_load=None)
            prompt_tools(made)
    with gr.Tabs(elem_id="txt2img_extra_tabs", elem_classes="extra-networks"):
        with (
            gr.Tab("Generation", id="txt2img_generation", elem_id="txt2img_generation"),
            gr.Row(elem_id="txt2img_below"),
        ):
            with gr.Column(scale=1, min_width=300, elem_id="txt2img_settings"):
                _settings(made)
            with gr.Column(scale=1, min_width=300):
                made["elements"] = gr.HTML(_results(), js_on_load=None)
        cards_tabs("txt2img")
    return made


def _prompt(name: str, counter: str, placeholder: str) -> Any:
    with gr.Group(elem_classes="easel-prompt"):
        gr.HTML(
            f'<span id="{counter}" class="easel-counter" title="tokens used / room before the next chunk">0/75</span>',
            js_on_load=None,
        )
        return widget(name, lines=3, max_lines=12, placeholder=f"{placeholder} (Ctrl+Enter generates)")


def _settings(made: Widgets) -> None:
    with gr.Row():
        made["sampler"] = widget("sampler")
        made["schedule"] = widget("schedule")
    made["steps"] = widget("steps")
    with gr.Row():
        with gr.Column(scale=4, min_width=200):
            made["width"] = widget("width")
            made["height"] = widget("height")
        made["swap"] = gr.Button("⇅", elem_id="txt2img_res_switch_btn", elem_classes="easel-tool", size="sm")
        with gr.Column(scale=3, min_width=160):
            made["batch_count"] = widget("batch_count")
            made["batch_size"] = widget("batch_size")
    made["cfg_scale"] = widget("cfg_scale")
    with gr.Row():
        made["seed"] = widget("seed", scale=4)
        made["dice"] = gr.Button("⚄", elem_id="txt2img_random_seed", elem_classes="easel-tool", size="sm")
        made["recycle"] = gr.Button("♻", elem_id="txt2img_reuse_seed", elem_classes="easel-tool", size="sm")
    with gr.Accordion("Extra", open=False, elem_id="txt2img_subseed_show") as made["extra"]:
        for first, second in (EXTRA_FIELDS[:2], EXTRA_FIELDS[2:]):
            with gr.Row():
                made[first] = widget(first)
                made[second] = widget(second)
    made["overrides"] = override_box()
    made["reset"] = gr.Button("Reset the form", elem_id="txt2img_reset", size="sm")


def _results() -> str:
    """The results' skeleton; it carries the table of fields and DOM ids by which the script marks what is wrong."""
    table = escape(json.dumps({"fields": ELEMENT_IDS, "help": HELP, "names": NAMES}), quote=True)
    return f'<div id="easel_page" data-page="{table}"></div>' + _RESULTS.read_text(encoding="utf-8")
