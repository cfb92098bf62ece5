"""Training pictures: looks into, captions and fills folders of pictures that a training is to learn from.

Paths that lead out of their folder are refused. What a training makes of the pictures is not known here.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image, ImageOps

from app.files.whole_file import write_whole
from app.schema.errors import InvalidImage, PictureNotFound, TrainingProblem

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LARGEST = 100_000_000
_SAFE = re.compile(r"[^\w. -]+")


def thumbnail_of(folder: Path, name: str, side: int = 256) -> bytes:
    """A small JPEG of one picture, whole. Raises PictureNotFound, InvalidImage."""
    path = picture_in(folder, name)
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * side, 2 * side))
            small = ImageOps.exif_transpose(opened).convert("RGB")
            small.thumbnail((side, side))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidImage(f"{path.name} is damaged or is no picture.") from error
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return data.getvalue()


def write_caption(folder: Path, name: str, caption: str) -> None:
    """Writes the caption of a picture beside it, as `.txt`. Raises PictureNotFound, CannotWrite, DiskFull."""
    write_whole(picture_in(folder, name).with_suffix(".txt"), caption.strip().encode("utf-8"))


def add_picture(folder: Path, name: str, data: bytes) -> str:
    """Puts a picture into a folder, under a number where the name is taken; the name it got.

    Raises InvalidImage, TrainingProblem for a name that is none, CannotWrite, DiskFull.
    """
    clean = _SAFE.sub("_", Path(name.replace("\\", "/")).name).strip(" .")
    if Path(clean).suffix.lower() not in (*PICTURES, ".txt", ".caption") or clean.startswith("."):
        raise TrainingProblem(f"'{name[:60]}' is no picture.", hint=f"Pictures end in {', '.join(PICTURES)}.")
    if len(data) > LARGEST:
        raise InvalidImage(f"{clean} is larger than {LARGEST // 1_000_000} MB.")
    if Path(clean).suffix.lower() in PICTURES:
        try:
            with Image.open(io.BytesIO(data)) as opened:
                opened.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InvalidImage(f"{clean} is damaged or is no picture.") from error
    path = folder / clean
    for number in range(2, 10_000):
        if not path.exists() or path.read_bytes() == data:
            break
        path = folder / f"{Path(clean).stem}-{number}{Path(clean).suffix}"
    write_whole(path, data)
    return path.name


def drop_folder(parent: Path, name: str) -> Path:
    """The folder that pictures dropped under a name go to. Raises TrainingProblem."""
    clean = _SAFE.sub("_", name).strip(" .")
    if not clean:
        raise TrainingProblem("The set of pictures needs a name.", field="data")
    return parent / clean[:80]


def picture_in(folder: Path, name: str) -> Path:
    """The path of a picture inside a folder. Raises PictureNotFound."""
    path = folder / name
    inside = path.resolve().is_relative_to(folder.resolve())
    if not inside or path.suffix.lower() not in PICTURES or not path.is_file():
        raise PictureNotFound(f"There is no picture '{name[:80]}' in {folder.name}.")
    return path
