"""The cards' tabs: Generation beside Textual Inversion, Hypernetworks, Checkpoints and Lora, as A1111 has them.

Lays out empty places only; the browser's script fills them from /api/models when they are first seen.
"""

from __future__ import annotations

from html import escape

import gradio as gr

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA

CARD_PAGES = (
    ("Textual Inversion", "textual_inversion", EMBEDDING),
    ("Hypernetworks", "hypernetworks", HYPERNETWORK),
    ("Checkpoints", "checkpoints", CHECKPOINT),
    ("Lora", "lora", LORA),
)
"""Label, A1111's name in DOM ids, kind of file."""


def cards_tabs(tab: str) -> None:
    """The four tabs, inside a `gr.Tabs`. tab: whose prompts the cards write to, 'txt2img'."""
    for label, name, kind in CARD_PAGES:
        with gr.Tab(label, id=f"{tab}_{name}", elem_id=f"{tab}_{name}"):
            gr.HTML(
                f'<div class="easel-cards extra-page" id="{tab}_{name}_pane" data-tab="{escape(tab)}" '
                f'data-name="{name}" data-kind="{escape(kind)}"></div>',
                js_on_load=None,
                apply_default_css=False,
            )
