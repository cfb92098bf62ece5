"""Passes: one sampling from a start to a latent, and stages that put passes around one another.

A stage belongs to an extension and runs only for requests that name it. Knows nothing of what any stage does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.guard import Guard
from app.recipes.effects import Decode, Effect, Picture, Recipe, Tools
from app.recipes.guides import MakeGuides, guarded

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from app.recipes.source import Finishing, Source
    from app.samplers import Sampler
    from app.schema.request import ImagePlan, ResolvedRequest


class Turn(NamedTuple):
    """A change of model on the way. resolved: whose checkpoint and networks go on, and whose prompts they are told.

    at: share of the way, by the model's timesteps as A1111 counts: (999 - t) / 1000; by_calls: by model calls.
    """

    resolved: ResolvedRequest
    at: float
    by_calls: bool = False


@dataclass(frozen=True, eq=False)
class Pass:
    """How one pass differs from a request's plain way.

    latent: [1, C, h, w], redrawn with the request's denoising strength in place of its own source; its size counts,
    not the request's. picture, mask: redrawn in place of the request's own, and where (white; None: all of it), by all
    that the request says of its own. calls_before: model calls planned for the pass before, after which prompt editing
    counts on; None for a first pass. turn: see there. sampler: walks in place of the request's, on its levels and with
    about as many calls: prompt editing and progress count the request's. guides: what acts on each of its model
    calls; those of the extensions that the request names, unless a stage says otherwise.
    """

    latent: Tensor | None = None
    picture: Image | None = None
    mask: Image | None = None
    calls_before: int | None = None
    turn: Turn | None = None
    sampler: Sampler | None = None
    guides: tuple[MakeGuides, ...] = ()


class Drawn(NamedTuple):
    """What a pass comes to.

    latent: [1, C, h, w]. partial: ended early by Skip. facts: as a Picture's. finishing: what is done to the decoded
    pixels. pixels: [3, H, W] uint8, finished, where a stage has decoded the latent; then they count. beside: as a
    Picture's. source: what was redrawn, None where nothing was.
    """

    latent: Tensor
    partial: bool
    facts: tuple[tuple[str, str], ...] = ()
    finishing: Finishing | None = None
    pixels: Tensor | None = None
    beside: tuple[tuple[str, Tensor], ...] = ()
    source: Source | None = None


Drawing = Generator[Effect, Any, Drawn]
Draw = Callable[["ImagePlan", Tools, Pass], Drawing]


class Stage(NamedTuple):
    """draw(inner, image, tools, passing): calls `inner` as often and with what it likes, and gives what came of it.

    order: the higher goes around the lower.
    """

    order: int
    draw: Callable[[Draw, ImagePlan, Tools, Pass], Drawing]


def with_stages(
    draw: Draw,
    stages: Iterable[tuple[str, Stage]],
    guides: Iterable[tuple[str, MakeGuides]] = (),
    guard: Guard | None = None,
) -> Callable[[ImagePlan, Tools], Recipe]:
    """The recipe of one picture: the plain pass with the stages of those extensions around it that its request names.

    stages, guides: with the extension's name; guides of those that the request names act on each model call. guard:
    what they do wrong is laid at their extension's door.
    """
    guard = guard or Guard()
    makers = [(name, guarded(name, make, guard)) for name, make in guides]
    for name, stage in sorted(stages, key=lambda entry: entry[1].order):
        draw = _around(name, stage, draw, guard)

    def recipe(image: ImagePlan, tools: Tools) -> Recipe:
        named = image.resolved.request.extensions
        drawn = yield from draw(image, tools, Pass(guides=tuple(make for name, make in makers if name in named)))
        drawn = yield from decoded(drawn)
        assert drawn.pixels is not None
        return Picture(drawn.pixels, drawn.partial, drawn.facts, drawn.beside)

    return recipe


def decoded(drawn: Drawn) -> Drawing:
    """The same with its pixels."""
    if drawn.pixels is not None:
        return drawn
    pixels = yield Decode(drawn.latent)
    return drawn._replace(pixels=drawn.finishing(pixels) if drawn.finishing else pixels)


def _around(name: str, stage: Stage, inner: Draw, guard: Guard) -> Draw:
    def draw(image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
        if name not in image.resolved.request.extensions:
            return inner(image, tools, passing)
        not_its_own: list[BaseException] = []

        def noted(image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
            try:
                return (yield from inner(image, tools, passing))
            except Exception as error:
                not_its_own.append(error)
                raise

        return guard.walk(name, "a stage", lambda: stage.draw(noted, image, tools, passing), not_its_own)

    return draw
