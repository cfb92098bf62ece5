"""Trainings added to a test's server, whose processes are lives of the fake trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.api import training_arguments_router, training_data_router, training_router
from app.entries import TargetEntry
from app.files.run_folder import RunFolder
from app.jobs import Bus, Trainings, TrainingStore, TrainingSupervisor
from tests.api.serving import Server
from tests.jobs.training_place import FakePlanner
from tests.training.lives import Life, start_fake, warm


@dataclass
class TrainingSite:
    """What a test may want to look into, and what ends it."""

    trainings: Trainings
    supervisor: TrainingSupervisor
    store: TrainingStore
    lives: list[Life] = field(default_factory=list)

    def close(self) -> None:
        self.supervisor.close()
        self.store.close()
        for life in self.lives:
            life.kill()


def add_trainings(
    server: Server,
    start: Callable[[RunFolder], Life] = start_fake,
    targets: Mapping[str, TargetEntry] | None = None,
) -> TrainingSite:
    """Adds the routes to the server's application. targets: of extensions, by method."""
    warm()
    bus = Bus()
    lives: list[Life] = []

    def begun(folder: RunFolder) -> Life:
        lives.append(start(folder))
        return lives[-1]

    store = TrainingStore(server.folders.state / "trainings.sqlite", bus.publish)
    supervisor = TrainingSupervisor(
        server.folders.data,
        store,
        bus,
        begun,
        arrived=lambda path: server.library.refresh(),
        poll=0.02,
        grace=0.2,
    )
    trainings = Trainings(server.folders, store, bus, supervisor, server.resolver, FakePlanner(), targets=targets)
    supervisor.start()
    server.app.include_router(training_router(trainings))
    templates = server.folders.data / "textual_inversion_templates"
    server.app.include_router(training_arguments_router(trainings, (templates,)))
    server.app.include_router(training_data_router(trainings, server.folders.data))
    return TrainingSite(trainings, supervisor, store, lives)
