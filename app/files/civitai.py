"""Civitai: what Civitai Helper and the like wrote beside a model file, in `<stem>.civitai.info`.

Reads what is there and asks nobody. Its text is a stranger's: whoever shows it escapes it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ENDING = ".civitai.info"
_LARGEST = 4_000_000
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class CivitaiInfo(NamedTuple):
    """What the site says of a model version. Texts are "" and numbers None where it says nothing.

    description: plain text, its markup taken out. trained_words: trigger words, in the site's order. sha256s: of the
    version's files (full, pruned ...), of which the one here may be any; lower case.
    """

    model: str = ""
    version: str = ""
    base_model: str = ""
    trained_words: tuple[str, ...] = ()
    description: str = ""
    model_id: int | None = None
    version_id: int | None = None
    sha256s: tuple[str, ...] = ()


def read_civitai(path: Path) -> CivitaiInfo | None:
    """The information beside a model file; None where there is none that can be read."""
    place = path.with_suffix(ENDING)
    try:
        if place.stat().st_size > _LARGEST:
            return None
        content = json.loads(place.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return _info(content) if isinstance(content, dict) else None


def _info(content: Mapping[str, Any]) -> CivitaiInfo:
    model = content.get("model")
    model = model if isinstance(model, dict) else {}
    words = content.get("trainedWords")
    return CivitaiInfo(
        _text(model.get("name")),
        _text(content.get("name")),
        _text(content.get("baseModel")),
        tuple(_text(word) for word in words if _text(word)) if isinstance(words, list) else (),
        plain_text(_text(content.get("description")) or _text(model.get("description"))),
        _number(content.get("modelId")),
        _number(content.get("id")),
        _sha256s(content.get("files")),
    )


def plain_text(markup: str) -> str:
    """HTML as plain text: paragraphs and line breaks become new lines, all other tags go."""
    lines = re.sub(r"(?i)<br\s*/?>|</(p|div|li|h\d|tr)\s*>", "\n", markup)
    text = html.unescape(re.sub(r"<[^<>]*>", "", lines))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _sha256s(files: Any) -> tuple[str, ...]:
    listed = [file.get("hashes") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    said = [hashes.get("SHA256") for hashes in listed if isinstance(hashes, dict)]
    return tuple(digest.lower() for digest in said if isinstance(digest, str) and _SHA256.fullmatch(digest))
