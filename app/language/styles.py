"""Styles: named prompt fragments, merged into prompts and found again in them.

AUTOMATIC1111's rules (a1111-facts 1.11). Knows nothing of files or of who picks a style.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

PLACE: Final = "{prompt}"


class Style(NamedTuple):
    """One row. A text that holds `{prompt}` is wrapped around the user's prompt, any other is appended to it."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


class Extracted(NamedTuple):
    """What is left of two prompts, and the names of the styles that were taken out, in order of application."""

    styles: tuple[str, ...]
    prompt: str
    negative_prompt: str


def merge_styles(prompt: str, texts: Sequence[str]) -> str:
    """A prompt with the texts of its styles merged in, one after the other."""
    for text in texts:
        if PLACE in text:
            prompt = text.replace(PLACE, prompt)
        else:
            prompt = ", ".join(part for part in (prompt.strip(), text.strip()) if part)
    return prompt


def apply_styles(prompt: str, negative_prompt: str, names: Sequence[str], styles: Iterable[Style]) -> tuple[str, str]:
    """Both prompts with the named styles merged in; a name that is not there counts as an empty style, as in A1111."""
    known = {style.name: style for style in styles}
    chosen = [known.get(name, Style(name)) for name in names]
    return (
        merge_styles(prompt, [style.prompt for style in chosen]),
        merge_styles(negative_prompt, [style.negative_prompt for style in chosen]),
    )


def extract_styles(prompt: str, negative_prompt: str, styles: Sequence[Style]) -> Extracted:
    """Find which styles a pair of prompts was made with: again and again the first one that fits both, each once."""
    left = [style for style in styles if style.prompt or style.negative_prompt]
    found: list[str] = []
    while True:
        fits = ((style, _without_style(style, prompt, negative_prompt)) for style in left)
        fitting = next(((style, rest) for style, rest in fits if rest is not None), None)
        if fitting is None:
            return Extracted(tuple(reversed(found)), prompt, negative_prompt)
        style, (prompt, negative_prompt) = fitting
        left.remove(style)
        found.append(style.name)


def _without_style(style: Style, prompt: str, negative_prompt: str) -> tuple[str, str] | None:
    rest = _without_text(style.prompt.strip(), prompt.strip())
    negative_rest = _without_text(style.negative_prompt.strip(), negative_prompt.strip())
    return None if rest is None or negative_rest is None else (rest, negative_rest)


def _without_text(text: str, prompt: str) -> str | None:
    if PLACE in text:
        before, _, after = text.partition(PLACE)
        fits = prompt.startswith(before) and prompt.endswith(after) and len(prompt) >= len(before) + len(after)
        return prompt[len(before) : len(prompt) - len(after)] if fits else None
    if prompt.endswith(text):
        return prompt[: len(prompt) - len(text)].removesuffix(", ")
    return None
