"""The cases: every method with every subject or style it is for, with and without prior, and the controls.

Settings are a method's, not a case's: what differs within a method is named in `VARIANTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.schema.training import Method, TrainingRequest
from app.schema.training_presets import preset
from benchmarks.training import asked, lessons
from benchmarks.training.asked import Asked
from benchmarks.training.figures import KNOWN_SHAPES, STRANGERS, Stranger
from benchmarks.training.styles import STYLES, Style

FAMILY = "starter"
"""Settings are the form's presets for it."""
SHARED: Mapping[str, Any] = {
    "sample_every": 0,
    "snapshot_seconds": 60.0,
    "precision": "fp32",
    "session": "benchmark",
    "created": 1_790_000_000,
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "prior": {"prior": "prediction"},
    "class pictures": {"prior": "pictures"},
    "no prior": {"prior": "none"},
    "rate 0": {"prior": "none", "learning_rate": "0", "steps": 10},
    "shuffled captions": {"prior": "none"},
}
"""A rate of 0 changes nothing in ten steps as little as in more."""
CONTROLS = ("rate 0", "shuffled captions")
LEAST: Mapping[Method, float] = {"dreambooth": 0.8, "lora": 0.8, "textual_inversion": 0.6, "hypernetwork": 0.8}
"""Share of the pictures that must show what was learnt (training-facts 6.2)."""


class Case(NamedTuple):
    """One training. thing: name of a stranger or style."""

    method: Method
    thing: str
    variant: str

    @property
    def key(self) -> str:
        """What it is called on the command line and in the results."""
        return f"{self.method}/{self.thing}/{self.variant}".replace(" ", "-")

    @property
    def control(self) -> bool:
        """Whether it must fail the gate."""
        return self.variant in CONTROLS

    @property
    def stranger(self) -> Stranger | None:
        """The subject, for a case of one."""
        return STRANGERS.get(self.thing) or KNOWN_SHAPES.get(self.thing)

    @property
    def style(self) -> Style | None:
        """The style, for a case of one."""
        return STYLES.get(self.thing)

    @property
    def word(self) -> str:
        """What calls what is learnt; a hypernetwork needs no word."""
        if self.method == "textual_inversion":
            return asked.NEW_WORD
        one = self.stranger or self.style
        return one.word if one and self.method != "hypernetwork" else ""

    @property
    def tag(self) -> str:
        """What switches the result on, at the end of a prompt."""
        kinds = {"lora": "lora", "hypernetwork": "hypernet"}
        return f" <{kinds[self.method]}:{self.name}:1>" if self.method in kinds else ""

    @property
    def name(self) -> str:
        """Of the file that comes out."""
        return self.word if self.method == "textual_inversion" else f"learnt-{self.thing}"

    def request(self, data: str) -> TrainingRequest:
        """data: the folder with its pictures."""
        own: dict[str, Any] = {"method": self.method, "name": self.name, "data": data, "trigger": self.word}
        if self.stranger:
            own |= {"class_words": self.stranger.kind, "initial_text": self.stranger.kind}
        fields = {**preset(self.method, FAMILY), **SHARED, **own, **VARIANTS[self.variant]}
        return TrainingRequest.model_validate(fields)

    def lessons(self) -> list[lessons.Lesson]:
        """The pictures and captions that it learns from."""
        if self.stranger:
            taught = lessons.of_stranger(self.stranger, asked.of(self.stranger, self.method))
        else:
            taught = lessons.of_style(STYLES[self.thing], self.word)
        return lessons.shuffled(taught, lessons.of_ordinary(self.stranger)) if self.variant == CONTROLS[1] else taught

    def named(self) -> tuple[Asked, ...]:
        """What must show what was learnt."""
        if self.stranger:
            return asked.named(asked.of(self.stranger, self.method))
        return asked.in_style(self.word)

    def of_kind(self) -> tuple[Asked, ...]:
        """Ordinary ones of its kind, which must stay as they were; none for a style."""
        return asked.without_word(self.stranger.kind) if self.stranger else ()

    def of_others(self) -> tuple[Asked, ...]:
        """Unrelated things, which must stay as they were, too."""
        return asked.unrelated(self.stranger.kind if self.stranger else None)

    def other(self) -> tuple[Asked, ...]:
        """The subject's prompts with a word that was not trained."""
        return asked.other_word(self.stranger) if self.stranger else ()


def _cases() -> tuple[Case, ...]:
    subjects, styles = tuple(STRANGERS), tuple(STYLES)
    found: list[Case] = []
    for method in ("dreambooth", "lora"):
        found += [Case(method, subject, variant) for subject in subjects for variant in ("prior", "no prior")]
        found += [Case(method, subjects[0], variant) for variant in CONTROLS]
    found.append(Case("dreambooth", subjects[0], "class pictures"))
    found += [Case("lora", style, "no prior") for style in styles]
    known = tuple(KNOWN_SHAPES)
    found += [Case("textual_inversion", subject, "no prior") for subject in (*subjects, *known)]
    found += [Case("textual_inversion", known[0], variant) for variant in CONTROLS]
    found += [Case("hypernetwork", style, "no prior") for style in styles]
    found += [Case("hypernetwork", styles[0], variant) for variant in ("prior", *CONTROLS)]
    return tuple(found)


CASES = _cases()
