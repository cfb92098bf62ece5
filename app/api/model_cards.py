"""Model cards: one page of a kind's files, searched, sorted and narrowed to a folder, as the page's cards show them.

Reads the library and, for the cards of one page alone, their sidecars. Every text in an answer is the users' own:
whoever shows it escapes it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, ModelFile, ModelLibrary, prompt_names, sidecars
from app.schema.errors import EaselError, ModelNotFound

Sort = Literal["path", "name", "created", "modified"]

MOST_ON_A_PAGE = 200
_PROMPTED = (LORA, EMBEDDING, HYPERNETWORK)
# A search this long also finds what lies in folders that begin with a dot.
_SHOWS_HIDDEN = 4
_LONGEST_DESCRIPTION = 2000
_UNCERTAIN = ("", "unknown")


@dataclass(frozen=True)
class Listing:
    """A kind's files as of one scan. by_id: as cards name them. names: what prompts call them, by id."""

    files: tuple[ModelFile, ...]
    by_id: Mapping[str, ModelFile]
    names: Mapping[str, str]

    @classmethod
    def of(cls, files: tuple[ModelFile, ...], kind: str) -> Listing:
        names = prompt_names(files, kind) if kind in _PROMPTED else {}
        by_id = {id_of(file): file for file in files}
        return cls(files, by_id, {id: names[file.path] for id, file in by_id.items() if file.path in names})


class ModelCards:
    """The cards of a library. Any thread may ask; two that ask at once at most do the same twice."""

    def __init__(self, library: ModelLibrary) -> None:
        self._library = library
        self._listings: dict[str, Listing] = {}

    def find(self, kind: str, id: str) -> ModelFile:
        """The file behind a card. Raises ModelNotFound."""
        file = self._listing(kind).by_id.get(id)
        if file is None:
            raise ModelNotFound(f"This {kind} is not in the list any more.", hint="Refresh the list.")
        return file

    def page(
        self,
        kind: str,
        *,
        search: str = "",
        folder: str = "",
        sort: Sort = "path",
        descending: bool = False,
        page: int = 0,
        size: int = 100,
        checkpoint: str = "",
    ) -> dict[str, Any]:
        """Cards `page * size` and on of those that are wanted; how many there are; all folders with their numbers.

        checkpoint: name of the chosen one; cards of other families say why they do not fit it.
        """
        listing = self._listing(kind)
        found = ordered(searched(listing.files, search, folder), sort, descending)
        chosen = self._chosen(checkpoint) if kind in _PROMPTED else None
        shown = found[page * size : (page + 1) * size]
        return {
            "total": len(found),
            "all": len(listing.files),
            "page": page,
            "size": size,
            "folders": folders_of(listing.files),
            "models": [self.card(file, listing, chosen) for file in shown],
        }

    def one(self, kind: str, id: str, checkpoint: str = "") -> dict[str, Any]:
        """One card. Raises ModelNotFound."""
        file = self.find(kind, id)
        return self.card(file, self._listing(kind), self._chosen(checkpoint) if kind in _PROMPTED else None)

    @staticmethod
    def card(file: ModelFile, listing: Listing, chosen: ModelFile | None) -> dict[str, Any]:
        """What one card shows; the user's own words from its sidecars as they are now."""
        id = id_of(file)
        beside = sidecars(file)
        said = beside.user_metadata
        picture = beside.preview.stat() if beside.preview else None
        stamp = f"{picture.st_mtime_ns:x}-{picture.st_size:x}" if picture else f"{file.mtime_ns:x}"
        return {
            "id": id,
            "kind": file.kind,
            "name": file.name,
            "label": file.stem,
            "title": file.title,
            "hash": file.short_hash,
            "family": file.family,
            "variant": file.variant,
            "size": file.size,
            "modified": file.mtime_ns / 1e9,
            "problem": {"code": file.problem.code, "text": file.problem.text} if file.problem else None,
            "unfitting": unfitting(file, chosen),
            "prompt_name": listing.names.get(id),
            "thumbnail": f"api/models/{file.kind}/{id}/thumbnail?v={stamp}",
            "description": beside.description[:_LONGEST_DESCRIPTION],
            "activation_text": text_of(said.get("activation text")),
            "negative_text": text_of(said.get("negative text")),
            "preferred_weight": weight_of(said.get("preferred weight")),
        }

    def _listing(self, kind: str) -> Listing:
        files = self._library.list(kind)
        known = self._listings.get(kind)
        if known is None or known.files is not files:
            self._listings[kind] = known = Listing.of(files, kind)
        return known

    def _chosen(self, checkpoint: str) -> ModelFile | None:
        try:
            return self._library.find(checkpoint, CHECKPOINT) if checkpoint else None
        except EaselError:
            return None


def id_of(file: ModelFile) -> str:
    """What addresses know a file by: its path cannot be told from it."""
    return hashlib.sha256(str(file.path).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def searched(files: Sequence[ModelFile], search: str, folder: str) -> list[ModelFile]:
    """Those in a folder (and below) whose name, trainer's name, hash or family hold every word of the search."""
    words = search.casefold().split()
    inside = f"{folder.strip('/')}/" if folder.strip("/") else ""
    shows_hidden = len(search.strip()) >= _SHOWS_HIDDEN
    found = []
    for file in files:
        if inside and not file.name.startswith(inside):
            continue
        if not shows_hidden and not inside and _hidden(file):
            continue
        if words:
            said = (file.name, file.alias, file.short_hash, file.sha256, file.family, file.variant)
            text = " ".join(part for part in said if part).casefold()
            if not all(word in text for word in words):
                continue
        found.append(file)
    return found


def ordered(files: list[ModelFile], sort: Sort, descending: bool) -> list[ModelFile]:
    """In the order of the library ('path'), or by name or time; equal ones stay in the library's order."""
    keys: Mapping[str, Callable[[ModelFile], Any]] = {
        "name": lambda file: file.stem.casefold(),
        "modified": lambda file: file.mtime_ns,
        "created": _created,
    }
    if sort in keys:
        return sorted(files, key=keys[sort], reverse=descending)
    return files[::-1] if descending else files


def folders_of(files: Sequence[ModelFile]) -> list[dict[str, Any]]:
    """The sub-folders with how many files lie in and below each, in order; hidden ones left out."""
    counts: Counter[str] = Counter()
    for file in files:
        if not _hidden(file):
            parts = file.name.split("/")[:-1]
            counts.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return [{"path": path, "count": counts[path]} for path in sorted(counts, key=str.casefold)]


def unfitting(file: ModelFile, chosen: ModelFile | None) -> str | None:
    """Why a network does not go with the chosen checkpoint, None where it does or nobody knows."""
    if chosen is None or file.family in _UNCERTAIN or chosen.family in _UNCERTAIN or file.family == chosen.family:
        return None
    return f"It is made for {file.family}; the chosen checkpoint is of the family {chosen.family}."


def text_of(value: Any) -> str:
    """A text of a sidecar, "" for anything else."""
    return value if isinstance(value, str) else ""


def weight_of(value: Any) -> float | None:
    """A weight of a sidecar; None for 0, which means the usual one, and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0 or abs(value) > 100:
        return None
    return float(value)


def _hidden(file: ModelFile) -> bool:
    return file.name.startswith(".") or "/." in file.name


def _created(file: ModelFile) -> float:
    try:
        status = file.path.stat()
    except OSError:
        return 0.0
    # Linux tells no time of birth before Python 3.12; the change of the entry comes nearest, as in A1111.
    return float(getattr(status, "st_birthtime", status.st_ctime))
