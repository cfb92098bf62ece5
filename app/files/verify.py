"""Verify: reads a model file to its last byte and says all that is wrong with it.

Checks structure, checksums, numbers that are none, and hashes that stand beside or inside the file; changes nothing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.files.civitai import ENDING, read_civitai
from app.files.contents import Content, tell_content
from app.files.hashes import sha256_of
from app.files.number_formats import Unfinite, count_unfinite
from app.files.pickles import read_pickle
from app.files.picture_embedding import embedding_in
from app.files.weights import Weights
from app.schema.errors import EaselError

_READ = 1 << 20
_DIGEST = re.compile(r"\b[0-9a-fA-F]{64}\b")
_FEWEST_DIGITS = 8
# Of the weights alone, without the header (kohya's and modelspec's).
_OF_WEIGHTS = ("sshs_model_hash", "modelspec.hash_sha256")

Progress = Callable[[int, int], None]


@dataclass
class Verified:
    """What was found. problems: why the file should not be trusted, empty for a sound one; notes: worth knowing.

    unfinite: tensors with NaNs or infinities. sha256: of the whole file, "" for a file that could not be read or a
    folder. files: how many a diffusers folder has.
    """

    path: Path
    content: str = ""
    size: int = 0
    tensors: int = 0
    sha256: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unfinite: dict[str, Unfinite] = field(default_factory=dict)
    files: int = 1

    @property
    def sound(self) -> bool:
        """Nothing is wrong with it."""
        return not self.problems


def verify(path: Path, expected: str = "", progress: Progress = lambda done, of: None) -> Verified:
    """Read a file, or all files of a diffusers folder, whole. Never raises for what is wrong with them.

    expected: sha256, at least its first 8 digits, that the file should have. progress: bytes read so far, and of all.
    """
    found = Verified(path)
    try:
        content = tell_content(path)
        found.content = content.value
        if content is Content.DIFFUSERS:
            _folder(found, progress)
        elif content in (Content.SAFETENSORS, Content.ZIP, Content.PICKLE):
            found.size = path.stat().st_size
            _file(found, expected, progress)
        elif content is Content.IMAGE and embedding_in(path) is not None:
            found.size, found.tensors, found.sha256 = path.stat().st_size, 1, sha256_of(path)
            _compare(found, expected)
        else:
            found.problems.append(f"It is {content.value}.")
    except EaselError as error:
        found.problems.append(error.message)
    except OSError as error:
        found.problems.append(f"It cannot be read: {error.strerror or error}.")
    return found


def _folder(found: Verified, progress: Progress) -> None:
    parts = sorted(part for part in found.path.glob("*/*") if part.suffix in (".safetensors", ".bin", ".pt", ".ckpt"))
    found.files, found.size = len(parts), sum(part.stat().st_size for part in parts)
    if not parts:
        found.problems.append("The folder holds no weights.")
    before = 0
    for part in parts:
        one = verify(part, progress=lambda done, _, before=before: progress(before + done, found.size))  # type: ignore[misc]
        before += one.size
        name = part.relative_to(found.path).as_posix()
        found.tensors += one.tensors
        found.problems += [f"{name}: {problem}" for problem in one.problems]
        found.notes += [f"{name}: {note}" for note in one.notes]
        found.unfinite.update({f"{name}: {tensor}": count for tensor, count in one.unfinite.items()})


def _file(found: Verified, expected: str, progress: Progress) -> None:
    with Weights(found.path) as weights:
        found.tensors = len(weights.tensors)
        done = 0
        for name, stored in weights.tensors.items():
            nan = infinite = 0
            for piece in weights.pieces(name):
                count = count_unfinite(piece, stored.dtype)
                nan, infinite = nan + count.nan, infinite + count.infinite
                done += piece.nbytes
                progress(min(done, found.size), found.size)
            if nan or infinite:
                found.unfinite[name] = Unfinite(nan, infinite)
        metadata = weights.metadata
    if found.unfinite:
        first, count = next(iter(found.unfinite.items()))
        found.problems.append(
            f"{len(found.unfinite)} of its tensors hold numbers that are none: {first[:200]} has {count.nan:,} NaN and "
            f"{count.infinite:,} infinite ones."
        )
    if found.content == Content.ZIP.value:
        found.problems += _damaged_entries(found.path)
    found.sha256 = sha256_of(found.path)
    _compare(found, expected)
    if found.content == Content.SAFETENSORS.value:
        _compare_weights(found, metadata)


def _damaged_entries(path: Path) -> Iterator[str]:
    """An archive's own checksums, where whoever packed it wrote any."""
    pickled = read_pickle(path)
    starts, sums = pickled.storage_starts(), pickled.storage_checksums()
    with path.open("rb") as file:
        for key, storage in pickled.storages.items():
            file.seek(starts[key])
            sum_, left = 0, storage.size
            while left and (piece := file.read(min(_READ, left))):
                sum_, left = zlib.crc32(piece, sum_), left - len(piece)
            if sums[key] and sum_ != sums[key]:
                yield f"The weights '{key[:100]}' are damaged: their checksum differs."


def _compare(found: Verified, expected: str) -> None:
    for whose, digests in _said(found.path, expected):
        if any(len(digest) >= _FEWEST_DIGITS and found.sha256.startswith(digest) for digest in digests):
            found.notes.append(f"Its sha256 is {whose}.")
        else:
            found.problems.append(f"Its sha256 is {found.sha256}, not {whose}: {' or '.join(digests)}.")


def _said(path: Path, expected: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if expected:
        yield "the one that was asked for", (expected.strip().lower(),)
    for beside in (path.with_suffix(".sha256"), path.with_name(path.name + ".sha256")):
        try:
            digest = _DIGEST.search(beside.read_text("utf-8", "replace")[:10_000])
        except OSError:
            continue
        if digest:
            yield f"the one in {beside.name}", (digest[0].lower(),)
    civitai = read_civitai(path)
    if civitai is not None and civitai.sha256s:
        yield f"the one in {path.with_suffix(ENDING).name}", civitai.sha256s


def _compare_weights(found: Verified, metadata: Mapping[str, str]) -> None:
    """The hash of the weights that its trainer wrote: a difference says that they were changed, not that they broke."""
    for key in _OF_WEIGHTS:
        match = _DIGEST.search(metadata.get(key, "").lower().removeprefix("0x"))
        if match is None:
            continue
        with found.path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
        same = sha256_of(found.path, begin=start) == match[0]
        found.notes.append(
            f"Its weights are those that its metadata name ({key})."
            if same
            else f"Its weights are not those that its metadata name ({key}): they were changed after that was written."
        )
        return
