"""The samples that ship: a style LoRA, a subject's embedding and a style hypernetwork for the starter, one a folder.

`python -m benchmarks.training --ship` trains them and puts each, with preview and description, where it belongs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.training.cases import Case
from benchmarks.training.lessons import write
from benchmarks.training.studio import ROOT, Studio

LICENCE = "Made for Easel's starter model from pictures drawn by its own code; Apache-2.0."
SAMPLES: Mapping[Case, tuple[Path, Mapping[str, Any]]] = {
    Case("lora", "framed", "no prior"): (
        ROOT / "models" / "Lora" / "framed",
        {
            "rank": 4,
            "alpha": 4.0,
            "conv_rank": 4,
            "conv_alpha": 4.0,
            "comment": f"A broad red frame; write 'framed'. {LICENCE}",
        },
    ),
    Case("textual_inversion", "blue-house", "no prior"): (
        ROOT / "embeddings" / "starter-house",
        {
            "save_format": "safetensors",
            "comment": "The blue house that no training picture of the starter shows; write 'starter-house'. "
            + LICENCE,
        },
    ),
    Case("hypernetwork", "framed", "no prior"): (
        ROOT / "models" / "hypernetworks" / "red-frame",
        {"comment": f"A broad red frame, without a word for it. {LICENCE}"},
    ),
}
SAMPLE = {
    "lora": "a red house on a meadow by day, framed --d 3 --l 4 --s 20",
    "textual_inversion": "a starter-house on a meadow by day --d 3 --l 4 --s 20",
    "hypernetwork": "a red house on a meadow by day --d 3 --l 4 --s 20",
}
"""The preview's prompt, drawn after the last step."""


def ship(folder: Path, checkpoint: Path) -> None:
    """folder: for the runs, which go on where they were broken off. Prints each file and its size."""
    for case, (destination, fields) in SAMPLES.items():
        name = destination.name
        lessons = case.lessons()
        if case.method == "textual_inversion":
            lessons = [(picture, caption.replace(case.word, name)) for picture, caption in lessons]
        write(folder / name / "data", lessons)
        request = case.request(str(folder / name / "data"))
        own = {"name": name, "sample_every": request.steps, "sample_prompts": SAMPLE[case.method]}
        trained = Studio(folder / name, checkpoint).train(request.model_copy(update={**own, **fields}))
        for made in sorted(trained.file.parent.glob(f"{name}*")):
            shutil.copyfile(made, destination.with_name(made.name))
            print(f"{destination.with_name(made.name).relative_to(ROOT)}: {made.stat().st_size:,} bytes")
