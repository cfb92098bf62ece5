"""Factories as launch hands them in, over a fake engine whose pictures are real files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

from app.cli.folders import folders_of
from app.files import Downloads, Folders, ModelLibrary
from app.files.patience import Patience
from app.hooks import Command
from app.jobs import DataFolderLock, Jobs, Trainings
from app.schema.choices import BUILT_IN, Choices, SamplerName
from app.schema.errors import ModelNotFound
from app.schema.events import RowFinished
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest, ImagePlan
from tests.jobs.workplace import Workplace


class PngFiles:
    """Pictures in a folder, with their infotext."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self, plan: ImagePlan, finished: RowFinished) -> Iterator[str]:
        for number in range(1000):
            yield f"outputs/{number:05d}-{plan.seed}.png"

    def write(self, path: str, finished: RowFinished, infotext: str) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("parameters", infotext)
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        size = (finished.width, finished.height)
        with (self.folder / path).open("xb") as file:
            Image.frombytes("RGB", size, finished.rgb).save(file, "PNG", pnginfo=text)

    def is_whole(self, path: str) -> bool:
        return (self.folder / path).exists()


class PngWorkplace(Workplace):
    """A workplace that writes files."""

    def build(self) -> None:
        super().build()
        self.writer._files = PngFiles(self.folder)


class Places:
    """Factories over one data folder; remembers what it was asked for."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.served: list[LaunchOptions] = []
        self.engines_started = 0

    def serve(self, options: LaunchOptions) -> int:
        self.served.append(options)
        return 0

    def commands(self, options: LaunchOptions) -> dict[str, Command]:
        return {"wave": Command("wave", "says hello", lambda arguments: len(arguments))}

    def choices(self, options: LaunchOptions) -> Choices:
        return Choices((*BUILT_IN.samplers, SamplerName("Midpoint")))

    def library(self, options: LaunchOptions) -> ModelLibrary:
        return ModelLibrary(self.folders)

    @contextmanager
    def trainings(self, options: LaunchOptions) -> Iterator[Trainings]:
        # Late, since a process that trainings are forked from is made with it.
        from tests.jobs.training_place import TrainingPlace  # noqa: PLC0415

        lock = DataFolderLock(self.folders.state)
        place = TrainingPlace(self.folders.data)
        try:
            yield place.trainings
        finally:
            place.leave()
            lock.release()

    @contextmanager
    def downloads(self, options: LaunchOptions) -> Iterator[Downloads]:
        library = self.library(options)
        downloads = Downloads(self.folders, library, environ={}, patience=Patience(tries=1))
        yield downloads
        downloads.close()
        library.close()

    def first_request(self, options: LaunchOptions, checkpoint: str) -> GenerationRequest:
        if checkpoint == "lost":
            raise ModelNotFound("There is no checkpoint named 'lost'.", field="checkpoint")
        return GenerationRequest(width=128, height=128, steps=4, checkpoint=checkpoint)

    def write_single_file(
        self, folder: Path, target: Path, dtype: str | None, progress: Callable[[int, int], None]
    ) -> None:
        save_file({"a": numpy.ones(1, "f4")}, target, {"from": folder.name, "dtype": dtype or ""})

    @contextmanager
    def jobs(self, options: LaunchOptions) -> Iterator[Jobs]:
        assert folders_of(options).data == self.folders.data
        self.engines_started += 1
        lock = DataFolderLock(self.folders.state)
        place = PngWorkplace(self.folders.data)
        place.worker.start()
        try:
            yield place.jobs
        finally:
            place.close()
            lock.release()
