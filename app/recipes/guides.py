"""Guides: what acts on every model call of a pass, before the model is asked and after it has answered.

Repainting, CFG rescale and what extensions bring are guides of one protocol; guidance calls them and knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch import Tensor

from app.recipes.effects import Effect, Evaluate
from app.samplers import Denoised

if TYPE_CHECKING:
    from app.guard import Guard
    from app.recipes.effects import Tools
    from app.schema.request import ImagePlan


class Call(NamedTuple):
    """number: of this model call in its pass, from 0. of: how many the pass makes."""

    number: int
    of: int


class Answered(NamedTuple):
    """question: as the model was asked. rows: its answers, [n, C, h, w]. denoised: what came of them so far.

    prompted: [1, C, h, w], what the prompt alone comes to, at a guidance scale of 1.
    """

    question: Evaluate
    rows: Tensor
    denoised: Denoised
    prompted: Tensor


class Guide(Protocol):
    """One pass' guide. It is made anew for each pass of each picture, so that whatever it remembers is that pass' own.

    key: rows whose guides have unequal keys never share a model call; equal ones may, whoever owns them. repaints:
    whether it keeps what lies outside the mask itself; the plain way of doing that is left out then.
    """

    @property
    def key(self) -> Hashable:
        """As above."""
        ...

    @property
    def repaints(self) -> bool:
        """As above."""
        ...

    def before(self, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
        """What the model is asked instead: another x, other conditionings (as many), residuals. May yield effects."""
        ...

    def after(self, answered: Answered, call: Call) -> Denoised:
        """What the sampler is told instead; latents of the same shape."""
        ...


class PlainGuide:
    """A guide that changes nothing: what others are made of."""

    key: Hashable = None
    repaints = False

    def before(self, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
        """As in `Guide`."""
        yield from ()
        return question

    def after(self, answered: Answered, call: Call) -> Denoised:
        """As in `Guide`."""
        return answered.denoised


class Scene(NamedTuple):
    """What one pass works on. height, width: of its latent, in cells.

    latent: [1, C, h, w] that is redrawn, None where it draws from nothing. mask: [1, 1, h, w], 1 where it is redrawn, 0
    where it is kept, or shades; None for all of it. variance_preserving: its sampler walks DDIM's timesteps, for which
    A1111 keeps what is outside the mask before each call and not after it. first: no other pass came before.
    """

    height: int
    width: int
    latent: Tensor | None
    mask: Tensor | None
    variance_preserving: bool
    first: bool


Guiding = Generator[Effect, Any, Sequence[Guide]]
MakeGuides = Callable[["ImagePlan", "Tools", Scene], Guiding]
"""The guides of one pass; asked for requests that name the extension. It may yield effects (encode a picture)."""


@dataclass(frozen=True, eq=False)
class Guarded:
    """An extension's guide: what it does wrong is laid at its door.

    key: with the owner's name before it, so that no two extensions' keys are equal by chance.
    """

    owner: str
    guide: Guide
    guard: Guard
    key: Hashable
    repaints: bool

    def before(self, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
        """As in `Guide`."""
        return self.guard.walk(self.owner, "a guide", partial(_checked_question, self.guide, question, call))

    def after(self, answered: Answered, call: Call) -> Denoised:
        """As in `Guide`."""
        return self.guard.run(self.owner, "a guide", partial(_checked_answer, self.guide, answered, call))


def guarded(owner: str, make: MakeGuides, guard: Guard) -> MakeGuides:
    """The same maker, with its making and all that it makes guarded."""

    def guides(image: ImagePlan, tools: Tools, scene: Scene) -> Guiding:
        return (yield from guard.walk(owner, "a guide", lambda: _made(owner, guard, make(image, tools, scene))))

    return guides


def _made(owner: str, guard: Guard, guiding: Guiding) -> Guiding:
    made = []
    for guide in (yield from guiding):
        hash(guide.key)  # raises here, where its extension is to blame
        made.append(Guarded(owner, guide, guard, (owner, guide.key), bool(guide.repaints)))
    return made


def _checked_question(guide: Guide, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
    changed = yield from guide.before(question, call)
    same = isinstance(changed, Evaluate) and changed.x.shape == question.x.shape
    if not same or len(changed.conditionings) != len(question.conditionings):
        raise ValueError("It asks for another shape of latent or another number of answers than it was given")
    return changed


def _checked_answer(guide: Guide, answered: Answered, call: Call) -> Denoised:
    changed = guide.after(answered, call)
    if changed.x0.shape != answered.denoised.x0.shape:
        raise ValueError(f"It answers {tuple(changed.x0.shape)} for {tuple(answered.denoised.x0.shape)}")
    return changed
