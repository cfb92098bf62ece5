"""Checkpoint file: opens whatever a checkpoint comes as, and shows its tensors under the original names.

Files by their content, folders by what lies in them. Knows which reader and which names, builds no model.
"""

from __future__ import annotations

from pathlib import Path

from app.models.diffusers_folder import open_folder, open_part, open_weight_file
from app.models.named_weights import renamed
from app.models.original_names import original_names, original_vae_names
from app.models.weights import Weights
from app.schema.errors import UnsupportedModel


def open_weights(path: str | Path) -> Weights:
    """A model file under its own names: safetensors or a pickle, told by its content.

    Raises ModelNotFound, BrokenModelFile, UnsafeModelFile, UnsupportedModel.
    """
    return open_weight_file(Path(path))


def open_checkpoint(path: str | Path) -> Weights:
    """A checkpoint's tensors under the names of the original single-file layout. Raises as open_weights does."""
    path = Path(path)
    if path.is_dir():
        return open_folder(path)
    file = open_weights(path)
    if any(name.endswith(".quant_state.bitsandbytes__nf4") for name in file.shapes):
        raise UnsupportedModel(
            f"{path.name} has its weights packed in four bits (bitsandbytes NF4), which is not read.",
            hint="Take a version of it in fp16 or fp8.",
        )
    names = original_names(file.shapes)
    return file if names is None else renamed(file, *names)


def open_vae(path: str | Path) -> Weights:
    """A file that holds a VAE, alone or in a checkpoint, or a folder with one. Raises as open_weights does."""
    path = Path(path)
    if path.is_dir():
        whole = (path / "model_index.json").is_file()
        return open_folder(path) if whole else open_part(path, "vae.")
    file = open_weights(path)
    names = original_vae_names(file.shapes)
    return file if names is None else renamed(file, names)
