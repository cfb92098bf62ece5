"""RunFolder: one training on disk: what it is to do, its log, snapshots, samples and outbox, and who works on it.

The server writes wishes and reads the log, the training reads wishes and writes the rest. Knows files only.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from app.files.file_lock import lock_file
from app.files.whole_file import cannot_write, write_whole
from app.schema.errors import NewerVersion, TrainingBusy, TrainingProblem
from app.schema.training_run import RUN_VERSION, TrainingRun

RESULT_ENDINGS = (".safetensors", ".pt")
_TAKEN = "taken.json"
Wish = Literal["go", "pause", "stop"]
"""pause: end at the next step with a snapshot, to go on later. stop: end there for good, with what is learnt."""


@dataclass(frozen=True)
class RunFolder:
    """path: of the folder; nothing is touched by making this."""

    path: Path

    @property
    def log(self) -> Path:
        """One JSON object a line, see `RunLog`."""
        return self.path / "log.jsonl"

    @property
    def output(self) -> Path:
        """What the process printed."""
        return self.path / "output.log"

    @property
    def snapshots(self) -> Path:
        """The state that a run goes on from."""
        return self.path / "snapshots"

    @property
    def samples(self) -> Path:
        """Pictures drawn meanwhile."""
        return self.path / "samples"

    @property
    def outbox(self) -> Path:
        """What comes out, until it is in its model folder."""
        return self.path / "outbox"

    @property
    def copies(self) -> Path:
        """Results on the way, numbered by step."""
        return self.path / "copies"

    @property
    def best(self) -> Path:
        """The result of the step that looked best so far."""
        return self.path / "best"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's log, where one is wanted."""
        return self.path / "tensorboard"

    def results(self) -> dict[int, Path]:
        """Files on the way, by their steps."""
        found = (path for folder in (self.copies, self.best) for path in sorted(folder.glob("*-??????.*")))
        return {int(step): path for path in found if (step := path.stem.rpartition("-")[2]).isdecimal()}

    def finished(self) -> Path | None:
        """The file of the last step, once it was made."""
        return next((path for path in sorted(self.outbox.glob("*")) if path.suffix in RESULT_ENDINGS), None)

    def sample_of(self, step: int | None = None) -> Path | None:
        """The first picture drawn at a step, or the newest of all."""
        pattern = "*.png" if step is None else f"{step:06d}-*.png"
        found = sorted(self.samples.glob(pattern))
        return (found[-1] if step is None else found[0]) if found else None

    def took(self, step: int | None) -> None:
        """Remembers which step's file lies in the model folder; None: the last one's."""
        write_whole(self.path / _TAKEN, json.dumps({"step": step}).encode())

    def taken(self) -> int | None:
        """The step whose file was taken instead of the last one's, None where it was not."""
        try:
            step = json.loads((self.path / _TAKEN).read_bytes()).get("step")
        except (OSError, ValueError, AttributeError):
            return None
        return step if isinstance(step, int) else None

    def create(self, run: TrainingRun) -> None:
        """Makes the folder for a run; one that is there already stays as it is. Raises DiskFull or CannotWrite."""
        try:
            for folder in (self.path, self.snapshots, self.samples, self.outbox):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if not self._run.exists():
            write_whole(self._run, _written(run))

    def change(self, run: TrainingRun) -> None:
        """From its next start on, this is to be done. Raises DiskFull or CannotWrite, and then all is as it was."""
        write_whole(self._run, _written(run))

    def run(self) -> TrainingRun:
        """What is to be done. Raises TrainingProblem for a folder that is none, NewerVersion."""
        try:
            text = self._run.read_text(encoding="utf-8")
            version = json.loads(text).get("version", RUN_VERSION)
            if isinstance(version, int) and version > RUN_VERSION:
                raise NewerVersion(
                    f"{self.path.name} is a run of a newer Easel.", hint="Update Easel to go on with it."
                )
            return TrainingRun.model_validate_json(text)
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise TrainingProblem(
                f"{self.path} is no folder of a training run: {error}.", hint="It holds run.json, which is damaged."
            ) from error

    def wish(self, wish: Wish) -> None:
        """Tells the training, now or at its next start, what is wanted of it."""
        write_whole(self._wish, json.dumps({"wish": wish}).encode())

    def wished(self) -> Wish:
        """What is wanted; 'go' where nothing was said."""
        try:
            wish = json.loads(self._wish.read_bytes()).get("wish")
        except (OSError, ValueError, AttributeError):
            return "go"
        return wish if wish in ("pause", "stop") else "go"

    def lock(self) -> RunLock:
        """Takes the folder for this process. Raises TrainingBusy when another process has it."""
        return RunLock(self._lock)

    def holder(self) -> int | None:
        """Process id of whoever works on the folder, None when nobody does; 0 while it is not known."""
        try:
            file = os.open(self._lock, os.O_RDWR)
        except OSError:
            return None
        try:
            return None if lock_file(file) else int(os.read(file, 100) or b"0")
        except ValueError:
            return 0
        finally:
            os.close(file)

    def last_words(self, lines: int = 12) -> str:
        """The end of what the process printed."""
        try:
            with self.output.open("rb") as file:
                file.seek(max(0, self.output.stat().st_size - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    @property
    def _run(self) -> Path:
        return self.path / "run.json"

    @property
    def _wish(self) -> Path:
        return self.path / "wish.json"

    @property
    def _lock(self) -> Path:
        return self.path / "lock"


def _written(run: TrainingRun) -> bytes:
    return run.model_dump_json(indent=1).encode()


class RunLock:
    """Held from construction to `release` or to the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise cannot_write(path, error) from error
        if not lock_file(self._file, patience=0.3):
            os.close(self._file)
            raise TrainingBusy(
                f"Another process works on {path.parent.name} already.", hint="Pause it there, or let it go on."
            )
        text = str(os.getpid()).encode()
        os.write(self._file, text)
        os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Lets the folder go."""
        os.close(self._file)
