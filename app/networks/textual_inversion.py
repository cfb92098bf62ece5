"""Embedding: a textual inversion as a Vocabulary: vectors that stand in place of a name in a prompt.

Files of A1111, of diffusers, of kohya and OneTrainer, SDXL pairs, pictures, and those bundled in a LoRA's file
(a1111-facts 6.2, 6.4). Knows token ids, not how text becomes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from app.models.checkpoint_file import open_weights
from app.models.model import LoadedModel, TokenVectors, fingerprint
from app.models.weights import Weights
from app.networks.embedded_picture import read_embedded_picture
from app.networks.network import Report
from app.networks.patch import BUNDLED
from app.schema.errors import BrokenModelFile

_FAMILY_OF_WIDTHS: Mapping[tuple[int, ...], str] = {(768,): "SD1", (1024,): "SD2", (768, 1280): "SDXL", (1280,): ""}
_PAIR = ("clip_l", "clip_g")
_PARAMETERS = "string_to_param."
PICTURES = (".png", ".webp", ".jxl", ".avif")
MOST_VECTORS = 10_000


class Embedding:
    """One word. ids: the tokens of its name. vectors: [n, width] float32 for each text encoder."""

    kind = "embedding"

    def __init__(self, name: str, ids: Sequence[int], vectors: tuple[Tensor, ...], identity: object) -> None:
        """Raises BrokenModelFile for vectors that are no list of rows of equal number."""
        counts = {vector.shape[0] for vector in vectors if vector.dim() == 2}
        if len(counts) != 1 or any(vector.dim() != 2 for vector in vectors) or not 0 < min(counts) <= MOST_VECTORS:
            raise BrokenModelFile(f"The embedding {name} is no list of vectors.")
        self.name = name
        self.ids = tuple(ids)
        self.vectors = vectors
        self.family = _FAMILY_OF_WIDTHS.get(self.widths, "")
        self.fingerprint = fingerprint("embedding", name, identity)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width for each text encoder."""
        return tuple(int(vector.shape[1]) for vector in self.vectors)

    def tokens(self, ids: Sequence[int]) -> TokenVectors | None:
        """See `Vocabulary`."""
        if not self.ids or tuple(ids[: len(self.ids)]) != self.ids:
            return None
        return TokenVectors(self.name, len(self.ids), self.vectors)

    def report(self, model: LoadedModel) -> Report:
        """See `Network`: all vectors or none."""
        fits = list(self.widths) == [encoder.facts.width for encoder in model.text_encoders]
        count = int(self.vectors[0].shape[0])
        return Report(
            self.name, "Embedding", None, count if fits else 0, count, () if fits else (self.name,), "vectors"
        )


def read_vectors(path: str | Path) -> tuple[Tensor, ...]:
    """The vectors of an embedding's file, [n, width] float32 for each text encoder.

    Raises what `open_weights` raises, and BrokenModelFile for a file that holds no embedding.
    """
    path = Path(path)
    if path.suffix.lower() in PICTURES:
        found = read_embedded_picture(path).vectors
        return _vectors(path.name, {f"{_PARAMETERS}{name}": vector for name, vector in found.items()})
    file = open_weights(path)
    return _vectors(path.name, _tensors(file, file.shapes))


def bundled(file: Weights) -> dict[str, tuple[Tensor, ...]]:
    """The embeddings inside a LoRA's file by name: `bundle_emb.<name>.string_to_param.*` or `.clip_l`, `.clip_g`."""
    return {
        name: _vectors(name, {key.removeprefix(f"{BUNDLED}{name}."): file.tensor(key).float() for key in keys})
        for name, keys in _bundles(file)
    }


def bundled_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the embeddings in a file with these tensor names."""
    found = (name.removeprefix(BUNDLED).rpartition(".")[0] for name in names if name.startswith(BUNDLED))
    return tuple(dict.fromkeys(name.partition(f".{_PARAMETERS.rstrip('.')}")[0] for name in found if name))


def _bundles(file: Weights) -> Iterator[tuple[str, list[str]]]:
    for name in bundled_names(list(file.shapes)):
        yield name, [key for key in file.shapes if key.startswith(f"{BUNDLED}{name}.")]


def _tensors(file: Weights, names: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors that may be vectors; sizes are looked at before numbers are read."""
    for name, shape in names.items():
        if len(shape) == 2 and shape[0] > MOST_VECTORS:
            raise BrokenModelFile(f"{Path(file.identity.path).name}: {name} has {shape[0]:,} vectors.")
    return {name: file.tensor(name).float() for name in names}


def _vectors(file: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    if all(name in tensors for name in _PAIR):
        found = [tensors[name] for name in _PAIR]
    else:
        named = {name: tensor for name, tensor in tensors.items() if name.startswith(_PARAMETERS)} or dict(tensors)
        if len(named) != 1:
            raise BrokenModelFile(f"{file} holds {len(named)} tensors; an embedding is one, or clip_l and clip_g.")
        found = list(named.values())
    if any(tensor.dim() not in (1, 2) for tensor in found):
        raise BrokenModelFile(f"{file} holds no list of vectors.")
    return tuple(torch.atleast_2d(tensor.float()) for tensor in found)
