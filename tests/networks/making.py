"""Tiny models and network files with true key names, written down without the code that reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.language import Tokenizer
from app.models import LoadedModel, load_checkpoint
from app.networks import NetworkSet, Wanted
from tests.models.checkpoints import LAYOUTS, write_tiny_checkpoint
from tests.models.oracles import oracle_unet

SIDES = {"SD1": {}, "SD2": {}, "SDXL": {"second_width": 64}}


def tiny_model(folder: Path, family: str = "SD1", dtype: torch.dtype = torch.float16, **widths: Any) -> LoadedModel:
    """A model of 10 MB, its file in the folder."""
    sides = {"vocabulary": 512, **SIDES[family], **widths}
    path = write_tiny_checkpoint(folder / f"{family}.safetensors", family, dtype=dtype, **sides)
    return load_checkpoint(path)


def state_hash(model: LoadedModel) -> str:
    """sha256 over every tensor of every part, names included."""
    digest = hashlib.sha256()
    for part, module in model.parts():
        for name, tensor in module.state_dict().items():
            digest.update(f"{part}.{name}".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_of(model: LoadedModel) -> dict[str, Tensor]:
    """Copies of all weights by path."""
    return {path: weight.detach().float().clone() for path, weight in model.weights()}


def network_set() -> NetworkSet:
    """As the engine has one."""
    return NetworkSet(Tokenizer().encode)


def wanted(path: Path, kind: str = "lora", **strengths: Any) -> Wanted:
    """The file as a request would name it."""
    status = path.stat()
    return Wanted(kind, path.stem, str(path), status.st_size, status.st_mtime_ns, **strengths)


def saved(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def layers(model: LoadedModel) -> dict[str, nn.Module]:
    """Every layer that trainers attach LoRAs to, by the path of its weight without '.weight'."""
    found: dict[str, nn.Module] = {}
    for name, module in model.unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            found[f"unet.{name}"] = module
    for number, encoder in enumerate(model.text_encoders):
        for name, module in encoder.module.named_modules():
            if isinstance(module, nn.Linear) and ("self_attn" in name or "mlp" in name):
                found[f"text_encoders.{number}.text_model.{name.removeprefix('text_model.')}"] = module
    return found


def kohya(path: str, *, numbered: bool = False) -> str:
    """kohya's name of a layer, in diffusers' words: the dots of its path become underscores."""
    part, _, name = path.partition(".")
    if part == "unet":
        return "lora_unet_" + name.replace(".", "_")
    number, _, name = name.partition(".")
    return f"lora_te{int(number) + 1 if numbered else ''}_" + name.replace(".", "_")


def original_names(file: Path, family: str) -> dict[str, str]:
    """'unet.<name>' -> the layer's name in the file, found by equal numbers through diffusers' own conversion."""
    unet = oracle_unet(file, _layout(family))
    by_content = {
        _digest(tensor): name.removeprefix("model.diffusion_model.").removesuffix(".weight")
        for name, tensor in load_file(file).items()
        if name.startswith("model.diffusion_model.") and name.endswith(".weight")
    }
    return {
        f"unet.{name.removesuffix('.weight')}": by_content[_digest(tensor)]
        for name, tensor in unet.named_parameters()
        if name.endswith(".weight")
    }


def _layout(family: str) -> Any:
    return replace(LAYOUTS[family], **SIDES[family])


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().half().contiguous().reshape(-1).numpy().tobytes()).hexdigest()


def low_rank(layer: nn.Module, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """down and up of a LoRA for a layer."""
    generator = torch.Generator().manual_seed(seed)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    down = torch.randn(rank, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
    up = torch.randn(weight.shape[0], rank, *[1] * (weight.dim() - 2), generator=generator) / rank**0.5
    return down, up


def near(ours: Tensor, theirs: Tensor) -> bool:
    """Equal to float32 rounding: a few millionths of the largest value."""
    return bool((ours - theirs).abs().max() <= 4e-6 * theirs.abs().max())


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    """Paths whose weights are not the same."""
    return {path for path, tensor in before.items() if not torch.equal(tensor, after[path])}


def some(paths: Iterable[str]) -> list[str]:
    """One layer of each shape and place: query, feed-forward, 1x1 and 3x3 convolutions, time, text."""
    ends = (
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k",
        "up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_out.0",
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        "mid_block.attentions.0.proj_in",
        "down_blocks.0.resnets.0.conv1",
        "down_blocks.0.downsamplers.0.conv",
        "up_blocks.0.resnets.1.conv_shortcut",
        "up_blocks.0.upsamplers.0.conv",
        "down_blocks.1.resnets.0.time_emb_proj",
        "encoder.layers.0.self_attn.q_proj",
        "encoder.layers.1.mlp.fc2",
    )
    return [path for path in paths if path.endswith(ends)]
