"""Memory: what modules take and where, and how they move between a small device and the machine's memory.

Knows no models: `app.engine.PipelineManager` decides what moves, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

BLOCK = 256_000_000
"""Bytes of the largest piece that is streamed as a whole, where it has parts."""

MAPPED_SHARE = 16
"""A mapped byte is charged as this part of one: the operating system takes its page back at need, yet a model has some
cost of its own, and nobody wants all of them."""

Copy = Callable[[Tensor, torch.device], Tensor]


class Taken(NamedTuple):
    """Bytes that modules take. device: of a graphics card; host: of the machine; mapped: of host, what is shared with
    a file and given back by the operating system at need."""

    device: int
    host: int
    mapped: int

    @property
    def counted(self) -> int:
        """What a budget is charged with."""
        return charged(self.device + self.host, self.mapped)


def charged(bytes: int, mapped: int) -> int:
    """What a budget is charged with for so many bytes, of which some are mapped."""
    return bytes - mapped + mapped // MAPPED_SHARE


def taken(modules: Iterable[nn.Module]) -> Taken:
    """What all tensors of the modules take."""
    device = host = mapped = 0
    for tensor in _tensors(modules):
        if tensor.device.type != "cpu":
            device += tensor.nbytes
            continue
        host += tensor.nbytes
        if is_mapped(tensor):
            mapped += tensor.nbytes
    return Taken(device, host, mapped)


def walk(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules of a tree with the beginning of their weights' names ('' or 'path.'), each once, in any order.

    named_modules() hands each of them up through all the levels above it.
    """
    seen: set[int] = set()
    pending = [("", module)]
    while pending:
        path, part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield path, part
        pending += [(f"{path}{name}.", child) for name, child in part._modules.items() if child is not None]


def _tensors(modules: Iterable[nn.Module]) -> Iterable[Tensor]:
    """Parameters and buffers, each once; parameters() and buffers() would walk through all modules twice."""
    parts = [part for module in modules for _, part in walk(module)]
    found = (tensor for part in parts for tensor in (*part._parameters.values(), *part._buffers.values()))
    return {id(tensor): tensor for tensor in found if tensor is not None}.values()


def is_mapped(tensor: Tensor) -> bool:
    """Whether a parameter shares its memory with a file, as it was marked when it was filled."""
    return tensor.device.type == "cpu" and getattr(tensor, "mapped_at", None) == tensor.data_ptr() != 0


def mark_mapped(tensor: Tensor) -> None:
    """Says that a parameter shares its memory with a file; until its memory is another one."""
    tensor.mapped_at = tensor.data_ptr()  # type: ignore[attr-defined]


def move(module: nn.Module, device: torch.device) -> None:
    """Moves all weights. They stay the same parameters, so that whoever holds one finds it there."""
    with torch.inference_mode(mode=False):  # weights made inside it could never be trained or patched
        module.to(device)


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on another device."""
    return tensor.to(device, non_blocking=True)


def stream(module: nn.Module, device: torch.device, *, block: int = BLOCK, copy: Copy = copied) -> Callable[[], None]:
    """Runs a module on a device that cannot hold it; the answer undoes it.

    The weights stay where they are. Each block (a part of at most so many bytes, or one without parts) is copied to the
    device just before it runs and let go right after, whatever comes of it. Changes of the weights in between hold.
    """
    handles: list[Any] = []
    for part in blocks(module, block):
        visit = _Visit(part, device, copy)
        handles.append(part.register_forward_pre_hook(visit.begin))
        handles.append(part.register_forward_hook(visit.end, always_call=True))

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


def blocks(module: nn.Module, size: int) -> Iterator[nn.Module]:
    """The largest parts of at most `size` bytes that are called as a whole; together they hold every weight.

    A part with weights of its own beside its children's is not taken apart.
    """
    children = list(module.children())
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    bytes = taken([module]).host + taken([module]).device
    is_list = isinstance(module, nn.ModuleList)
    if not bytes:
        return
    if not is_list and (not children or own or bytes <= size):
        yield module
        return
    for child in children:
        yield from blocks(child, size)


class _Visit:
    """The weights of one block, for the time of a call, on another device."""

    def __init__(self, part: nn.Module, device: torch.device, copy: Copy) -> None:
        self._tensors = [*part.parameters(), *part.buffers()]
        self._device = device
        self._copy = copy
        self._kept: list[Tensor] = []

    def begin(self, *_: object) -> None:
        # An inference tensor may not become the data of a parameter.
        with torch.inference_mode(mode=False):
            for tensor in self._tensors:
                self._kept.append(tensor.data)
                tensor.data = self._copy(tensor.data, self._device)

    def end(self, *_: object) -> None:
        for tensor, kept in zip(self._tensors, self._kept, strict=False):
            tensor.data = kept
        self._kept.clear()
