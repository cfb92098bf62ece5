"""A tiny model, drawn pictures, and what a training of them is asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from app.language import Tokenizer
from app.models import LoadedModel, load_checkpoint
from app.schema.training import TrainingRequest
from app.training.data import Deal
from app.training.latents import Cached
from app.training.lesson import DiffusionLesson, LessonSettings, Pictures
from app.training.randomness import generator
from app.training.targets import Target
from app.training.texts import Texts
from tests.models.checkpoints import write_tiny_checkpoint

GROUNDS = ("white", "grey", "yellow", "black", "green", "orange")
# Two levels and one layer of each kind: a step takes a part of what the four levels of the true ones take.
SMALL: dict[str, dict[str, Any]] = {
    "SD1": {"channels": (32, 64), "depths": (1, 0), "layers": 1, "text_layers": 1},
    "SD2": {"channels": (64, 128), "depths": (1, 0), "layers": 1},
    "SDXL": {"channels": (64, 128), "depths": (0, 1), "middle_depth": 1, "layers": 1, "second_width": 64},
    "SDXL refiner": {},
}


def tiny(folder: Path, family: str = "SD1", **options: Any) -> LoadedModel:
    """A random model in float32, its file in the folder."""
    sides = {**SMALL[family], **options}
    path = write_tiny_checkpoint(folder / f"{family}.safetensors", family, dtype=torch.float32, **sides)
    return load_checkpoint(path)


def draw_pictures(folder: Path, count: int = 4, size: tuple[int, int] = (64, 64), word: str = "sks") -> Path:
    """Circles on grounds of different colours, with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = Image.new("RGB", size, GROUNDS[number % len(GROUNDS)])
        ImageDraw.Draw(picture).ellipse((10 + 2 * number, 15, 40 + 2 * number, 45), fill="purple")
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"{word} circle, {GROUNDS[number % len(GROUNDS)]} ground".strip())
    return folder


def asked(data: Path, method: str, **fields: Any) -> TrainingRequest:
    """A short training of the tiny model."""
    usual: dict[str, Any] = {
        "name": "thing",
        "trigger": "sks",
        "class_words": "circle",
        "width": 64,
        "height": 64,
        "steps": 6,
        "batch_size": 2,
        "learning_rate": "1e-3",
        "rank": 2,
        "alpha": 2.0,
        "widths": (32, 64, 128),
        "class_pictures": 2,
        "sample_every": 0,
        "snapshot_seconds": 0,
        "session": "a training",
        "created": 1_770_000_000,
    }
    return TrainingRequest(method=method, data=str(data), **{**usual, **fields})


def one_latent(seed: int = 0, side: int = 8, names: tuple[str, ...] = ()) -> Cached:
    """A latent of noise, its size numbers those of a whole picture."""
    numbers = {"height": 8.0 * side, "width": 8.0 * side, "crop_top": 0.0, "crop_left": 0.0}
    numbers |= {"target_height": 8.0 * side, "target_width": 8.0 * side}
    return Cached(torch.randn(4, side, side, generator=generator(seed, "latent")), None, numbers)


def lesson_of(
    model: LoadedModel,
    learnt: Target,
    *,
    pictures: int = 2,
    batch: int = 2,
    captions: tuple[str, ...] = (),
    prior: Any = None,
    **settings: Any,
) -> DiffusionLesson:
    """A lesson over latents of noise."""
    shown = captions or tuple(f"thing number {number}" for number in range(pictures))
    deal = Deal([0] * pictures, [1] * pictures, batch, 7)
    cached = [(one_latent(number),) for number in range(pictures)]
    texts = Texts(model, Tokenizer())
    return DiffusionLesson(
        model, learnt, texts, Pictures(cached, shown, deal), LessonSettings(seed=7, **settings), prior
    )


def stir(learnt: Target, seed: int = 0, by: float = 0.1) -> None:
    """Moves every trained number, so that the target has an effect."""
    with torch.no_grad():
        for name, tensor in learnt.parameters().items():
            tensor += by * torch.randn(tensor.shape, generator=generator(seed, name))


def answer_of(model: LoadedModel, seed: int = 0, side: int = 8) -> Tensor:
    """What the U-Net says of noise under a caption, read by the model's own text encoders and words."""
    draws = generator(seed, "question")
    x = torch.randn(1, 4, side, side, generator=draws)
    with torch.no_grad():
        read = Texts(model, Tokenizer()).learning(("thing on a sks ground",), model.vocabularies)
        added = None
        if read.pooled is not None:
            added = {"text_embeds": read.pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
        answered: Tensor = model.unet(
            x, torch.tensor([500]), encoder_hidden_states=read.context, added_cond_kwargs=added, return_dict=False
        )[0]
    return answered


def state_hash(model: LoadedModel) -> str:
    """sha256 of every tensor of every part."""
    digest = hashlib.sha256()
    for part, module in model.parts():
        for name, tensor in module.state_dict().items():
            digest.update(f"{part}.{name}".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
