"""Asks the installed torch what it can do, in a child process: a broken one ends the child, not the program."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

PATIENCE = 180

# Runs where torch is; what it prints last is the answer. A matrix product and a convolution load cuBLAS and cuDNN,
# whose absence or age a mere tensor does not show.
PROGRAM = """
import importlib.util, json
found = {"torchvision": None, "devices": [], "architectures": [], "error": None}
try:
    import torch
    found |= {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip}
    found["threads"] = torch.get_num_threads()
    found["mps"] = torch.backends.mps.is_available()
    if importlib.util.find_spec("torchvision"):
        try:
            import torchvision
            found["torchvision"] = "works"
        except Exception as error:
            found["torchvision"] = f"{type(error).__name__}: {error}"
    def kernel(device):
        try:
            x = torch.ones(1, 4, 8, 8, device=device)
            y = torch.nn.functional.conv2d(x, torch.ones(4, 4, 3, 3, device=device), padding=1) @ x
            return None if y[0, 0, 4, 4].item() == 264.0 else "wrong numbers"
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
    if torch.version.cuda or torch.version.hip:
        found["architectures"] = torch.cuda.get_arch_list()
        for i in range(torch.cuda.device_count()):
            p = torch.cuda.get_device_properties(i)
            device = {"name": p.name, "capability": [p.major, p.minor], "memory": p.total_memory >> 20}
            found["devices"].append(device | {"failure": kernel(f"cuda:{i}")})
    found["cpu_failure"] = kernel("cpu")
except BaseException as error:
    found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(found))
"""


class Device(NamedTuple):
    """A CUDA or ROCm device as torch sees it. failure: of a small computation on it, None where it gave the right sum.

    memory: MiB.
    """

    name: str
    capability: tuple[int, int]
    memory: int
    failure: str | None


class Torch(NamedTuple):
    """The installed torch. cuda, hip: versions that it was built for, None for none.

    error: why it does not import; all else is then empty. torchvision: None where there is none, 'works', or its error.
    """

    version: str
    cuda: str | None
    hip: str | None
    mps: bool
    threads: int
    devices: tuple[Device, ...]
    architectures: tuple[str, ...]
    torchvision: str | None
    cpu_failure: str | None
    error: str | None


def probe_torch(program: str = PROGRAM, patience: float = PATIENCE) -> Torch:
    """Probe in a child process; its crash or silence is an error in the answer, not here."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return _without_torch(f"no answer within {patience:.0f} seconds")
    try:
        found = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (child.stderr.strip().splitlines() or ["no words"])[-1]
        return _without_torch(f"the process ended with status {child.returncode} ({last})")
    if found["error"]:
        return _without_torch(found["error"])
    devices = tuple(
        Device(device["name"], (device["capability"][0], device["capability"][1]), device["memory"], device["failure"])
        for device in found.pop("devices")
    )
    return Torch(devices=devices, architectures=tuple(found.pop("architectures")), **found)


def serves(architectures: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether a build's list (`torch.cuda.get_arch_list()`) holds code for a card.

    sm_MN runs on cards of the same major number from MN on; compute_MN is compiled on any card from MN on.
    """
    major, minor = capability
    for architecture in architectures:
        kind, _, digits = architecture.rstrip("af").partition("_")
        if not digits.isdigit():
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if kind == "compute" and built <= capability:
            return True
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return True
    return False


def _without_torch(error: str) -> Torch:
    return Torch("", None, None, False, 0, (), (), None, None, error)
