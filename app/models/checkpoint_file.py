"""Checkpoint file: opens whatever a checkpoint comes as, and shows its tensors under the original names.

Files by their content, folders by what lies in them. Knows which reader and which names, builds no model. What is
already open is taken as it is, so that a header is read once for everything that wants to know of a file.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from app.files import Identity
from app.models.diffusers_folder import open_folder, open_part, open_weight_file
from app.models.named_weights import renamed
from app.models.original_names import original_names, original_vae_names
from app.models.weights import Weights
from app.schema.errors import UnsupportedModel

Source = str | Path | Weights
"""A file or folder of weights, by its path or already open."""


class OpenFiles:
    """What has been opened, for the next who asks for the same file: its names and shapes are read once.

    keeps: so many files are remembered, those asked for last; a header takes a megabyte or two.
    """

    def __init__(self, keeps: int = 8) -> None:
        self._keeps = keeps
        self._known: OrderedDict[str, Weights] = OrderedDict()

    def get(self, path: str) -> Weights:
        """The file or folder, opened if it is not or has changed since. Raises as open_weights does."""
        known = self._known.get(path)
        if known is None or known.identity != Identity.of(path):
            known = self._known[path] = _open(Path(path))
        self._known.move_to_end(path)
        return known

    def close(self) -> None:
        """Lets go of all files; tensors that share a file's pages stay as they are."""
        for known in self._known.values():
            known.close()
        while len(self._known) > self._keeps:
            self._known.popitem(last=False)


def open_weights(path: str | Path) -> Weights:
    """A model file under its own names: safetensors or a pickle, told by its content.

    Raises ModelNotFound, BrokenModelFile, UnsafeModelFile, UnsupportedModel.
    """
    return open_weight_file(Path(path))


def open_checkpoint(source: Source) -> Weights:
    """A checkpoint's tensors under the names of the original single-file layout. Raises as open_weights does."""
    if isinstance(source, str | Path):
        path = Path(source)
        source = open_folder(path) if path.is_dir() else open_weights(path)
    if any(name.endswith(".quant_state.bitsandbytes__nf4") for name in source.shapes):
        raise UnsupportedModel(
            f"{source.path.name} has its weights packed in four bits (bitsandbytes NF4), which is not read.",
            hint="Take a version of it in fp16 or fp8.",
        )
    names = original_names(source.shapes)
    return source if names is None else renamed(source, *names)


def open_vae(source: Source) -> Weights:
    """A file that holds a VAE, alone or in a checkpoint, or a folder with one. Raises as open_weights does."""
    if isinstance(source, str | Path):
        source = _open(Path(source))
    names = original_vae_names(source.shapes)
    return source if names is None else renamed(source, names)


def _open(path: Path) -> Weights:
    if not path.is_dir():
        return open_weights(path)
    return open_folder(path) if (path / "model_index.json").is_file() else open_part(path, "vae.")


def vae_prefix(file: Weights) -> str:
    """What the names of its VAE's tensors begin with: a checkpoint's, or nothing."""
    return "first_stage_model." if "first_stage_model.decoder.conv_in.weight" in file.shapes else ""
