"""TrainingProcess: the process that works on one run folder, whether this program started it or found it alive.

Knows how to see that it lives and to follow its log; what is to be done about it is the supervisor's.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from app.files.run_folder import RunFolder, Wish
from app.files.run_log import ENDINGS, Entry, read_log


class Child(Protocol):
    """What is asked of a process that was just started; `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        ...


StartChild = Callable[[RunFolder], Child]


class TrainingProcess:
    """Follows one run from the beginning of its log. since: when it was begun, in seconds since 1970; endings that were
    told before are of earlier beginnings."""

    def __init__(self, folder: RunFolder, since: float = 0.0) -> None:
        self.folder = folder
        self._since = since
        self.ending: Entry | None = None
        self._child: Child | None = None
        self._read = 0

    def start(self, start_child: StartChild) -> None:
        """Starts a process for the run. Raises OSError."""
        self.ending = None
        self._child = start_child(self.folder)

    @property
    def alive(self) -> bool:
        """Whether somebody works on the run: a child that has not ended, or whoever holds the folder's lock."""
        if self._child is not None and self._child.poll() is None:
            return True
        return self.folder.holder() is not None

    def news(self) -> list[Entry]:
        """The log's lines since the last call; `ending` is how the process that began last has ended, by its own
        word."""
        entries, self._read = read_log(self.folder.log, self._read)
        for entry in entries:
            if entry["kind"] == "begun":
                self.ending = None
            elif entry["kind"] in ENDINGS and entry["at"] >= self._since:
                self.ending = entry
        return entries

    def wish(self, wish: Wish) -> None:
        """Sees to it that the folder says so."""
        if self.folder.wished() != wish:
            self.folder.wish(wish)

    def kill(self) -> None:
        """Ends the process at once."""
        pid = self.folder.holder() or (self._child.pid if self._child is not None else 0)
        if pid > 0 and self.alive:
            with suppress(OSError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def start_detached(command: list[str], folder: RunFolder, cwd: str, environ: dict[str, str]) -> Child:
    """A process in a session of its own, which outlives this one; what it prints goes to the run's output.log."""
    flags = 0
    if os.name == "nt":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
    with folder.output.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",
            creationflags=flags,
        )
