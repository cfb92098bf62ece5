"""A server process with the fake engine, for tests that kill it: python -m tests.kills.server FOLDER [STAGE]

STAGE ends the process by itself in the middle of saving the second picture: 'reserved' before a byte is written,
'half' with half of the file aside, 'written' before it is marked.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import uvicorn

from app.files import Images
from app.files.whole_file import aside_of
from app.schema.events import RowFinished
from tests.api.serving import build_server
from tests.jobs.fake_engine import FakeEngine

PAUSE = 0.004
"""Seconds that one model call takes."""


def die_at(stage: str) -> None:
    """Lets the process end in the middle of saving, as a kill would end it."""
    write = Images.write
    count = 0

    def dying_write(self: Images, path: str, finished: RowFinished, infotext: str) -> None:
        nonlocal count
        count += 1
        if count < 2:
            write(self, path, finished, infotext)
            return
        if stage == "half":
            aside = aside_of(self.folders.data / path)
            aside.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(b"\x89PNG half of it")
        elif stage == "written":
            write(self, path, finished, infotext)
        os.kill(os.getpid(), signal.SIGKILL)

    Images.write = dying_write  # type: ignore[method-assign]


def main(folder: str, stage: str = "") -> None:
    logging.basicConfig(level=logging.WARNING)
    if stage:
        die_at(stage)
    server = build_server(Path(folder), partial(FakeEngine, pause=PAUSE))
    listener = socket.create_server(("127.0.0.1", 0))
    server.lock.tell_address(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    uvicorn.Server(uvicorn.Config(server.app, log_level="warning")).run(sockets=[listener])
    server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
