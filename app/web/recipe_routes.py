"""Routes behind the page that read recipes: of a dropped file, against the form, and the table of styles."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.access import caller_of
from app.files import read_picture_recipe
from app.language import Style, StyleBook
from app.schema.errors import InvalidImage
from app.schema.infotext import PROGRAM_NAME, Infotext, read_infotext_text
from app.schema.settings import Settings
from app.web.form import START, TXT2IMG, form_of, request_of
from app.web.overrides import read_overrides
from app.web.pasting import Pasting, difference_shown, infotext_of

LARGEST = 200 * 1024 * 1024
"""Bytes of a dropped file."""


class Asked(BaseModel):
    """A recipe and the form as the browser keeps it."""

    text: str
    program: str = ""
    tab: str = TXT2IMG.tab
    values: dict[str, Any] = {}


def add_recipe_routes(app: FastAPI, pasting: Pasting, settings: Settings, styles: StyleBook) -> None:
    """POST /easel/recipe, POST /easel/why, and GET, POST, DELETE /easel/styles."""

    @app.post("/easel/recipe", include_in_schema=False)
    async def recipe(request: Request) -> dict[str, Any]:
        """Of the file in the body: a picture, or an infotext as plain text."""
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LARGEST:
                raise InvalidImage(f"The file is larger than {LARGEST >> 20} MB.")
        plain = request.headers.get("content-type", "").startswith("text/")
        return await run_in_threadpool(_text_recipe if plain else _picture_recipe, bytes(data))

    @app.post("/easel/why", include_in_schema=False)
    def why(asked: Asked, request: Request) -> dict[str, Any]:
        """Each factor in which a recipe differs from what the form would make."""
        form = form_of(asked.tab)
        values = [asked.values.get(name, START[name]) for name in form.ids]
        overrides = read_overrides(asked.values.get("overrides") or [])
        wanted = request_of(form, values, settings.values(caller_of(request).user), overrides)
        found = pasting.why(infotext_of(asked.text, asked.program), wanted)
        return {"differences": [difference_shown(difference) for difference in found]}

    @app.get("/easel/styles", include_in_schema=False)
    def listed() -> dict[str, Any]:
        return {"styles": [style._asdict() for style in styles()]}

    @app.post("/easel/styles", include_in_schema=False)
    def save(style: Annotated[dict[str, str], Body()]) -> dict[str, Any]:
        styles.save(Style(style.get("name", ""), style.get("prompt", ""), style.get("negative_prompt", "")))
        return listed()

    @app.delete("/easel/styles", include_in_schema=False)
    def delete(name: str) -> dict[str, Any]:
        styles.delete(name)
        return listed()


def _picture_recipe(data: bytes) -> dict[str, Any]:
    found = read_picture_recipe(data)
    return _told(found.text, found.infotext, found.items)


def _text_recipe(data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8-sig", "replace")
    return _told(text, read_infotext_text(text), {})


def _told(text: str, infotext: Infotext, items: dict[str, str]) -> dict[str, Any]:
    program = "" if infotext.program in (PROGRAM_NAME, "AUTOMATIC1111") else infotext.program
    return {
        "text": text,
        "program": program,
        "prompt": infotext.prompt,
        "negative_prompt": infotext.negative_prompt,
        "entries": list(infotext.fields.items()),
        "items": items,
    }
