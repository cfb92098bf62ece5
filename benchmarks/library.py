"""Library: how long thousands of model files take to list, the first time and every other, and what is opened.

Makes LoRAs and checkpoints with whole headers and holes for weights, in halves and in full; each start is a process of
its own, whose opens an audit hook counts. Gates: a second start opens no file, one after changes only those, and
twice the files take at most 2.2 times as long. `python -m benchmarks.library [loras] [checkpoints] [starts]`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from app.files import CHECKPOINT, LORA, Folders, ModelLibrary
from tests.files.making import header_of

PROGRAM = Path(__file__).resolve().parents[1]
LORAS, CHECKPOINTS, STARTS = 5000, 500, 5
LARGEST_GROWTH = 2.2
CHANGED = 3
# Layers of SD1.5's U-Net and text encoder that kohya's trainer gives a pair of matrices.
PLACES = (
    *(f"down_blocks_{block}_attentions_{number}" for block in range(3) for number in range(2)),
    "mid_block_attentions_0",
    *(f"up_blocks_{block}_attentions_{number}" for block in range(1, 4) for number in range(3)),
)
LAYERS = (
    *(f"attn{which}_to_{part}" for which in (1, 2) for part in ("q", "k", "v", "out_0")),
    "ff_net_0_proj",
    "ff_net_2",
)
TAGS = {f"{number}_folder": {f"tag number {tag} of the set": tag for tag in range(300)} for number in (5, 10)}


class Start(NamedTuple):
    """One start. seconds: until both lists are there. cpu: of the process meanwhile. opened: model files.

    found, missed: CPU seconds of finding one, and of a scan of all LoRAs again.
    """

    seconds: float
    cpu: float
    opened: int
    entries: int
    found: float
    missed: float


class Library(NamedTuple):
    """Of one size. name: of its folder."""

    name: str
    loras: int
    checkpoints: int


def main(loras: int, checkpoints: int, starts: int) -> bool:
    """Runs everything and prints the table; True when the gates hold."""
    half, full = Library("half", loras // 2, checkpoints // 2), Library("full", loras, checkpoints)
    both = (half, full)
    with tempfile.TemporaryDirectory() as place:
        made = {library.name: make(Path(place) / library.name, *library[1:]) for library in both}
        runs: dict[str, dict[str, list[Start]]] = {library.name: {} for library in both}
        # By turns, so that whatever else the machine does falls upon both.
        for name, times in (("first start", 1), ("later start", starts), (f"after {CHANGED} files changed", 1)):
            if name.startswith("after"):
                for path in (path for library in both for path in made[library.name][:CHANGED]):
                    os.utime(path, ns=(0, 0))
            for _ in range(times):
                for library in both:
                    runs[library.name].setdefault(name, []).append(started(Path(place) / library.name))
    rows = [(name, sum(library[1:]), found) for library in both for name, found in runs[library.name].items()]
    return report(rows)


def make(folder: Path, loras: int, checkpoints: int) -> list[Path]:
    """The files, in sub-folders of a hundred; each with a header of its own and a hole for its weights."""
    folders = Folders.of(data_dir=folder, program_dir=folder)
    folders.create()
    lora_header, checkpoint_header = lora_shapes(), checkpoint_shapes()
    made = []
    for number in range(loras):
        metadata = {"ss_output_name": f"lora {number}", "ss_tag_frequency": json.dumps(TAGS), "ss_network_dim": "16"}
        path = folders.loras[0] / f"set {number // 100}" / f"lora {number}.safetensors"
        made.append(write(path, *header_of(lora_header, "F16", metadata)))
    for number in range(checkpoints):
        path = folders.checkpoints[0] / f"set {number // 100}" / f"checkpoint {number}.safetensors"
        made.append(write(path, *header_of(checkpoint_header, "F16", {"modelspec.title": f"{number}"})))
    return made


def write(path: Path, header: bytes, weights: int) -> Path:
    """A file of that header and a hole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + weights)
    return path


def lora_shapes() -> dict[str, tuple[int, ...]]:
    """kohya's names: 160 layers of the U-Net, 72 of the text encoder, three tensors each."""
    modules = {f"lora_unet_{place}_transformer_blocks_0_{layer}": 768 for place in PLACES for layer in LAYERS}
    for number in range(12):
        for layer in (*(f"self_attn_{part}_proj" for part in ("q", "k", "v", "out")), "mlp_fc1", "mlp_fc2"):
            modules[f"lora_te_text_model_encoder_layers_{number}_{layer}"] = 768
    return {
        f"{module}.{part}": shape
        for module, width in modules.items()
        for part, shape in (("alpha", ()), ("lora_down.weight", (16, width)), ("lora_up.weight", (320, 16)))
    }


def checkpoint_shapes() -> dict[str, tuple[int, ...]]:
    """SD1.5's layout: as many tensors under as long names, a few of them telling the family."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    }
    for number in range(686):
        shapes[f"model.diffusion_model.input_blocks.{number}.1.transformer_blocks.0.attn2.to_k.weight"] = (320, 768)
    for number in range(197):
        shapes[f"cond_stage_model.transformer.text_model.encoder.layers.{number}.mlp.fc1.weight"] = (64, 768)
    for number in range(248):
        shapes[f"first_stage_model.decoder.up.{number}.block.0.conv1.weight"] = (64, 64, 3, 3)
    return shapes


def started(folder: Path) -> Start:
    """A start in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.library", "--start", str(folder)]
    done = subprocess.run(command, cwd=PROGRAM, check=True, capture_output=True, text=True)
    return Start(**json.loads(done.stdout))


def start(folder: Path) -> dict[str, Any]:
    """What the child process measures."""
    opened: set[str] = set()
    inside = str(folder)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.fsdecode(arguments[0])
            if path.startswith(inside) and path.endswith(".safetensors"):
                opened.add(path)

    sys.addaudithook(note)
    begun, cpu = time.perf_counter(), time.process_time()
    library = ModelLibrary(Folders.of(data_dir=folder, program_dir=folder), folder / "data" / "library.sqlite")
    entries = len(library.list(CHECKPOINT)) + len(library.list(LORA))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    begun = time.process_time()
    library.find(f"lora {len(library.list(LORA)) // 2}", LORA)
    found = time.process_time() - begun
    begun = time.process_time()
    library.refresh(LORA)
    missed = time.process_time() - begun
    library.close()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "opened": len(opened),
        "entries": entries,
        "found": found,
        "missed": missed,
    }


def report(rows: list[tuple[str, int, list[Start]]]) -> bool:
    """The table and the gates."""
    memory = psutil.virtual_memory().total / 2**30
    print(f"`python -m benchmarks.library`, {date.today()}, {os.cpu_count()} cores ({platform.machine()}), ", end="")
    print(
        f"{memory:.0f} GB, Python {platform.python_version()}; median (least - most), sizes by turns; "
        "the disk's cache is warm.\n"
    )
    print("| files | | seconds | CPU seconds | opened | find one (CPU) | scan again (CPU) |")
    print("|---|---|---|---|---|---|---|")
    for name, count, runs in rows:
        wall, cpu = spread([run.seconds for run in runs]), spread([run.cpu for run in runs])
        found, missed = (statistics.median(getattr(run, field) for run in runs) for field in ("found", "missed"))
        print(f"| {count:,} | {name} | {wall} | {cpu} | {runs[0].opened:,} | ", end="")
        print(f"{1000 * found:.1f} ms | {1000 * missed:.0f} ms |")
    later = [runs for name, _, runs in rows if name == "later start"]
    changed = [runs for name, _, runs in rows if name.startswith("after")]
    none_opened = all(run.opened == 0 for runs in later for run in runs)
    only_changed = all(run.opened == CHANGED for runs in changed for run in runs)
    growth = statistics.median(full.cpu / half.cpu for half, full in zip(*later, strict=True))
    again = statistics.median(full.missed / half.missed for half, full in zip(*later, strict=True))
    first_half, first_full = (runs[0].cpu for name, _, runs in rows if name == "first start")
    print(f"\nA later start opens no file: {kept(none_opened)}; after {CHANGED} changed, those alone: ", end="")
    print(f"{kept(only_changed)}. Twice the files take {growth:.2f} times the CPU seconds (first start ", end="")
    print(
        f"{first_full / first_half:.2f}, scan again {again:.2f}), at most {LARGEST_GROWTH}: "
        f"{kept(growth <= LARGEST_GROWTH)}."
    )
    return none_opened and only_changed and growth <= LARGEST_GROWTH


def spread(values: list[float]) -> str:
    """Median (least - most)."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


def kept(holds: bool) -> str:
    """In words."""
    return "kept" if holds else "MISSED"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--start"]:
        print(json.dumps(start(Path(sys.argv[2]))))
    else:
        wanted = [int(argument) for argument in sys.argv[1:]]
        sys.exit(0 if main(*(wanted + [LORAS, CHECKPOINTS, STARTS][len(wanted) :])) else 1)
