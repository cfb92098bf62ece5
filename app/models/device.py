"""Device: which one to draw on, whether it can be used, and how much memory it has."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from app.schema.errors import InvalidField

# Only CUDA's own allocator has a class for this; Apple's, the CPU's (Linux, Windows; pytorch/pytorch issue 50189),
# cuBLAS and cuDNN say it in words.
_FULL = (
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose_device(wanted: str | None = None) -> torch.device:
    """The wanted device, or the best there is: CUDA, Apple's, the CPU.

    Raises InvalidField when the wanted one is not there or torch was not built for it.
    """
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        # With its number, as tensors say it: 'cuda' and 'cuda:0' are not equal.
        device = torch.empty(1, device=torch.device(wanted)).device
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidField(
            f"The device '{wanted}' cannot be used: {reason}.",
            field="--device",
            hint="`python3 webui.py doctor` says what this machine has.",
        ) from error
    return device


def is_out_of_memory(error: Exception) -> bool:
    """True for what allocators raise when a device or the machine is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


def host_memory() -> int:
    """Bytes of memory that this process may use in all: the machine's, or what a container leaves it."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = _CONTAINER_LIMIT.read_text().strip()
    except OSError:  # not Linux, or without control groups of version 2
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


def memory_of(device: torch.device) -> int:
    """Bytes of memory that the device has in all; the machine's for the CPU and Apple's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return host_memory()
