"""Trainings: the one door to trainings for the page, the API and the command line.

Submits, answers, stops and lets watch; any thread may call. `owner` narrows to one person's trainings, None sees all.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from app.entries import TargetEntry
from app.files import Folders
from app.files.folders import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA
from app.files.run_folder import RunFolder
from app.files.run_log import Entry, read_log
from app.files.taking import take_step
from app.files.trained_file import require_name
from app.jobs.bus import Bus, Told
from app.jobs.job import new_job_id
from app.jobs.resolve import Resolver, identity_of
from app.jobs.training import Training, TrainingWish
from app.jobs.training_store import TrainingStore
from app.jobs.training_supervisor import TrainingSupervisor
from app.jobs.watch import AsyncWatch, Watch
from app.schema.errors import PictureNotFound, TrainingNotFound, TrainingProblem
from app.schema.events import Notice, TrainingProgress
from app.schema.problems import first_problem
from app.schema.training import TrainingRequest
from app.schema.training_run import PictureFacts, PlanFacts, TrainingRun

KINDS = {
    "lora": LORA,
    "textual_inversion": EMBEDDING,
    "hypernetwork": HYPERNETWORK,
    "dreambooth": CHECKPOINT,
}
"""Where each method's file goes."""
OWN_KINDS = {"lora": LORA, "embedding": EMBEDDING, "hypernetwork": HYPERNETWORK, "checkpoint": CHECKPOINT}
"""Where the files of extensions' methods go, by their entries' word."""
SUFFIXES = (".safetensors", ".pt", ".ckpt")


class Planner(Protocol):
    """What is known of a training before it starts. All raise TrainingProblem naming the field at fault."""

    def plan(self, run: TrainingRun) -> PlanFacts:
        """Reads the data and the checkpoint's shapes. Raises also DiskFull, and what the checkpoint's loader raises."""
        ...

    def pictures(self, request: TrainingRequest) -> list[PictureFacts]:
        """The pictures of the request's data folder as they would be used."""
        ...

    def check_rate(self, request: TrainingRequest) -> None:
        """Whether the learning rate can be read and fits the number of steps."""
        ...


class Trainings:
    """threads: that torch computes a training with. device: as the flags name it. targets: what extensions teach, by
    method."""

    def __init__(
        self,
        folders: Folders,
        store: TrainingStore,
        bus: Bus,
        supervisor: TrainingSupervisor,
        resolver: Resolver,
        planner: Planner,
        *,
        threads: int = 1,
        device: str = "",
        targets: Mapping[str, TargetEntry] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets or {}
        self._folders = folders
        self._store = store
        self._bus = bus
        self._supervisor = supervisor
        self._resolver = resolver
        self._planner = planner
        self._threads = threads
        self._device = device
        self._clock = clock

    def resolve(self, request: TrainingRequest) -> TrainingRun:
        """The request with names made into files. Raises TrainingProblem, ModelNotFound."""
        request = self._located(request)
        name = request.name.strip()
        require_name(name)
        folder = self._folders.of_kind(self._kind(request))[0]
        taken = next((f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").exists()), None)
        if taken and not request.overwrite:
            raise TrainingProblem(
                f"There is a {taken} in {folder.name} already.",
                field="name",
                hint="Take another name, or allow that the file is replaced.",
            )
        checkpoint = self._resolver.checkpoint(request.checkpoint)
        vae = self._resolver.vae(request.vae, checkpoint)
        now = self._clock()
        id = new_job_id(now)
        return TrainingRun(
            id=id,
            created=now,
            request=request.model_copy(
                update={"name": name, "checkpoint": checkpoint.title, "session": id, "created": int(now)}
            ),
            checkpoint=identity_of(checkpoint),
            checkpoint_name=checkpoint.stem,
            vae=identity_of(vae) if vae else None,
            destination=str(folder / name),
            threads=self._threads,
            device=self._device,
        )

    def _kind(self, request: TrainingRequest) -> str:
        """Which model folder the file goes to; settings of an extension's method are checked beside."""
        if request.method in KINDS:
            if request.method_settings:
                raise TrainingProblem(f"'{request.method}' has no settings of its own.", field="method_settings")
            return KINDS[request.method]
        entry = self._targets.get(request.method)
        if entry is None:
            known = ", ".join((*KINDS, *self._targets))
            raise TrainingProblem(
                f"There is no extension here that teaches '{request.method}'.", field="method", hint=f"Known: {known}."
            )
        check_settings(entry, request)
        return OWN_KINDS[entry.kind]

    def plan(self, request: TrainingRequest) -> PlanFacts:
        """What a training would do. Raises what its start would raise."""
        return self._planner.plan(self.resolve(request))

    def pictures(self, request: TrainingRequest) -> list[PictureFacts]:
        """The pictures of the data folder as they would be used. Raises TrainingProblem."""
        return self._planner.pictures(self._located(request))

    def submit(self, request: TrainingRequest, owner: str) -> Training:
        """Stores a training whose data were looked at; it is on the disk when this returns.

        Raises TrainingProblem and ModelNotFound for what could not be trained, DiskFull, CannotWrite.
        """
        run = self.resolve(request)
        self._planner.plan(run)
        training = self._store.add(owner, run, f"training/{run.id}-{run.request.name}")
        self._supervisor.wake()
        return training

    def create(self, request: TrainingRequest, owner: str) -> Training:
        """Stores the making of a file that is not trained yet: an embedding of its initial text, a hypernetwork. It
        begins at once, beside a training, and on the CPU."""
        run = self.resolve(request).model_copy(update={"untrained": True, "device": "cpu"})
        training = self._store.add(owner, run, f"training/{run.id}-{run.request.name}")
        self._supervisor.wake()
        return training

    def submit_or_resume(self, request: TrainingRequest, owner: str) -> Training:
        """The unfinished or failed training of the same request goes on, where there is one, else a failed one of the
        same but for the learning rate, at the new one; else a new training is begun."""
        request = self._located(request)
        unfinished = self._store.in_state(("queued", "running", "paused"))
        failed = [one for one in self._store.in_state(("failed",)) if (self._folders.data / one.folder).is_dir()]
        own = [one for one in (*unfinished, *reversed(failed)) if one.owner == owner and not one.run.untrained]
        same = next((one for one in own if _asks_the_same(one.run.request, request)), None)
        if same is not None:
            return self.go_on(same.id)
        rate = {"learning_rate": request.learning_rate}
        for training in own:
            if training.state == "failed" and _asks_the_same(training.run.request.model_copy(update=rate), request):
                return self.go_on(training.id, request.learning_rate)
        return self.submit(request, owner)

    def get(self, id: str, owner: str | None = None) -> Training:
        """Raises TrainingNotFound when there is none or it is someone else's."""
        training = self._store.get(id)
        if owner is not None and training.owner != owner:
            raise TrainingNotFound(f"There is no training '{id[:40]}'.")
        return training

    def history(self, owner: str | None, limit: int = 50) -> list[Training]:
        """The newest first."""
        return self._store.history(owner, limit)

    def ask(self, id: str, wish: TrainingWish, owner: str | None = None) -> Training:
        """What is wanted of a training from its next step on: 'go', 'pause', 'stop', 'cancel'; one that is over stays
        as it is, but see `go_on`."""
        if wish == "go":
            return self.go_on(id, owner=owner)
        self.get(id, owner)
        return self._asked(id, wish)

    def go_on(self, id: str, learning_rate: str | None = None, owner: str | None = None) -> Training:
        """One that rests or has failed goes on from its newest snapshot; one that is done or cancelled stays as it is.

        learning_rate: from now on. Raises TrainingProblem for one that cannot be read or that comes while the training
        runs or after its end, and for a failed training without its run folder; DiskFull, CannotWrite.
        """
        training = self.get(id, owner)
        if training.state == "failed" and not (self._folders.data / training.folder).is_dir():
            raise TrainingProblem(
                f"The folder {training.folder} of this training is gone, so it cannot go on.", hint="Begin a new one."
            )
        if learning_rate is not None and learning_rate != training.run.request.learning_rate:
            self._change_rate(training, learning_rate)
        return self._asked(id, "go")

    def _change_rate(self, training: Training, learning_rate: str) -> None:
        before = training.run.request
        request = before.model_copy(update={"learning_rate": learning_rate})
        self._planner.check_rate(request)
        run = training.run.model_copy(update={"request": request})
        resting = training.state in ("paused", "failed")
        if resting:
            self.run_folder(training.id).change(run)
        if not resting or not self._store.set_run(training.id, run):
            raise TrainingProblem(
                "Only a training that rests or has failed takes another learning rate.",
                field="learning_rate",
                hint="Pause it first.",
            )
        text = f"It goes on with the learning rate {learning_rate} instead of {before.learning_rate}."
        self._store.tell(Notice(job=training.id, code="learning_rate", text=text))

    def _asked(self, id: str, wish: TrainingWish) -> Training:
        training = self._store.ask(id, wish)
        latest = self._bus.latest_training(id)
        if latest is not None and training.state in ("queued", "paused") and latest.state != training.state:
            phase = "Waiting" if training.state == "queued" else "Paused"
            told = latest.model_copy(update={"state": training.state, "phase": phase})
            self._bus.publish(Told(None, told))
        self._supervisor.wake()
        return training

    def take(self, id: str, step: int | None, owner: str | None = None) -> Training:
        """The file of a step goes into the model folder instead of the last one's; None: the last one's again.

        Raises TrainingProblem for a training that has not ended or a step whose file was not kept.
        """
        training = self.get(id, owner)
        self._supervisor.arrived(take_step(self.run_folder(id, owner), step))
        return training

    def forget(self, id: str, owner: str | None = None) -> None:
        """Takes one that is over from the list, and its run folder from the disk; what came out stays."""
        training = self.get(id, owner)
        if training.over:
            self._store.forget(id)
            shutil.rmtree(self._folders.data / training.folder, ignore_errors=True)

    def watch(self, id: str, after: int = 0, *, owner: str | None = None, previews: bool = True) -> Watch:
        """The training's events with ids above `after`, then live ones."""
        self.get(id, owner)
        return Watch(self._store, self._bus, id, after, previews)

    def watch_async(self, id: str, after: int = 0, *, owner: str | None = None, previews: bool = True) -> AsyncWatch:
        """The same for an asyncio loop."""
        self.get(id, owner)
        return AsyncWatch(self._store, self._bus, id, after, previews)

    async def wait_async(self, id: str) -> Training:
        """The training once it is over, or rests."""
        with self.watch_async(id, previews=False) as watch:
            while not watch.over and self._store.get(id).state != "paused":
                await watch.take(1.0)
        return self._store.get(id)

    def stored_events(self, id: str, after: int = 0) -> list[Told]:
        """What has been told so far, without waiting."""
        return self._store.events_after(id, after)

    def progress(self, id: str) -> TrainingProgress | None:
        """The latest figures of one that runs."""
        return self._bus.latest_training(id)

    def log(self, id: str, owner: str | None = None) -> list[Entry]:
        """All that the run's process has told."""
        return read_log(self.run_folder(id, owner).log)[0]

    def run_folder(self, id: str, owner: str | None = None) -> RunFolder:
        """The folder of a training's run."""
        return RunFolder(self._folders.data / self.get(id, owner).folder)

    def sample_file(self, id: str, name: str, owner: str | None = None) -> Path:
        """A sample picture. Raises PictureNotFound."""
        path = self.run_folder(id, owner).samples / name
        if Path(name).name != name or path.suffix != ".png" or not path.is_file():
            raise PictureNotFound(f"Training {id[:40]} has no sample '{name[:60]}'.")
        return path

    def _located(self, request: TrainingRequest) -> TrainingRequest:
        """The request with whole paths; one that is not is meant from the data folder."""
        named = {field: getattr(request, field) for field in ("data", "class_data", "template")}
        whole = {field: str(self._folders.data / Path(text).expanduser()) for field, text in named.items() if text}
        return request.model_copy(update=whole)


def _asks_the_same(asked: TrainingRequest, request: TrainingRequest) -> bool:
    """Whether a stored request is this one; the checkpoint may be named in part, and dates and ids are its own."""
    own = {"checkpoint": asked.checkpoint, "session": asked.session, "created": asked.created}
    return asked.checkpoint.startswith(request.checkpoint) and request.model_copy(update=own) == asked


def check_settings(entry: TargetEntry, request: TrainingRequest) -> None:
    """Raises TrainingProblem naming the first setting at fault of an extension's method."""
    if entry.settings is None:
        if request.method_settings:
            raise TrainingProblem(f"'{request.method}' has no settings of its own.", field="method_settings")
        return
    try:
        entry.settings.model_validate(request.method_settings)
    except ValidationError as error:
        problem = first_problem(error)
        raise TrainingProblem(problem.words, field=f"method_settings.{problem.field}") from None
