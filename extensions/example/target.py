"""A training target: a cast of colour and brightness, the bias of the U-Net's last layer. Needs torch.

Its file is a LyCORIS 'full' change of that one layer, so that `<lora:name:1>` puts it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.extension_api import LoadedModel, Tokenizer, TrainingRequest, Vocabulary

LAYER = "lora_unet_conv_out"


class Cast:
    """See `Target` of the interface: what each of its methods promises."""

    suffix = ".safetensors"
    trains_text = False

    def __init__(self, request: TrainingRequest, model: LoadedModel, tokenizer: Tokenizer) -> None:
        self._layer: nn.Conv2d = model.unet.conv_out
        self._factor = float(request.method_settings.get("rate", 1.0))  # type: ignore[arg-type]
        self._cast = nn.Parameter(torch.zeros(self._layer.out_channels, device=self._layer.weight.device))
        self._on = True
        self._handle = self._layer.register_forward_hook(self._add)

    def parameters(self) -> Mapping[str, Tensor]:
        """One number for each channel of a latent."""
        return {"cast": self._cast}

    def rates(self) -> Mapping[str, float]:
        """As the method's settings say."""
        return {"cast": self._factor}

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """It teaches no words."""
        return ()

    def begin(self, part: int | None) -> None:
        """Nothing is dropped."""

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Without the cast."""
        self._on = False
        try:
            with torch.no_grad():
                yield
        finally:
            self._on = True

    def file_bytes(self) -> int:
        """The layer's weight, all zeros, and the cast."""
        return 4 * (self._layer.weight.numel() + self._cast.numel())

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """As LyCORIS writes a full change."""
        change = {
            f"{LAYER}.diff": torch.zeros(self._layer.weight.shape),
            f"{LAYER}.diff_b": self._cast.detach().float().cpu().clone(),
        }
        save_file(change, path, dict(metadata))
        return path

    def detach(self) -> None:
        """The layer is as it was."""
        self._handle.remove()

    def _add(self, layer: nn.Module, inputs: tuple[Tensor, ...], answer: Tensor) -> Tensor:
        return answer + self._cast.to(answer.dtype).view(1, -1, 1, 1) if self._on else answer
