"""Sidecars: what lies beside a model file: preview, description, user metadata, configuration.

Reads them anew at each question, since users edit them. Their text is the user's: whoever shows it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from app.files.folders import CHECKPOINT
from app.files.model_file import ModelFile

PREVIEW_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_LONGEST_TEXT = 1_000_000


class Sidecars(NamedTuple):
    """What lies beside a model file (a1111-facts 1.10, 6.5, 6.6).

    preview: picture for its card. description: plain text, "" when there is none. user_metadata: of `<stem>.json`
    ('description', 'notes', 'activation text', 'preferred weight', 'negative text', 'sd version', 'vae').
    config: `<stem>.yaml`, which overrides what a checkpoint's own content tells.
    """

    preview: Path | None
    description: str
    user_metadata: Mapping[str, Any]
    config: Path | None


def sidecars(file: ModelFile) -> Sidecars:
    """The sidecars of a model file as they are now; those that cannot be read count as absent."""
    base = str(file.path) if file.folder else str(file.path.with_suffix(""))
    metadata = _json(Path(f"{base}.json"))
    said = metadata.get("description")
    description = said if isinstance(said, str) and said else _text(f"{base}.txt") or _text(f"{base}.description.txt")
    return Sidecars(preview_of(file), description, metadata, config_of(file))


def preview_of(file: ModelFile) -> Path | None:
    """`<stem>.png`, then `<stem>.preview.png`, and so on through the picture formats."""
    base = str(file.path) if file.folder else str(file.path.with_suffix(""))
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
