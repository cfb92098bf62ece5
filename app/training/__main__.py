"""`python -m app.training RUN_FOLDER`: carries a training out, or goes on with it, in a process of its own.

Started by torchrun or `accelerate launch` on several graphics cards, its processes share the work.
With `--take best`, `--take last` or `--take STEP` the file of that step takes the last one's place in its model folder.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

from app.files.run_folder import RunFolder
from app.files.taking import take_words
from app.schema.errors import EaselError, TrainingBusy
from app.training.randomness import make_repeatable
from app.training.run import BUSY, DONE, FAILED, carry_out, help_out
from app.training.targets import NO_TARGETS, Targets
from app.training.together import together
from app.training.trainer import train_run


def main(arguments: list[str], targets: Targets = NO_TARGETS) -> int:
    """0 done, 1 failed, 2 misused, 3 paused, 4 another process works on the folder. targets: of extensions."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if len(arguments) != 1 and (len(arguments) != 3 or arguments[1] != "--take"):
        print("python -m app.training RUN_FOLDER [--take best|last|STEP]", file=sys.stderr)
        return 2
    try:
        if len(arguments) == 3:
            print(take_words(RunFolder(Path(arguments[0])), arguments[2]))
            return DONE
        make_repeatable()
        others = together()
        trainer = partial(train_run, together=others, targets=targets)
        return help_out(Path(arguments[0]), trainer) if others.rank else carry_out(Path(arguments[0]), trainer)
    except TrainingBusy as problem:
        print(problem, file=sys.stderr)
        return BUSY
    except EaselError as problem:
        print(problem, file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
