"""Archive: the files of an extension out of a .zip that nobody vouches for; one unsafe member refuses the whole."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from app.schema.errors import InvalidField

MOST_FILES = 5000
MOST_BYTES = 200 << 20
"""Unpacked, all together."""
_CHUNK = 1 << 20
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
_FORBIDDEN = frozenset('<>:"|?*\\\0')
_SYSTEMS_WITH_MODES = 3


def unpack(archive: Path, target: Path) -> None:
    """Writes the plain files of a .zip below `target`, an empty folder; a single folder around all of them is left out.

    Raises InvalidField for what is no .zip, for one that is too large, and for a member that would land elsewhere, is a
    link, encrypted, or twice there; nothing is written then but perhaps the files before it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [one for one in opened.infolist() if not one.is_dir()]
            places = _places(members)
            left = MOST_BYTES
            for member, place in zip(members, places, strict=True):
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                left = _write(opened, member, path, left)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refused(f"it is no .zip that can be read ({error})") from error


def _places(members: list[zipfile.ZipInfo]) -> list[PurePosixPath]:
    """Where each member goes. Raises InvalidField."""
    if not members:
        raise _refused("there is nothing in it")
    if len(members) > MOST_FILES:
        raise _refused(f"it holds more than {MOST_FILES:,} files")
    if sum(member.file_size for member in members) > MOST_BYTES:
        raise _refused(f"it holds more than {MOST_BYTES >> 20} MB")
    paths = [_safe(member) for member in members]
    if len({str(path).casefold() for path in paths}) < len(paths):
        raise _refused("it holds two files of one name")
    tops = {path.parts[0] for path in paths}
    around = len(tops) == 1 and all(len(path.parts) > 1 for path in paths)
    return [PurePosixPath(*path.parts[1:]) if around else path for path in paths]


def _safe(member: zipfile.ZipInfo) -> PurePosixPath:
    name = member.filename
    path = PurePosixPath(name)
    parts = name.split("/")
    if path.is_absolute() or ".." in parts or _FORBIDDEN & set(name) or any(ord(sign) < 32 for sign in name):
        raise _refused(f"its member '{name[:80]}' would land outside its folder")
    if any(part.split(".")[0].lower() in _RESERVED or part.endswith((" ", ".")) for part in parts):
        raise _refused(f"its member '{name[:80]}' has a name that Windows keeps for itself")
    mode = member.external_attr >> 16
    if member.create_system == _SYSTEMS_WITH_MODES and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _refused(f"its member '{name[:80]}' is a link or something else that is no file")
    if member.flag_bits & 1:
        raise _refused(f"its member '{name[:80]}' is encrypted")
    return path


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int) -> int:
    """Bytes that may still come. What a header says of a size is not believed."""
    with opened.open(member) as source, path.open("xb") as file:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _refused(f"it holds more than {MOST_BYTES >> 20} MB")
            file.write(chunk)
    return left


def _refused(why: str) -> InvalidField:
    return InvalidField(f"The archive cannot be installed: {why}.", field="archive")
