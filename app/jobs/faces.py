"""Faces: the files that restore them, as a stored request remembers them."""

from __future__ import annotations

from app.files import Identity, ModelLibrary, NamedFaceRestorer, find_face_detector, find_face_restorer
from app.schema.request import FaceFiles, FileIdentity


def face_files_of(library: ModelLibrary, name: str, field: str) -> tuple[NamedFaceRestorer, FaceFiles]:
    """The restorer of a name, and its file with the detector's. Raises ModelNotFound where one of them is not there,
    UnknownChoice for another name."""
    restorer = find_face_restorer(library, name, field)
    path, size, mtime_ns = Identity.of(find_face_detector(library.folders.face_restorers, field))
    file = restorer.file
    return restorer, FaceFiles(
        restorer=FileIdentity(path=str(file.path), size=file.size, mtime_ns=file.mtime_ns, sha256=file.sha256),
        detector=FileIdentity(path=path, size=size, mtime_ns=mtime_ns),
    )
