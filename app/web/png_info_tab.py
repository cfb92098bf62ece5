"""The PNG Info tab: drop a picture, read the infotext inside it."""

from __future__ import annotations

from html import escape

import gradio as gr

from app.files import read_picture_info
from app.schema.errors import EaselError


def png_info_layout() -> None:
    """The tab's content."""
    with gr.Row():
        picture = gr.File(
            label="Picture", file_types=[".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif"], elem_id="pnginfo_image"
        )
        shown = gr.HTML("<p class='easel-empty'>Drop a picture to see how it was made.</p>", elem_id="pnginfo_html")
    picture.change(described, picture, shown, queue=False, show_progress="hidden", api_visibility="private")


def described(path: str | None) -> str:
    """HTML of all the texts in a picture file, or of what is wrong with it."""
    if not path:
        return "<p class='easel-empty'>Drop a picture to see how it was made.</p>"
    try:
        info = read_picture_info(path)
    except EaselError as error:
        return f"<p class='easel-error' role='alert'>{escape(str(error))}</p>"
    parts = [_part("parameters", info.infotext)] if info.infotext else []
    parts += [_part(name, text) for name, text in info.items.items()]
    return "".join(parts) or "<p class='easel-empty'>This picture carries no text.</p>"


def _part(name: str, text: str) -> str:
    return f"<h4>{escape(name)}</h4><div class='easel-infotext'>{escape(text)}</div>"
