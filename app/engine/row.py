"""Row: one image in flight, with its recipe and what it asks for next.

The only mutable state of a picture in work; owned by the engine and its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

from app.networks import Wanted
from app.recipes import (
    ChangeModel,
    Decode,
    Effect,
    EncodeImage,
    EncodeText,
    Evaluate,
    ModelFacts,
    Picture,
    Recipe,
    RestoreFaces,
    Skip,
    Tools,
    Upscale,
)
from app.schema.request import FileIdentity, ImagePlan, ResolvedRequest

PartName = Literal["text", "unet", "vae"]
PARTS: tuple[PartName, ...] = ("text", "unet", "vae")
_NEEDS: Mapping[type, tuple[PartName, ...]] = {
    EncodeText: ("text",),
    Evaluate: ("unet",),
    EncodeImage: ("vae",),
    Decode: ("vae",),
    Upscale: (),
    RestoreFaces: (),
    ChangeModel: (),
}
"""Of an effect that is not here, nothing is known: all parts are brought."""


class ModelChoice(NamedTuple):
    """What must be on the device for a row: equal choices share a model. precision: 'fp32', 'bf16' or 'fp16'.

    networks: exactly those that are on it, in order. text_encoders: files that lend those which the checkpoint lacks.
    """

    checkpoint: FileIdentity
    vae: FileIdentity | None
    precision: str
    networks: tuple[Wanted, ...] = ()
    text_encoders: tuple[FileIdentity, ...] = ()

    @classmethod
    def of(cls, resolved: ResolvedRequest) -> ModelChoice:
        """The choice that a resolved request makes; a hash that came later does not change it."""
        vae = resolved.vae.model_copy(update={"sha256": None}) if resolved.vae else None
        networks = tuple(
            Wanted(one.kind, one.name, one.file.path, one.file.size, one.file.mtime_ns, one.text, one.unet, one.rank)
            for one in resolved.networks
        )
        checkpoint = resolved.checkpoint.model_copy(update={"sha256": None})
        lenders = tuple(file.model_copy(update={"sha256": None}) for file in resolved.text_encoders)
        return cls(checkpoint, vae, resolved.request.precision, networks, lenders)


@dataclass(eq=False)
class Row:
    """One image in flight.

    effect: what the recipe waits for, None before it has begun. done: effects carried out. call, calls, step: as last
    reported by guidance. denoised: the last guided latent [1, C, h, w]. seconds: device time spent on it.
    resolved: the request of the pass it is in. told: calls that events have told of. skipping: Skip is to be thrown in
    before the next effect.
    picture: the result, once there is one. previewed: when the last thumbnail was made. notices: for the user, by code.
    """

    number: int
    plan: ImagePlan
    choice: ModelChoice
    make_recipe: Callable[[ImagePlan, Tools], Recipe]
    recipe: Recipe | None = None
    effect: Effect | None = None
    done: int = 0
    call: int = 0
    calls: int = 0
    told: int = 0
    step: int = 0
    denoised: Tensor | None = None
    seconds: float = 0.0
    skipping: bool = False
    picture: Picture | None = None
    previewed: float = 0.0
    notices: dict[str, str] = field(default_factory=dict)
    resolved: ResolvedRequest = field(init=False)

    def __post_init__(self) -> None:
        self.resolved = self.plan.resolved

    def begin(self, facts: ModelFacts) -> None:
        """Starts the recipe and runs it to its first effect."""
        self.recipe = self.make_recipe(self.plan, Tools(facts, self._report))
        self._advance(lambda recipe: next(recipe))

    def answer(self, value: Any) -> None:
        """Hands the answer to the recipe and runs it to its next effect, or to its picture."""
        self.done += 1
        self._advance(lambda recipe: recipe.send(value))

    def skip(self) -> bool:
        """Ends the recipe early; False when there is no denoised latent yet and so no picture to come.

        What is being decoded is waited for: it is the picture, or a pass that another follows, which is then skipped.
        """
        if isinstance(self.effect, Decode):
            return True
        self.skipping = False
        try:
            self._advance(lambda recipe: recipe.throw(Skip()))
        except Skip:
            return False
        return True

    def close(self) -> None:
        """Drops the recipe with all it holds."""
        if self.recipe is not None:
            self.recipe.close()
        self.recipe = self.effect = self.denoised = None

    def needs(self) -> tuple[PartName, ...]:
        """The parts of the model that the effect will run; none before the recipe has begun."""
        if self.effect is None:
            return ()
        return _NEEDS.get(type(self.effect), PARTS)

    def group_key(self) -> Hashable | None:
        """Rows of one model with equal keys may share a call (design, 'Sharing a model call'); None: not begun."""
        effect = self.effect
        if isinstance(effect, Evaluate):
            lengths = tuple(conditioning.length for conditioning in effect.conditionings)
            added = effect.residuals.shapes if effect.residuals else None
            return ("evaluate", tuple(effect.x.shape), lengths, effect.merging, effect.guides, added)
        if isinstance(effect, EncodeText):
            return ("encode text",)
        if isinstance(effect, EncodeImage):
            return ("encode image", tuple(effect.pixels.shape))
        if isinstance(effect, Decode):
            return ("decode", tuple(effect.latent.shape))
        if isinstance(effect, Upscale):
            return ("upscale", tuple(effect.pixels.shape), *effect[1:])
        if isinstance(effect, RestoreFaces):
            return ("restore faces", tuple(effect.pixels.shape), effect.files, effect.visibility)
        if isinstance(effect, ChangeModel):
            return ("change model",)
        return None

    def _advance(self, push: Callable[[Recipe], Effect]) -> None:
        assert self.recipe is not None
        try:
            self.effect = push(self.recipe)
        except StopIteration as stop:
            self.picture = stop.value
            self.effect = None
            return
        if isinstance(self.effect, ChangeModel):
            self.resolved = self.effect.resolved
            self.choice = ModelChoice.of(self.resolved)

    def _report(self, call: int, calls: int, step: int, denoised: Tensor) -> None:
        self.call, self.calls, self.step, self.denoised = call, calls, step, denoised
