"""A worked example: a frame around pictures; a sampler, schedule, upscaler, guide and training method of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.extension_api import (
    Command,
    Control,
    SamplerEntry,
    SamplerName,
    ScheduleEntry,
    ScheduleName,
    Tab,
    TargetEntry,
    UpscalerEntry,
    hook,
)

if TYPE_CHECKING:
    from app.extension_api import MakeGuides, Sampler, Schedule, Stage

NAME = "example"
"""The folder's: requests carry our values under it."""


class Frame(BaseModel):
    """width: in pixels, at most half the picture counts. grey: 0 black, 255 white. limit: of the latents' values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: Annotated[int, Field(ge=0, le=256), Control("Frame width", "", 0, 64, 1, infotext="Frame width")] = 0
    grey: Annotated[int, Field(ge=0, le=255), Control("Frame grey", "", 0, 255, 1, infotext="Frame grey")] = 255
    limit: Annotated[
        float, Field(ge=0, le=64), Control("Hold back strong colours", "0: off", 0, 16, 0.5, infotext="Latent limit")
    ] = 0.0


@hook
def register_controls() -> list[type]:
    """Shown in every generation tab, sent by the API, written to and read from infotexts."""
    return [Frame]


@hook
def register_stages() -> list[Stage]:
    """Asked when the engine is made, so torch may be imported here and not above."""
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import framed  # noqa: PLC0415

    return [Stage(100, framed)]


@hook
def register_guides() -> list[MakeGuides]:
    """What acts on each model call of the pictures that name this extension."""
    from .guide import guides  # noqa: PLC0415

    return [guides]


@hook
def register_samplers() -> list[SamplerEntry]:
    """In every menu of samplers; asked before torch is there, so that the walk itself is fetched by a function."""
    return [SamplerEntry(SamplerName("Midpoint", aliases=("k_midpoint",)), midpoint)]


@hook
def register_schedules() -> list[ScheduleEntry]:
    """In every menu of schedules."""
    return [ScheduleEntry(ScheduleName("Quadratic", "quadratic"), quadratic)]


@hook
def register_upscalers() -> list[UpscalerEntry]:
    """In every menu of upscalers."""
    return [UpscalerEntry("Doubling", doubling)]


class CastSettings(BaseModel):
    """rate: of the learning rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Annotated[float, Field(gt=0, le=100), Control("Speed", "times the learning rate", 0.1, 100)] = 1.0


@hook
def register_targets() -> list[TargetEntry]:
    """In the Train tab's list of methods, as `example/cast` over the API."""
    return [TargetEntry("cast", "Cast: a tint of colour and brightness", "lora", cast, CastSettings)]


@hook
def register_tabs() -> list[Tab]:
    """A tab with one field."""
    return [Tab("Frames", build_tab)]


@hook
def register_routes() -> list[APIRouter]:
    """Served under /ext/example."""
    router = APIRouter()

    @router.get("/inside")
    def inside(width: int, height: int, frame: int) -> dict[str, int]:
        return dict(zip(("width", "height"), left_inside(width, height, frame), strict=True))

    return [router]


@hook
def register_commands() -> list[Command]:
    """`webui.py frame 512 768 16`."""
    return [Command("frame", "how much of a picture a frame leaves", command)]


@hook
def image_saving(plan: Any) -> list[tuple[str, str]]:
    """One more entry of the infotext, for pictures that have a frame."""
    values = plan.resolved.request.extensions.get(NAME)
    return [("Framed by", "example")] if values and values.get("width") else []


def midpoint() -> Sampler:
    """Torch comes with it, so it is imported when a job wants it."""
    from .walking import midpoint as walk  # noqa: PLC0415

    return walk


def quadratic() -> Schedule:
    """As above."""
    from .walking import quadratic as levels  # noqa: PLC0415

    return levels


def doubling() -> Any:
    """As above."""
    from .enlarging import doubled  # noqa: PLC0415

    return doubled


def cast() -> Any:
    """As above."""
    from .target import Cast  # noqa: PLC0415

    return Cast


def left_inside(width: int, height: int, frame: int) -> tuple[int, int]:
    """What a frame leaves of a picture."""
    return max(width - 2 * frame, 0), max(height - 2 * frame, 0)


def command(arguments: list[str]) -> int:
    """Width, height and frame, in pixels."""
    try:
        width, height, frame = (int(word) for word in arguments)
    except ValueError:
        print("webui.py frame WIDTH HEIGHT FRAME, three whole numbers", file=sys.stderr)
        return 2
    print("{} x {}".format(*left_inside(width, height, frame)))
    return 0


def build_tab() -> None:
    """Gradio's blocks; imported here, since the command line does without."""
    import gradio  # noqa: PLC0415

    width = gradio.Number(512, label="Picture width", precision=0, elem_id="ext_example_width")
    frame = gradio.Number(16, label="Frame width", precision=0, elem_id="ext_example_frame")
    left = gradio.Textbox(label="Left inside", elem_id="ext_example_left")
    gradio.on(
        [width.change, frame.change],
        lambda side, border: str(left_inside(int(side or 0), 0, int(border or 0))[0]),
        [width, frame],
        left,
        api_visibility="private",
    )
