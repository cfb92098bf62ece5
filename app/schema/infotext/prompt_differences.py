"""Where two prompts differ, phrase by phrase: which stand in one alone, and whether only their order is another."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

_SHOWN: Final = 2000


class PromptWords(NamedTuple):
    """theirs, ours: the phrases that stand there alone, "" where none does. words: a sentence."""

    theirs: str
    ours: str
    words: str


def prompt_difference(theirs: str, ours: str) -> PromptWords | None:
    """None for equal prompts. Phrases are what commas and line breaks part."""
    if theirs == ours:
        return None
    first, second = _phrases(theirs), _phrases(ours)
    only_first, only_second = _without(first, second), _without(second, first)
    if not only_first and not only_second:
        same = first == second
        words = "Only blanks or commas differ." if same else "The same phrases in another order."
        return PromptWords(_cut(theirs), _cut(ours), words)
    told = []
    if only_first:
        told.append(f"{_count(only_first)} only in the file")
    if only_second:
        told.append(f"{_count(only_second)} only here")
    words = " and ".join(told)
    return PromptWords(_cut(", ".join(only_first)), _cut(", ".join(only_second)), f"{words[0].upper()}{words[1:]}.")


def _phrases(prompt: str) -> list[str]:
    parts = (" ".join(part.split()) for line in prompt.split("\n") for part in line.split(","))
    return [part for part in parts if part]


def _without(phrases: list[str], others: list[str]) -> list[str]:
    left = Counter(others)
    found = []
    for phrase in phrases:
        if left[phrase] > 0:
            left[phrase] -= 1
        else:
            found.append(phrase)
    return found


def _count(phrases: list[str]) -> str:
    return "one phrase" if len(phrases) == 1 else f"{len(phrases)} phrases"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
