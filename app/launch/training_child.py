"""`python -m app.launch.training_child DATA_FOLDER RUN_FOLDER`: carries out a training by an extension's method."""

from __future__ import annotations

import sys
from pathlib import Path

from app.files import Folders
from app.launch.extensions import targets_of
from app.launch.workshop import extensions_of, settings_of
from app.training.__main__ import main as carry_out


def main(arguments: list[str]) -> int:
    """As `python -m app.training`; its exit status."""
    if len(arguments) < 2:
        print(f"{__doc__}", file=sys.stderr)
        return 2
    folders = Folders.of(data_dir=Path(arguments[0]))
    host, registry = extensions_of(folders, settings_of(folders))
    host.load()
    return carry_out(arguments[1:], targets_of(registry))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
