"""Makes the starter model: VAE, latents, then diffusion and decoder, then the file; `python -m app.starter.train`.

Seeded and resumable: the same command goes on from the newest snapshot (one a minute). One thread, since the number
of threads changes the last bits. Diffusion and decoder need the latents alone and may run side by side.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.models import CONFIG_KEY, SD1, V_MARKER, LoadedModel, describe, fit_preview, load_checkpoint, write_checkpoint
from app.starter.autoencoder import (
    AutoencoderLesson,
    DecoderLesson,
    build_autoencoder,
    drawn,
    even_out,
    picture,
    psnr,
    take_up,
)
from app.starter.captions import training_scene
from app.starter.diffusion import DiffusionLesson, build_text_encoder, build_unet, settle_unseen_words
from app.starter.world import Scene
from app.training.loop import LoopSettings, run
from app.training.schedule import constant, cosine, linear, with_warm_up
from app.training.snapshot import Snapshot, Snapshots

logger = logging.getLogger(__name__)

SEED = 20261121
RUN_FOLDER = Path("~/.cache/easel/starter-run")
PRODUCT = Path(__file__).resolve().parents[2] / "models" / "Stable-diffusion" / "starter.safetensors"
SIZE = 128
VAE_STEPS = 3000
VAE_BATCH = 8
VAE_RATE = 1.2e-3
DECODER_STEPS = 6000
DECODER_BATCH = 3
DECODER_RATE = 1e-3
PICTURES = 6_000
THINGS_LEFT_OUT = 0.15
"""Share of the pictures whose latent is kept without their thing as well; those with a moon are kept without it."""
BATCH = 16
RATE = 8e-4
TEST_PICTURES = 10_000_000
STAGES = ("vae", "latents", "decoder", "diffusion", "cooldown", "export")


def main() -> None:
    """Reads the command line and runs the stages asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RUN_FOLDER, help="where snapshots and latents lie")
    parser.add_argument("--stage", choices=STAGES, action="append", help="these stages alone, in this order")
    parser.add_argument("--begin-with", type=Path, help="an earlier starter, whose weights the stages begin with")
    parser.add_argument("--vae-steps", type=int, default=VAE_STEPS, help="steps of the stage of the VAE")
    parser.add_argument("--decoder-steps", type=int, default=DECODER_STEPS, help="steps of the decoder's own stage")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of the diffusion stage, at a constant rate")
    parser.add_argument("--cooldown", type=int, default=1_500, help="steps of the stage that brings the rate to 0")
    parser.add_argument("--shuffle-captions", action="store_true", help="the control, which must fail its examination")
    parser.add_argument("--threads", type=int, default=1, help="another number gives other last bits")
    parser.add_argument("--output", type=Path, help="the file; the control's lies among its snapshots")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.folder.expanduser()
    output = arguments.output or (folder / "control.safetensors" if arguments.shuffle_captions else PRODUCT)
    stages: dict[str, Callable[[], None]] = {
        "vae": lambda: train_vae(folder, arguments.vae_steps, arguments.begin_with),
        "latents": lambda: make_latents(folder),
        "decoder": lambda: train_decoder(folder, arguments.decoder_steps),
        "diffusion": lambda: train_diffusion(folder, arguments.steps, arguments.shuffle_captions, arguments.begin_with),
        "cooldown": lambda: cool_down(folder, arguments.cooldown, arguments.shuffle_captions),
        "export": lambda: export(folder, output, arguments.shuffle_captions),
    }
    for stage in arguments.stage or STAGES:
        stages[stage]()


def train_vae(folder: Path, steps: int = VAE_STEPS, begin_with: Path | None = None) -> None:
    """The VAE, on pictures drawn as they are wanted; then its latent is evened out and the module kept."""
    if (folder / "vae.safetensors").exists():
        return
    torch.manual_seed(SEED)
    module = build_autoencoder()
    if begin_with:
        take_up(module, load_checkpoint(begin_with).vae.module)
    test = pictures(range(TEST_PICTURES, TEST_PICTURES + 32))

    def more(step: int) -> dict[str, Any]:
        return {"psnr": round(psnr(module, test), 2)} if step % 200 == 0 else {}

    settings = LoopSettings(steps, VAE_RATE, with_warm_up(cosine(steps), 100), average=0.99)
    state = run(AutoencoderLesson(module, SEED, steps, VAE_BATCH), settings, Snapshots(folder / "vae"), _log(more))
    module.load_state_dict({name: state.average[name] for name in module.state_dict()})
    eigenvalues = even_out(module, pictures(range(TEST_PICTURES, TEST_PICTURES + 512)))
    print(f"VAE: {psnr(module, test):.2f} dB; eigenvalues {eigenvalues}", flush=True)
    save_file(module.state_dict(), folder / "vae.safetensors")


def make_latents(folder: Path, count: int = PICTURES) -> None:
    """Latents of the first `count` training pictures, as the diffusion stage reads them: [n, 4, 16, 16] float16.

    Beside them those of some pictures once more without their moon or thing, and the numbers of these.
    """
    path = folder / "latents.safetensors"
    if path.exists():
        return
    module = load_vae(folder)
    scenes = [training_scene(SEED, number) for number in range(count)]
    lacking = [
        number
        for number, scene in enumerate(scenes)
        if scene.moon or (scene.subject is not None and number < count * THINGS_LEFT_OUT)
    ]
    latents = _encoded(module, [(scene, number) for number, scene in enumerate(scenes)])
    parts = {
        "latents": latents,
        "lacking": _encoded(module, [(scenes[number].lacking, number) for number in lacking]),
        "lacking_numbers": torch.tensor(lacking),
    }
    print(
        f"Latents: mean {latents.float().mean((0, 2, 3)).tolist()}, deviation {latents.float().std((0, 2, 3)).tolist()}"
    )
    save_file(parts, path)


def _encoded(module: Any, scenes: list[tuple[Scene, int]]) -> Tensor:
    """[n, 4, 16, 16] float16: the latents of scenes with their pictures' numbers."""
    parts = []
    for first in range(0, len(scenes), 64):
        x = torch.stack([drawn(scene, number) for scene, number in scenes[first : first + 64]]).float() / 127.5 - 1
        with torch.no_grad():
            mean = module.encode(x, return_dict=False)[0].mean
        parts.append((mean * module.config.scaling_factor).half())
        if first % 2048 == 0:
            print(json.dumps({"latents": first}), flush=True)
    return torch.cat(parts).contiguous()  # convolutions may answer with channels last


def train_decoder(folder: Path, steps: int) -> None:
    """The decoder goes on learning while the latents, and so the diffusion, stay as they are."""
    module = load_vae(folder)
    test = pictures(range(TEST_PICTURES, TEST_PICTURES + 32))

    def more(step: int) -> dict[str, Any]:
        return {"psnr": round(psnr(module, test), 2)} if step % 200 == 0 else {}

    latents = load_file(folder / "latents.safetensors")["latents"]
    settings = LoopSettings(steps, DECODER_RATE, with_warm_up(cosine(steps), 50), average=0.99)
    run(DecoderLesson(module, latents, SEED, DECODER_BATCH), settings, Snapshots(folder / "decoder"), _log(more))


def train_diffusion(folder: Path, steps: int, shuffled: bool, begin_with: Path | None = None) -> None:
    """The main stage, at a constant rate, so that it may go on as long as there is time for it."""
    lesson = diffusion_lesson(folder, shuffled)
    if begin_with:
        earlier: LoadedModel = load_checkpoint(begin_with)
        lesson.unet.load_state_dict(earlier.unet.state_dict())
        lesson.text_encoder.load_state_dict(earlier.text_encoders[0].module.state_dict())
    settings = LoopSettings(steps, RATE, with_warm_up(constant(steps), 200), average=0.999)
    run(lesson, settings, Snapshots(folder / _named("diffusion", shuffled)), _log())


def cool_down(folder: Path, steps: int, shuffled: bool) -> None:
    """A run of its own that begins where the main stage stands and brings the rate to 0; makes the weights to ship."""
    lesson = diffusion_lesson(folder, shuffled)
    start = Snapshots(folder / _named("diffusion", shuffled)).newest()
    assert start is not None, "the diffusion stage has no snapshot yet"
    with torch.no_grad():
        for name, tensor in lesson.parameters().items():
            tensor.copy_(start.tensors[f"weights.{name}"])
    lesson.first_step = start.step
    settings = LoopSettings(steps, RATE, with_warm_up(linear(steps), 50), average=0.99)
    run(lesson, settings, Snapshots(folder / _named(f"cooldown-{start.step}", shuffled)), _log())


def export(folder: Path, output: Path, shuffled: bool = False) -> None:
    """The product from the newest snapshots: the cooled-down weights where there are some, else the main stage's."""
    steps, snapshot = _newest(folder, shuffled)
    unet, text_encoder, vae = build_unet(), build_text_encoder(), load_vae(folder, decoder=True)
    unet.load_state_dict(_part(snapshot.tensors, "average.unet."))
    text_encoder.load_state_dict(_part(snapshot.tensors, "average.text."))
    words = settle_unseen_words(text_encoder, SEED)
    shown = pictures(range(TEST_PICTURES, TEST_PICTURES + 256))
    with torch.no_grad():
        latents = vae.encode(shown.float() / 127.5 - 1, return_dict=False)[0].mean * vae.config.scaling_factor
    settings = {"prediction_type": "v", "width": SIZE, "height": SIZE, "steps": 20, "cfg_scale": 4.0}
    preview = fit_preview(latents, shown.float() / 127.5 - 1)
    metadata = {
        CONFIG_KEY: describe(unet, vae, [text_encoder], **settings, sampler="DPM++ 2M", preview_factors=preview),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.title": "Easel starter",
        "modelspec.author": "Easel",
        "modelspec.license": "Apache-2.0",
        "modelspec.description": f"Small pictures of a small world; trained from scratch, {steps} steps.",
        "modelspec.resolution": f"{SIZE}x{SIZE}",
        "modelspec.prediction_type": "v",
    }
    write_checkpoint(
        output,
        family=SD1,
        unet=unet,
        text_encoders=[text_encoder],
        vae=vae,
        metadata=metadata,
        dtype=torch.float16,
        markers=(V_MARKER,),
    )
    print(f"{output.name}: {output.stat().st_size / 1e6:.1f} MB, {words} words used, {steps} steps", flush=True)


def pictures(numbers: range) -> Tensor:
    """[n, 3, 128, 128] uint8: these training pictures."""
    return torch.stack([picture(SEED, number) for number in numbers])


def load_vae(folder: Path, *, decoder: bool = False) -> Any:
    """The finished VAE of a run; `decoder`: with what the decoder learnt afterwards, where it did."""
    module = build_autoencoder()
    module.load_state_dict(load_file(folder / "vae.safetensors"))
    later = Snapshots(folder / "decoder").newest() if decoder else None
    if later is not None:
        module.load_state_dict(_part(later.tensors, "average."), strict=False)
    return module.eval()


def diffusion_lesson(folder: Path, shuffled: bool) -> DiffusionLesson:
    """Both networks with their first weights, over the cached latents."""
    torch.manual_seed(SEED + 1)
    kept = load_file(folder / "latents.safetensors")
    lacking = dict(zip(kept["lacking_numbers"].tolist(), kept["lacking"], strict=True))
    return DiffusionLesson(build_unet(), build_text_encoder(), kept["latents"], lacking, SEED, BATCH, shuffled)


def _newest(folder: Path, shuffled: bool) -> tuple[int, Snapshot]:
    """The snapshot to export and the steps that both stages took to it."""
    runs = {0: folder / _named("diffusion", shuffled)}
    for path in folder.glob("cooldown-*"):
        first = int(path.name.split("-")[1])
        if path.name == _named(f"cooldown-{first}", shuffled):
            runs[first] = path
    for first, path in sorted(runs.items(), reverse=True):
        snapshot = Snapshots(path).newest()
        if snapshot is not None:
            return first + snapshot.step, snapshot
    raise SystemExit("There is no snapshot to export; the stage 'diffusion' makes one a minute.")


def _named(stage: str, shuffled: bool) -> str:
    return f"{stage}-shuffled" if shuffled else stage


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _log(more: Callable[[int], dict[str, Any]] = lambda step: {}) -> Callable[[int, float, float], None]:
    """Prints the mean loss of every 50 steps as a line of JSON."""
    began, losses = time.monotonic(), []

    def report(step: int, loss: float, rate: float) -> None:
        losses.append(loss)
        if step % 50 == 0:
            line = {"step": step, "loss": round(sum(losses) / len(losses), 4), "rate": round(rate, 7)}
            print(json.dumps({**line, "seconds": round(time.monotonic() - began), **more(step)}), flush=True)
            losses.clear()

    return report


if __name__ == "__main__":
    main()
