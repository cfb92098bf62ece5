"""Prompt tools: buttons beside the prompts (paste, clear, styles), and the box of override settings."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.web.form import widget

_FOREVER = """
<button id="txt2img_forever" class="easel-button" type="button" aria-pressed="false"
  title="Begin the next job as soon as one is over, until this is pressed again">∞ Generate forever</button>
"""
NAMES = {
    "paste": "Read an infotext from the prompt, or the last generation where it is empty, into the form",
    "txt2img_clear_prompt": "Clear both prompts",
    "txt2img_style_apply": "Write the chosen styles into the prompts",
    "txt2img_styles_edit_button": "Edit styles",
}
"""What a person hears and sees of the buttons that carry a sign alone."""


def prompt_tools(made: dict[str, Any], tab: str = "txt2img") -> None:
    """The row below Generate: paste, clear, apply and edit styles; then the styles and Generate forever."""
    with gr.Row(elem_id=f"{tab}_tools", elem_classes="easel-tools"):
        made["paste"] = _tool("↙", "paste")
        made["clear"] = _tool("🗑", f"{tab}_clear_prompt")
        made["apply_styles"] = _tool("📋", f"{tab}_style_apply")
        made["edit_styles"] = _tool("🖌", f"{tab}_styles_edit_button")
        gr.HTML(_FOREVER, js_on_load=None)
    made["styles"] = widget("styles", multiselect=True, visible=False)
    made["styles_changed"] = gr.Button(visible="hidden", elem_id=f"{tab}_styles_changed")
    made["paste_text"] = gr.Button(visible="hidden", elem_id=f"{tab}_paste_text")


def override_box(tab: str = "txt2img") -> Any:
    """A1111's box of settings that a pasted text asks for; hidden while it is empty."""
    return gr.Dropdown(
        [],
        value=[],
        multiselect=True,
        label="Override settings",
        elem_id=f"{tab}_override_settings",
        visible=False,
    )


def _tool(sign: str, name: str) -> Any:
    return gr.Button(sign, elem_id=name, elem_classes="easel-tool", size="sm")
