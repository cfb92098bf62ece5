"""`python -m app.training RUN_FOLDER`: carries a training out, or goes on with it, in a process of its own."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from app.schema.errors import EaselError, TrainingBusy
from app.training.run import BUSY, FAILED, carry_out
from app.training.trainer import train_run


def main(arguments: list[str]) -> int:
    """0 done, 1 failed, 2 misused, 3 paused, 4 another process works on the folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if len(arguments) != 1:
        print("python -m app.training RUN_FOLDER", file=sys.stderr)
        return 2
    try:
        return carry_out(Path(arguments[0]), train_run)
    except TrainingBusy as problem:
        print(problem, file=sys.stderr)
        return BUSY
    except EaselError as problem:
        print(problem, file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
