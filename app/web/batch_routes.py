"""The route behind img2img's Batch: one file of many becomes a job, with its mask and what its own infotext says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict

from app.access import caller_of
from app.jobs import Jobs
from app.schema.errors import ImageMissing, InvalidField
from app.schema.picture_fields import FileStem, FolderBelow, PictureHash
from app.schema.settings import Settings
from app.web.form import IMG2IMG, START, request_of
from app.web.overrides import read_overrides
from app.web.pasting import Pasting, infotext_of

TAKEN = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "seed": "Seed",
    "cfg_scale": "CFG scale",
    "sampler": "Sampler",
    "steps": "Steps",
    "checkpoint": "Model hash",
}
"""What a batch may take from its files' infotexts: field, and A1111's word for it."""
_APPENDED = ("prompt", "negative_prompt")


class BatchItem(BaseModel):
    """values: the form as the browser keeps it. name: of the file, without its ending. text: its infotext, of which the
    fields in `take` count: prompts are put behind the form's, the rest takes the place of the form's. output_directory:
    a whole path on the server, for its administrator alone."""

    model_config = ConfigDict(extra="forbid")

    values: dict[str, Any]
    picture: PictureHash | None = None
    mask: PictureHash | None = None
    name: FileStem
    output_folder: FolderBelow = ""
    output_directory: str = ""
    text: str = ""
    take: list[str] = []


def add_batch_route(app: FastAPI, jobs: Jobs, pasting: Pasting, settings: Settings) -> None:
    """POST /easel/batch."""

    @app.post("/easel/batch", include_in_schema=False, status_code=202)
    def batch(item: BatchItem, request: Request) -> dict[str, str]:
        """Stores the job of one file; its id."""
        caller = caller_of(request)
        if item.output_directory:
            caller.require_admin()
            if not Path(item.output_directory).is_absolute():
                raise InvalidField("Give the whole path of the folder.", field="output_directory")
        if item.picture is None:
            raise ImageMissing("There is no picture to redraw.", field="init_images", hint="Choose files or a folder.")
        values = {name: item.values.get(name, START[name]) for name in IMG2IMG.ids}
        preferred = settings.values(caller.user)
        if item.text.strip():
            found = pasting.read(infotext_of(item.text), preferred).fields
            for name in TAKEN.keys() & set(item.take) & found.keys():
                before = values[name] if name in _APPENDED else ""
                values[name] = f"{before} {found[name]}".strip() if name in _APPENDED else found[name]
        given = {
            "init_images": [item.picture],
            "mask": item.mask,
            "source_names": [item.name],
            "output_folder": item.output_folder,
            "output_directory": item.output_directory,
        }
        overrides = read_overrides(item.values.get("overrides") or [])
        wanted = request_of(IMG2IMG, list(values.values()), preferred, overrides, given)
        return {"id": jobs.submit(wanted, caller.owner).id}
