"""Text encoders: which files lend a checkpoint the text encoders that it lacks.

Goes by what the library has read of the files' headers; whether the parts fit together is the loader's to say.
"""

from __future__ import annotations

from app.files import CHECKPOINT, TEXT_ENCODER, ModelFile, ModelLibrary
from app.files.recognise import SD1, SD2, SDXL, SDXL_REFINER
from app.schema.choices import AUTOMATIC
from app.schema.errors import ModelNotFound, UnsupportedModel

_WANTED = {SD1: ("CLIP-L",), SD2: ("OpenCLIP-H",), SDXL: ("CLIP-L", "OpenCLIP-G"), SDXL_REFINER: ("OpenCLIP-G",)}
"""The text encoders of each family, as `recognise` calls them."""


def lenders_of(checkpoint: ModelFile, wanted: str, library: ModelLibrary) -> tuple[ModelFile, ...]:
    """The files that a request's word means for a checkpoint; none for one that has its own.

    wanted: names with commas between them, or Automatic: of each kind that the family reads, the first in the folder
    of text encoders. Raises ModelNotFound for a name, UnsupportedModel where there is nothing to take.
    """
    parts = checkpoint.summary.parts
    if not parts or "unet" not in parts or "text encoder" in parts:
        return ()
    if wanted not in ("", AUTOMATIC):
        return tuple(_named(name.strip(), library) for name in wanted.split(",") if name.strip())
    alone = [file for file in library.list(TEXT_ENCODER) if file.problem is None]
    kinds = _WANTED.get(checkpoint.family, ())
    found = [next((file for file in alone if file.variant == kind), None) for kind in kinds]
    lacking = [kind for kind, file in zip(kinds, found, strict=True) if file is None]
    if lacking or not kinds:
        raise UnsupportedModel(
            f"{checkpoint.name} holds no text encoder, and there is none to lend it ({', '.join(lacking)}).",
            field="text_encoder",
            hint="Put it into models/text_encoder, or name a complete checkpoint to take it from.",
        )
    return tuple(file for file in found if file is not None)


def _named(name: str, library: ModelLibrary) -> ModelFile:
    try:
        return library.find(name, TEXT_ENCODER)
    except ModelNotFound:
        return library.find(name, CHECKPOINT)
