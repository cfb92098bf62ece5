"""Training processes that begin in a moment: each is forked from a server that has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import sys
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from app.files.run_folder import RunFolder

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.training.fake_trainer"])


class Life:
    """One process; see `app.jobs.Child`."""

    def __init__(self, process: BaseProcess) -> None:
        self.process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.process.exitcode

    def wait(self, seconds: float = 300.0) -> int | None:
        """Its exit status once it has ended."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        self.process.kill()
        self.process.join()


def start_fake(folder: RunFolder, pause: float = 0.002) -> Life:
    """A life of `fake_trainer`."""
    warm()
    return _begun(_FORKED, _live_fake, folder, pause)


def start_real(folder: RunFolder) -> Life:
    """A life of the real trainer; forked from this process, which has imported all it needs."""
    return _begun(multiprocessing.get_context("fork"), _live_real, folder, 0.0)


@cache
def warm() -> None:
    """Lets the server that others are forked from import what it needs; on a busy machine that takes a while."""
    process = _FORKED.Process(target=int)
    process.start()
    process.join()


def _begun(context: Any, live: object, folder: RunFolder, pause: float) -> Life:
    folder.output.touch()
    process = context.Process(target=live, args=(str(folder.path), pause))
    process.start()
    return Life(process)


def _live_fake(path: str, pause: float) -> None:
    from tests.training import fake_trainer  # noqa: PLC0415 - in the child, not where it is asked for

    fake_trainer.PAUSE = pause
    sys.exit(_carried_out(path, fake_trainer.train))


def _live_real(path: str, pause: float) -> None:
    from app.training.trainer import train_run  # noqa: PLC0415 - as above

    sys.exit(_carried_out(path, train_run))


def _carried_out(path: str, trainer: object) -> int:
    from app.schema.errors import TrainingBusy  # noqa: PLC0415 - as above
    from app.training.run import BUSY, carry_out  # noqa: PLC0415 - as above

    with Path(path, "output.log").open("a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        return carry_out(Path(path), trainer)  # type: ignore[arg-type]
    except TrainingBusy:
        return BUSY
