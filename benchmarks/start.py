"""Start: process to a page whose Generate button works, over a bare one-button Gradio page.

Alternating pairs. Prints a table of wall and CPU seconds (server's process tree) with the kind of machine and the
date. The gate: the median ratio of CPU seconds is at most 1.3. `python -m benchmarks.start [pairs]`.
"""

from __future__ import annotations

import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, sync_playwright

from app.setup.start import set_quiet
from tests.browsers import find_browser

PROGRAM = Path(__file__).resolve().parents[1]
PAIRS = 7
GATE = 1.3


class Measured(NamedTuple):
    """Seconds until Generate could be clicked: by the clock, and of the server's processors."""

    wall: float
    cpu: float


def main(pairs: int) -> bool:
    """Runs the pairs and prints the table; True when the gate holds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    set_quiet(environment)
    bare: list[Measured] = []
    ours: list[Measured] = []
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        options = ["--skip-install", "--no-browser", "--data-dir", data]
        for _ in range(pairs + 1):
            port = free_port()
            bare.append(measure(browser, ["-m", "benchmarks.bare_page", str(port)], port, environment))
            port = free_port()
            ours.append(measure(browser, ["webui.py", *options, "--port", str(port)], port, environment))
        browser.close()
    # The first pair filled the disk's cache and wrote compiled modules.
    return report(bare[1:], ours[1:])


def measure(browser: Browser, arguments: list[str], port: int, environment: dict[str, str]) -> Measured:
    """One start, watched by a fresh browser session until Generate can be clicked."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    began = time.perf_counter()
    server = subprocess.Popen([sys.executable, *arguments], cwd=PROGRAM, env=environment)
    try:
        while not answers(port):
            if server.poll() is not None:
                raise SystemExit(f"{arguments} ended with status {server.returncode}")
            time.sleep(0.02)
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#txt2img_generate:enabled").click(trial=True)
        wall = time.perf_counter() - began
        return Measured(wall, cpu_seconds(server.pid))
    finally:
        context.close()
        stop(server)


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, its children and those of them that have ended."""
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
    return total


def answers(port: int) -> bool:
    """True once something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the server, with force where words do not help."""
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def report(bare: list[Measured], ours: list[Measured]) -> bool:
    """Prints the table; True when the gate holds."""
    ratios = [Measured(our.wall / base.wall, our.cpu / base.cpu) for our, base in zip(ours, bare, strict=True)]
    print(f"\n{date.today()}, {machine()}; median (least - most) of {len(ours)} alternating pairs\n")
    print("|  | wall seconds | CPU seconds |\n|---|---|---|")
    for name, rows in (("bare one-button page", bare), ("Easel", ours), ("ratio", ratios)):
        columns = [[row.wall for row in rows], [row.cpu for row in rows]]
        cells = [f"{statistics.median(column):.2f} ({min(column):.2f} - {max(column):.2f})" for column in columns]
        print(f"| {name} | {' | '.join(cells)} |")
    ratio = statistics.median(row.cpu for row in ratios)
    print(f"\nGate: CPU ratio {ratio:.2f}, at most {GATE}: {'kept' if ratio <= GATE else 'MISSED'}")
    return ratio <= GATE


def machine() -> str:
    """Its kind, in words that name nobody's machine."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory} GB, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS) else 1)
