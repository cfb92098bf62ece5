"""Entries: what extensions add to the tables that requests choose from: a name without torch, and how to get the rest.

`load` is called late, on the thread that needs what it gives, so torch may be imported there and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from app.schema.choices import SamplerName, ScheduleName


class SamplerEntry(NamedTuple):
    """A sampler. named: its name and what has to be known of it. load: gives a `Sampler` of `app.extension_api`."""

    named: SamplerName
    load: Callable[[], Any]

    @property
    def name(self) -> str:
        """As requests write it."""
        return self.named.name


class ScheduleEntry(NamedTuple):
    """A schedule. named: its label and names. load: gives a function (steps, ScheduleInputs) -> falling noise levels,
    1-D float32 on the CPU, steps + 1 of them with 0 as the last."""

    named: ScheduleName
    load: Callable[[], Any]

    @property
    def name(self) -> str:
        """As requests write it."""
        return self.named.label


class UpscalerEntry(NamedTuple):
    """An upscaler without a file in the model folders. load: gives a function (pixels, factor, tell) -> pixels.

    pixels: [3, H, W] uint8 on the CPU. factor: how much larger is wanted in the end. tell(done, of): how far it is, and
    that it still works: one that tells nothing for a minute counts as hung.
    """

    name: str
    load: Callable[[], Any]


class TargetEntry(NamedTuple):
    """What a training can teach. Requests name it as method, with its extension before it: 'extension/name'.

    label: as people read it. kind: whose model folder the file goes to. load: gives a function (TrainingRequest,
    LoadedModel, Tokenizer) -> `Target`, called in the training's own process, and on an outline of the model without
    weights to measure what will be trained. settings: a pydantic model of the values in a request's `method_settings`.
    """

    name: str
    label: str
    kind: Literal["lora", "embedding", "hypernetwork", "checkpoint"]
    load: Callable[[], Any]
    settings: type[BaseModel] | None = None
