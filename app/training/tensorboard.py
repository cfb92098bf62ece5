"""TensorBoard: a run's figures and samples as a log that TensorBoard reads; an option, by the package tensorboardX."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.training.events import Drifted, Event, Prepared, Stepped, Validated
from app.training.packages import require_tensorboard

_FLUSH_SECONDS = 10


class TensorBoardLog:
    """Begins with `Prepared`; steps after its own, from before a kill, are taken back."""

    def __init__(self, folder: Path) -> None:
        """folder: of the log. Raises TrainingProblem as `require_tensorboard` does."""
        require_tensorboard()
        self._folder = folder
        self._writer: Any = None

    def __call__(self, event: Event) -> None:
        """Writes what has a number."""
        match event:
            case Prepared(_, step):
                from tensorboardX import SummaryWriter  # noqa: PLC0415 - optional

                self._writer = SummaryWriter(str(self._folder), purge_step=step + 1, flush_secs=_FLUSH_SECONDS)
            case Stepped() if math.isfinite(event.loss):
                self._scalar("loss", event.loss, event.step)
                self._scalar("learning rate", event.rate, event.step)
                self._scalar("seconds a step", event.seconds, event.step)
            case Validated(step, loss):
                self._scalar("held-out loss", loss, step)
            case Drifted(step, drift):
                self._scalar("change of ordinary ones", drift, step)

    def sample(self, number: int, picture: Path, step: int) -> None:
        """A picture drawn after a step. number: of its prompt."""
        with Image.open(picture) as opened:
            pixels = np.array(opened.convert("RGB"))
        if self._writer is not None:
            self._writer.add_image(f"sample {number + 1}", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Brings it to the disk."""
        if self._writer is not None:
            self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name.replace(" ", "_"), value, step)
