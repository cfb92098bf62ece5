"""Placing: from quarantine to the folder that a file's content asks for, whole and never over another file."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.files.contents import tell_content
from app.files.download_names import safe_name
from app.files.folders import KINDS, VAE, VAE_APPROXIMATION, Folders
from app.files.hashes import sha256_of
from app.files.model_file import Summary
from app.files.summarise import problem_in, summarise
from app.files.whole_file import cannot_write
from app.schema.errors import BrokenModelFile, CannotWrite, EaselError, UnsafeModelFile, UnsupportedModel

PART = ".part"


class Placed(NamedTuple):
    """Where the file is now. remark: why it may be of no use there, or that it was there before."""

    path: Path
    kind: str
    remark: str = ""


def place(part: Path, name: str, sha256: str, folders: Folders, kind: str = "") -> Placed:
    """Look into the file, and move it to where its content belongs; kind: where the user wants it all the same.

    Raises UnsafeModelFile, BrokenModelFile or UnsupportedModel for what is refused, CannotWrite, DiskFull.
    """
    summary = summarise(part)
    kind = kind or _kind_of(summary, name)
    if summary.problem is not None:
        raise _refused(name, summary)
    folder = _folder(folders, kind, summary)
    problem = problem_in(kind, summary)
    file_name = safe_name(name, tell_content(part))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _move(part, folder / file_name, sha256)
    except OSError as error:
        raise cannot_write(folder / file_name, error) from error
    return Placed(path, kind, problem.text if problem else "")


def _kind_of(summary: Summary, name: str) -> str:
    if summary.problem is not None:
        return ""
    if summary.kind not in KINDS:
        raise UnsupportedModel(
            f"What {name} holds is not known here{f' ({summary.kind})' if summary.kind != 'unknown' else ''}.",
            hint="Say what it is with --kind, and it is put there without another download.",
        )
    return VAE_APPROXIMATION if summary.kind == VAE and summary.variant == "taesd" else summary.kind


def _folder(folders: Folders, kind: str, summary: Summary) -> Path:
    places = folders.of_kind(kind)
    return places[-1] if kind == VAE_APPROXIMATION and summary.variant == "taesd" else places[0]


def _refused(name: str, summary: Summary) -> EaselError:
    assert summary.problem is not None
    kinds: tuple[type[EaselError], ...] = (UnsafeModelFile, UnsupportedModel)
    error = next((kind for kind in kinds if kind.code == summary.problem.code), BrokenModelFile)
    return error(f"{name} was refused: {summary.problem.text}")


def _move(part: Path, wanted: Path, sha256: str) -> Path:
    for target in (wanted, wanted.with_name(f"{wanted.stem}-{sha256[:8]}{wanted.suffix}")):
        if _is(target, part.stat().st_size, sha256):
            part.unlink()
            return target
        if not os.path.lexists(target):
            _appear(part, target)
            return target
    raise CannotWrite(
        f"Another file already has the name {wanted}.", hint="Rename that one; then the download is put there."
    )


def _is(target: Path, size: int, sha256: str) -> bool:
    return target.is_file() and target.stat().st_size == size and sha256_of(target) == sha256


def _appear(part: Path, target: Path) -> None:
    """Give the file its name; raises FileExistsError where somebody was faster. A half copy never has it."""
    aside = target.with_name(target.name + PART)
    same_disk = part.stat().st_dev == target.parent.stat().st_dev
    try:
        if not same_disk:
            shutil.copyfile(part, aside)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
        _rename_to_new(part if same_disk else aside, target)
    finally:
        if not same_disk:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _rename_to_new(source: Path, target: Path) -> None:
    try:
        # A second name cannot be made over an existing one; a renaming could.
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        # A file system without second names: the name is taken by an empty file of ours, then filled.
        target.touch(exist_ok=False)
        source.replace(target)
