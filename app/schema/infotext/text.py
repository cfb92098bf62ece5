"""Infotext: the 'parameters' text that a picture carries, as a value, and how it is written.

AUTOMATIC1111's layout and quoting (a1111-facts 4.1, 4.3). Knows not which entries a picture has, nor how to read one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from app import __version__
from app.schema.infotext.pairs import JSON_KEYS, safely_quoted

Entry = tuple[str, str | int | float | None]

NEGATIVE: Final = "Negative prompt:"
PROGRAM_NAME: Final = "Easel"
PROGRAM: Final = f"{PROGRAM_NAME} {__version__}"
"""Our Version, in a form that A1111's reader does not take for one of its own."""
PROMPT_LINES: Final = "Prompt lines"
"""Written only where a line of the prompt would be taken for the negative prompt's first."""


@dataclass(frozen=True)
class Infotext:
    """What an infotext says, whoever wrote it.

    fields: its entries as text, in their order, unknown keys included; sizes stay whole (`Size`: `512x768`).
    bare: the keys that stood there without a value. program: "Easel", "AUTOMATIC1111" for its layout by whomever,
    the name of another program whose own format was read, "" when there is nothing but a prompt.
    """

    prompt: str = ""
    negative_prompt: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    bare: frozenset[str] = frozenset()
    program: str = ""

    def text(self) -> str:
        """Written again: every entry that was read, unknown ones too, with the same value in the same place."""
        entries = (key if key in self.bare else _again(key, value) for key, value in self.fields.items())
        return _joined(self.prompt, self.negative_prompt, ", ".join(entries))


def write_infotext(prompt: str, negative_prompt: str, entries: Iterable[Entry]) -> str:
    """Prompt, a line 'Negative prompt: ...' unless that is empty, then 'Key: value, ...' in the order given.

    Entries that are None are left out. A value with a comma, colon or newline becomes a JSON string; an entry whose
    value is its own key is written once; 7.0 is written 7. A prompt with a line 'Negative prompt: ...' in it gets an
    entry more, so that it can be told apart when the text is read.
    """
    written = {key: value for key, value in entries if value is not None}
    if any(line.startswith(NEGATIVE) for line in prompt.split("\n")):
        version = {"Version": written.pop("Version")} if "Version" in written else {}
        written |= {PROMPT_LINES: prompt.count("\n") + 1, **version}
    return _joined(prompt, negative_prompt, ", ".join(_entry(key, value) for key, value in written.items()))


def _joined(prompt: str, negative_prompt: str, line: str) -> str:
    parts = (prompt, f"{NEGATIVE} {negative_prompt}" if negative_prompt else "", line)
    return "\n".join(part for part in parts if part)


def _entry(key: str, value: str | int | float) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return key if text == key else f"{key}: {safely_quoted(text)}"


def _again(key: str, value: str) -> str:
    return f"{key}: {value if key in JSON_KEYS and value.startswith(('[', '{')) else safely_quoted(value)}"
