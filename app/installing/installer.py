"""Installer: brings extensions from a git repository or a .zip, updates and removes them; one thing at a time.

Nothing of an extension is run or moved while the program runs: the next start does the moving (see `changes`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from app.installing.archive import unpack
from app.installing.changes import INCOMING, Change, Changes, discard
from app.installing.repository import SECONDS, Origin, changed, clone, name_in, origin_of, require_address, shown
from app.schema.errors import EaselError, Forbidden, InvalidField, UnexpectedFailure

ENTRY = "extension.py"
STEMS = ("requirements.txt", "install.py")
"""What extensions of other programs bring along and nothing here reads."""


class Installation(NamedTuple):
    """The last thing that was done or is being done. text: in words, what came of it."""

    name: str
    change: Change
    state: Literal["running", "done", "failed", "stopped"]
    text: str = ""


class Installer:
    """Any thread. refusal: why code may not be installed on this server, "" where it may; removing is installing, too.

    seconds: for one clone.
    """

    def __init__(self, changes: Changes, refusal: str = "", seconds: float = SECONDS) -> None:
        self.refusal = refusal
        self.changes = changes
        self._seconds = seconds
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._now: Installation | None = None
        self._thread: threading.Thread | None = None

    @property
    def now(self) -> Installation | None:
        """What is done at the moment or was done last."""
        return self._now

    def waiting(self) -> dict[str, Change]:
        """By name, what the next start does."""
        return self.changes.waiting()

    def aside(self) -> Path:
        """A path for an archive that is still coming; what is left there goes at the next start."""
        folder = self.changes.folder / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{secrets.token_hex(8)}.zip"

    def from_address(self, address: str, branch: str = "", name: str = "") -> str:
        """Begins to fetch a repository; the name that the extension gets. Raises InvalidField, Forbidden."""
        self._require_allowed()
        require_address(address.strip(), branch.strip())
        name = name.strip() or name_in(address)
        self.changes.require_new(name)
        self._begin(name, "install", lambda target: self._fetched(address.strip(), branch.strip(), target))
        return name

    def from_archive(self, archive: Path, name: str) -> str:
        """Begins to unpack a .zip, which is deleted in the end; the name that the extension gets.

        One of that name that a user installed is replaced. Raises InvalidField, Forbidden.
        """
        self._require_allowed()
        change: Change = "install"
        if (self.changes.folder / name).is_dir():
            self.changes.require_installed(name)
            change = "update"
        else:
            self.changes.require_new(name)

        def unpacked(target: Path) -> None:
            target.mkdir()
            try:
                unpack(archive, target)
            finally:
                archive.unlink(missing_ok=True)

        self._begin(name, change, unpacked)
        return name

    def update(self, name: str) -> None:
        """Begins to fetch the newest of one that is a clone. Raises InvalidField, Forbidden."""
        self._require_allowed()
        folder = self.changes.require_installed(name)
        origin = origin_of(folder)
        if origin is None:
            raise InvalidField(
                f"'{name}' was not fetched from a repository.", field="name", hint="Install its newer .zip."
            )
        if changed(folder):
            raise InvalidField(
                f"Files of '{name}' were changed by hand, and an update would undo that.",
                field="name",
                hint="Keep them elsewhere and undo the changes, or remove it and install it anew.",
            )
        self._begin(name, "update", lambda target: self._fetched(origin.address, origin.branch, target))

    def remove(self, name: str) -> None:
        """It is gone after the next start; its folder is kept in `.replaced` until another takes the place."""
        self._require_allowed()
        self.changes.remove(name)

    def undo(self, name: str) -> None:
        """What waits for the next start is dropped."""
        self._require_allowed()
        self.changes.undo(name)

    def stop(self) -> None:
        """Ends what is done at the moment; nothing of it is left."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def origin(self, folder: Path) -> Origin | None:
        """Where an extension is from, for whoever lists them: without what is secret in its address."""
        found = origin_of(folder)
        return None if found is None else found._replace(address=shown(found.address))

    def _require_allowed(self) -> None:
        if self.refusal:
            raise Forbidden(self.refusal)

    def _begin(self, name: str, change: Change, fetch: Callable[[Path], None]) -> None:
        with self._lock:
            if self._now is not None and self._now.state == "running":
                raise InvalidField(f"'{self._now.name}' is being fetched.", hint="Wait for it, or stop it.")
            self._stopped.clear()
            self._now = Installation(name, change, "running")
        self._thread = threading.Thread(target=self._run, args=(self._now, fetch), name="installing", daemon=True)
        self._thread.start()

    def _run(self, begun: Installation, fetch: Callable[[Path], None]) -> None:
        target = self.changes.folder / INCOMING / secrets.token_hex(8)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(target)
            text = _told(target)
            self.changes.put(begun.name, target)
            self._now = begun._replace(state="done", text=text)
        except EaselError as error:
            state: Literal["stopped", "failed"] = "stopped" if self._stopped.is_set() else "failed"
            self._now = begun._replace(state=state, text=str(error))
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits
            failure = UnexpectedFailure(f"It could not be put on the disk: {error}.")
            self._now = begun._replace(state="failed", text=str(failure))
        finally:
            discard(target)
            target.with_suffix(".log").unlink(missing_ok=True)

    def _fetched(self, address: str, branch: str, target: Path) -> None:
        clone(address, branch, target, self._stopped, self._seconds)


def _told(folder: Path) -> str:
    """Words on what has come. Raises InvalidField where it is no extension."""
    if not (folder / ENTRY).is_file():
        scripts = (folder / "scripts").is_dir()
        raise InvalidField(
            f"There is no {ENTRY} in it, so it is no extension of Easel.",
            hint="Extensions of AUTOMATIC1111 do not run here." if scripts else "",
        )
    beside = [stem for stem in STEMS if (folder / stem).is_file()]
    packages = f" It lists packages in {' and '.join(beside)}, which you install yourself." if beside else ""
    return f"It is loaded at the next start.{packages}"
