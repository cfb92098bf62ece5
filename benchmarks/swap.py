"""Loading and changing full-size checkpoints: `python -m benchmarks.swap [--pairs N] [--folder FOLDER]`.

SD1.5's widths with random weights, in fp16 (converted to fp32 on the way) and in fp32 (mapped), over what reading and
copying alone cost, and over diffusers' from_single_file; every side touches every page of its result. Alternating
pairs in one process, after one load of each; free memory goes back to the system before each, since an allocator that
still has pages makes no fresh ones. Peaks of memory of one's own (USS) are of processes of their own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from safetensors.torch import load_file
from torch import Tensor

from app.engine import Loading, ModelChoice, PipelineManager, Tier
from app.schema.request import FileIdentity
from benchmarks.overhead import full_size_checkpoint
from benchmarks.single_file import from_single_file, write_configuration
from tests.models.checkpoints import write_tiny_checkpoint

CPU = torch.device("cpu")
MOST = 1.3
"""Gate on the ratio of CPU seconds of a load or a swap over reading and copying alone."""
MACHINE = psutil.virtual_memory().total


class Spent(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float


class Act(NamedTuple):
    """run: what is measured. tensors: those of its result, listed unmeasured. clear: lets go of it, unmeasured."""

    run: Callable[[], Any]
    tensors: Callable[[Any], Iterable[Tensor]]
    clear: Callable[[], None]


def main() -> None:
    """Prints the tables; exit status 1 when a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=("fp16", "fp32"), help="one kind of file")
    parser.add_argument("--folder", type=Path, help="for the files, 13 GB [a temporary one]")
    parser.add_argument("--peak", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        print(json.dumps(peak_here(arguments.peak[0], Path(arguments.peak[1]))))
        return
    print(
        f"SD1.5's widths, {arguments.pairs} alternating pairs; {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores, {MACHINE >> 30} GB, 1 thread,\ntorch {torch.__version__}, {date.today()}"
    )
    missed = False
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        warm_up(Path(folder))
        for word, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
            if arguments.only not in (None, word):
                continue
            files = [Path(folder) / f"{name}.safetensors" for name in ("one", "two")]
            for seed, file in enumerate(files):
                full_size_checkpoint(file, dtype=dtype, seed=seed)
            missed |= table(word, files, arguments.pairs)
            for file in files:
                file.unlink()
    sys.exit(missed)


def table(word: str, files: list[Path], pairs: int) -> bool:
    """Measures one kind of file; whether a gate was missed."""
    size = files[0].stat().st_size
    print(f"\n{word} file of {size / 1e9:.2f} GB, computed with in fp32\n")
    print(f"{'':<44}{'CPU s':>8}{'wall s':>8}{'ratio':>8}")
    standing = word == "fp16"
    rows: list[tuple[str, Callable[[list[Path]], Act], Act, str]] = [
        ("first load", loads, reads(files, standing=False), "reading" + copying(word)),
        ("swap", swaps, reads(files, standing=standing), "reading" + copying(word, standing)),
        ("first load", loads, singles(files), "from_single_file"),
        ("swap", swaps, singles(files), "from_single_file"),
    ]
    missed = False
    while rows:
        name, way, theirs_act, baseline = rows.pop(0)
        ours, theirs, ratio = over(way(files), theirs_act, pairs)
        del theirs_act  # with what it keeps in memory
        print(f"{name:<44}{ours.cpu:8.2f}{ours.wall:8.2f}{ratio.cpu:8.2f}", flush=True)
        print(f"{'  over ' + baseline:<44}{theirs.cpu:8.2f}{theirs.wall:8.2f}")
        gate = MOST if baseline.startswith("reading") else 1.0
        missed |= ratio.cpu > gate
    peaks = {way: peak(way, files[0]) for way in ("product", "reading", "from_single_file")}
    print("\npeak USS over file size: " + ", ".join(f"{way} {bytes / size:.2f}" for way, bytes in peaks.items()))
    print(f"Gates: at most {MOST} over reading, below 1 over from_single_file: {'missed' if missed else 'kept'}.")
    return missed


def copying(word: str, standing: bool = False) -> str:
    if word == "fp32":
        return " the mapped file"
    return " and copying into standing memory" if standing else " and copying into fresh memory"


def over(ours: Act, theirs: Act, pairs: int) -> tuple[Spent, Spent, Spent]:
    """Median seconds of both, and the medians of the pairs' ratios."""
    mine: list[Spent] = []
    other: list[Spent] = []
    for act in (ours, theirs):
        timed(act)
    for number in range(pairs):
        turns = [(mine, ours), (other, theirs)]
        for spent, act in turns if number % 2 else reversed(turns):
            spent.append(timed(act))
    ratios = [Spent(a.cpu / b.cpu, a.wall / b.wall) for a, b in zip(mine, other, strict=True)]
    return median(mine), median(other), median(ratios)


def median(many: list[Spent]) -> Spent:
    """Column by column."""
    return Spent(*(statistics.median(column) for column in zip(*many, strict=True)))


def timed(act: Act) -> Spent:
    """CPU seconds of the whole process and wall seconds, until every page of the result has been read once."""
    gc.collect()
    give_back_free_memory()
    cpu, wall = time.process_time(), time.perf_counter()
    made = act.run()
    first = Spent(time.process_time() - cpu, time.perf_counter() - wall)
    tensors = list(act.tensors(made))
    cpu, wall = time.process_time(), time.perf_counter()
    touch(tensors)
    second = Spent(time.process_time() - cpu, time.perf_counter() - wall)
    del made, tensors
    act.clear()
    return Spent(first.cpu + second.cpu, first.wall + second.wall)


def give_back_free_memory() -> None:
    """To the system, where the C library can (glibc)."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def touch(tensors: Iterable[Tensor]) -> None:
    """Reads all of the tensors' memory."""
    for tensor in tensors:
        flat = tensor.detach().reshape(-1)
        if flat.numel():
            flat.view(torch.uint8)[::4096].sum()


def turns(files: list[Path]) -> Iterator[Path]:
    """One file after the other, without end."""
    while True:
        yield from files


def choice(file: Path) -> ModelChoice:
    """The file with its own VAE in fp32."""
    status = file.stat()
    return ModelChoice(FileIdentity(path=str(file), size=status.st_size, mtime_ns=status.st_mtime_ns), None, "fp32")


def weights(model: Any) -> Iterator[Tensor]:
    """All of a model's."""
    for _, part in model.parts():
        yield from part.parameters()


def loads(files: list[Path]) -> Act:
    """A load into a manager that holds nothing."""
    order = turns(files)
    manager = PipelineManager(Loading(CPU), device=CPU, host=Tier(MACHINE, MACHINE))

    def act() -> Any:
        with manager.use(choice(next(order))) as model:
            return model

    return Act(act, weights, lambda: manager.unload(None))


def swaps(files: list[Path]) -> Act:
    """A change in a manager that has room for one model, to the one that is not there."""
    order = turns(files)
    manager = PipelineManager(Loading(CPU), device=CPU, host=Tier(0, MACHINE))

    def act() -> Any:
        with manager.use(choice(next(order))) as model:
            return model

    return Act(act, weights, lambda: None)


def reads(files: list[Path], *, standing: bool) -> Act:
    """What the library's own reader costs, with a conversion to fp32 where the file is none.

    standing: the copies go into memory that is there already.
    """
    order = turns(files)
    kept: dict[str, Tensor] = {}

    def act() -> dict[str, Tensor]:
        for name, tensor in load_file(next(order)).items():
            if name in kept and standing:
                kept[name].copy_(tensor)
            else:
                kept[name] = tensor.to(torch.float32)
        return kept

    return Act(act, lambda made: made.values(), (lambda: None) if standing else kept.clear)


def singles(files: list[Path]) -> Act:
    """diffusers' own way, offline."""
    order = turns(files)
    configuration = write_configuration(files[0].parent / "configuration")

    def act() -> list[Any]:
        return from_single_file(next(order), configuration)

    return Act(act, lambda modules: (weight for module in modules for weight in module.parameters()), lambda: None)


def warm_up(folder: Path) -> None:
    """Imports and first calls, which belong to no load."""
    tiny = write_tiny_checkpoint(folder / "tiny.safetensors")
    Loading(CPU)(choice(tiny))
    tiny.unlink()


def peak(way: str, file: Path) -> int:
    """Peak of memory of its own, in bytes, that a load adds in a new process."""
    command = [sys.executable, "-m", "benchmarks.swap", "--peak", way, str(file)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def peak_here(way: str, file: Path) -> int:
    """The same in this process, which has done nothing else but a tiny load."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder))
        if way == "from_single_file":
            write_configuration(file.parent / "configuration")
    acts = {"product": loads, "reading": lambda files: reads(files, standing=False), "from_single_file": singles}
    gc.collect()
    act = acts[way]([file])
    with watched() as highest:
        touch(act.tensors(act.run()))
    return highest[1] - highest[0]


@contextmanager
def watched() -> Iterator[list[int]]:
    """[USS before, its highest since], looked at all the time."""
    process = psutil.Process()
    before = process.memory_full_info().uss
    seen = [before, before]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen[1] = max(seen[1], process.memory_full_info().uss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        seen[1] = max(seen[1], process.memory_full_info().uss)
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
