"""Reads infotexts from anywhere: any version, broken ones, other pages, other programs.

Never raises: what cannot be read is prompt text. Knows no meaning of the entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from app.schema.infotext.pairs import Pair, read_pairs
from app.schema.infotext.programs import read_json_text
from app.schema.infotext.text import NEGATIVE, PROGRAM_NAME, PROMPT_LINES, Infotext

FEWEST_PAIRS: Final = 3
"""A last line with fewer entries is prompt text (a1111-facts 4.3)."""
_STEPS_LINE: Final = re.compile(r"^[ \t]*Steps: *\d", re.MULTILINE)
_STEPS_WITHIN: Final = re.compile(r"(?<!\S)Steps: *\d+,")
_WHOLE: Final = re.compile(r"[0-9]{1,6}")
_NEGATIVE: Final = re.compile(re.escape(NEGATIVE), re.IGNORECASE)
_AT_START: Final = re.compile(r"[\s,]*(?P<key>\w[\w /-]+):\s*")
# What stands before `Steps` in a line of parameters and nowhere in a prompt.
_CORE_KEYS: Final = frozenset({"Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Model hash"})
# sd-dynamic-prompts writes these on lines of their own, unquoted.
_LINE_KEYS: Final = frozenset({"Template", "Negative Template"})


class _Parts(NamedTuple):
    """prompts: the text before the entries. lines: of entries, each beginning with a key."""

    prompts: str
    lines: list[str]


def read_infotext_text(text: str) -> Infotext:
    """What an infotext says. Texts of this program give back its prompts to the letter; others as A1111 reads them."""
    text = readable(text)
    other = read_json_text(text)
    if other is not None:
        return other
    own = _read_own(text)
    if own is not None:
        return own
    prompts, lines = _parts(text.strip())
    pairs = [pair for line in lines for pair in _line_pairs(line)]
    prompt, negative_prompt = split_prompts(prompts)
    fields = {pair.key.rstrip(): pair.value.rstrip() for pair in pairs}
    bare = frozenset(pair.key for pair in pairs if pair.bare)
    return Infotext(prompt, negative_prompt, fields, bare, "AUTOMATIC1111" if fields else "")


def readable(text: str) -> str:
    """A text that every file and answer can carry: without NUL, and without halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def last_line(text: str) -> tuple[str, str]:
    """The text before the last line and that line, which is "" where it holds too few entries to count as such."""
    head, _, line = text.rpartition("\n")
    return (head, line) if _has_enough(read_pairs(line)) else (text, "")


def split_prompts(text: str, label: re.Pattern[str] = _NEGATIVE) -> tuple[str, str]:
    """Prompt and negative prompt of the lines before the entries, each line without the blanks at its ends."""
    prompt: list[str] = []
    negative: list[str] = []
    lines = prompt
    for line in (line.strip() for line in text.split("\n")):
        found = label.match(line)
        if found is not None:
            lines, line = negative, line[found.end() :].strip()
        # A1111 leaves out the empty lines that a prompt begins with.
        if line or lines:
            lines.append(line)
    return "\n".join(prompt), "\n".join(negative)


def _read_own(text: str) -> Infotext | None:
    """A text that this program wrote: its entries are the last line, and nothing in the prompts is trimmed."""
    text = text.rstrip()
    prompts, _, line = text.rpartition("\n")
    pairs = list(read_pairs(line, whole_json=True))
    fields = {pair.key: pair.value for pair in pairs}
    if not fields.get("Version", "").startswith(f"{PROGRAM_NAME} "):
        return None
    bare = frozenset(pair.key for pair in pairs if pair.bare)
    prompt, negative_prompt = _own_prompts(prompts, fields.get(PROMPT_LINES, ""))
    return Infotext(prompt, negative_prompt, fields, bare, PROGRAM_NAME)


def _own_prompts(text: str, prompt_lines: str) -> tuple[str, str]:
    lines = text.split("\n")
    labelled = (number for number, line in enumerate(lines) if line.startswith(NEGATIVE))
    count = int(prompt_lines) if _WHOLE.fullmatch(prompt_lines) else next(labelled, len(lines))
    negative_prompt = "\n".join(lines[count:]).removeprefix(NEGATIVE).removeprefix(" ")
    return "\n".join(lines[:count]), negative_prompt


def _parts(text: str) -> _Parts:
    """Where the entries begin: at the last line that opens with `Steps`, else as A1111 says, else within the line."""
    found = _last(_STEPS_LINE, text)
    if found is not None:
        lines = _entry_lines(text[found.start() :])
        if _has_enough(_line_pairs(lines[0])) or _is_one_per_line(lines):
            return _Parts(text[: found.start()].removesuffix("\n"), lines)
    within = _within(text)
    if within is not None:
        return within
    prompts, line = last_line(text)
    return _Parts(prompts, [line] if line else [])


def _entry_lines(block: str) -> list[str]:
    """Lines up to the first empty one; one without a key goes on with the value above it, if entries follow."""
    lines: list[list[str]] = []
    for line in block.split("\n"):
        if not line.strip():
            break
        if lines and not _AT_START.match(line):
            lines[-1].append(line)
        else:
            lines.append([line])
    return [line for parts in lines for line in _continued(parts)]


def _continued(parts: list[str]) -> list[str]:
    if _line_key(parts[0]):
        return ["\n".join(parts)]
    last = max(number for number, part in enumerate(parts) if number == 0 or next(read_pairs(part), None))
    return ["\n".join(parts[: last + 1]), *parts[last + 1 :]]


def _is_one_per_line(lines: list[str]) -> bool:
    return len(lines) >= FEWEST_PAIRS and not any("\n" in line for line in lines)


def _within(text: str) -> _Parts | None:
    """A text whose line breaks were lost: prompts and entries stand in one line, as copied from a web page."""
    head, _, line = text.rpartition("\n")
    found = _last(_STEPS_WITHIN, line)
    before = line[: found.start()].rstrip() if found is not None else ""
    if found is None or not before or not _has_enough(read_pairs(line[found.start() :])):
        return None
    label = _NEGATIVE.search(before)
    if label is not None:
        before = f"{before[: label.start()]}\n{before[label.start() :]}"
    elif before.endswith(",") or any(pair.key in _CORE_KEYS for pair in read_pairs(before)):
        return None
    return _Parts(f"{head}\n{before}", [line[found.start() :]])


def _line_pairs(line: str) -> Iterator[Pair]:
    key = _line_key(line)
    return iter([Pair(key["key"], line[key.end() :])]) if key else read_pairs(line, whole_json=True)


def _line_key(line: str) -> re.Match[str] | None:
    key = _AT_START.match(line)
    is_whole = key is not None and key["key"] in _LINE_KEYS and not line.startswith('"', key.end())
    return key if is_whole else None


def _has_enough(pairs: Iterable[Pair]) -> bool:
    return sum(not pair.bare for pair in pairs) >= FEWEST_PAIRS


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text):
        found = match
    return found
