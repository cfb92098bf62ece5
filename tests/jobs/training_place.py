"""Everything around trainings but the real trainer, in one folder; its processes are forked from a warm server."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from app.files import Folders, ModelLibrary
from app.files.run_folder import RunFolder
from app.jobs import Bus, DeviceLease, Resolver, Training, Trainings, TrainingStore, TrainingSupervisor
from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest
from app.schema.training_run import BucketFacts, PictureFacts, PlanFacts, TrainingRun
from tests.api.serving import SHAPES
from tests.files.making import write_safetensors
from tests.training.lives import Life, start_fake, warm


class FakePlanner:
    """Counts the pictures of a folder; see `app.jobs.Planner`."""

    def plan(self, run: TrainingRun) -> PlanFacts:
        count = len(self.pictures(run.request))
        steps = run.request.steps
        return PlanFacts(
            pictures=count,
            buckets=(BucketFacts(64, 64, count),),
            per_epoch=count,
            steps_per_epoch=count,
            steps=steps,
            epochs=steps / count,
            remarks=("Captions are short.",),
        )

    def check_rate(self, request: TrainingRequest) -> None:
        try:
            float(request.learning_rate)
        except ValueError:
            raise TrainingProblem("The learning rate cannot be read.", field="learning_rate") from None

    def pictures(self, request: TrainingRequest) -> list[PictureFacts]:
        folder = Path(request.data)
        found = sorted(folder.glob("*.png"))
        if not found:
            raise TrainingProblem(f"There are no pictures in {folder.name}.", field="data", hint="Add some.")
        return [
            PictureFacts(
                name=path.name,
                width=96,
                height=64,
                caption=path.with_suffix(".txt").read_text() if path.with_suffix(".txt").exists() else path.stem,
                repeats=1,
                bucket=(64, 64),
                crop=(1 / 6, 0, 5 / 6, 1),
            )
            for path in found
        ]


def some_pictures(folder: Path, count: int = 4) -> Path:
    """A folder of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (96, 64), (60 * number, 90, 160)).save(folder / f"{number}.png")
    return folder


class TrainingPlace:
    """Built as `launch` builds it, and again over the same folder after `leave`."""

    def __init__(
        self, folder: Path, start: Callable[[RunFolder], Life] = start_fake, lease: DeviceLease | None = None
    ) -> None:
        warm()
        self.folders = Folders.of(data_dir=folder, program_dir=folder / "program")
        self.folders.create()
        write_safetensors(self.folders.checkpoints[0] / "formula.safetensors", SHAPES, metadata={"name": "formula"})
        self.data = some_pictures(folder / "pictures")
        self.lives: list[Life] = []
        self.start = start
        self.lease = lease
        self.build()

    def build(self) -> None:
        self.library = ModelLibrary(self.folders, self.folders.state / "library.sqlite3")
        self.bus = Bus()
        self.store = TrainingStore(self.folders.state / "jobs.sqlite", self.bus.publish)
        resolver = Resolver(self.library, precision=lambda wanted: "fp32")
        self.supervisor = TrainingSupervisor(
            self.folders.data,
            self.store,
            self.bus,
            self._begun,
            lease=self.lease,
            arrived=lambda path: self.library.refresh("lora"),
            poll=0.01,
            grace=0.2,
        )
        self.trainings = Trainings(self.folders, self.store, self.bus, self.supervisor, resolver, FakePlanner())
        self.supervisor.start()

    def leave(self) -> None:
        """What a server does when it ends: its trainings go on."""
        self.supervisor.close()
        self.store.close()
        self.library.close()

    def close(self) -> None:
        self.leave()
        for life in self.lives:
            life.kill()

    def request(self, **fields: object) -> TrainingRequest:
        usual = {"name": "thing", "data": str(self.data), "steps": 30, "sample_every": 10}
        return TrainingRequest.model_validate({**usual, **fields})

    def begun(self, **fields: object) -> Training:
        """A training that has come to its fifth step."""
        training = self.trainings.submit(self.request(**{"steps": 100_000, "sample_every": 0, **fields}), "local")
        self.until(training.id, lambda: self.step(training.id) >= 5)
        return training

    def step(self, id: str) -> int:
        progress = self.trainings.progress(id)
        return progress.step if progress else 0

    def state(self, id: str) -> str:
        return self.trainings.get(id).state

    def until(self, id: str, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Waits for something that happens soon."""
        give_up = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < give_up, (self.state(id), self.trainings.log(id)[-3:])
            time.sleep(0.005)

    def over(self, id: str) -> Training:
        self.until(id, lambda: self.trainings.get(id).over)
        return self.trainings.get(id)

    def _begun(self, folder: RunFolder) -> Life:
        life = self.start(folder)
        self.lives.append(life)
        return life
