"""Trainer: from a run to `train`: loads the model, draws what is to be drawn, and tells the log what happens.

Knows both sides; what is learnt and how is `train`'s, folders and processes are `run`'s.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from app.files.hashes import sha256_of
from app.files.model_file import Identity
from app.files.run_folder import RunFolder, Wish
from app.files.whole_file import write_whole
from app.language import Tokenizer
from app.models import LoadedModel, choose_device, is_out_of_memory, load_checkpoint, load_vae, outline_vae
from app.schema.errors import ModelChanged, ModelNotFound, OutOfMemory, TrainingProblem
from app.schema.request import FileIdentity, GenerationRequest
from app.schema.training import TrainingRequest
from app.schema.training_run import TrainingRun
from app.training.data import read_material, word_of
from app.training.drawing import draw_picture
from app.training.events import Copied, Drifted, Encoded, Event, Noted, Prepared, RolledBack, Stepped, Validated
from app.training.loop import ALONE
from app.training.plan import require_vae
from app.training.precision import autocast_dtype, precision_as_stored, precision_to_load
from app.training.sample_prompts import sample_requests
from app.training.snapshot import Snapshots
from app.training.targets import NO_TARGETS, Target, Targets, make_target
from app.training.tensorboard import TensorBoardLog
from app.training.together import Together
from app.training.train import train

Tell = Callable[..., None]
Wished = Callable[[], Wish]
CLASS_STEPS = 30


def train_run(
    run: TrainingRun,
    folder: RunFolder,
    tell: Tell,
    wished: Wished,
    together: Together = ALONE,
    targets: Targets = NO_TARGETS,
) -> Path | None:
    """See `run.Trainer`. together: with whom the work is shared. targets: of extensions."""
    torch.set_num_threads(run.threads)
    request = run.request
    samples = sample_requests(request, word_of(request)) if request.sample_every and not run.untrained else ()
    tell("phase", text="Loading the model")
    model = load_model(run, together.device)
    if run.untrained:
        return untrained(request, model, folder, targets)
    with together.first():
        ready = with_class_pictures(request, model, folder, tell, wished)
    if ready is None:
        return _ended_early(request, model, folder, targets) if wished() == "stop" else None
    request = ready
    recorder = _Recorder(tell, model.device)
    board = TensorBoardLog(folder.tensorboard) if request.tensorboard and not together.rank else None

    def report(event: Event) -> None:
        recorder(event)
        if board is not None:
            board(event)

    def draw_samples(step: int, target: Target) -> None:
        for number, path in enumerate(draw_all(samples, step, target, model, request, folder, tell)):
            if board is not None:
                board.sample(number, path, step)

    try:
        made = train(
            request,
            model,
            folder.path,
            report=report,
            should_stop=lambda: wished() != "go",
            draw_samples=draw_samples if samples else None,
            together=together,
            targets=targets,
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"The training takes more memory than the device has free: {str(error).partition(chr(10))[0][:200]}",
            field="batch_size",
            hint="Take a smaller batch or size, 'Save memory, take longer', AdamW8bit, or a LoRA of a smaller rank.",
        ) from error
    finally:
        if board is not None:
            board.close()
    if made is not None or wished() != "stop" or together.rank:
        return made
    return _ended_early(request, model, folder, targets)


def _ended_early(request: TrainingRequest, model: LoadedModel, folder: RunFolder, targets: Targets) -> Path:
    """The file of what is learnt so far: as if no more steps had been asked for."""
    newest = Snapshots(folder.snapshots).latest()
    if newest is None or not newest.step:
        raise TrainingProblem("It was stopped before its first step, so there is nothing to keep.")
    shorter = request.model_copy(update={"steps": newest.step, "epochs": 0})
    made = train(shorter, model, folder.path, targets=targets)
    assert made is not None
    return made


def untrained(request: TrainingRequest, model: LoadedModel, folder: RunFolder, targets: Targets = NO_TARGETS) -> Path:
    """The file that a training of this request begins with."""
    target = make_target(request, model, Tokenizer(), targets)
    try:
        return target.export(folder.outbox / f"{request.name}{target.suffix}", {"ss_steps": "0"})
    finally:
        target.detach()


def load_model(run: TrainingRun, device: torch.device | None = None) -> LoadedModel:
    """The run's checkpoint with its VAE. device: None: the run's own.

    Raises ModelNotFound, ModelChanged, and what the loader raises.
    """
    device = device or choose_device(run.device or None)
    for file, field in ((run.checkpoint, "checkpoint"), (run.vae, "vae")):
        if file is None:
            continue
        path = Path(file.path)
        if not path.exists():
            raise ModelNotFound(f"{path.name} is gone.", field=field, hint="Put it back and go on with the run.")
        if path.is_file() and not _is_still(path, file):
            raise ModelChanged(
                f"{path.name} was replaced after the training was begun.",
                field=field,
                hint="Put the old file back, its date too, and go on with the run; or begin a new one with this file.",
            )
    vae = None
    if run.vae is not None:
        vae = load_vae(run.vae.path, scaling_factor=1.0, device=device)
    # Nothing is computed with a model whose file is only created.
    precision = precision_as_stored(run.checkpoint.path) if run.untrained else precision_to_load(run.request, device)
    model = load_checkpoint(run.checkpoint.path, device=device, precision=precision, vae=vae)
    if run.vae is not None and vae is not None:
        require_vae(outline_vae(run.vae.path), model, vae.name)
        vae.scaling_factor = model.family.scaling_factor
    return model


def _is_still(path: Path, file: FileIdentity) -> bool:
    """Whether the path holds the same bytes; where only the date differs, their hash tells, if it was known."""
    now = Identity.of(path)
    if (now.size, now.mtime_ns) == (file.size, file.mtime_ns):
        return True
    return now.size == file.size and file.sha256 is not None and sha256_of(path) == file.sha256


def with_class_pictures(
    request: TrainingRequest, model: LoadedModel, folder: RunFolder, tell: Tell, wished: Wished
) -> TrainingRequest | None:
    """The request with its pictures of ordinary ones drawn where they were missing; None where it was to end first."""
    if request.prior_used != "pictures":
        return request
    place = Path(request.class_data).expanduser() if request.class_data else folder.path / "class"
    request = request.model_copy(update={"class_data": str(place)})
    missing = read_material(request).class_missing
    if not missing:
        return request
    if not request.class_words.strip():
        raise TrainingProblem(
            "What ordinary ones are called is not said, so they cannot be drawn.",
            field="class_words",
            hint="Write the word for its kind, as 'dog', or give a folder with enough pictures.",
        )
    places = (place / f"ordinary-{number:05d}.png" for number in itertools.count())
    for number, path in enumerate(itertools.islice((path for path in places if not path.exists()), missing)):
        if wished() != "go":
            return None
        tell("phase", text=f"Drawing pictures of ordinary ones: {number + 1} of {missing}")
        wanted = GenerationRequest(
            prompt=request.class_words,
            width=request.width // 8 * 8,
            height=request.height // 8 * 8,
            steps=CLASS_STEPS,
            seed=(request.seed + 1_000_000 + int(path.stem.rpartition("-")[2])) % 2**31,
            variation_seed=0,
            clip_skip=request.clip_skip,
        )
        write_whole(path.with_suffix(".txt"), request.class_words.encode())
        write_whole(path, draw_picture(model, wanted, (), autocast_dtype(request.precision, model.device)))
    return request


def draw_all(
    samples: tuple[GenerationRequest, ...],
    step: int,
    target: Target,
    model: LoadedModel,
    request: TrainingRequest,
    folder: RunFolder,
    tell: Tell,
) -> list[Path]:
    """The sample pictures of a step; those that are there already, from before a kill, are left as they are."""
    target.begin(None)
    drawn = []
    for number, wanted in enumerate(samples):
        path = folder.samples / f"{step:06d}-{number:02d}.png"
        if not path.exists():
            tell("phase", text=f"Drawing sample {number + 1} of {len(samples)}")
            half = autocast_dtype(request.precision, model.device)
            write_whole(path, draw_picture(model, wanted, target.vocabularies(), half))
        tell("sample", step=step, name=path.name, prompt=wanted.prompt)
        drawn.append(path)
    return drawn


class _Recorder:
    """Writes what `train` reports to the log."""

    def __init__(self, tell: Tell, device: torch.device) -> None:
        self._tell = tell
        self._device = device
        self._process = psutil.Process()

    def __call__(self, event: Event) -> None:
        match event:
            case Prepared(plan, step):
                self._tell("prepared", step=step, steps=plan.steps, text=plan.facts().words)
                self._tell("phase", text="Reading the pictures")
            case Encoded(done, total):
                ready = "Looking at ordinary ones, to tell later how they change"
                self._tell("phase", text=ready if done == total else f"Reading the pictures: {done} of {total}")
            case Stepped():
                loss = event.loss if math.isfinite(event.loss) else None
                self._tell(
                    "step",
                    step=event.step,
                    epoch=event.epoch,
                    loss=loss,
                    rate=event.rate,
                    seconds=round(event.seconds, 4),
                    memory=self._memory(),
                )
            case Validated(step, loss):
                self._tell("validation", step=step, loss=loss)
            case Drifted(step, drift):
                self._tell("drift", step=step, drift=drift)
            case RolledBack(step, cause):
                self._tell("notice", code="rolled_back", text=f"{cause} The run goes back to its last snapshot.")
            case Copied(step, path):
                self._tell("copy", step=step, path=str(path))
            case Noted(text):
                self._tell("notice", code="training", text=text)

    def _memory(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return int(self._process.memory_info().rss)
