"""Texts: captions as the U-Net reads them, literally: brackets and weights mean nothing in a caption.

Remembers what frozen text encoders said; words in training are read anew each time, with gradients.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from app.conditioning import Conditioning, Vocabulary, encode_unit, joined
from app.language import CHUNK_LENGTH, TextUnit, Tokenizer, Variant
from app.models import LoadedModel

_MOST_REMEMBERED = 256


class Texts:
    """Reads the captions of one training with the model's text encoders."""

    def __init__(self, model: LoadedModel, tokenizer: Tokenizer, clip_skip: int = 1) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._clip_skip = clip_skip
        self._remembered: OrderedDict[str, Conditioning] = OrderedDict()

    def frozen(self, captions: Sequence[str]) -> Conditioning:
        """What the untouched encoders say, [n] rows. Each caption is read alone, so that no batch changes its bits."""
        with torch.no_grad():
            return joined([self._known(caption) for caption in captions])

    def learning(self, captions: Sequence[str], vocabularies: Sequence[Vocabulary]) -> Conditioning:
        """What encoders or words in training say, with gradients."""
        different = tuple(dict.fromkeys(captions))
        if ("" in different and len(different) > 1) or not self._fit_together(different, vocabularies):
            read = {caption: self._read((caption,), vocabularies)[0] for caption in different}
        else:
            read = dict(zip(different, self._read(different, vocabularies), strict=True))
        return joined([read[caption] for caption in captions])

    def _known(self, caption: str) -> Conditioning:
        if caption not in self._remembered:
            self._remembered[caption] = self._read((caption,), ())[0]
            while len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return self._remembered[caption]

    def _read(self, captions: Sequence[str], vocabularies: Sequence[Vocabulary]) -> tuple[Conditioning, ...]:
        variants = tuple(Variant(number, caption) for number, caption in enumerate(captions))
        # An empty caption is read as guidance reads an empty negative prompt: as zeros by SDXL.
        unit = TextUnit(variants, emphasis="None", clip_skip=self._clip_skip, negative=not any(captions))
        encoders = self._model.text_encoders
        return encode_unit(encoders, unit, self._tokenizer, vocabularies=vocabularies).conditionings

    def _fit_together(self, captions: Sequence[str], vocabularies: Sequence[Vocabulary]) -> bool:
        """Whether all fill one chunk for certain: shorter ones would be padded to a longer one's length."""
        most = max((rows.shape[0] for one in vocabularies for rows in getattr(one, "vectors", ())), default=1)
        return all(len(self._tokenizer.encode(caption)) * most <= CHUNK_LENGTH for caption in captions)
