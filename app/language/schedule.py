"""Prompt editing: which text of a prompt is read at which call of the model.

`[from:to:when]` and `[a|b]` as AUTOMATIC1111 reads them (a1111-facts 2.3), in time linear in the text and at any
depth. Knows nothing of weights, tokens or models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.schema.errors import InvalidPrompt

MOST_TEXT: Final = 2**24
"""Characters that the texts of one schedule may have together."""

_TOKEN: Final = re.compile(r"[^\\\[\]():|]+|[\[\]():|]|\\.|\\")
_WHEN: Final = re.compile(r"\s*(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")


class Variant(NamedTuple):
    """A text and the number of its last call: calls count from 0, so the first variant is read once more."""

    end: int
    text: str


@dataclass(frozen=True)
class Timing:
    """What `when` is measured in.

    steps: calls that this pass plans for (twice the sampling steps for a second-order sampler).
    first_pass: those of the first pass when this is the hires pass; whole numbers count on after them, fractions
    run from 1.0 to 2.0. old_rule: below 1 is a fraction, 1 and above a call, in both passes; the hires pass is then
    timed by the first pass's steps, as A1111 does.
    """

    steps: int
    first_pass: int | None = None
    old_rule: bool = False

    @property
    def calls(self) -> int:
        """Calls that a schedule covers."""
        return self.first_pass if self.old_rule and self.first_pass is not None else self.steps

    def call(self, when: str) -> int:
        """Last call of what comes before the switch; below 1: the switch is over already."""
        number = float(when)
        if self.old_rule:
            number *= self.calls if number < 1 else 1
        elif "." in when:
            number = (number - (self.first_pass is not None)) * self.calls
        else:
            number -= self.first_pass or 0
        return int(max(min(number, self.calls), 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Switch:
    before: _Row
    after: _Row
    when: str


@dataclass(frozen=True, slots=True, eq=False)
class _Cycle:
    options: list[_Row]


_Row = list["str | _Row | _Switch | _Cycle"]


class _Parsed(NamedTuple):
    row: _Row
    switches: list[_Switch]
    cycles: list[_Cycle]


def variants(prompt: str, timing: Timing) -> tuple[Variant, ...]:
    """The texts of a prompt in order; the last one ends at timing.calls. A prompt without editing has one.

    Text that is no well-formed editing stays as it is; where `|` or `\\` stand astray, the whole prompt does.
    Raises InvalidPrompt when its texts together would pass 16 million characters.
    """
    parsed = _parse(prompt)
    if parsed is None or not (parsed.switches or parsed.cycles):
        return (Variant(timing.calls, prompt),)
    ends = {timing.calls} | {timing.call(switch.when) for switch in parsed.switches}
    if parsed.cycles:
        ends.update(range(1, timing.calls + 1))
    if len(ends) * len(prompt) > MOST_TEXT:
        raise InvalidPrompt(
            f"This prompt of {len(prompt):,} characters changes {len(ends):,} times, which is too much text.",
            hint="Shorten it, or use fewer steps.",
        )
    same: dict[str, str] = {}
    texts = ((end, _text_at(parsed.row, end, timing)) for end in sorted(ends) if end >= 1)
    return tuple(Variant(end, same.setdefault(text, text)) for end, text in texts)


def _text_at(row: _Row, call: int, timing: Timing) -> str:
    texts: list[str] = []
    waiting: list[str | _Row | _Switch | _Cycle] = [row]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            texts.append(node)
        elif isinstance(node, list):
            waiting.extend(reversed(node))
        elif isinstance(node, _Switch):
            waiting.append(node.before if call <= timing.call(node.when) else node.after)
        else:
            waiting.append(node.options[(call - 1) % len(node.options)])
    return "".join(texts)


def _parse(prompt: str) -> _Parsed | None:
    """The prompt as nested rows, or None where it must be taken word for word.

    A bracket that turns out not to be well-formed makes those around it plain text as well: only outside all
    brackets may a single one stand. Whatever is moved is moved once, hence linear time.
    """
    parsed = _Parsed([], [], [])
    row = parsed.row
    openers: list[int] = []
    for match in _TOKEN.finditer(prompt):
        token = match[0]
        if token == "\\":  # at the end, or before a line break
            return None
        if token in ("(", "["):
            openers.append(len(row))
            row.append(token)
        elif token in (")", "]") and openers:
            opener = openers.pop()
            node = _closed(row[opener:], token)
            if node is None:
                openers.clear()
                row.append(token)
                continue
            row[opener:] = [node]
            if isinstance(node, _Switch):
                parsed.switches.append(node)
            elif isinstance(node, _Cycle):
                parsed.cycles.append(node)
        else:
            row.append(token)
    return None if "|" in row else parsed


def _closed(inside: _Row, closer: str) -> _Row | _Switch | _Cycle | None:
    """What a bracket means, from its opener on, now that it is closed; None where it is not well-formed."""
    opener = inside[0]
    separators = [node for node in inside if node in (":", "|")]
    if opener == "(":
        return [*inside, closer] if closer == ")" and separators in ([], [":"]) else None
    if closer == ")":
        return None
    if not separators:
        return [*inside, closer]
    parts = _divided(inside[1:])
    if set(separators) == {"|"}:
        return _Cycle(parts)
    when = parts[-1][0] if len(parts[-1]) == 1 else None
    number = _WHEN.fullmatch(when) if isinstance(when, str) else None
    if number is None or separators not in ([":"], [":", ":"]):
        return None
    return _Switch(parts[0] if len(parts) == 3 else [], parts[-2], number["number"])


def _divided(row: _Row) -> list[_Row]:
    parts: list[_Row] = [[]]
    for node in row:
        if node in (":", "|"):
            parts.append([])
        else:
            parts[-1].append(node)
    return parts
