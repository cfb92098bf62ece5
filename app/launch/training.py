"""Training as a launch wires it: the planner that reads data and shapes, the child process, the share of the device.

The only place where the server brings `app.training` and torch in, and late.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from app.files import Folders, ModelLibrary
from app.files.folders import PROGRAM_DIR
from app.files.run_folder import RunFolder
from app.hooks import Registry
from app.jobs import (
    Bus,
    Child,
    DeviceLease,
    Resolver,
    Trainings,
    TrainingStore,
    TrainingSupervisor,
    Worker,
    start_detached,
)
from app.jobs.training import Training
from app.jobs.trainings import KINDS
from app.launch.extensions import targets_of
from app.schema.flags import LaunchOptions
from app.schema.training import TrainingRequest
from app.schema.training_run import PictureFacts, PlanFacts, TrainingRun

_TORCHRUN = ("-m", "torch.distributed.run", "--standalone")


@dataclass(frozen=True)
class TrainingPlanner:
    """See `app.jobs.Planner`. Imports torch at the first question. registry: what extensions teach."""

    folders: Folders
    registry: Registry = field(default_factory=Registry)

    def plan(self, run: TrainingRun) -> PlanFacts:
        """Reads the pictures and the checkpoint's header; no weights."""
        # Late on purpose: the page answers before torch is imported.
        import torch  # noqa: PLC0415

        from app.models import choose_device, outline_checkpoint, outline_vae  # noqa: PLC0415
        from app.training import plan  # noqa: PLC0415
        from app.training.plan import require_vae  # noqa: PLC0415
        from app.training.together import require_cards  # noqa: PLC0415

        device = choose_device(run.device or None)
        require_cards(run.request, torch.cuda.device_count() if device.type == "cuda" else 0)
        model = outline_checkpoint(run.checkpoint.path, needs_vae=run.vae is None)
        if run.vae is not None:
            require_vae(outline_vae(run.vae.path), model, Path(run.vae.path).name)
        told = plan(run.request, model, device=device, targets=targets_of(self.registry))
        told.room.require(self.folders.data, Path(run.destination).parent)
        return told.facts(free=shutil.disk_usage(self.folders.data).free)

    def pictures(self, request: TrainingRequest) -> list[PictureFacts]:
        """The pictures of the data folder with their places in the buckets."""
        # Late on purpose, as above.
        from app.training.data import read_material  # noqa: PLC0415

        folder = Path(request.data).expanduser()
        material = read_material(request.model_copy(update={"prior": "none", "template": ""}))
        found = []
        for one in (*material.pictures, *material.held_out):
            sample, placing = one.sample, one.placing
            width, height = placing.scaled
            found.append(
                PictureFacts(
                    name=sample.path.relative_to(folder).as_posix(),
                    width=sample.width,
                    height=sample.height,
                    caption=sample.caption,
                    repeats=sample.repeats,
                    bucket=(placing.bucket.width, placing.bucket.height),
                    crop=(
                        placing.left / width,
                        placing.top / height,
                        (placing.left + placing.bucket.width) / width,
                        (placing.top + placing.bucket.height) / height,
                    ),
                )
            )
        return sorted(found, key=lambda one: one.name)

    def check_rate(self, request: TrainingRequest) -> None:
        """Counts the pictures, since epochs say how many steps there are."""
        # Late on purpose, as above.
        from app.training.data import read_material  # noqa: PLC0415
        from app.training.plan import in_steps, rates_of  # noqa: PLC0415

        rates_of(in_steps(request, read_material(request)))


@dataclass(frozen=True)
class DeviceSharing:
    """Whether a training and pictures can have the device at once: on a CPU, where both only get slower."""

    options: LaunchOptions

    def __call__(self) -> bool:
        """Asks torch, and so is slow the first time; it is asked when a training starts."""
        # Late on purpose, as above.
        from app.models import choose_device  # noqa: PLC0415

        return choose_device(self.options.wanted_device).type == "cpu"


def start_child(folder: RunFolder, data: Path | None = None) -> Child:
    """`python -m app.training FOLDER` in a session of its own; on several cards by torchrun, one process for each.

    data: the data folder, whose extensions a method of theirs needs; such a training is started through launch.
    """
    request = folder.run().request
    cards = request.cards
    launcher = [*_TORCHRUN, f"--nproc-per-node={cards}"] if cards > 1 else []
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(PROGRAM_DIR), _python_path())))}
    what = ["-m", "app.training", str(folder.path)]
    if "/" in request.method and data is not None:
        what = ["-m", "app.launch.training_child", str(data), str(folder.path)]
    return start_detached([sys.executable, *launcher, *what], folder, str(PROGRAM_DIR), environ)


def make_trainings(
    options: LaunchOptions,
    folders: Folders,
    library: ModelLibrary,
    resolver: Resolver,
    bus: Bus,
    worker: Worker,
    lease: DeviceLease,
    registry: Registry,
) -> tuple[Trainings, Callable[[], None]]:
    """The door to trainings, with its supervisor started; and what closes it."""
    store = TrainingStore(folders.state / "jobs.sqlite", bus.publish)

    def arrived(path: Path) -> None:
        for kind in KINDS.values():
            if any(path.is_relative_to(folder) for folder in folders.of_kind(kind)):
                library.refresh(kind)

    def failed(training: Training, text: str) -> None:
        owner, slash, _ = training.run.request.method.partition("/")
        if slash:
            registry.guard.marked(owner, f"In the training {training.id}:\n{text}\nIts output.log says more.")

    supervisor = TrainingSupervisor(
        folders.data,
        store,
        bus,
        partial(start_child, data=folders.data),
        lease=lease,
        wake_pictures=worker.wake,
        arrived=arrived,
        failed=failed,
    )
    trainings = Trainings(
        folders,
        store,
        bus,
        supervisor,
        resolver,
        TrainingPlanner(folders, registry),
        threads=_threads(),
        device=options.wanted_device or "",
        targets=registry.targets(),
    )
    supervisor.start()

    def close() -> None:
        supervisor.close()
        store.close()

    return trainings, close


def _threads() -> int:
    """As many as torch itself would take: the environment's word, else one for each core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else psutil.cpu_count(logical=False) or 1


def _python_path() -> str:
    return os.environ.get("PYTHONPATH", "")
