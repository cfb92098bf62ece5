"""Captions as a step reads them: templates, shuffled and dropped tags, the trigger word, and now and then none.

Every draw comes from the generator it is given, so that a resumed run reads the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.schema.errors import TrainingProblem


@dataclass(frozen=True)
class CaptionOptions:
    """shuffle: parts between commas change places, the first keep_parts stay. drop_parts: chance of each other part to
    be left out. drop: chance of the whole caption to be empty, which is what classifier-free guidance learns from.
    """

    shuffle: bool = False
    keep_parts: int = 0
    drop_parts: float = 0.0
    drop: float = 0.0


@dataclass(frozen=True)
class Templates:
    """A1111's template lines with `[name]` and `[filewords]`; name: what `[name]` becomes."""

    lines: tuple[str, ...]
    name: str

    @classmethod
    def read(cls, path: Path, name: str) -> Templates:
        """Raises TrainingProblem for a file that cannot be read or has no lines."""
        try:
            lines = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise TrainingProblem(f"The template {path.name} cannot be read: {error}.", field="template") from error
        if not lines:
            raise TrainingProblem(f"The template {path.name} is empty.", field="template")
        return cls(lines, name)

    def fill(self, words: str, draws: np.random.Generator) -> str:
        """One line, drawn at random, with its places filled."""
        line = self.lines[int(draws.integers(len(self.lines)))]
        return line.replace("[name]", self.name).replace("[filewords]", words)


def caption_for(
    words: str, options: CaptionOptions, draws: np.random.Generator, templates: Templates | None = None
) -> str:
    """The caption of one sample at one step. words: as the data folder has them."""
    dropped = draws.random() < options.drop
    if options.shuffle or options.drop_parts:
        words = ", ".join(_parts([part.strip() for part in words.split(",") if part.strip()], options, draws))
    text = templates.fill(words, draws) if templates else words
    return "" if dropped else text.strip()


def _parts(parts: Sequence[str], options: CaptionOptions, draws: np.random.Generator) -> list[str]:
    kept, loose = list(parts[: options.keep_parts]), list(parts[options.keep_parts :])
    if options.drop_parts:
        loose = [
            part for part, chance in zip(loose, draws.random(len(loose)), strict=True) if chance >= options.drop_parts
        ]
    if options.shuffle:
        loose = [loose[place] for place in draws.permutation(len(loose))]
    return kept + loose
