"""Infotext: writes the 'parameters' text that a picture carries, in AUTOMATIC1111's layout.

Knows quoting and lines (a1111-facts 4.1, 4.3), not which entries a picture has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable


def write_infotext(prompt: str, negative_prompt: str, entries: Iterable[tuple[str, str | int | float | None]]) -> str:
    """Prompt, a line 'Negative prompt: ...' unless that is empty, then 'Key: value, ...' in the order given.

    Entries that are None are left out. A value with a comma, colon or newline becomes a JSON string; an entry whose
    value is its own key is written once; 7.0 is written 7.
    """
    lines = [prompt]
    if negative_prompt:
        lines.append(f"Negative prompt: {negative_prompt}")
    lines.append(", ".join(_written(key, value) for key, value in entries if value is not None))
    return "\n".join(lines)


def _written(key: str, value: str | int | float) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if text == key:
        return key
    if any(character in text for character in ",:\n"):
        text = json.dumps(text, ensure_ascii=False)
    return f"{key}: {text}"
