"""The PNG Info tab: drop a picture, read all its texts, send it to a tab, or see why it would come out differently."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from app.web.form import FORMS

_CONTENT = Path(__file__).with_name("png_info.html")


class Target(NamedTuple):
    """A tab that takes an infotext. tab: its id; its hidden button is `<tab>_paste_text`. label: of the button.
    takes_picture: it gets the picture too."""

    tab: str
    label: str
    takes_picture: bool = False


TARGETS = tuple(Target(form.tab, f"Send to {form.tab}", form.redraws) for form in FORMS)
"""One button each."""


def png_info_layout() -> None:
    """The tab's content; script/png_info.js brings it to life."""
    table = escape(json.dumps([target._asdict() for target in TARGETS]), quote=True)
    content = _CONTENT.read_text(encoding="utf-8").replace('id="pnginfo" ', f'id="pnginfo" data-targets="{table}" ')
    gr.HTML(content, js_on_load=None)
