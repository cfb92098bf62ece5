"""Answers: what a server's answer says of a file: its name, size, checksum and state, and whether it is one at all."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from app.files.catalogue import Wanted
from app.files.contents import Content, content_of
from app.files.download_names import disposition_name, name_in
from app.files.fetching import Answer, login_needed
from app.schema.errors import DownloadFailed

_NO_MODEL = (Content.LFS_POINTER, Content.IMAGE, Content.ARCHIVE, Content.EMPTY, Content.ZEROS, Content.GGUF)
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-fA-F]{64})"?')


@dataclass(frozen=True)
class Kept:
    """What must be known to go on later. received: bytes that are on the disk for certain. total: None: not told.

    validator: strong ETag or Last-Modified of those bytes, "" for none. name: as the server calls the file.
    sha256: as told beforehand or by the server.
    """

    received: int = 0
    total: int | None = None
    validator: str = ""
    name: str = ""
    sha256: str = ""


def place_of(answer: Answer, at: int, kept: Kept) -> tuple[int | None, int | None]:
    """Where the answer's bytes begin, and the size of the whole; None: it cannot be used to go on."""
    if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise DownloadFailed(f"{host_of(answer)} sends the file in packed form, which was not asked for.")
    said = answer.headers.get("content-range", "")
    if answer.status == 200:
        length = answer.headers.get("content-length", "")
        return 0, int(length) if length.isdecimal() else None
    if answer.status == 416:
        whole = re.fullmatch(r"bytes \*/(\d+)", said)
        complete = at > 0 and whole is not None and int(whole[1]) == at and kept.total in (None, at)
        return (at, at) if complete else (None, None)
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", said)
    validator = _validator(answer)
    if found is None or int(found[1]) != at or (kept.validator and validator and validator != kept.validator):
        return None, None
    total = int(found[3]) if found[3] != "*" else kept.total
    if kept.total is not None and total != kept.total:
        return None, None
    return at, total


def _validator(answer: Answer) -> str:
    """What names this state of the file: a strong ETag, else the time of its last change (RFC 9110, 13.1.5)."""
    tag = answer.headers.get("etag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("last-modified", "")


def told_checksum(answer: Answer) -> str:
    """The sha256 that the hub tells of a file, "" for none."""
    told = _SHA256.fullmatch(answer.met.get("x-linked-etag", "") or answer.headers.get("x-linked-etag", ""))
    return told[1].lower() if told else ""


def learned(answer: Answer, wanted: Wanted, known: Kept) -> Kept:
    """What the headers tell of the file: its name and, on the hub, its checksum and size."""
    size = answer.met.get("x-linked-size", "")
    if size.isdecimal() and known.total is not None and int(size) != known.total:
        raise DownloadFailed(
            f"The file is said to have {int(size):,} bytes, but {host_of(answer)} sends {known.total:,}.",
            hint="Try again later, or choose another mirror.",
        )
    checksum = told_checksum(answer)
    if wanted.sha256 and checksum and wanted.sha256 != checksum:
        raise DownloadFailed(
            f"The file there has the checksum {checksum}, not {wanted.sha256} as wanted.",
            hint="It was not downloaded: choose the revision that is meant, or leave out the checksum.",
        )
    said = wanted.name or disposition_name(answer.headers.get("content-disposition", "")) or known.name
    return replace(
        known,
        total=int(size) if size.isdecimal() and known.total is None else known.total,
        validator=_validator(answer) or ("" if known.received == 0 else known.validator),
        name=said or name_in(wanted.url),
        # From the start again, it may be another file than the one whose checksum is known.
        sha256=wanted.sha256 or checksum or (known.sha256 if known.received else ""),
    )


def refuse_pages(first: bytes, answer: Answer) -> None:
    """Raise DownloadFailed for an answer that is a web page, an error in JSON or no model at all."""
    content = content_of(first)
    if content is Content.HTML:
        raise login_needed(host_of(answer))
    if content is Content.JSON:
        said = ""
        with suppress(ValueError, RecursionError):
            found = json.loads(first)
            said = str(found.get("message") or found.get("error") or "") if isinstance(found, dict) else ""
        words = f": {' '.join(said.split())[:200]}" if said else ""
        raise DownloadFailed(f"{host_of(answer)} answers with a message instead of a file{words}.")
    if content in _NO_MODEL:
        raise DownloadFailed(f"What {host_of(answer)} sends is no model: it is {content.value}.")


def host_of(answer: Answer) -> str:
    return (urlsplit(answer.url).hostname or "")[:100]
