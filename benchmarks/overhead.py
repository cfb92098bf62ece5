"""What a job costs beyond its model calls: `python -m benchmarks.overhead [CHECKPOINT] [--pairs N] [--full-size]`.

From stored request to saved file, over `bare_loop` with the same text encoding, U-Net calls, decoding and PNG writing.
Alternating pairs in one process; CPU seconds of all threads, so that waiting for the disk or a neighbour does not
count, and wall seconds beside them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from app.engine import Loading, ModelChoice
from app.language import BOS, EOS, Tokenizer
from app.launch.workshop import Workshop, open_workshop
from app.models import choose_device
from app.samplers import ModelSigmas, plan
from app.schema.flags import LaunchOptions
from app.schema.request import FileIdentity, GenerationRequest
from benchmarks.bare_loop import picture
from tests.models.checkpoints import write_tiny_checkpoint

STARTER = Path(__file__).resolve().parents[1] / "models" / "Stable-diffusion" / "starter.safetensors"
MOST, MOST_FULL_SIZE = 1.10, 1.03
"""Gates on the ratio of CPU seconds."""
PROMPT, NEGATIVE = "a red house under a night sky", "blurry"


class Spent(NamedTuple):
    """Seconds of one run."""

    cpu: float
    wall: float


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=STARTER)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--full-size", action="store_true", help="a random SD1.5 at 256 pixels and 3 steps instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path, side, steps = arguments.checkpoint, 128, 20
        if arguments.full_size:
            path, side, steps = full_size_checkpoint(Path(folder) / "full.safetensors"), 256, 3
        ratios, rows = compare(path.resolve(), Path(folder), side, steps, arguments.pairs)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GB"
    print(f"{path.name}, {side}x{side}, {steps} steps, {arguments.pairs} alternating pairs; {machine}, 1 thread,")
    print(f"torch {torch.__version__}, {date.today()}\n")
    print(f"{'':<12}{'CPU s':>9}{'wall s':>9}")
    for name, runs in rows.items():
        cpu, wall = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{name:<12}{cpu:9.3f}{wall:9.3f}")
    print(f"{'ratio':<12}{ratios.cpu:9.3f}{ratios.wall:9.3f}   (medians over the pairs)\n")
    most = MOST_FULL_SIZE if arguments.full_size else MOST
    print(f"Gate: CPU ratio at most {most}: {'kept' if ratios.cpu <= most else 'missed'}.")
    sys.exit(ratios.cpu > most)


def compare(checkpoint: Path, folder: Path, side: int, steps: int, pairs: int) -> tuple[Spent, dict[str, list[Spent]]]:
    """Median ratios of product over baseline, and the seconds of each."""
    options = LaunchOptions(data_dir=folder / "data", ckpt_dir=(checkpoint.parent,), use_cpu=("all",))
    request = GenerationRequest(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        checkpoint=checkpoint.name,
        sampler="Euler",
        steps=steps,
        width=side,
        height=side,
        seed=1,
    )
    baseline = bare(checkpoint, request, folder / "bare.png")
    with open_workshop(options) as workshop:
        rows: dict[str, list[Spent]] = {"product": [], "bare loop": []}
        once(workshop, request)
        baseline()
        for number in range(pairs):
            turns = [("product", lambda: once(workshop, request)), ("bare loop", baseline)]
            for name, act in turns if number % 2 else reversed(turns):
                rows[name].append(timed(act))
    each = list(zip(rows["product"], rows["bare loop"], strict=True))
    cpu = statistics.median(ours.cpu / theirs.cpu for ours, theirs in each)
    wall = statistics.median(ours.wall / theirs.wall for ours, theirs in each)
    return Spent(cpu, wall), rows


def once(workshop: Workshop, request: GenerationRequest) -> None:
    """One job from submission to its end."""
    job = workshop.jobs.wait(workshop.jobs.submit(request, "benchmark").id)
    if job.state != "done":
        raise SystemExit(f"The job failed: {job.error}")


def bare(checkpoint: Path, request: GenerationRequest, out: Path) -> Callable[[], None]:
    """The baseline on its own copy of the model, loaded beforehand."""
    status = checkpoint.stat()
    identity = FileIdentity(path=str(checkpoint), size=status.st_size, mtime_ns=status.st_mtime_ns)
    model = Loading(choose_device("cpu"))(ModelChoice(identity, None, "fp32"))
    levels = ModelSigmas.from_alphas_cumprod(model.alphas_cumprod)
    sigmas = plan("Euler", "Automatic", request.steps, levels).sigmas
    timesteps = levels.sigma_to_t(sigmas[:-1]).tolist()
    tokenizer = Tokenizer()
    ids = [[BOS, *tokenizer.encode(text)] for text in (PROMPT, NEGATIVE)]
    first, second = ([*row, *[EOS] * (77 - len(row))] for row in ids)

    def act() -> None:
        picture(
            model,
            (first, second),
            sigmas=sigmas.tolist(),
            timesteps=timesteps,
            cfg_scale=request.cfg_scale,
            width=request.width,
            height=request.height,
            seed=request.seed,
            out=out,
        )

    return act


def timed(act: Callable[[], None]) -> Spent:
    """CPU seconds of the whole process and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def full_size_checkpoint(path: Path, **options: Any) -> Path:
    """Stable Diffusion 1.5's own widths with random weights, 2.1 GB in fp16. options: dtype, seed."""
    widths: dict[str, Any] = {"channels": (320, 640, 1280, 1280), "text_width": 768, "text_layers": 12}
    return write_tiny_checkpoint(path, "SD1", **options, **widths, vae_channels=(128, 256, 512, 512), vae_layers=2)


if __name__ == "__main__":
    main()
