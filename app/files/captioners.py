"""Captioners: where a model lies that tells what a picture shows, if anybody has put one there."""

from __future__ import annotations

from pathlib import Path

from app.schema.errors import ModelNotFound

FOLDER = "BLIP"


def captioner_of(models: Path) -> Path:
    """The folder of a BLIP model in transformers' layout: models/BLIP itself, or the first such folder in it.

    models: the folder of all models. Raises ModelNotFound, in words, where there is none.
    """
    place = models / FOLDER
    folders = [place, *sorted(path for path in place.glob("*") if path.is_dir())]
    found = next((folder for folder in folders if _is_whole(folder)), None)
    if found is None:
        raise ModelNotFound(
            "No captioner is installed.",
            field="captions",
            hint=f"Put a BLIP model in transformers' layout into {place}: config.json, model.safetensors, and "
            "tokenizer.json or vocab.txt.",
        )
    return found


def _is_whole(folder: Path) -> bool:
    words = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    return words and (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
