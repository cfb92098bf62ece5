"""The model's own weights as a target (DreamBooth): U-Net, if wanted text encoders, never the VAE.

Ruiz et al. 2022. The file is a whole checkpoint with the base file's layout; what was not trained is copied through,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.conditioning import Vocabulary
from app.models import V_MARKER, ZERO_TERMINAL_SNR_MARKER, LoadedModel, write_checkpoint


@dataclass(frozen=True)
class WeightsSettings:
    """text_factor: of the learning rate for text encoders, 0: they are left alone. dtype: of the file, None: the base
    file's. keep_first: the first weights stay on the device, which `untouched` needs."""

    text_factor: float = 0.0
    dtype: torch.dtype | None = None
    keep_first: bool = False


class WeightsTarget:
    """See `Target`. Parameters are named as `LoadedModel.weights` does."""

    suffix = ".safetensors"

    def __init__(self, model: LoadedModel, settings: WeightsSettings) -> None:
        self._model = model
        self._settings = settings
        self.trains_text = settings.text_factor > 0
        self._trained: dict[str, nn.Parameter] = {
            name: weight for name, weight in model.weights() if name.startswith("unet.") or self.trains_text
        }
        self._first: dict[str, Tensor] = {}
        for name, weight in self._trained.items():
            first = weight.data
            weight.data = first.to(torch.float32, copy=True)
            self._first[name] = first if settings.keep_first else first.cpu()
            weight.requires_grad_(True)

    def parameters(self) -> Mapping[str, Tensor]:
        """See `Target`."""
        return self._trained

    def rates(self) -> Mapping[str, float]:
        """See `Target`: of text encoders."""
        return {name: self._settings.text_factor for name in self._trained if name.startswith("text_encoders.")}

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """See `Target`: none."""
        return ()

    def begin(self, part: int | None) -> None:
        """See `Target`: nothing is dropped."""

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See `Target`. Not while a loss is waiting for its backward pass: that would read the first weights."""
        learnt = {name: weight.data for name, weight in self._trained.items()}
        for name, weight in self._trained.items():
            weight.data = self._first[name].to(learnt[name].device)
        try:
            with torch.no_grad():
                yield
        finally:
            for name, weight in self._trained.items():
                weight.data = learnt[name]

    def file_bytes(self) -> int:
        """See `Target`."""
        dtype = self._settings.dtype
        if dtype is None and self._model.file is not None:
            return self._model.file.size
        size = (dtype or self._model.dtype).itemsize
        return sum(tensor.numel() for _, part in self._model.parts() for tensor in part.parameters()) * size

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """See `Target`. The markers of v-prediction are written where the model answers so."""
        model = self._model
        markers = []
        if model.prediction_type == "v":
            markers = [V_MARKER]
            if float(model.alphas_cumprod[-1]) < 1e-6:
                markers.append(ZERO_TERMINAL_SNR_MARKER)
        trained = [model.family.unet_prefix]
        if self.trains_text:
            trained += [facts.prefix for facts in model.family.text_encoders]
        return write_checkpoint(
            path,
            family=model.family,
            unet=model.unet,
            text_encoders=model.text_encoders,
            vae=model.vae,
            metadata=metadata,
            dtype=self._settings.dtype,
            markers=markers,
            base=model.file.path if model.file is not None else None,
            changed=trained,
        )

    def detach(self) -> None:
        """See `Target`."""
        for name, weight in self._trained.items():
            weight.requires_grad_(False)
            weight.grad = None
            weight.data = self._first[name].to(weight.device)
        self._trained = {}
