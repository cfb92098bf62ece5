"""Saving: results of Extras get A1111's names and carry the infotext of the picture that they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from app.extras.sizes import PostprocessingFacts
from app.files import Encoding, encode, read_picture_info, write_whole
from app.files.images import EXTRAS_FOLDER, Numbers
from app.schema.errors import InvalidImage
from app.schema.settings import SettingValues

PNG = Encoding()
POSTPROCESSING = "postprocessing"
"""Under which name A1111 writes what Extras did."""


class Texts(NamedTuple):
    """What a picture file said: its infotext, "" for none, and other texts by name."""

    infotext: str
    others: dict[str, str]


def texts_of(data: bytes) -> Texts:
    """The texts of a picture file; none where its kind carries none."""
    try:
        info = read_picture_info(data)
    except InvalidImage:
        return Texts("", {})
    return Texts(info.infotext or "", info.items)


def encoded(picture: Image.Image, texts: Texts, facts: PostprocessingFacts, encoding: Encoding = PNG) -> bytes:
    """The file of a result. Formats without room for further texts keep the infotext, or else what was done."""
    done = words_of(facts)
    others = {**texts.others, **({POSTPROCESSING: done} if done else {})} if encoding.infotext else {}
    if not encoding.fits(*picture.size, len(texts.infotext)):
        encoding = Encoding(infotext=encoding.infotext)
    infotext = texts.infotext if encoding.format == "png" or texts.infotext else done
    return encode(picture, infotext, encoding, others)


def words_of(facts: PostprocessingFacts) -> str:
    """`Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos`."""
    return ", ".join(f"{name}: {value}" for name, value in facts)


class Places:
    """Where results go. data: the data folder. One thread."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._numbers = Numbers()

    def free(self, folder: str, stem: str, sizes: Sequence[tuple[int, int]], values: SettingValues) -> list[str]:
        """A path for each picture of one source, under which nothing stands. folder: "" for the usual, where names are
        numbers; in another the source's own stem is kept, as A1111 does."""
        used: set[str] = set()
        return [self._free(folder, stem, size, values, used) for size in sizes]

    def _free(self, folder: str, stem: str, size: tuple[int, int], values: SettingValues, used: set[str]) -> str:
        where = self._data / (folder or EXTRAS_FOLDER)
        fits = Encoding(values.samples_format).fits(*size, 0)
        ending = values.samples_format if fits else "png"
        for attempt in range(100_000):
            if folder:
                name = f"{stem}-{attempt}" if attempt else stem
            else:
                name = f"{self._numbers.take(where):05}"
            path = where / f"{name}.{ending}"
            if str(path) not in used and not path.exists():
                used.add(str(path))
                return path.relative_to(self._data).as_posix() if path.is_relative_to(self._data) else str(path)
        raise FileExistsError(str(where / stem))

    def write(self, path: str, data: bytes) -> None:
        """The file whole. Raises DiskFull, CannotWrite."""
        write_whole(self._data / path, data)

    def is_whole(self, path: str) -> bool:
        """Whether a file stands under its name; it only does once it is whole."""
        file = self._data / path
        return file.is_file() and file.stat().st_size > 0
