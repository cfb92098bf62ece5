"""/api/server-folders: pictures of a folder on the server's own machine, for its administrator alone."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from app.access import Caller, caller_of
from app.files import Blobs, read_picture_recipe
from app.schema.errors import EaselError, InvalidField

TheCaller = Annotated[Caller, Depends(caller_of)]
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff"})


class ServerFolder(BaseModel):
    """folder: its whole path."""

    model_config = ConfigDict(extra="forbid")

    folder: str


class ServerPicture(ServerFolder):
    """name: of a file in the folder."""

    name: str


def server_folders_router(blobs: Blobs) -> APIRouter:
    """The routes. What the program may read on its machine, its administrator may; nobody else may ask."""
    router = APIRouter(prefix="/api/server-folders", tags=["pictures"])

    @router.post("")
    def listed(asked: ServerFolder, caller: TheCaller) -> dict[str, Any]:
        """The names of the pictures in a folder, without those in folders below it."""
        caller.require_admin()
        folder = _whole(asked.folder)
        try:
            names = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
        except OSError as error:
            raise InvalidField(f"The folder {folder} cannot be read: {error.strerror}.", field="folder") from error
        return {"pictures": names}

    @router.post("/pictures")
    def take(asked: ServerPicture, caller: TheCaller) -> dict[str, Any]:
        """Stores a picture as an upload would; its hash, and the infotext that it carries ("" for none)."""
        caller.require_admin()
        if PurePath(asked.name).name != asked.name or PurePath(asked.name).suffix.lower() not in ENDINGS:
            raise InvalidField(f"'{asked.name[:80]}' is no name of a picture.", field="name")
        file = _whole(asked.folder) / asked.name
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InvalidField(f"{file} cannot be read: {error.strerror}.", field="name") from error
        return {"hash": blobs.put(data, field="name"), "infotext": _infotext(data)}

    return router


def _infotext(data: bytes) -> str:
    try:
        return read_picture_recipe(data).text
    except EaselError:
        return ""


def _whole(text: str) -> Path:
    folder = Path(text.strip()).expanduser()
    if not folder.is_absolute():
        raise InvalidField("Give the whole path of the folder.", field="folder")
    return folder
