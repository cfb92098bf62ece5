"""The first picture from a cold process, 20 steps of the starter: `python -m benchmarks.first_picture [--runs N]`.

Wall and CPU seconds of the whole process, from its start to its end; a record, not a gate.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1]
PROMPT = "a red house under a night sky"


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        spent = [once(Path(folder) / str(number)) for number in range(runs)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {date.today()}, {runs} runs\n")
    print(f"{'':<8}{'wall s':>9}{'CPU s':>9}")
    for name, choose in (("fastest", min), ("median", statistics.median), ("slowest", max)):
        print(f"{name:<8}{choose(wall for wall, _ in spent):9.2f}{choose(cpu for _, cpu in spent):9.2f}")


def once(data: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one process with a data folder of its own."""
    command = [sys.executable, str(PROGRAM / "webui.py"), "generate", PROMPT, "--checkpoint", "starter"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [*command, "--steps", "20", "--seed", "7", "--skip-install", "--data-dir", str(data)],
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


if __name__ == "__main__":
    main()
