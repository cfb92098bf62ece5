"""What reading an infotext asks of others: files, the prompt's grammar, styles.

Plain functions, so that this layer knows neither; each has a stand-in that does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from app.schema.choices import split_sampler_name

_OPEN_BRACKET: Final = re.compile(r"(?<!\\)[(\[]")


def _as_it_is(name: str) -> str | None:
    return name


def _unknown(name: str) -> str | None:
    return None


def has_bracket(prompt: str) -> bool:
    """Whether a prompt holds a bracket that is not escaped: nearly always emphasis."""
    return _OPEN_BRACKET.search(prompt) is not None


class Lookups(NamedTuple):
    """checkpoint, vae: a name or hash -> the name to ask for, None when there is no such file.

    network: the short hash of a LoRA -> the name that this machine has it under, or None. sampler: (sampler, schedule)
    as written -> as chosen here; raises UnknownChoice. uses_emphasis: whether a prompt weighs a part of it.
    extract_styles: (prompt, negative prompt) -> (names of styles, and the prompts without them); None leaves them in.
    A function that raises an EaselError counts as not knowing.
    """

    checkpoint: Callable[[str], str | None] = _as_it_is
    vae: Callable[[str], str | None] = _as_it_is
    network: Callable[[str], str | None] = _unknown
    sampler: Callable[[str | None, str | None], tuple[str, str]] = split_sampler_name
    uses_emphasis: Callable[[str], bool] = has_bracket
    extract_styles: Callable[[str, str], tuple[Sequence[str], str, str]] | None = None


NO_LOOKUPS: Final = Lookups()
