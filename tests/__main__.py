"""Runs the test-suite as `python3 webui.py test [--slow]` does; further arguments go to pytest."""

from __future__ import annotations

import os
import subprocess
import sys

from app.setup.environment import PROGRAM


def main(arguments: list[str]) -> int:
    """Everything, in two processes; with arguments, what they choose, in one. Returns pytest's exit status."""
    chosen = [argument for argument in arguments if argument != "--slow"]
    slow = ["--slow"] if "--slow" in arguments else []
    how = chosen or ["-n", "2", "--dist", "loadgroup", "-q"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *slow, *how], cwd=PROGRAM, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
