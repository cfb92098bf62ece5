"""Whole pictures against AUTOMATIC1111's own: `python -m benchmarks.parity CASES.json CHECKPOINT_FOLDER [NAME ...]`.

Prints, for each case that this version serves, the mean and largest difference of pixel levels (of 255) and how many
pixels differ. fp32 on the CPU. The checkpoint is the rebuilt random-weight one that the cases were made with.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.engine import Engine, Loading, PipelineManager, Runner, Scheduler
from app.files import Identity
from app.jobs.expand import expand
from app.language import Tokenizer, without_comments
from app.models import choose_device
from app.recipes import generate
from app.schema.choices import split_sampler_name
from app.schema.events import RowFailed, RowFinished
from app.schema.request import FileIdentity, GenerationRequest, ResolvedRequest

FIELDS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "steps": "steps",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "cfg_scale": "cfg_scale",
    "batch_size": "batch_size",
    "n_iter": "batch_count",
    "subseed": "variation_seed",
    "subseed_strength": "variation_strength",
    "seed_resize_from_w": "seed_resize_width",
    "seed_resize_from_h": "seed_resize_height",
    "tiling": "tiling",
    "eta": "eta",
    "s_churn": "s_churn",
}
SETTINGS = {
    "CLIP_stop_at_last_layers": "clip_skip",
    "emphasis": "emphasis",
    "eta_noise_seed_delta": "noise_seed_delta",
    "randn_source": "noise_source",
}
KNOWN = {*FIELDS, "sampler_name", "scheduler", "override_settings", "save_images"}


def main() -> None:
    """Reads the cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    loading = Loading(choose_device("cpu"))
    engine = Engine(
        PipelineManager(loading, budget=8 << 30), generate, scheduler=Scheduler(), runner=Runner(Tokenizer())
    )
    print(f"{'case':<28}{'mean':>9}{'largest':>9}{'differ':>9}{'seconds':>9}")
    for case in json.loads(arguments.cases.read_text()):
        if arguments.names and case["name"] not in arguments.names:
            continue
        left_out = unserved(case)
        if left_out:
            print(f"{case['name']:<28}not served yet: {', '.join(left_out)}")
            continue
        began = time.monotonic()
        made = pictures(engine, case, arguments.checkpoints)
        for image, pixels in zip(case["images"], made, strict=True):
            wanted = np.asarray(
                Image.open(arguments.cases.parent.parent / image["file"]).convert("RGB"), dtype=np.int16
            )
            difference = np.abs(pixels.astype(np.int16) - wanted)
            share = float((difference > 0).mean())
            seconds = time.monotonic() - began
            print(
                f"{case['name']:<28}{difference.mean():9.4f}{difference.max():9d}{share:9.2%}{seconds:9.1f}", flush=True
            )


def unserved(case: dict[str, Any]) -> list[str]:
    """What a case asks for that this version cannot do."""
    settings = set(case["settings_in_force"]) - {*SETTINGS, "sd_model_checkpoint"}
    fields = set(case["payload"]) - KNOWN
    tags = ["networks in the prompt"] if "<" in case["payload"].get("prompt", "") else []
    other = [] if case["endpoint"].endswith("txt2img") else [case["endpoint"]]
    return sorted(settings | fields) + tags + other


def pictures(engine: Engine, case: dict[str, Any], folder: Path) -> list[np.ndarray]:
    """The case's pictures, [H, W, 3] uint8 each."""
    payload, settings = case["payload"], case["settings_in_force"]
    name = settings.get("sd_model_checkpoint", "parity-sd15.safetensors").split(" [")[0]
    file = Identity.of(folder / name)
    sampler, schedule = split_sampler_name(payload.get("sampler_name") or "Euler", payload.get("scheduler"))
    fields = {ours: payload[theirs] for theirs, ours in FIELDS.items() if payload.get(theirs) is not None}
    fields |= {ours: settings[theirs] for theirs, ours in SETTINGS.items() if theirs in settings}
    fields["prompt"] = without_comments(fields.get("prompt", ""))
    for side in ("seed_resize_width", "seed_resize_height"):
        fields[side] = max(fields.get(side, 0), 0)
    request = GenerationRequest(**fields, sampler=sampler, schedule=schedule, precision="fp32")
    checkpoint = FileIdentity(path=file.path, size=file.size, mtime_ns=file.mtime_ns)
    plans = expand("parity", "parity", ResolvedRequest(request=request, checkpoint=checkpoint, checkpoint_name=name))
    for plan in plans:
        engine.submit(plan)
    made: dict[int, np.ndarray] = {}
    while not engine.idle:
        for event in engine.step():
            if isinstance(event, RowFailed):
                raise SystemExit(f"{case['name']}: {event.message}")
            if isinstance(event, RowFinished):
                shape = (event.height, event.width, 3)
                made[event.image] = np.frombuffer(event.rgb, dtype=np.uint8).reshape(shape)
    return [made[number] for number in sorted(made)]


if __name__ == "__main__":
    main()
