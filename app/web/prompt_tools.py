"""Prompt tools: buttons beside the prompts (paste, clear, styles), and the box of override settings."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.web.form import TXT2IMG, Form, widget

_FOREVER = """
<button id="TAB_forever" class="easel-button easel-forever" type="button" aria-pressed="false"
  title="Begin the next job as soon as one is over, until this is pressed again">∞ Generate forever</button>
"""


def tool_names(tab: str) -> dict[str, str]:
    """What a person hears and sees of the buttons that carry a sign alone, by their ids."""
    return {
        _paste_id(tab): "Read an infotext from the prompt, or the last generation where it is empty, into the form",
        f"{tab}_clear_prompt": "Clear both prompts",
        f"{tab}_style_apply": "Write the chosen styles into the prompts",
        f"{tab}_styles_edit_button": "Edit styles",
        f"{tab}_res_switch_btn": "Swap width and height",
        f"{tab}_detect_image_size_btn": "Take the size of the picture",
        f"{tab}_random_seed": "Draw a new seed each time (-1)",
        f"{tab}_reuse_seed": "Take the seed of the picture shown",
    }


def _paste_id(tab: str) -> str:
    # A1111 calls it so on both of its tabs; ids of one page differ.
    return "paste" if tab == TXT2IMG.tab else f"{tab}_paste"


def prompt_tools(made: dict[str, Any], form: Form) -> None:
    """The row below Generate: paste, clear, apply and edit styles; then the styles and Generate forever."""
    tab = form.tab
    with gr.Row(elem_id=f"{tab}_tools", elem_classes="easel-tools"):
        made["paste"] = _tool("↙", _paste_id(tab))
        made["clear"] = _tool("⌫", f"{tab}_clear_prompt")
        made["apply_styles"] = _tool("❐", f"{tab}_style_apply")
        made["edit_styles"] = _tool("✎", f"{tab}_styles_edit_button")
        gr.HTML(_FOREVER.replace("TAB", tab), js_on_load=None)
    made["styles"] = widget("styles", form, multiselect=True, visible=False)
    made["styles_changed"] = gr.Button(visible="hidden", elem_id=f"{tab}_styles_changed")
    made["paste_text"] = gr.Button(visible="hidden", elem_id=f"{tab}_paste_text")


def override_box(tab: str) -> Any:
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
