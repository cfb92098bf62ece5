"""Whole pictures against AUTOMATIC1111's own: `python -m benchmarks.parity CASES.json CHECKPOINT_FOLDER [NAME ...]`.

Prints, for each case that this version serves, the mean and largest difference of pixel levels (of 255) and how many
pixels differ. fp32 on the CPU. The checkpoint is the rebuilt random-weight one that the cases were made with; LoRAs,
embeddings and hypernetworks lie in the same folder. Last comes how far the latent before the VAE is from A1111's (rms
of the difference, relative), where the .npz beside the cases has it: 1e-4 is the mark.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.api.sdapi_img2img import Img2ImgFields, img2img_request
from app.api.sdapi_request import Txt2ImgFields, generation_request
from app.engine import Engine, Loading, PipelineManager, Runner, Scheduler, Tier
from app.extension_host import ExtensionHost
from app.files import Blobs, Folders, ModelLibrary, open_picture
from app.hooks import Registry
from app.jobs import Resolver, Results
from app.jobs.expand import expand
from app.language import Tokenizer
from app.models import choose_device
from app.networks import NetworkSet
from app.recipes import Decode, Picture, Recipe, Tools, draw, with_stages
from app.schema.control import menu_scripts
from app.schema.events import RowFailed, RowFinished
from app.schema.infotext import Models
from app.schema.request import GenerationRequest, ImagePlan
from app.schema.settings import REQUEST_FIELDS, SettingValues

EXTENSIONS = Path(__file__).resolve().parents[1] / "extensions"
MEMORY = 8 << 30
"""Bytes for models, so that a machine of 16 GB has room for two SD1.5 in fp32."""
IGNORED = {"hr_cfg"}
"""Fields that A1111 takes and makes nothing of."""
PICTURES = ("init_images", "mask")
"""Fields that hold pictures; the cases name files beside their own folder by an @."""


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
    blobs = Blobs(Path(tempfile.mkdtemp(prefix="easel-parity-")))
    staged = with_stages(draw, registry.owners("register_stages"), registry.owners("register_guides"))
    latents: list[np.ndarray] = []

    def recipe(plan: ImagePlan, tools: Tools) -> Recipe:
        made = staged(plan, replace(tools, picture=lambda digest: open_picture(blobs.read(digest))))
        return watched(made, latents)

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
        expanders=dict(registry.owners("register_expanders")),
        tokenizer=tokenizer,
    )
    theirs = latents_beside(arguments.cases)
    models = dict(registry.owners("register_controls"))
    print(f"{'case':<28}{'mean':>9}{'largest':>9}{'differ':>9}{'seconds':>9}{'latent':>10}")
    for case in json.loads(arguments.cases.read_text()):
        if arguments.names and case["name"] not in arguments.names:
            continue
        left_out = unserved(case, models)
        if left_out:
            print(f"{case['name']:<28}not served here: {', '.join(left_out)}")
            continue
        began = time.monotonic()
        latents.clear()
        request = requested(case, arguments.cases.parent.parent, blobs.put, models)
        made = pictures(engine, case, request, resolver, Results(blobs))
        # Where a script of A1111's puts a grid first, the pictures come after it.
        for image, pixels in zip(case["images"][-len(made) :], made, strict=True):
            wanted = np.asarray(
                Image.open(arguments.cases.parent.parent / image["file"]).convert("RGB"), dtype=np.int16
            )
            difference = np.abs(pixels.astype(np.int16) - wanted)
            share = float((difference > 0).mean())
            seconds = time.monotonic() - began
            distance = latent_distance(latents, theirs, case["name"])
            print(
                f"{case['name']:<28}{difference.mean():9.4f}{difference.max():9d}{share:9.2%}{seconds:9.1f}{distance:>10}",
                flush=True,
            )


def watched(recipe: Recipe, latents: list[np.ndarray]) -> Recipe:
    """The same recipe; the latents that it has decoded are noted, [1, C, h, w] each."""
    answer = None
    while True:
        try:
            effect = recipe.send(answer)
        except StopIteration as end:
            picture: Picture = end.value
            return picture
        if isinstance(effect, Decode):
            latents.append(effect.latent.detach().float().cpu().numpy().copy())
        answer = yield effect


def latents_beside(cases: Path) -> Mapping[str, np.ndarray]:
    """What was recorded beside the cases: 'cases_more.json' -> 'latents_more.npz'."""
    path = cases.with_name(cases.name.replace("cases", "latents")).with_suffix(".npz")
    found: Mapping[str, np.ndarray] = np.load(path) if path.is_file() else {}
    return found


def latent_distance(made: list[np.ndarray], theirs: Mapping[str, np.ndarray], case: str) -> str:
    """rms of the difference over rms of A1111's, of the case's only picture; "" where there is nothing to compare."""
    name = f"{case}/final0"
    if name not in theirs or len(made) != 1 or made[0].shape != theirs[name].shape:
        return ""
    wanted = theirs[name].astype(np.float64)
    return f"{np.sqrt(np.square(made[0] - wanted).mean() / np.square(wanted).mean()):.1e}"


def unserved(case: dict[str, Any], models: Models) -> list[str]:
    """What a case asks for that this version cannot do. models: of the extensions' values."""
    settings = {name for name, value in case["settings_in_force"].items() if value and name not in REQUEST_FIELDS}
    fields = case["payload"].keys() - Img2ImgFields.model_fields.keys() - IGNORED
    known = {script.title.lower() for model in models.values() for script in menu_scripts(model)}
    script = (case["payload"].get("script_name") or "").lower()
    return sorted(settings | fields) + [script] * (script not in {"", *known})


def requested(case: dict[str, Any], place: Path, keep: Callable[..., str], models: Models) -> GenerationRequest:
    """The request that the HTTP interface makes of a case. place: where the pictures lie that cases name.

    models: of the extensions' values.
    """
    payload, options = dict(case["payload"]), dict(case["settings_in_force"])
    for field in PICTURES:
        named = payload.get(field)
        if named:
            payload[field] = (
                [in_base64(place, name) for name in named] if isinstance(named, list) else in_base64(place, named)
            )
    checkpoint = options.pop("sd_model_checkpoint", "parity-sd15").split(" [")[0].removesuffix(".safetensors")
    options = {name: value for name, value in options.items() if name in REQUEST_FIELDS}
    settings = SettingValues.model_validate({**options, "sd_model_checkpoint": checkpoint})
    if case["endpoint"].endswith("img2img"):
        return img2img_request(Img2ImgFields(**payload), settings, keep, models)
    return generation_request(Txt2ImgFields(**payload), settings, keep, models)


def in_base64(place: Path, name: str) -> str:
    """A picture that a case names, as a request carries it."""
    return base64.b64encode((place / name.removeprefix("@")).read_bytes()).decode()


def pictures(
    engine: Engine, case: dict[str, Any], request: GenerationRequest, resolver: Resolver, keep: Results
) -> list[np.ndarray]:
    """The case's pictures, [H, W, 3] uint8 each. keep: stores those that others follow from."""
    resolved = resolver(request)
    if resolved.missing_networks:
        raise SystemExit(f"{case['name']}: {', '.join(resolved.missing_networks)} cannot be found")
    plans = expand("parity", "parity", resolved)
    for plan in plans:
        if plan.source is None:
            engine.submit(plan)
    made: dict[int, np.ndarray] = {}
    while not engine.idle:
        for event in engine.step():
            if isinstance(event, RowFailed):
                raise SystemExit(f"{case['name']}: {event.message}")
            if isinstance(event, RowFinished):
                shape = (event.height, event.width, 3)
                made[event.image] = np.frombuffer(event.rgb, dtype=np.uint8).reshape(shape)
                for plan in (plan for plan in plans if plan.source == event.image):
                    engine.submit(plan.redrawing(keep(event)))
    return [made[number] for number in sorted(made)]


if __name__ == "__main__":
    main()
