"""The page: tabs, looks and files of the browser's side, mounted on the server's application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from fastapi import Body, FastAPI
from starlette.responses import Response

from app.entries import TargetEntry
from app.files import ModelLibrary
from app.hooks import Tab
from app.jobs import Jobs, LibraryWords, Resolver
from app.language import Reading, StyleBook, Timing, Tokenizer, count_tokens
from app.schema.errors import EaselError
from app.schema.request import parse_request
from app.schema.settings import Settings
from app.web.batch_routes import add_batch_route
from app.web.extensions_tab import extension_tab, extensions_layout
from app.web.extras_tab import extras_layout
from app.web.form import FORMS
from app.web.generate_tab import generation_layout, page_facts, quicksettings
from app.web.handlers import wire
from app.web.model_menus import ModelMenus
from app.web.pasting import Pasting
from app.web.png_info_tab import png_info_layout
from app.web.recipe_routes import add_recipe_routes
from app.web.train_tab import train_layout

UPLOADS_KEPT = (3600, 3600)
"""Seconds between sweeps, and the age at which a picture dropped on PNG Info goes."""
LARGEST_UPLOAD = "200mb"
_HERE = Path(__file__).parent
_STYLES = ("style.css", "recipes.css", "cards.css", "source.css", "extras.css", "train.css")
_SCRIPTS = (
    "form.js",
    "gallery.js",
    "watch.js",
    "weights.js",
    "phrases.js",
    "forever.js",
    "recipe.js",
    "painter.js",
    "editor.js",
    "batch.js",
    "sketch.js",
    "source.js",
    "sending.js",
    "extensions.js",
    "png_info.js",
    "styles.js",
    "prompt_tags.js",
    "cards.js",
    "card_dialog.js",
    "memory.js",
    "downloads.js",
    "extras.js",
    "extensions_tab.js",
    "train_curve.js",
    "train_data.js",
    "train_meter.js",
    "train.js",
    "start.js",
)
# Plain names: a theme's own fonts may be fetched from another machine.
_FONT = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "Menlo", "DejaVu Sans Mono", "monospace"]


def mount_page(
    app: FastAPI,
    *,
    jobs: Jobs,
    library: ModelLibrary,
    settings: Settings,
    resolver: Resolver,
    styles: StyleBook,
    theme: str | None = None,
    extension_tabs: Sequence[tuple[str, Tab]] = (),
    extension_failed: Callable[[str, str], None] = lambda name, problem: None,
    targets: Mapping[str, TargetEntry] | None = None,
) -> None:
    """Adds the page at "/" to an application that has the routes of `app.api` and the rules of `app.access`.

    theme: 'light', 'dark', or None for what the browser wishes. extension_tabs: with the extension that each is of.
    extension_failed: is told of one whose tab cannot be drawn, and its traceback. targets: what extensions teach, by
    method.
    """
    menus = ModelMenus(library, resolver)
    with gr.Blocks(title="Easel", fill_width=True, analytics_enabled=False, delete_cache=UPLOADS_KEPT) as page:
        page_facts(resolver.extensions)
        models = quicksettings()
        tabs = {}
        with gr.Tabs(elem_id="tabs"):
            for form in FORMS:
                with gr.Tab(form.label, id=form.tab, elem_id=f"tab_{form.tab}", render_children=True):
                    tabs[form.tab] = generation_layout(form, resolver.extensions, resolver.choices)
            with gr.Tab("Train", id="train", elem_id="tab_train"):
                train_layout(targets)
            with gr.Tab("Extras", id="extras", elem_id="tab_extras"):
                extras_layout()
            with gr.Tab("PNG Info", id="pnginfo", elem_id="tab_pnginfo"):
                png_info_layout()
            for owner, tab in extension_tabs:
                extension_tab(owner, tab, extension_failed)
            with gr.Tab("Extensions", id="extensions", elem_id="tab_extensions"):
                extensions_layout()
        wire(models, tabs, jobs=jobs, settings=settings, menus=menus, styles=styles, page=page)
    _add_token_counter(app, library)
    pasting = Pasting(jobs, resolver)
    add_recipe_routes(app, pasting, settings, styles)
    add_batch_route(app, jobs, pasting, settings)
    head = _add_assets(app, theme)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        theme=_theme(),
        head=head,
        show_error=False,
        favicon_path=str(_HERE / "favicon.svg"),
        max_file_size=LARGEST_UPLOAD,
    )


def _add_assets(app: FastAPI, theme: str | None) -> str:
    """Serves script and style; returns the lines of the page's head that ask for them."""
    style = b"\n".join((_HERE / name).read_bytes() for name in _STYLES)
    script = b"\n".join((_HERE / "script" / name).read_bytes() for name in _SCRIPTS)
    stamps = {}
    for name, kind, data in (("style.css", "text/css", style), ("script.js", "text/javascript", script)):
        stamps[name] = sha256(data).hexdigest()[:12]
        app.add_api_route(f"/easel/{name}", _asset(data, kind), include_in_schema=False)
    wish = f"<script>document.documentElement.dataset.theme='{theme}'</script>" if theme else ""
    return (
        wish + '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="easel/style.css?{stamps["style.css"]}">'
        f'<script src="easel/script.js?{stamps["script.js"]}"></script>'
    )


def _asset(data: bytes, kind: str) -> Any:
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return lambda: Response(data, media_type=kind, headers=headers)


def _add_token_counter(app: FastAPI, library: ModelLibrary) -> None:
    tokenizer = Tokenizer()
    words = LibraryWords(library, tokenizer)

    @app.post("/easel/tokens", include_in_schema=False)
    def tokens(texts: Annotated[dict[str, str], Body()], steps: int = 20) -> dict[str, str]:
        """'used/room' of the prompts named prompt and negative_prompt; '?' for one that cannot be read."""
        reading = Reading(Timing(max(steps, 1)))
        shown = {}
        for name, text in texts.items():
            try:
                parse_request({name: text})
                negative = name == "negative_prompt"
                count = count_tokens(text, tokenizer, reading, negative=negative, find_word=words.find)
                shown[name] = f"{count.tokens}/{count.limit}"
            except EaselError:
                shown[name] = "?"
        return shown


def _theme() -> Any:
    theme = gr.themes.Base(
        primary_hue="amber",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="sm",
        text_size="md",
        font=_FONT,
        font_mono=_MONO,
    )
    # Dark words on amber: white ones cannot be read.
    return theme.set(
        button_primary_background_fill="*primary_400",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover="*primary_300",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="#1c1203",
        button_primary_text_color_dark="#1c1203",
        button_primary_text_color_hover="#1c1203",
        button_primary_text_color_hover_dark="#1c1203",
    )
