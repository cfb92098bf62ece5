"""The line `Key: value, Key: "a, b", ...` of an infotext, taken apart and put together.

AUTOMATIC1111's rules (a1111-facts 4.3) in time linear in the text. Knows no meaning of any key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# One run of what a key may hold; a key begins at its first letter, digit or underscore.
_RUN: Final = re.compile(r"[\w /-]+")
_QUOTED: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_SPACE: Final = re.compile(r"\s*")
_SIZE: Final = re.compile(r"(\d+)x(\d+)")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_HALF: Final = re.compile("[\ud800-\udfff]")
KEY: Final = re.compile(r"\w[\w /-]+")
"""What a key must look like to be read again."""
JSON_KEYS: Final = frozenset({"Civitai resources", "Civitai metadata", "Hashes"})
"""Keys whose value is unquoted JSON, commas and all, as civitai and its plug-ins write it."""


class Pair(NamedTuple):
    """One entry. written: its value as it stands there. bare: without one, as an entry whose value is its own key."""

    key: str
    written: str
    bare: bool = False

    @property
    def value(self) -> str:
        """The value without its quotes."""
        return self.written if self.bare else unquoted(self.written)


def read_pairs(line: str, *, whole_json: bool = False) -> Iterator[Pair]:
    """The entries of a line in their order; what belongs to no entry is passed over.

    whole_json: read the JSON of JSON_KEYS as one value and yield entries without a value (bare), where A1111 breaks
    the one at its first comma and knows nothing of the other.
    """
    place = gap = 0
    tried: set[str] = set()
    while (run := _RUN.search(line, place)) is not None:
        place = run.end()
        key = run[0].lstrip(" /-")
        if not line.startswith(":", place) or len(key) < 2:
            continue
        if whole_json:
            yield from _bare(line[gap : place - len(key)])
        start = _SPACE.match(line, place + 1).end()  # type: ignore[union-attr]  # it matches the empty text too
        value = None
        if whole_json and key in JSON_KEYS and key not in tried:
            tried.add(key)  # once for each key, so that broken JSON cannot be walked through again and again
            value, place = _json(line, start)
        if value is None:
            value, place = _value(line, start)
        yield Pair(key, value)
        place = gap = place + 1
    if whole_json:
        yield from _bare(f"{line[gap:]},")


def quoted(value: object) -> str:
    """A value as A1111 writes it: a JSON string where it holds a comma, a colon or a line break, else as it is."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(character in text for character in ",:\n") else text


def safely_quoted(value: object) -> str:
    """The same, and quoted too where A1111 would not read its own writing back: blanks or quotes at an end ..."""
    text = str(value)
    if _HALF.search(text):  # half a character, which no file can hold
        return json.dumps(text)
    risky = not text or text != text.strip() or text.startswith('"') or _CONTROL.search(text)
    return json.dumps(text, ensure_ascii=False) if risky else quoted(text)


def unquoted(text: str) -> str:
    """The string inside a JSON string; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def split_size(value: str) -> tuple[str, str] | None:
    """The two numbers of a value of the exact form 512x768."""
    size = _SIZE.fullmatch(value)
    return (size[1], size[2]) if size else None


def _value(line: str, start: int) -> tuple[str, int]:
    """The value that begins at start, and where it ends (a comma or the line's end)."""
    text = _QUOTED.match(line, start)
    if text is not None and (text.end() == len(line) or line[text.end()] == ","):
        return text[0], text.end()
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    return line[start:end], end


def _json(line: str, start: int) -> tuple[str | None, int]:
    if not line.startswith(("[", "{"), start):
        return None, start
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None, start
    return (line[start:end], end) if end == len(line) or line[end] == "," else (None, start)


def _bare(gap: str) -> Iterator[Pair]:
    """Entries without a value between two others: whole pieces up to a comma."""
    for piece in gap.split(",")[:-1]:
        text = piece.strip()
        if text:
            yield Pair(text, text, bare=True)
