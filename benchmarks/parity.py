"""Whole pictures against AUTOMATIC1111's own: `python -m benchmarks.parity CASES.json CHECKPOINT_FOLDER [NAME ...]`.

Prints, for each case that this version serves, the mean and largest difference of pixel levels (of 255) and how many
pixels differ. fp32 on the CPU. The checkpoint is the rebuilt random-weight one that the cases were made with; LoRAs,
embeddings and hypernetworks lie in the same folder.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.api.sdapi_extensions import HIRES, hires_values, refiner_values
from app.api.sdapi_request import Txt2ImgFields
from app.engine import Engine, Loading, PipelineManager, Runner, Scheduler, Tier
from app.extension_host import ExtensionHost
from app.files import Folders, ModelLibrary
from app.hooks import Registry
from app.jobs import Resolver
from app.jobs.expand import expand
from app.language import Tokenizer
from app.models import choose_device
from app.networks import NetworkSet
from app.recipes import draw, with_stages
from app.schema.choices import AUTOMATIC, split_sampler_name
from app.schema.events import RowFailed, RowFinished
from app.schema.request import GenerationRequest
from app.schema.settings import REQUEST_FIELDS

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
    "s_tmin": "s_tmin",
    "s_tmax": "s_tmax",
    "s_noise": "s_noise",
    "s_min_uncond": "guidance_minimum_sigma",
}
EXTENSIONS = Path(__file__).resolve().parents[1] / "extensions"
MEMORY = 8 << 30
"""Bytes for models, so that a machine of 16 GB has room for two SD1.5 in fp32."""
SECOND_PASS = {"enable_hr", "hr_upscaler", "denoising_strength", "refiner_checkpoint", "refiner_switch_at", *HIRES}
IGNORED = {"hr_cfg"}
"""Fields that A1111 takes and makes nothing of."""
KNOWN = {*FIELDS, *SECOND_PASS, *IGNORED, "sampler_name", "scheduler", "override_settings", "save_images"}


def main() -> None:
    """Reads the cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    device = choose_device("cpu")
    tokenizer = Tokenizer()
    networks = NetworkSet(tokenizer.encode)
    pipelines = PipelineManager(Loading(device), device=device, host=Tier(MEMORY, MEMORY), networks=networks)
    registry = Registry()
    extensions = ExtensionHost([EXTENSIONS], registry)
    extensions.load()
    extensions.load_for_engine()
    recipe = with_stages(draw, registry.owners("register_stages"))
    engine = Engine(pipelines, recipe, scheduler=Scheduler(), runner=Runner(tokenizer, pipelines.offload))
    place = arguments.checkpoints
    folders = Folders.of(
        models_dir=place, ckpt_dir=place, lora_dir=place, embeddings_dir=place, hypernetwork_dir=place, vae_dir=place
    )
    resolver = Resolver(
        ModelLibrary(folders),
        precision=lambda wanted: "fp32",
        extensions=dict(registry.owners("register_controls")),
        passes=dict(registry.owners("register_passes")),
        tokenizer=tokenizer,
    )
    print(f"{'case':<28}{'mean':>9}{'largest':>9}{'differ':>9}{'seconds':>9}")
    for case in json.loads(arguments.cases.read_text()):
        if arguments.names and case["name"] not in arguments.names:
            continue
        left_out = unserved(case)
        if left_out:
            print(f"{case['name']:<28}not served here: {', '.join(left_out)}")
            continue
        began = time.monotonic()
        made = pictures(engine, case, resolver)
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
    settings = {name for name, value in case["settings_in_force"].items() if value and name not in REQUEST_FIELDS}
    fields = set(case["payload"]) - KNOWN
    other = [] if case["endpoint"].endswith("txt2img") else [case["endpoint"]]
    return sorted(settings | fields) + other


def pictures(engine: Engine, case: dict[str, Any], resolver: Resolver) -> list[np.ndarray]:
    """The case's pictures, [H, W, 3] uint8 each."""
    payload, settings = case["payload"], case["settings_in_force"]
    name = settings.get("sd_model_checkpoint", "parity-sd15").split(" [")[0].removesuffix(".safetensors")
    sampler, schedule = split_sampler_name(payload.get("sampler_name") or "Euler", payload.get("scheduler"))
    fields = {ours: payload[theirs] for theirs, ours in FIELDS.items() if payload.get(theirs) is not None}
    given = {theirs: value for theirs, value in settings.items() if theirs not in ("sd_model_checkpoint", "sd_vae")}
    fields |= {REQUEST_FIELDS[theirs]: value for theirs, value in given.items() if theirs in REQUEST_FIELDS}
    for side in ("seed_resize_width", "seed_resize_height"):
        fields[side] = max(fields.get(side, 0), 0)
    taken = Txt2ImgFields(**payload)
    request = GenerationRequest(
        **fields,
        sampler=sampler,
        schedule=schedule,
        precision="fp32",
        checkpoint=name,
        vae=settings.get("sd_vae", AUTOMATIC),
        extensions={**hires_values(taken, keep=str), **refiner_values(taken)},
    )
    resolved = resolver(request)
    if resolved.missing_networks:
        raise SystemExit(f"{case['name']}: {', '.join(resolved.missing_networks)} cannot be found")
    for plan in expand("parity", "parity", resolved):
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
