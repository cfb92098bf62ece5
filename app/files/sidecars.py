"""Sidecars: what lies beside a model file: preview, description, user metadata, configuration; read and written.

Reads them anew at each question, since users edit them. Their text is the user's: whoever shows it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app.files.civitai import CivitaiInfo, read_civitai
from app.files.folders import CHECKPOINT, EMBEDDING, HYPERNETWORK
from app.files.model_file import ModelFile
from app.files.whole_file import write_whole
from app.schema.errors import CannotWrite, UnknownChoice

PREVIEW_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_LONGEST_TEXT = 1_000_000


class Sidecars(NamedTuple):
    """What lies beside a model file (a1111-facts 1.10, 6.5, 6.6).

    preview: picture for its card. description: plain text, "" when there is none. user_metadata: of `<stem>.json`
    ('description', 'notes', 'activation text', 'preferred weight', 'negative text', 'sd version', 'vae').
    config: `<stem>.yaml`, which overrides what a checkpoint's own content tells. civitai: of `<stem>.civitai.info`; its
    description is the last resort for the card's.
    """

    preview: Path | None
    description: str
    user_metadata: Mapping[str, Any]
    config: Path | None
    civitai: CivitaiInfo | None = None


def sidecars(file: ModelFile) -> Sidecars:
    """The sidecars of a model file as they are now; those that cannot be read count as absent."""
    base = base_of(file)
    metadata = _json(Path(f"{base}.json"))
    civitai = read_civitai(file.path) if not file.folder else None
    said = metadata.get("description")
    description = said if isinstance(said, str) and said else _text(f"{base}.txt") or _text(f"{base}.description.txt")
    if not description and civitai is not None:
        description = civitai.description
    return Sidecars(preview_of(file), description, metadata, config_of(file), civitai)


def base_of(file: ModelFile) -> str:
    """Path of a model's sidecars without their endings: its own without its ending."""
    return str(file.path) if file.folder else str(file.path.with_suffix(""))


def trigger_words_of(file: ModelFile, beside: Sidecars) -> tuple[str, ...]:
    """The words that a network wants in the prompt: the user's 'activation text', else civitai's, else the file's own.

    Tags of its training captions are no trigger words; they stand in `summary.network`.
    """
    said = beside.user_metadata.get("activation text")
    if isinstance(said, str) and said.strip():
        return (said.strip(),)
    if beside.civitai is not None and beside.civitai.trained_words:
        return beside.civitai.trained_words
    own = file.metadata.get("modelspec.trigger_phrase", "").strip()
    return (own,) if own else ()


def write_user_metadata(file: ModelFile, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change fields of `<stem>.json` and return all; None takes one out, fields of other programs are kept.

    Written whole or not at all. Raises CannotWrite (also for a sidecar that holds something else and would be lost) and
    DiskFull.
    """
    place = Path(f"{base_of(file)}.json")
    before = _json(place)
    if not before and place.exists() and place.stat().st_size > 2:
        raise CannotWrite(
            f"{place.name} beside {file.name} cannot be read as user metadata, so it is not written over.",
            hint="Repair it, or move it away.",
        )
    merged = {**before, **changes}
    kept = {key: value for key, value in merged.items() if value is not None}
    write_whole(place, json.dumps(kept, ensure_ascii=False, indent=4).encode("utf-8", "replace"))
    return kept


def write_preview(file: ModelFile, picture: bytes, ending: str) -> Path:
    """Make a picture the model's preview, under A1111's name for it; former ones that would hide it end in `.bak`.

    ending: one of PREVIEW_ENDINGS. Raises UnknownChoice, CannotWrite and DiskFull.
    """
    if ending not in PREVIEW_ENDINGS:
        raise UnknownChoice(f"A preview cannot end in '{ending[:20]}'; it may in {', '.join(PREVIEW_ENDINGS)}.")
    middle = ".preview" if file.kind in (EMBEDDING, HYPERNETWORK) else ""
    place = Path(f"{base_of(file)}{middle}{ending}")
    write_whole(place, picture)
    while (other := preview_of(file)) is not None and other != place:
        try:
            other.replace(other.with_name(f"{other.name}.bak"))
        except OSError as error:
            raise CannotWrite(f"The former preview {other} cannot be put aside: {error.strerror}.") from error
    return place


def preview_of(file: ModelFile) -> Path | None:
    """`<stem>.png`, then `<stem>.preview.png`, and so on through the picture formats."""
    base = base_of(file)
    names = [Path(f"{base}{middle}{ending}") for ending in PREVIEW_ENDINGS for middle in ("", ".preview")]
    return next((path for path in names if path.is_file()), None)


def config_of(file: ModelFile) -> Path | None:
    """`<stem>.yaml` beside a checkpoint."""
    path = file.path.with_suffix(".yaml")
    return path if file.kind == CHECKPOINT and not file.folder and path.is_file() else None


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_LONGEST_TEXT).decode("utf-8-sig", "replace").strip()
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST_TEXT:
            return {}
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
