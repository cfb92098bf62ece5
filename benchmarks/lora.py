"""A rank-16 LoRA over all layers of SD1.5: on, changed, off; against diffusers and a bare merge in the same run.

`python -m benchmarks.lora [--small] [--device cpu|cuda]`. The checkpoint (fp16, random) and the LoRA (kohya's names)
are made in a temporary folder. diffusers: `load_lora_weights` + `fuse_lora`, `unfuse_lora` + `unload_lora_weights`.
The bare merge adds up @ down in place to weights it was handed, the matrices in memory: nothing is read or matched.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn

from app.language import Tokenizer
from app.models import LoadedModel, Precision, load_checkpoint
from app.networks import NetworkSet, Wanted
from tests.models.checkpoints import write_tiny_checkpoint

FULL_SIZE: dict[str, Any] = {
    "channels": (320, 640, 1280, 1280),
    "text_width": 768,
    "text_layers": 12,
    "vae_channels": (32, 32, 32, 32),
}
RANK = 16


def main() -> None:
    """Makes the files, measures, prints a table and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny widths, to see whether it runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    with tempfile.TemporaryDirectory() as place, torch.no_grad():
        folder = Path(place)
        checkpoint = write_tiny_checkpoint(folder / "model.safetensors", **({} if arguments.small else FULL_SIZE))
        model = load_checkpoint(checkpoint, device=device, precision=Precision(dtype, dtype, dtype))
        rows: dict[str, list[float]] = {}
        networks = NetworkSet(Tokenizer().encode)
        for number in range(arguments.rounds):
            files = [write_lora(folder / f"{number}-{seed}.safetensors", model, seed) for seed in (1, 2)]
            for name, seconds in (*bare(model, device), *ours(networks, model, files, device, first=not number)):
                rows.setdefault(name, []).append(seconds)
        for _ in range(arguments.rounds):
            for name, seconds in of_diffusers(model, files[0], device):
                rows.setdefault(name, []).append(seconds)
    median = {name: statistics.median(seconds) for name, seconds in rows.items()}
    print(f"{arguments.device}, {arguments.dtype}, {torch.get_num_threads()} threads, {len(layers(model))} layers")
    for name, seconds in median.items():
        print(f"{name:<44}{seconds:9.3f} s")
    print(f"diffusers' load and fuse / ours on          {median[THEIRS] / median[ON]:9.1f}   (5 or more)")
    print(f"ours on / bare merge                        {median[ON] / median[BARE]:9.2f}   (1.5 or less)")


BARE = "bare merge in place"
FIRST = "ours: the first on a model, from its file"
ON, CHANGED, OFF = "ours: on, from its file", "ours: strength changed", "ours: off"
THEIRS = "diffusers: load_lora_weights + fuse_lora"
THEIRS_OFF = "diffusers: unfuse_lora + unload"


def layers(model: LoadedModel) -> dict[str, nn.Module]:
    """kohya's usual targets: attention and feed-forward of both networks, and the projections around them."""
    found: dict[str, nn.Module] = {}
    for name, module in model.unet.named_modules():
        if ".attentions." in name and isinstance(module, nn.Linear | nn.Conv2d):
            found[f"lora_unet_{name.replace('.', '_')}"] = module
    for name, module in model.text_encoders[0].module.named_modules():
        if isinstance(module, nn.Linear):
            name = name.removeprefix("text_model.")
            found[f"lora_te_text_model_{name.replace('.', '_')}"] = module
    return found


def write_lora(path: Path, model: LoadedModel, seed: int) -> Path:
    """A random LoRA in fp16, as people share them."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, layer in layers(model).items():
        outputs, *inputs = layer.weight.shape
        ones = [1] * (len(inputs) - 1)
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, *inputs, generator=generator).half() * 0.01
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, RANK, *ones, generator=generator).half() * 0.01
        tensors[f"{name}.alpha"] = torch.tensor(8.0)
    save_file(tensors, path)
    return path


def timed(act: Callable[[], object], device: torch.device) -> float:
    """Seconds, with what the device still does; of the processor on a CPU, whose other users then do not count."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    _wait(device)
    began = clock()
    act()
    _wait(device)
    return clock() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def bare(model: LoadedModel, device: torch.device) -> list[tuple[str, float]]:
    """One addmm_ a layer, then the opposite."""
    pairs = []
    for layer in layers(model).values():
        weight = layer.weight.data.view(layer.weight.shape[0], -1)
        up = torch.randn(weight.shape[0], RANK, device=device, dtype=weight.dtype) * 0.01
        down = torch.randn(RANK, weight.shape[1], device=device, dtype=weight.dtype) * 0.01
        pairs.append((weight, up, down, weight.clone()))

    def merge() -> None:
        for weight, up, down, _ in pairs:
            weight.addmm_(up, down, alpha=0.5)

    seconds = timed(merge, device)
    for weight, _, _, before in pairs:
        weight.copy_(before)
    return [(BARE, seconds)]


def ours(
    networks: NetworkSet, model: LoadedModel, files: list[Path], device: torch.device, first: bool
) -> list[tuple[str, float]]:
    """As the engine does it, opening and matching included; the files are new each time. first: also to the model."""
    one, stronger, other = _wanted(files[0]), _wanted(files[0], 0.5), _wanted(files[1])
    measured = [
        (FIRST if first else ON, timed(lambda: networks.apply(model, [one]), device)),
        (CHANGED, timed(lambda: networks.apply(model, [stronger]), device)),
        ("ours: changed for another file", timed(lambda: networks.apply(model, [other]), device)),
        (OFF, timed(lambda: networks.apply(model, []), device)),
    ]
    assert networks.kept_bytes(model) == 0
    return measured


def _wanted(path: Path, strength: float = 1.0) -> Wanted:
    status = path.stat()
    return Wanted("lora", path.stem, str(path), status.st_size, status.st_mtime_ns, strength, strength)


def of_diffusers(model: LoadedModel, file: Path, device: torch.device) -> list[tuple[str, float]]:
    """Its own way with the same modules."""
    pipeline = StableDiffusionPipeline(
        vae=model.vae.module,
        text_encoder=model.text_encoders[0].module,
        tokenizer=None,
        unet=model.unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )

    def put_on() -> None:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
        pipeline.fuse_lora()

    def take_off() -> None:
        pipeline.unfuse_lora()
        pipeline.unload_lora_weights()

    return [(THEIRS, timed(put_on, device)), (THEIRS_OFF, timed(take_off, device))]


if __name__ == "__main__":
    main()
