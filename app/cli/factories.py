"""Factories: what the command line is handed to carry its commands out, since it knows neither torch nor the engine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from app.files import Downloads, ModelLibrary
from app.jobs import Jobs, Trainings
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest


class Factories(Protocol):
    """What `launch` builds for a command; nothing is built before it is asked for."""

    def serve(self, options: LaunchOptions) -> int:
        """Run the server until it is stopped; the exit status."""
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

    def jobs(self, options: LaunchOptions) -> AbstractContextManager[Jobs]:
        """Jobs with an engine of this process, which holds the data folder meanwhile. Raises DataFolderInUse."""
        ...

    def trainings(self, options: LaunchOptions) -> AbstractContextManager[Trainings]:
        """Trainings looked after by this process, which holds the data folder meanwhile. Raises DataFolderInUse."""
        ...
