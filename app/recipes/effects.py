"""Effects: all that a recipe may ask the engine for, and what it gets back.

Values only. A recipe yields an effect and is sent its answer; who else shares the model call it never learns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from app.samplers import BUILT_IN_TABLES, Tables, calls_planned
from app.schema.errors import BlobNotFound

if TYPE_CHECKING:
    from PIL.Image import Image

    from app.conditioning import Conditioning
    from app.language import TextUnit
    from app.models import Family
    from app.samplers import ModelSigmas
    from app.schema.request import FaceFiles, FileIdentity, GenerationRequest, ResolvedRequest


class EncodeText(NamedTuple):
    """One prompt (or one part of an AND) with its whole schedule. Answer: ConditioningSchedule."""

    unit: TextUnit


class Residuals(NamedTuple):
    """What is added inside the U-Net, as ControlNets do: to each output of its way down, and in the middle.

    down: [n, c, h, w] each. mid: [n, c, h, w]. n: one row for each conditioning, in order.
    """

    down: tuple[Tensor, ...]
    mid: Tensor

    def row(self, number: int) -> Residuals:
        """Those of one conditioning."""
        return Residuals(tuple(one[number : number + 1] for one in self.down), self.mid[number : number + 1])

    def __add__(self, other: object) -> Residuals:
        """Two ControlNets on one picture."""
        if not isinstance(other, Residuals):
            return NotImplemented
        down = tuple(mine + its for mine, its in zip(self.down, other.down, strict=True))
        return Residuals(down, self.mid + other.mid)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of one row."""
        return tuple(tuple(one.shape[1:]) for one in (*self.down, self.mid))


class Evaluate(NamedTuple):
    """The U-Net at one point, once for each conditioning.

    x: [1, C, h, w] float32 in sigma space (picture + sigma * noise). timestep: where it must not be the one that
    belongs to sigma. merging: share of the tokens that self-attention merges, 0 for none. scale: of guidance, for a
    U-Net that takes it as an input; None for any other, or for its usual one. guides: the keys of the guides that act
    on the call, which rows that share it have in common. residuals: what a guide adds inside the U-Net.
    Answer: [n, C, h, w] float32, the denoised latent for each of the n conditionings, in order.
    """

    x: Tensor
    sigma: float
    conditionings: tuple[Conditioning, ...]
    timestep: float | None = None
    merging: float = 0.0
    scale: float | None = None
    guides: tuple[Hashable, ...] = ()
    residuals: Residuals | None = None

    def part(self, number: int) -> Evaluate:
        """The question for one of its conditionings."""
        residuals = None if self.residuals is None else self.residuals.row(number)
        return self._replace(conditionings=(self.conditionings[number],), residuals=residuals)


class EncodeImage(NamedTuple):
    """Pixels to a latent. pixels: [3, H, W] float32 in -1..1, H and W whole latent cells.

    Answer: [1, C, h, w] float32 in the U-Net's scale, the mean of the VAE's posterior.
    """

    pixels: Tensor


class Decode(NamedTuple):
    """A latent to pixels. latent: [1, C, h, w]. Answer: [3, H, W] uint8 on the CPU."""

    latent: Tensor


class Upscale(NamedTuple):
    """Pixels to a larger picture. pixels: [3, H, W] uint8. upscaler: its name. file: its weights, for those with any.

    Answer: [3, height, width] uint8 on the CPU.
    """

    pixels: Tensor
    upscaler: str
    file: FileIdentity | None
    width: int
    height: int


class RestoreFaces(NamedTuple):
    """Draws the faces of a picture anew. pixels: [3, H, W] uint8. visibility: 0 to 1, how much of the new faces shows.

    Answer: [3, H, W] uint8 on the CPU; the same pixels where there is no face, of which the user is told.
    """

    pixels: Tensor
    files: FaceFiles
    visibility: float


class ChangeModel(NamedTuple):
    """From now on the effects are carried out on the model and networks of this request. Answer: its ModelFacts."""

    resolved: ResolvedRequest


Effect = EncodeText | EncodeImage | Evaluate | Decode | Upscale | RestoreFaces | ChangeModel


class Skip(Exception):
    """Thrown into a recipe to end it early: guidance answers with the last denoised latent."""


class Picture(NamedTuple):
    """What a recipe returns.

    pixels: [3, H, W] uint8. partial: ended early by Skip. facts: infotext entries that only the run knows. beside:
    steps on the way that are to be saved, too: the end of the file's name, and pixels.
    """

    pixels: Tensor
    partial: bool
    facts: tuple[tuple[str, str], ...] = ()
    beside: tuple[tuple[str, Tensor], ...] = ()


Recipe = Generator[Effect, Any, Picture]


@dataclass(frozen=True)
class ModelFacts:
    """What a recipe must know of the model that will carry out its effects.

    sigmas: noise level of each training step. alphas_cumprod: [N], what they come from.
    latent_channels, pixels_per_latent: of the VAE (4 and 8). unet_channels: what the U-Net reads: the latent's, and
    for inpainting 5 more, for editing 4 more (see `Conditioning.image`).
    family: whose rules the text encoders follow. device: where latents live and what the noise source 'GPU' means.
    scale_input: whether the U-Net takes the guidance scale as an input (LCM).
    """

    sigmas: ModelSigmas
    alphas_cumprod: Tensor
    unet_channels: int
    latent_channels: int
    pixels_per_latent: int
    family: Family
    device: str
    scale_input: bool = False


def _no_pictures(digest: str) -> Image:
    raise BlobNotFound("There is no store of pictures here.", hint="Draw from text.")


def _nothing_kept(name: str) -> Image | None:
    return None


def _keep_nothing(name: str, step: Image) -> None:
    pass


@dataclass(frozen=True)
class Tools:
    """What the engine lends a recipe besides answers.

    report(call, calls, step, denoised): after each guided model call; call counts from 1, `calls` is the number
    planned, denoised is the guided latent [1, C, h, w], which the caller may keep but not change.
    picture(hash): a picture that the request names, RGB or RGBA, upright. Raises BlobNotFound, InvalidImage.
    keep(name, picture), kept(name): a finished step of this picture is kept on disk until the picture is saved, and
    found again by a process that takes up the work of one that was killed; None where there is none. name: letters,
    digits and hyphens.
    tables: the samplers and schedules there are.
    """

    model: ModelFacts
    report: Callable[[int, int, int, Tensor], None]
    picture: Callable[[str], Image] = _no_pictures
    kept: Callable[[str], Image | None] = _nothing_kept
    keep: Callable[[str, Image], None] = _keep_nothing
    tables: Tables = BUILT_IN_TABLES

    def calls_planned(self, request: GenerationRequest) -> int:
        """Model calls that the prompt schedules of a pass with this request reckon with."""
        return calls_planned(request.sampler, request.steps, self.tables.choices)

    def between(self, before: int, after: int) -> Tools:
        """The same for a pass with so many calls before it and so many after it, in its reports."""
        report = self.report
        return replace(
            self,
            report=lambda call, calls, step, denoised: report(before + call, before + calls + after, step, denoised),
        )
