"""Captioner: what a picture shows, in a line of words, by a BLIP model of transformers (Li et al. 2022)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from app.schema.errors import BrokenModelFile

MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pictures, which BLIP's encoder was taught with."""
MOST_TOKENS = 48
"""A1111's usual longest caption."""


class Captioner:
    """A model from a local folder, in float32 on one device; nothing is fetched and nothing pickled is read."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Raises BrokenModelFile for a folder that holds something else."""
        # Late, since transformers takes seconds to import and most pictures need no captioner.
        from transformers import AutoTokenizer, BlipForConditionalGeneration  # noqa: PLC0415

        self.folder = folder
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = BlipForConditionalGeneration.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise BrokenModelFile(
                f"{folder.name} is no BLIP model that can be read: {str(error)[:200]}",
                hint="Fetch the whole folder again.",
            ) from error
        self._model = model.to(device=device, dtype=torch.float32).eval()
        self._side: int = model.config.vision_config.image_size
        self._device = device

    def __call__(self, picture: Image.Image) -> str:
        """The caption of an RGB picture; the same each time."""
        pixels = self._pixels(picture)
        with torch.inference_mode():
            words = self._model.generate(pixel_values=pixels, max_new_tokens=MOST_TOKENS, do_sample=False)
        return str(self._tokenizer.decode(words[0], skip_special_tokens=True)).strip()

    def _pixels(self, picture: Image.Image) -> Tensor:
        """[1, 3, side, side], stretched to the encoder's square as BLIP's own processor does."""
        small = picture.convert("RGB").resize((self._side, self._side), Image.Resampling.BICUBIC)
        levels = (np.asarray(small, dtype=np.float32) / 255 - MEAN) / SPREAD
        return torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1)[None].to(self._device)
