"""Launch: the factories that the command line is handed; each builds what one command needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.cli.folders import folders_of
from app.files import Downloads, ModelLibrary
from app.hooks import Command, Registry
from app.jobs import Jobs, Trainings
from app.launch.workshop import extensions_of, open_workshop, resolver_of, settings_of, starting_request, styles_of
from app.schema.choices import Choices
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest


class Launch:
    """What the command line is handed: the factories of `app.cli.Factories`."""

    def serve(self, options: LaunchOptions) -> int:
        """Runs the server until it is stopped."""
        # Late, so that `generate` and `doctor` do without the web's packages.
        from app.launch.serving import serve  # noqa: PLC0415

        with open_workshop(options) as workshop:
            return serve(options, workshop)

    def commands(self, options: LaunchOptions) -> Mapping[str, Command]:
        """The sub-commands that extensions bring; those that fail are left out with words in the log."""
        commands: Mapping[str, Command] = self._registry(options).table("register_commands")
        return commands

    def choices(self, options: LaunchOptions) -> Choices:
        """What may be chosen by name, with what extensions add."""
        return self._registry(options).choices()

    def library(self, options: LaunchOptions) -> ModelLibrary:
        """The model library of the options' folders."""
        folders = folders_of(options)
        folders.create()
        return ModelLibrary(folders, folders.state / "library.sqlite")

    @contextmanager
    def downloads(self, options: LaunchOptions) -> Iterator[Downloads]:
        """Downloads of this process; beside a running server they go on independently, over the same records."""
        library = self.library(options)
        downloads = Downloads(library.folders, library)
        try:
            yield downloads
        finally:
            downloads.close()
            library.close()

    def first_request(self, options: LaunchOptions, checkpoint: str) -> GenerationRequest:
        """What a fresh form holds for a checkpoint: its native size and the settings it asks for."""
        folders = folders_of(options)
        library = self.library(options)
        try:
            resolver = resolver_of(options, library, settings_of(folders), styles_of(options, folders))
            return starting_request(resolver, checkpoint)
        finally:
            library.close()

    def write_single_file(
        self, folder: Path, target: Path, dtype: str | None, progress: Callable[[int, int], None]
    ) -> None:
        """Writes a diffusers folder as one file of the original layout."""
        # Late on purpose: no other command of this kind needs torch.
        from app.models import write_single_file  # noqa: PLC0415

        write_single_file(folder, target, dtype=dtype, progress=lambda part, done, of: progress(done, of))

    @staticmethod
    def _registry(options: LaunchOptions) -> Registry:
        folders = folders_of(options)
        host, registry = extensions_of(folders, settings_of(folders))
        host.load()
        return registry

    @contextmanager
    def jobs(self, options: LaunchOptions) -> Iterator[Jobs]:
        """Jobs with an engine of this process."""
        with open_workshop(options) as workshop:
            yield workshop.jobs

    @contextmanager
    def trainings(self, options: LaunchOptions) -> Iterator[Trainings]:
        """Trainings looked after by this process; what it leaves running goes on by itself."""
        with open_workshop(options) as workshop:
            yield workshop.trainings
