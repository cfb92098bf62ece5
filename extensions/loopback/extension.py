"""Loopback: a picture is redrawn again and again, each time from what came of the time before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.extension_api import GenerationRequest, Part, hook

from .settings import Loopback, rounds


@hook
def register_controls() -> list[type]:
    """What the Script menu shows."""
    return [Loopback]


@hook
def register_expanders() -> list[Callable[[GenerationRequest], Sequence[Part]]]:
    """A picture for each round."""
    return [rounds]
