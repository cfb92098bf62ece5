"""LoRA and its kin as a target: small tensors beside the layers, written under kohya's names.

The model's own weights are never touched: hooks add to what layers answer, and go again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from app.conditioning import Vocabulary
from app.files.hashes import addnet_hash, legacy_hash
from app.models import Entry, LoadedModel, write_tensors
from app.schema.errors import TrainingProblem
from app.training.randomness import generator
from app.training.targets.adapters import ADAPTERS, DOWN, MAGNITUDE, UP, Adapter, Parts, decomposed, scale_of
from app.training.targets.layers import Layer, lora_layers

_HEADER_LINE = 150
"""Bytes that a safetensors header spends on one tensor, about."""


@dataclass(frozen=True)
class LoraSettings:
    """kind: of `ADAPTERS`. rank, alpha: of linear layers and 1x1 convolutions; conv_*: of larger ones, rank 0: none.

    factor: of LoKr. text_factor: of the rate of text encoders, 0: they are left alone. dropout: share of inner numbers
    that a step leaves out. dtype: of the file.
    """

    kind: str = "LoRA"
    rank: int = 16
    alpha: float = 16.0
    conv_rank: int = 0
    conv_alpha: float = 8.0
    factor: int = -1
    text_factor: float = 0.0
    dropout: float = 0.0
    dtype: torch.dtype = torch.float16
    seed: int = 0


@dataclass(frozen=True)
class _Place:
    """An adapter on its layer."""

    layer: Layer
    parts: dict[str, Tensor]
    alpha: float
    scale: float


class LoraTarget:
    """See `Target`. Parameters are named as in the file."""

    suffix = ".safetensors"

    def __init__(self, model: LoadedModel, settings: LoraSettings) -> None:
        """Raises TrainingProblem for a model without layers to change."""
        self._settings = settings
        self._adapter: Adapter = ADAPTERS[settings.kind]
        self.trains_text = settings.text_factor > 0
        chosen = lora_layers(model, convolutions=settings.conv_rank > 0, text=self.trains_text)
        self._places = [self._placed(layer) for layer in chosen]
        if not self._places:
            raise TrainingProblem("This checkpoint has no layers that a LoRA could change.", field="checkpoint")
        self._on = True
        self._part: int | None = None
        self._handles = [place.layer.module.register_forward_hook(partial(self._add, place)) for place in self._places]

    def _placed(self, layer: Layer) -> _Place:
        s, weight = self._settings, layer.module.weight
        rank, alpha = (s.conv_rank, s.conv_alpha) if layer.spatial else (s.rank, s.alpha)
        shapes = self._adapter.shapes(tuple(weight.shape), rank, s.factor)
        parts = {name: torch.empty(shape, device=weight.device) for name, shape in shapes.items()}
        if not weight.is_meta:
            with torch.no_grad():
                self._adapter.fill(parts, weight.detach(), generator(s.seed, f"first weights/{layer.name}"))
        parts = {name: part.requires_grad_() for name, part in parts.items()}
        scale = scale_of(shapes, alpha, rank)
        return _Place(layer, parts, alpha if scale == alpha / rank else float(rank), scale)

    def parameters(self) -> Mapping[str, Tensor]:
        """See `Target`."""
        return {f"{place.layer.name}.{name}": part for place in self._places for name, part in place.parts.items()}

    def rates(self) -> Mapping[str, float]:
        """See `Target`: of text encoders."""
        factor = self._settings.text_factor
        return {name: factor for name in self.parameters() if name.startswith("lora_te")} if factor else {}

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """See `Target`: none."""
        return ()

    def begin(self, part: int | None) -> None:
        """See `Target`."""
        self._part = part

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See `Target`."""
        self._on = False
        try:
            with torch.no_grad():
                yield
        finally:
            self._on = True

    def file_bytes(self) -> int:
        """See `Target`."""
        parameters = self.parameters()
        numbers = sum(part.numel() for part in parameters.values()) + len(self._places)
        return numbers * self._settings.dtype.itemsize + _HEADER_LINE * (len(parameters) + len(self._places))

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """See `Target`. kohya's hashes of the weights, over a file that holds 'ss_' metadata alone, are added."""
        dtype = self._settings.dtype
        entries = {name: _entry(tensor, dtype) for name, tensor in self.parameters().items()}
        for place in self._places:
            entries[f"{place.layer.name}.alpha"] = _entry(torch.tensor(place.alpha), dtype)
        bare = {key: value for key, value in metadata.items() if key.startswith("ss_")}
        write_tensors(path, entries, bare)
        whole = addnet_hash(path)
        hashes = {"sshs_model_hash": whole, "sshs_legacy_hash": legacy_hash(path)}
        hashes["modelspec.hash_sha256"] = f"0x{whole}" if "modelspec.architecture" in metadata else ""
        return write_tensors(path, entries, {**metadata, **{key: value for key, value in hashes.items() if value}})

    def detach(self) -> None:
        """See `Target`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _add(self, place: _Place, module: Any, inputs: tuple[Tensor, ...], answer: Tensor) -> Tensor:
        if not self._on:
            return answer
        x, parts = inputs[0], place.parts
        run = _runner(module)
        if MAGNITUDE not in parts and UP in parts:
            inner = run(x, parts[DOWN])
            return answer + _outward(self._dropped(place, inner), parts[UP]) * place.scale
        with torch.autocast(x.device.type, enabled=False):
            change = self._change(place, module.weight)
        return answer + run(self._dropped(place, x), change)

    def _change(self, place: _Place, weight: Tensor) -> Tensor:
        """What is added to the layer's weight, float32."""
        parts: Parts = place.parts
        change = self._adapter.delta(parts, tuple(weight.shape)) * place.scale
        if MAGNITUDE not in parts:
            return change
        own = weight.detach().float()
        return decomposed(own + change, parts[MAGNITUDE]) - own

    def _dropped(self, place: _Place, x: Tensor) -> Tensor:
        """Dropout whose draws follow from the step and the layer, so that checkpointing and resuming repeat them."""
        share = self._settings.dropout
        if not share or self._part is None:
            return x
        draws = generator(self._settings.seed, f"dropout/{place.layer.name}", self._part)
        kept = (torch.rand(x.shape, generator=draws) >= share).to(x.device, x.dtype)
        return x * kept / (1 - share)


def _runner(module: nn.Linear | nn.Conv2d) -> Callable[[Tensor, Tensor], Tensor]:
    if isinstance(module, nn.Linear):
        return linear
    stride, padding, dilation = module.stride, module.padding, module.dilation
    return lambda x, weight: conv2d(x, weight, None, stride, padding, dilation)


def _outward(inner: Tensor, up: Tensor) -> Tensor:
    return linear(inner, up) if up.dim() == 2 else conv2d(inner, up)


def _entry(tensor: Tensor, dtype: torch.dtype) -> Entry:
    return Entry(dtype, tuple(tensor.shape), lambda: tensor)
