"""Changes: extensions that the next start puts in place, replaces or takes away; what was there is kept once.

A program that runs may import files of its extensions late, so nothing of theirs moves under it.
"""

from __future__ import annotations

import logging
import re
import shutil
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

from app.schema.errors import InvalidField

logger = logging.getLogger(__name__)

WAITING, REPLACED, INCOMING = ".waiting", ".replaced", ".incoming"
"""Folders beside the extensions: what comes at the next start, what it took the place of, what is not whole yet."""
_REMOVAL = ".removed"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

Change = Literal["install", "update", "remove"]


class Changes:
    """folder: of the extensions that a user installs. taken: names that come with the program."""

    def __init__(self, folder: Path, taken: Collection[str] = ()) -> None:
        self.folder = folder
        self._taken = {name.casefold() for name in taken}

    def waiting(self) -> dict[str, Change]:
        """By name, what the next start does."""
        found: dict[str, Change] = {}
        for path in sorted((self.folder / WAITING).glob("*")):
            if path.suffix == _REMOVAL:
                found[path.stem] = "remove"
            else:
                found[path.name] = "update" if (self.folder / path.name).exists() else "install"
        return found

    def require_new(self, name: str) -> None:
        """Raises InvalidField for a name that no extension may have, or one has."""
        if not _NAME.fullmatch(name):
            raise InvalidField(
                f"'{name[:80]}' is no name for an extension.",
                field="name",
                hint="Letters, digits, - and _ make one, 64 at most.",
            )
        there = {path.name.casefold() for path in self.folder.glob("*")} | set(self.waiting()) | self._taken
        if name.casefold() in there:
            raise InvalidField(
                f"There is an extension '{name}' already.", field="name", hint="Update or remove it, or give a name."
            )

    def require_installed(self, name: str) -> Path:
        """The folder of one that a user installed. Raises InvalidField."""
        path = self.folder / name
        if not _NAME.fullmatch(name) or name.casefold() in self._taken or not path.is_dir():
            raise InvalidField(f"There is no installed extension '{name[:80]}'.", field="name")
        return path

    def put(self, name: str, content: Path) -> None:
        """The folder `content` becomes the extension at the next start."""
        self.undo(name)
        (self.folder / WAITING).mkdir(parents=True, exist_ok=True)
        content.rename(self.folder / WAITING / name)

    def remove(self, name: str) -> None:
        """The extension is gone after the next start."""
        self.require_installed(name)
        self.undo(name)
        (self.folder / WAITING).mkdir(parents=True, exist_ok=True)
        (self.folder / WAITING / f"{name}{_REMOVAL}").touch()

    def undo(self, name: str) -> None:
        """The next start leaves this one as it is."""
        if not _NAME.fullmatch(name):
            raise InvalidField(f"There is no extension '{name[:80]}'.", field="name")
        discard(self.folder / WAITING / name)
        (self.folder / WAITING / f"{name}{_REMOVAL}").unlink(missing_ok=True)

    def apply(self) -> None:
        """Carries out what waits; call at the start, before any extension is loaded. One that cannot be moved stays."""
        discard(self.folder / INCOMING)
        for name, change in self.waiting().items():
            try:
                self._apply(name, change)
            except OSError:
                logger.exception("The extension %s cannot be put in place; it is tried again at the next start", name)

    def _apply(self, name: str, change: Change) -> None:
        path, kept = self.folder / name, self.folder / REPLACED / name
        if path.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            discard(kept)
            path.rename(kept)
        if change == "remove":
            (self.folder / WAITING / f"{name}{_REMOVAL}").unlink()
        else:
            (self.folder / WAITING / name).rename(path)


def discard(path: Path) -> None:
    """Deletes a folder with all that is in it, read-only files (git's) too; nothing where there is none."""

    def writable(act: Callable[..., Any], name: str, _: Any) -> None:
        Path(name).chmod(stat.S_IWRITE | stat.S_IREAD | stat.S_IEXEC)
        act(name)

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=writable)
