"""RunLog: what a training tells, one JSON object a line, written by it and followed by whoever looks.

A resumed run writes again the steps after its snapshot: of equal steps the last line counts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app.files.whole_file import cannot_write

Entry = Mapping[str, Any]
"""kind: 'begun' (pid), 'phase' (text), 'prepared' (step, steps, text), 'step' (step, loss, rate, memory), 'validation'
(step, loss), 'drift' (step, drift), 'sample' (step, name, prompt), 'notice' (code, text), 'copy' (step, path), 'made'
(path), and the endings 'done', 'paused', 'failed' (code, message, field). at: seconds since 1970 (UTC)."""

ENDINGS = ("done", "paused", "failed")


class RunLog:
    """The writer; one at a time, under the run folder's lock."""

    def __init__(self, path: Path) -> None:
        """Opens a log to go on with it; a last line that was cut off by a kill is taken away."""
        self._path = path
        try:
            self._file = path.open("ab")
            with path.open("rb+") as file:
                file.truncate(_whole_length(file.read()))
        except OSError as error:
            raise cannot_write(path, error) from error

    def tell(self, kind: str, **values: Any) -> None:
        """Adds a line. Raises DiskFull or CannotWrite."""
        line = json.dumps({"kind": kind, "at": round(time.time(), 3), **values}, ensure_ascii=False)
        try:
            self._file.write(line.encode("utf-8", "replace") + b"\n")
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Brings all lines to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read_log(path: Path, after: int = 0) -> tuple[list[Entry], int]:
    """The whole lines from byte `after` on, and the byte behind them. [] where there is no log yet."""
    try:
        with path.open("rb") as file:
            file.seek(after)
            data = file.read()
    except OSError:
        return [], after
    length = _whole_length(data)
    return list(_entries(data[:length])), after + length


class CurvePoint(NamedTuple):
    """step: the last of those that the point stands for. loss, rate: their mean and their last."""

    step: int
    loss: float
    rate: float


def loss_curve(entries: list[Entry], most: int = 800) -> list[CurvePoint]:
    """The losses of a log's steps as at most about `most` points, each the mean of equally many steps."""
    steps = {entry["step"]: entry for entry in entries if entry["kind"] == "step" and entry.get("loss") is not None}
    ordered = [steps[step] for step in sorted(steps)]
    size = max(1, -(-len(ordered) // most))
    groups = [ordered[first : first + size] for first in range(0, len(ordered), size)]
    return [
        CurvePoint(group[-1]["step"], sum(entry["loss"] for entry in group) / len(group), group[-1]["rate"])
        for group in groups
    ]


def _whole_length(data: bytes) -> int:
    return data.rfind(b"\n") + 1


def _entries(data: bytes) -> Iterator[Entry]:
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line that a crash of the machine left full of zeros
        if isinstance(entry, dict) and isinstance(entry.get("kind"), str):
            yield entry
