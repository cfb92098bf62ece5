"""What `doctor` looks at, one function a subject; each finding says whether it is well and what would repair it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from app.cli.torch_probe import Torch, serves
from app.files import CHECKPOINT, Folders, ModelLibrary
from app.jobs import read_holder
from app.jobs.database import on_network_drive
from app.schema.flags import LaunchOptions
from app.setup.environment import PROGRAM, Environment
from app.setup.graphics import Card
from app.setup.suitable import missing_packages
from app.setup.torch_build import TorchBuild

SMALLEST_MEMORY = 4 << 30
SMALLEST_DISK = 2 << 30


class Finding(NamedTuple):
    """One line. state: 'note' is worth knowing, 'wrong' keeps something from working. repair: a command, or ""."""

    subject: str
    text: str
    state: Literal["ok", "note", "wrong"] = "ok"
    repair: str = ""


def start_command(*words: str) -> str:
    """How this program is started here, with these words behind it."""
    return " ".join(["python" if os.name == "nt" else "python3", "webui.py", *words])


def python_findings(environment: Environment) -> list[Finding]:
    """The interpreter, its environment and the packages in it."""
    where = "the environment of its own" if environment.folder is not None and environment.is_running else sys.prefix
    findings = [Finding("Python", f"{platform.python_version()}, {where}")]
    if missing := missing_packages(PROGRAM, ()):
        findings.append(Finding("Packages", "; ".join(missing), "wrong", start_command("doctor")))
    else:
        findings.append(Finding("Packages", "all there, at versions in their ranges"))
    return findings


def machine_findings(folders: Folders) -> list[Finding]:
    """Operating system, processor, memory, disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    free = shutil.disk_usage(_existing(folders.data)).free
    return [
        Finding("System", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Finding("Processor", f"{cores} threads for this process, {psutil.cpu_count(logical=False) or '?'} cores"),
        Finding(
            "Memory",
            f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} free",
            "ok" if memory.available >= SMALLEST_MEMORY else "note",
        ),
        Finding(
            "Disk",
            f"{free / 2**30:.1f} GiB free in the data folder",
            "ok" if free >= SMALLEST_DISK else "wrong",
        ),
    ]


def torch_findings(torch: Torch, cards: Sequence[Card], build: TorchBuild) -> list[Finding]:
    """torch, and whether it can use the cards. build: the one that suits this machine."""
    anew = start_command("doctor", "--reinstall-torch")
    if torch.error:
        return [Finding("torch", f"does not work: {torch.error}", "wrong", anew)]
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "CPU"
    findings = [Finding("torch", f"{torch.version}, built for {built}, {torch.threads} threads")]
    if torch.cpu_failure:
        findings.append(Finding("torch", f"cannot compute on the CPU: {torch.cpu_failure}", "wrong", anew))
    if torch.torchvision not in (None, "works"):
        remove = f'"{sys.executable}" -m pip uninstall -y torchvision'
        findings.append(Finding("torchvision", f"breaks transformers: {torch.torchvision}", "wrong", remove))
    findings += [
        _device_finding(number, torch, anew if build.command is None else "") for number in range(len(torch.devices))
    ]
    if cards and not torch.devices:
        names = ", ".join(card.name for card in cards)
        if torch.cuda:
            findings.append(Finding("Card", f"{names}: torch does not see it. {build.words}", "wrong", anew))
        else:
            findings.append(Finding("Card", f"{names}: this torch has no CUDA. {build.words}", "wrong", anew))
    elif not cards and not torch.devices:
        findings.append(Finding("Card", "Apple's, through mps" if torch.mps else "none: pictures are drawn on the CPU"))
    return findings


def folder_findings(folders: Folders) -> list[Finding]:
    """The data folder: may it be written, and is it a place for a database?"""
    place = _existing(folders.data)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        elsewhere = start_command("--data-dir", str(Path.home() / "easel"))
        return [Finding("Data folder", f"{folders.data} cannot be written: {error.strerror}", "wrong", elsewhere)]
    if on_network_drive(place):
        text = f"{folders.data} is on a network drive: slower, and one machine alone may use it at a time"
        return [Finding("Data folder", text, "note")]
    return [Finding("Data folder", str(folders.data))]


def model_findings(library: ModelLibrary) -> list[Finding]:
    """Whether there is a checkpoint that can be used."""
    files = library.list(CHECKPOINT)
    usable = [file for file in files if file.problem is None]
    if not usable:
        text = f"no usable checkpoint in {library.folders.checkpoints[0]}: put one there"
        return [Finding("Checkpoints", text, "wrong")]
    grey = f", {len(files) - len(usable)} cannot be used" if len(usable) < len(files) else ""
    return [Finding("Checkpoints", f"{len(usable)} usable{grey}", "note" if grey else "ok")]


def port_findings(options: LaunchOptions, folders: Folders) -> list[Finding]:
    """Whether the server could listen where it is told to."""
    holder = read_holder(folders.state)
    if holder is not None and holder.address:
        return [Finding("Server", f"running at {holder.address} (process {holder.pid})")]
    try:
        with socket.socket() as listener:
            if os.name != "nt":  # there it would allow a port that another program listens at
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((options.host, options.wanted_port))
    except OSError as error:
        another = start_command("--port", str(options.wanted_port + 1 if options.wanted_port < 65535 else 7860))
        text = f"{options.host}:{options.wanted_port} cannot be listened at: {error.strerror}"
        return [Finding("Port", text, "wrong" if options.port else "note", another if options.port else "")]
    return [Finding("Port", f"{options.wanted_port} is free")]


def _device_finding(number: int, torch: Torch, anew: str) -> Finding:
    device = torch.devices[number]
    name = f"{device.name}, {device.memory / 1024:.0f} GiB"
    capability = ".".join(str(part) for part in device.capability)
    if torch.hip is None and not serves(torch.architectures, device.capability):
        text = f"{name}: compute capability {capability} is not in this torch ({' '.join(torch.architectures)})"
        return Finding("Card", text, "wrong", anew)
    if device.failure:
        return Finding("Card", f"{name}: a small computation fails: {device.failure}", "wrong", anew)
    return Finding("Card", f"{name}, compute capability {capability}: computes")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())
