"""A home of models in which one case is trained by a process of its own and drawn by the product's engine.

The training is carried out over a run folder, as the server does it; the result is found by its name, in its folder.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from app.extension_host import ExtensionHost
from app.files import CHECKPOINT, Blobs, Folders, ModelLibrary, recommended
from app.files.run_folder import RunFolder
from app.files.run_log import read_log
from app.hooks import Registry
from app.jobs import Resolver
from app.jobs.resolve import identity_of
from app.jobs.trainings import KINDS
from app.launch.engine import Precision, make_engine
from app.schema.events import RowFailed, RowFinished
from app.schema.flags import LaunchOptions
from app.schema.request import ImagePlan, parse_request
from app.schema.training import TrainingRequest
from app.schema.training_run import TrainingRun

STEPS = 15
ROOT = Path(__file__).resolve().parents[2]


class Trained(NamedTuple):
    """file: where the result is. seconds: of the processor, in this process's child alone, 0 where it was there
    already. losses: of each step."""

    file: Path
    seconds: float
    losses: tuple[float, ...]


class Studio:
    """folder: of one case. checkpoint: the starter, which stays where it is."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        self._folders = Folders.of(data_dir=folder / "home", ckpt_dir=checkpoint.parent)
        self._folders.create()
        self._options = LaunchOptions(device="cpu")

    def train(self, request: TrainingRequest) -> Trained:
        """Begins the training or goes on with it. Raises SystemExit with the last words of one that fails."""
        library = ModelLibrary(self._folders)
        checkpoint = library.find(self._checkpoint.name, CHECKPOINT)
        library.close()
        run = TrainingRun(
            id=request.session,
            created=float(request.created),
            request=request,
            checkpoint=identity_of(checkpoint),
            checkpoint_name=checkpoint.stem,
            destination=str(self._folders.of_kind(KINDS[request.method])[0] / request.name),
            threads=1,
            device="cpu",
        )
        folder = RunFolder(self._folder / "run")
        folder.create(run)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "app.training", str(folder.path)]
        with folder.output.open("ab") as output:
            status = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
            )
        if status.returncode:
            raise SystemExit(f"{folder.path} did not end well:\n{folder.last_words()}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        entries, _ = read_log(folder.log)
        made = next(entry for entry in reversed(entries) if entry["kind"] == "made")
        # By step, since a run that goes on repeats those after its last snapshot.
        losses = {entry["step"]: entry["loss"] for entry in entries if entry["kind"] == "step"}
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Trained(Path(made["path"]), seconds, tuple(loss for loss in losses.values() if loss is not None))

    def artist(self, checkpoint: Path | None = None) -> Artist:
        """A new engine that draws with what is in the home now. checkpoint: a trained one, else the starter."""
        return Artist(self._folders, self._options, checkpoint or self._checkpoint)


class Artist:
    """Draws prompts as a front end would have them drawn: names in them are looked up in the library."""

    def __init__(self, folders: Folders, options: LaunchOptions, checkpoint: Path) -> None:
        library = ModelLibrary(folders)
        entry = next(one for one in library.list(CHECKPOINT) if Path(one.path).samefile(checkpoint))
        self.sha256 = library.hash(entry)
        self._settings: dict[str, Any] = {**recommended(entry), "steps": STEPS, "checkpoint": entry.name}
        self._resolve = Resolver(library, precision=Precision(options))
        self._engine = make_engine(options, ExtensionHost((), Registry()), Blobs(folders.state), lambda rows: None)

    def draw(self, prompt: str, seed: int) -> Image.Image:
        """One picture. Raises SystemExit for a network that is not found and for a picture that fails."""
        request = parse_request({**self._settings, "prompt": prompt, "seed": seed, "variation_seed": 0})
        resolved = self._resolve(request)
        if resolved.missing_networks:
            raise SystemExit(f"'{prompt}' names {', '.join(resolved.missing_networks)}, which is not there.")
        self._engine.submit(ImagePlan("job", "benchmark", 0, 0, seed, 0, resolved))
        picture = None
        while not self._engine.idle:
            for event in self._engine.step():
                if isinstance(event, RowFailed):
                    raise SystemExit(f"'{prompt}' cannot be drawn: {event.message}")
                if isinstance(event, RowFinished):
                    picture = Image.frombytes("RGB", (event.width, event.height), event.rgb)
        assert picture is not None
        return picture
