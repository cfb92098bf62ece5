"""Model menus: what the menus of models and styles offer, and values that follow the checkpoint.

Reads the library; knows no widgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.files import CHECKPOINT, VAE, ModelFile, ModelLibrary, recommended
from app.jobs import Resolver
from app.language import Style
from app.schema.choices import AUTOMATIC
from app.schema.errors import EaselError
from app.web.form import START

Choice = tuple[str, str]

BUILT_IN_VAE = "None"


@dataclass(frozen=True)
class ModelMenus:
    """library: of this machine. resolver: knows which checkpoint stands for "the usual one" and the styles."""

    library: ModelLibrary
    resolver: Resolver

    def refresh(self) -> None:
        """Looks into the folders again."""
        self.library.refresh(CHECKPOINT)
        self.library.refresh(VAE)

    def checkpoints(self) -> list[Choice]:
        """(shown, value) of each; one that cannot be used says why."""
        return [_choice(file) for file in self.library.list(CHECKPOINT)]

    def vaes(self) -> list[Choice]:
        """(shown, value): automatic, the checkpoint's own, then the files."""
        fixed = [(AUTOMATIC, AUTOMATIC), ("None (built in)", BUILT_IN_VAE)]
        return fixed + [_choice(file) for file in self.library.list(VAE)]

    def styles(self) -> list[str]:
        """Names of the styles; none where their file cannot be read."""
        try:
            styles: list[Style] = list(self.resolver.styles())
        except EaselError:
            return []
        return [style.name for style in styles]

    def usual_checkpoint(self) -> str:
        """Name of the one that a fresh form shows, "" where there is none to draw with."""
        try:
            return self.resolver.checkpoint("").name
        except EaselError:
            return ""

    def recommended(self, checkpoint: str | None) -> dict[str, Any]:
        """Fields that this checkpoint asks for; nothing for one that cannot be used."""
        try:
            return recommended(self.library.find(checkpoint or "", CHECKPOINT))
        except EaselError:
            return {}

    def edits(self, checkpoint: str | None) -> bool:
        """Whether it changes a given picture as the prompt says (instruct-pix2pix), and so knows an Image CFG Scale."""
        try:
            return self.library.find(checkpoint or "", CHECKPOINT).variant == "pix2pix"
        except EaselError:
            return False


def followed(values: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that follow from one recommendation to the next: those that the user has not changed since."""
    return {name: now[name] for name in now if values.get(name, START[name]) == before.get(name, START[name])}


def _choice(file: ModelFile) -> Choice:
    """Title with hash, then the family, or why it cannot be used; the looks grey an option by the latter's words."""
    if file.problem:
        return f"{file.title} – cannot be used: {file.problem.text}", file.name
    badge = " ".join(word for word in (file.family, file.variant) if word)
    return f"{file.title} · {badge}" if badge else file.title, file.name
