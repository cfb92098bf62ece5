"""Engine: what the worker asks of an engine, as a protocol, so that no torch is imported here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PIL.Image import Image

from app.schema.events import RowEvent
from app.schema.memory import ModelMemory
from app.schema.request import FaceFiles, FileIdentity, ImagePlan

BeforeGroup = Callable[[list[tuple[str, int, int]]], None]
"""Told (job, image, effects done) of the rows that run next."""


class Engine(Protocol):
    """What the worker asks of an engine; every call comes from the worker's thread.

    Each plan submitted ends in exactly one RowFinished, RowFailed or RowDropped.
    """

    @property
    def idle(self) -> bool:
        """True when no picture is left and nothing is left to tell."""
        ...

    def submit(self, plan: ImagePlan) -> None:
        """Takes one picture; it begins when its turn comes."""
        ...

    def step(self) -> list[RowEvent]:
        """Runs at most one group."""
        ...

    def skip(self, job: str) -> None:
        """The job's pictures in flight end with what they have."""
        ...

    def interrupt(self, job: str) -> None:
        """The same, and those not begun are dropped."""
        ...

    def cancel(self, job: str) -> None:
        """All of the job's pictures are dropped."""
        ...

    def watch(self, jobs: set[str]) -> None:
        """Thumbnails are wanted of these jobs only."""
        ...

    def listen(self, listener: Callable[[RowEvent], None]) -> None:
        """What happens inside a step (bytes of a load) is told at once, on the same thread."""
        ...

    def memory(self) -> ModelMemory:
        """The models in memory now; cheap where nothing has changed."""
        ...

    def unload(self, path: str | None) -> None:
        """Drops the models of a file, pinned or not; None: all that are not pinned. Rows in flight load theirs
        again."""
        ...

    def reload(self) -> None:
        """Loads the model used last, if it is not in memory. Raises what its file deserves."""
        ...

    def pin(self, path: str) -> None:
        """The models of a file stay in memory from now on."""
        ...

    def unpin(self, path: str) -> None:
        """They go when their turn comes."""
        ...

    def lend(self) -> None:
        """Frees the device for a training; asked only when no picture is left."""
        ...

    def enlarged(
        self,
        picture: Image,
        upscaler: str,
        file: FileIdentity | None,
        width: int,
        height: int,
        tell: Callable[[int, int], None],
    ) -> Image:
        """An RGB picture at width x height by an upscaler. file: of its network, None for those without one.

        tell: is told tiles done and in all, and may raise to end the work. Raises what the upscaler deserves.
        """
        ...

    def faces_restored(
        self, picture: Image, files: FaceFiles, visibility: float, tell: Callable[[int, int], None]
    ) -> tuple[Image, int]:
        """An RGB picture with its faces restored, and how many there were; without any the same picture.

        visibility: 0 to 1, how much of the new faces shows. tell: is told faces done and in all, and may raise to end
        the work. Raises what the files deserve.
        """
        ...

    def captioned(self, picture: Image, folder: Path) -> str:
        """What an RGB picture shows, by the captioner in a folder. Raises what its files deserve."""
        ...

    def close(self) -> None:
        """Drops everything and gives the memory back."""
        ...


MakeEngine = Callable[[BeforeGroup], Engine]
