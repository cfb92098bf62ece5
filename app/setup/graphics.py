"""NVIDIA cards of this machine as nvidia-smi tells them, without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_WELL_KNOWN = (
    "C:\\Windows\\System32\\nvidia-smi.exe",
    "/usr/lib/wsl/lib/nvidia-smi",
    "/usr/local/nvidia/bin/nvidia-smi",
)


class Card(NamedTuple):
    """One card. capability: CUDA compute capability, (0, 0) where the driver is too old to say. memory: in MiB."""

    name: str
    capability: tuple[int, int]
    driver: tuple[int, ...]
    memory: int


def nvidia_cards() -> list[Card]:
    """The cards that nvidia-smi lists; none where there is no driver or it does not answer within 15 seconds."""
    program = shutil.which("nvidia-smi") or next((path for path in _WELL_KNOWN if Path(path).exists()), None)
    if program is None:
        return []
    for question in ("name,driver_version,memory.total,compute_cap", "name,driver_version,memory.total"):
        try:
            answer = subprocess.run(
                [program, f"--query-gpu={question}", "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=15,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return [read_card(line) for line in answer.stdout.splitlines() if line.count(",") >= 2]
    return []


def read_card(line: str) -> Card:
    """One line of nvidia-smi's table: name, driver, memory in MiB and, from driver 510 on, compute capability."""
    name, driver, memory, *rest = (part.strip() for part in line.split(","))
    major, _, minor = (rest[0] if rest else "").partition(".")
    capability = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
    numbers = tuple(int(part) for part in driver.split(".") if part.isdigit())
    return Card(name, capability, numbers, int(memory) if memory.isdigit() else 0)


def has_amd_card() -> bool:
    """Whether the kernel offers AMD's compute device (Linux only)."""
    return os.name == "posix" and Path("/dev/kfd").exists()
