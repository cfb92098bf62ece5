"""Face restorers: which file a restorer's name means, and where the face detector lies that every one of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.files.folders import FACE_RESTORER
from app.files.library import ModelLibrary
from app.files.model_file import ModelFile
from app.files.scan import natural
from app.schema.errors import ModelNotFound, UnknownChoice
from app.schema.faces import GFPGAN, codeformer_refused, means_codeformer

DETECTOR_FILE = "face_detection_yunet_2026may.onnx"
_DETECTORS = "*yunet*.onnx"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class NamedFaceRestorer(NamedTuple):
    """One entry of the menu."""

    name: str
    file: ModelFile


def face_restorers(library: ModelLibrary) -> list[NamedFaceRestorer]:
    """The usable files. The newest is called GFPGAN, as A1111 calls it; any others go by their stems."""
    usable = [file for file in library.list(FACE_RESTORER) if file.problem is None]
    newest_first = sorted(usable, key=lambda file: natural(file.stem), reverse=True)
    return [NamedFaceRestorer(file.stem if number else GFPGAN, file) for number, file in enumerate(newest_first)]


def find_face_restorer(library: ModelLibrary, name: str, field: str) -> NamedFaceRestorer:
    """The restorer of this name or with this file, capitals aside; a file put there since the last look counts.

    Raises NotServedYet for CodeFormer, ModelNotFound where there is no file at all; UnknownChoice with the names there
    are.
    """
    if means_codeformer(name):
        raise codeformer_refused(field)
    found = _named(library, name)
    if found is None:
        library.refresh(FACE_RESTORER)
        found = _named(library, name)
    if found is not None:
        return found
    known = [entry.name for entry in face_restorers(library)]
    if known:
        raise UnknownChoice(
            f"There is no face restorer called {name[:80]!r}.", field=field, hint=f"There is {', '.join(known)}."
        )
    useless = [f"{file.name}: {file.problem.text}" for file in library.list(FACE_RESTORER) if file.problem]
    why = f"none of the files can be used: {' '.join(useless)}" if useless else "its file is not there."
    raise ModelNotFound(
        f"Faces are restored by GFPGAN, and {why}",
        field=field,
        hint=f"Put GFPGANv1.4.pth into {library.folders.face_restorers[0]}.",
    )


def find_face_detector(folders: Sequence[Path], field: str) -> Path:
    """The newest YuNet file in these folders, whole numbers after full ones. Raises ModelNotFound with what to put
    where."""
    files = [path for folder in folders for path in sorted(folder.rglob(_DETECTORS)) if path.is_file()]
    if files:
        return max(files, key=_newness)
    raise ModelNotFound(
        "Faces are found by the detector YuNet, and its file is not there.",
        field=field,
        hint=f"Put {DETECTOR_FILE} (of OpenCV's model zoo, MIT licence) into {folders[0]}.",
    )


def face_restoration_lacks(library: ModelLibrary) -> str:
    """What has to be put where before faces can be restored, in words; "" where nothing is lacking."""
    problems = []
    for find in (
        lambda: find_face_restorer(library, GFPGAN, ""),
        lambda: find_face_detector(library.folders.face_restorers, ""),
    ):
        try:
            find()
        except ModelNotFound as problem:
            problems.append(str(problem))
    return " ".join(problems)


def _named(library: ModelLibrary, name: str) -> NamedFaceRestorer | None:
    wanted = name.strip().casefold()
    for entry in face_restorers(library):
        if wanted in (one.casefold() for one in (entry.name, entry.file.stem, entry.file.file_name)):
            return entry
    return None


def _newness(path: Path) -> tuple[bool, str, int]:
    """face_detection_yunet_2026may before 2023mar, and that before its int8, which is rougher."""
    words = path.stem.casefold().split("_")
    dated = next((word for word in words if word[:4].isdecimal() and word[4:] in _MONTHS), "")
    return "int8" not in path.stem.casefold(), dated[:4], _MONTHS.index(dated[4:]) if dated else -1
