"""A folder of training pictures: which there are, what their captions say, how often each is shown.

Reads plain folders, kohya's `N_words` folders and metadata files. Knows files; nothing of sizes to train at.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.schema.errors import TrainingProblem

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
CAPTIONS = (".txt", ".caption")
MASKS = "masks"
_OTHER_PICTURES = (".gif", ".avif", ".heic", ".heif", ".jfif", ".jxl", ".tga", ".psd")
SMALLEST_SIDE = 16
LARGEST_SIDE = 16_384
_KOHYA = re.compile(r"(\d+)_(.+)")
_OWN = re.compile(r"([1-9]\d{0,2})_(.+)")
"""Of the chosen folder itself: '2024_holiday' and '01_raw' are a year and a number, not how often it is shown."""
_NUMBERING = re.compile(r"^[-\d]+\s*")
_SHOWN = 5


@dataclass(frozen=True)
class Sample:
    """One picture to learn from.

    width, height: in pixels, as it is seen (EXIF rotation done). caption: as written; where nobody wrote any, the file
    name's words. written: whether somebody did. repeats: how often an epoch shows it. mask: a picture of equal stem in
    a folder `masks`, white where the loss counts; else the picture itself where it has transparency, which does not
    count.
    """

    path: Path
    width: int
    height: int
    caption: str
    repeats: int = 1
    mask: Path | None = None
    written: bool = True


def read_folder(folder: Path, field: str = "data", fallback: str = "") -> tuple[Sample, ...]:
    """The pictures of a folder by name, those of its `N_words` folders shown N times with 'words' as caption.

    A caption is the text file of the same stem (`.txt`, then `.caption`), else the entry in `metadata.jsonl` or
    `metadata.json`, else the words of a kohya folder, else `fallback`, else the file name without leading numbers.
    Raises TrainingProblem, naming the files, for a folder that is missing or empty and for pictures that cannot be
    read, are smaller than 16 pixels, or whose caption is no UTF-8. field: of the training request, for the message.
    """
    if not folder.is_dir():
        raise TrainingProblem(f"The folder {folder} does not exist.", field=field, hint="Choose a folder of pictures.")
    samples: list[Sample] = []
    problems: list[str] = []
    for place, repeats, words in _places(folder):
        listed = _listed_captions(place)
        for path in sorted(place.iterdir()):
            if path.suffix.lower() not in PICTURES or path.name.startswith("."):
                continue
            try:
                width, height = _size(path)
                caption = _caption(path, listed, words or fallback or None)
            except ValueError as problem:
                problems.append(f"{path.name}: {problem}")
            else:
                shown = file_words(path) if caption is None else caption
                samples.append(Sample(path, width, height, shown, repeats, _mask(path), caption is not None))
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise TrainingProblem(
            f"{len(problems)} of the pictures in {folder.name} cannot be used: {'; '.join(problems[:_SHOWN])}{more}.",
            field=field,
            hint="Replace them or move them out of the folder.",
        )
    if not samples:
        raise TrainingProblem(
            f"There are no pictures in {folder}.", field=field, hint=f"It takes {', '.join(PICTURES)} files."
        )
    return tuple(samples)


def _places(folder: Path) -> Iterator[tuple[Path, int, str | None]]:
    """(folder, repeats, words that stand in for a caption)."""
    own = _OWN.fullmatch(folder.name)
    yield folder, int(own[1]) if own else 1, own[2] if own else None
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        named = _KOHYA.fullmatch(inner.name)
        if named and int(named[1]) > 0:
            yield inner, int(named[1]), named[2]


def passed_over(folder: Path) -> tuple[str, ...]:
    """What looks like pictures and is not used, in sentences: other endings, and folders that are not named N_words."""
    used = {place for place, _, _ in _places(folder)}
    said = []
    others = [path.name for place in used for path in place.iterdir() if path.suffix.lower() in _OTHER_PICTURES]
    if others:
        said.append(f"Not used, since only {', '.join(PICTURES)} files are read: {_some(sorted(others))}.")
    unnamed = [
        inner.name
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and inner not in used and inner.name != MASKS and not inner.name.startswith(".")
        if any(path.suffix.lower() in PICTURES for path in inner.rglob("*"))
    ]
    if unnamed:
        said.append(
            f"Folders whose pictures are not used: {_some(unnamed)}. Name a folder '10_words' to show its pictures ten "
            "times an epoch, or move them up."
        )
    return tuple(said)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture that was decoded whole. Raises ValueError with the reason in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
                turned = picture.getexif().get(0x0112, 1) >= 5
                if max(width, height) > LARGEST_SIDE:
                    raise ValueError(f"{width}x{height} is larger than {LARGEST_SIDE} pixels")
                picture.load()
    except (OSError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError("it is damaged or is no picture") from error
    if min(width, height) < SMALLEST_SIDE:
        raise ValueError(f"{width}x{height} is too small to learn from")
    return (height, width) if turned else (width, height)


def _caption(path: Path, listed: Mapping[str, str], words: str | None) -> str | None:
    """What somebody wrote. Raises ValueError with the reason in words."""
    for suffix in CAPTIONS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            try:
                return beside.read_text(encoding="utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"its caption {beside.name} is no UTF-8 text") from error
    if path.name in listed:
        return listed[path.name]
    return words


def file_words(path: Path) -> str:
    """A1111's caption of last resort: the file's stem without the numbers and dashes it begins with."""
    return _NUMBERING.sub("", path.stem).replace("_", " ").strip()


def _listed_captions(folder: Path) -> dict[str, str]:
    """Captions by file name from `metadata.jsonl` (Hugging Face) or `metadata.json` (kohya)."""
    captions: dict[str, str] = {}
    lines = folder / "metadata.jsonl"
    if lines.is_file():
        for entry in _entries(lines, _text(lines).splitlines()):
            name, text = entry.get("file_name"), entry.get("text", entry.get("caption"))
            if isinstance(name, str) and isinstance(text, str):
                captions[Path(name).name] = text.strip()
    table = folder / "metadata.json"
    if table.is_file():
        for whole in _entries(table, [_text(table)]):
            for name, told in whole.items():
                parts = [told.get("caption"), told.get("tags")] if isinstance(told, dict) else []
                text = ", ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
                if text:
                    stem = Path(name).name
                    captions |= {stem: text} | {f"{stem}{suffix}": text for suffix in PICTURES}
    return captions


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingProblem(
            f"{path.name} is no UTF-8 text: {error}.", field="data", hint="Save it again as UTF-8."
        ) from error


def _entries(path: Path, texts: Iterable[str]) -> Iterator[dict[str, object]]:
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise TrainingProblem(f"Line {number} of {path.name} is no JSON: {error}.", field="data") from error
        if isinstance(entry, dict):
            yield entry


def _mask(path: Path) -> Path | None:
    candidates = (path.parent / MASKS / f"{path.stem}{suffix}" for suffix in PICTURES)
    beside = next((candidate for candidate in candidates if candidate.is_file()), None)
    return beside or (path if _is_transparent(path) else None)


def _is_transparent(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
