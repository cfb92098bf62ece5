"""Factories: what the command line is handed to carry its commands out, since it knows neither torch nor the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from app.files import Downloads, ModelLibrary
from app.hooks import Command
from app.jobs import Jobs, Trainings
from app.schema.choices import Choices
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest


class Factories(Protocol):
    """What `launch` builds for a command; nothing is built before it is asked for."""

    def serve(self, options: LaunchOptions) -> int:
        """Run the server until it is stopped; the exit status."""
        ...

    def commands(self, options: LaunchOptions) -> Mapping[str, Command]:
        """The sub-commands that extensions bring, by their names."""
        ...

    def choices(self, options: LaunchOptions) -> Choices:
        """What may be chosen by name, with what extensions add."""
        ...

    def library(self, options: LaunchOptions) -> ModelLibrary:
        """The model library of the options' folders."""
        ...

    def downloads(self, options: LaunchOptions) -> AbstractContextManager[Downloads]:
        """Downloads of this process into the options' folders."""
        ...

    def first_request(self, options: LaunchOptions, checkpoint: str) -> GenerationRequest:
        """What the page would start with for a checkpoint ("": the one to be chosen): its native size and so on.

        Raises ModelNotFound.
        """
        ...

    def write_single_file(
        self, folder: Path, target: Path, dtype: str | None, progress: Callable[[int, int], None]
    ) -> None:
        """Write a diffusers folder as one file of the original layout.

        dtype: safetensors' word, None for its own. Raises BrokenModelFile, UnsupportedModel, CannotWrite, DiskFull.
        """
        ...

    def jobs(self, options: LaunchOptions) -> AbstractContextManager[Jobs]:
        """Jobs with an engine of this process, which holds the data folder meanwhile. Raises DataFolderInUse."""
        ...

    def trainings(self, options: LaunchOptions) -> AbstractContextManager[Trainings]:
        """Trainings looked after by this process, which holds the data folder meanwhile. Raises DataFolderInUse."""
        ...
