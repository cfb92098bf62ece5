"""Engine: holds the rows in flight and runs one group at a time.

step() reads: admit, group, run, advance. Owned by one thread. A row that fails fails alone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.engine.face_shelf import FaceShelf
from app.engine.loader import Tell
from app.engine.pipeline_manager import PipelineManager
from app.engine.preview_shelf import PreviewShelf
from app.engine.row import ModelChoice, Row
from app.engine.runner import NotFiniteUNet, Runner
from app.engine.scheduler import Scheduler, Waiting
from app.engine.upscaler_shelf import UpscalerShelf
from app.models import SDXL, Captioner, LoadedModel, seamless, takes_guidance_scale
from app.recipes import ChangeModel, ModelFacts, Recipe, RestoreFaces, Tools, Upscale
from app.samplers import ModelSigmas
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.events import (
    BesidePicture,
    Loading,
    ModelLoading,
    RowAdvanced,
    RowDropped,
    RowEvent,
    RowFailed,
    RowFinished,
    RowPreviewed,
)
from app.schema.faces import NO_FACE_FOUND
from app.schema.memory import ModelMemory
from app.schema.request import FaceFiles, FileIdentity, ImagePlan

logger = logging.getLogger(__name__)

BeforeGroup = Callable[[list[tuple[str, int, int]]], None]
PREVIEW_INTERVAL = 0.25
PREVIEW_SHARE = 0.05
"""Of the time, at most, that is spent on previews: dear ones come less often."""
LOADING_INTERVAL = 0.1


class Engine:
    """Carries out the effects of all rows in flight on the models of one device.

    make_recipe: from a plan to its generator of effects. before_group: is told (job, image, effects done) of each row
    before the group runs, so that a death of the process can be laid at the right door. upscalers, faces: None keeps
    those on the CPU. previews: None shows the linear map. facts: infotext entries of every picture, from the flags.
    """

    def __init__(
        self,
        pipelines: PipelineManager,
        make_recipe: Callable[[ImagePlan, Tools], Recipe],
        *,
        scheduler: Scheduler,
        runner: Runner,
        upscalers: UpscalerShelf | None = None,
        faces: FaceShelf | None = None,
        previews: PreviewShelf | None = None,
        before_group: BeforeGroup = lambda rows: None,
        facts: tuple[tuple[str, str], ...] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pipelines = pipelines
        self._make_recipe = make_recipe
        self._scheduler = scheduler
        self._runner = runner
        self._upscalers = upscalers or UpscalerShelf(torch.device("cpu"))
        self._faces = faces or FaceShelf(torch.device("cpu"))
        self._previews = previews or PreviewShelf(torch.device("cpu"))
        self._previews_from = -math.inf
        self._before_group = before_group
        self._own_facts = facts
        self._clock = clock
        self._rows: dict[int, Row] = {}
        self._submitted = 0
        self._watched: set[str] = set()
        self._facts: dict[str, ModelFacts] = {}
        self._announced: ModelChoice | None = None
        self._last_choice: ModelChoice | None = None
        self._last_job = ""
        self._listener: Callable[[RowEvent], None] = lambda event: None
        self._dropped: list[RowEvent] = []
        self._captioner: Captioner | None = None

    @property
    def idle(self) -> bool:
        """True when no row is left and nothing is left to tell."""
        return not self._rows and not self._dropped

    def submit(self, plan: ImagePlan) -> None:
        """Takes a picture into flight; its recipe begins when its turn comes."""
        self._captioner = None  # pictures need the room
        self._rows[self._submitted] = Row(self._submitted, plan, ModelChoice.of(plan.resolved), self._make_recipe)
        self._submitted += 1

    def watch(self, jobs: set[str]) -> None:
        """Thumbnails are made for these jobs only."""
        self._watched = jobs

    def listen(self, listener: Callable[[RowEvent], None]) -> None:
        """The listener is told at once, on this thread, how a load goes on."""
        self._listener = listener

    def memory(self) -> ModelMemory:
        """The models in memory now."""
        return self._pipelines.memory()

    def unload(self, path: str | None) -> None:
        """Drops the models of a file, pinned or not; None: all that are not pinned."""
        self._pipelines.unload(path)

    def reload(self) -> None:
        """Loads the model used last, if it is not in memory. Raises what the loader raises."""
        if self._last_choice is not None:
            with self._pipelines.use(self._last_choice, tell=self._tell_load(self._last_choice)):
                pass

    def pin(self, path: str) -> None:
        """The models of a file stay in memory once they are there."""
        self._pipelines.pin(path)

    def unpin(self, path: str) -> None:
        """They go when their turn comes."""
        self._pipelines.unpin(path)

    def lend(self) -> None:
        """Frees the device for a training; no picture is in flight. The next one brings its model back."""
        self._captioner = None
        self._upscalers.clear()
        self._faces.clear()
        self._previews.clear()
        self._pipelines.lend()

    def enlarged(
        self,
        picture: Image.Image,
        upscaler: str,
        file: FileIdentity | None,
        width: int,
        height: int,
        tell: Callable[[int, int], None],
    ) -> Image.Image:
        """An RGB picture that belongs to no row, at width x height. tell: as in `UpscalerShelf.enlarged`, may raise."""
        return _image(self._upscalers.enlarged(_pixels(picture), upscaler, file, width, height, tell))

    def faces_restored(
        self, picture: Image.Image, files: FaceFiles, visibility: float, tell: Callable[[int, int], None]
    ) -> tuple[Image.Image, int]:
        """An RGB picture that belongs to no row with its faces restored, and how many there were. tell: as in
        `FaceShelf.restored`, may raise."""
        restored, faces = self._faces.restored(_pixels(picture), files, visibility, tell)
        return _image(restored), faces

    def captioned(self, picture: Image.Image, folder: Path) -> str:
        """What an RGB picture shows. The captioner stays until the next picture is drawn. Raises BrokenModelFile."""
        if self._captioner is None or self._captioner.folder != folder:
            self._captioner = Captioner(folder, self._pipelines.device)
        return self._captioner(picture)

    def skip(self, job: str) -> None:
        """The job's pictures in flight end with what they have; those not begun are made as usual."""
        for row in self._of(job):
            if row.recipe is not None:
                row.skipping = True

    def interrupt(self, job: str) -> None:
        """As skip, and the pictures not begun are dropped."""
        self.skip(job)
        self._leave(row for row in self._of(job) if row.recipe is None)

    def cancel(self, job: str) -> None:
        """All of the job's pictures are dropped."""
        self._leave(self._of(job))

    def close(self) -> None:
        """Drops all rows and gives the memory back."""
        self._drop(list(self._rows.values()))
        self._upscalers.clear()
        self._faces.clear()
        self._previews.clear()
        self._pipelines.release()

    def step(self) -> list[RowEvent]:
        """Runs at most one group and says what came of it."""
        events = self._end_skipped()
        group = self._next_group()
        if not group:
            self._announced = None
            return events
        choice = group[0].choice
        if self._pipelines.kept(choice) is None and self._announced != choice:
            self._announced = choice
            return [*events, self._loading(choice)]
        self._announced = None
        self._last_choice = choice
        self._before_group([(row.plan.job, row.plan.image, row.done) for row in group])
        started = self._clock()
        try:
            failures = self._carry_out(group, choice)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the other rows go on
            failures = dict.fromkeys(group, problem)
        seconds = (self._clock() - started) / len(group)
        for row in group:
            row.seconds += seconds
            self._scheduler.charge(row.plan.owner, seconds)
            error = failures.get(row)
            events.extend(self._failed(row, error) if error else self._came_of(row, seconds))
        return events

    def _carry_out(self, group: Sequence[Row], choice: ModelChoice) -> dict[Row, Exception]:
        """One group; after NaN in the U-Net the same in the next higher precision, as long as there is one."""
        if group[0].plan.job != self._last_job:
            self._last_job = group[0].plan.job
            self._pipelines.at_ease()
        while True:
            try:
                with self._pipelines.use(choice, group[0].needs(), self._tell_load(choice)) as model:
                    self._tell_networks(group)
                    return self._run(group, model)
            except NotFiniteUNet as problem:
                higher = self._pipelines.raise_precision(choice)
                if higher is None:
                    return dict.fromkeys(group, problem)
                name = Path(choice.checkpoint.path).name
                text = f"The U-Net of {name} gave values that are not numbers; it now runs in {higher}."
            logger.warning(text)
            for row in group:
                row.notices["unet_precision_raised"] = text

    def _tell_networks(self, group: Sequence[Row]) -> None:
        """How well the networks fit, and which were not found, among what each picture's owner is told."""
        fitted = "; ".join(str(report) for report in self._pipelines.network_reports)
        for row in group:
            missing = row.resolved.missing_networks
            if fitted:
                row.notices["networks"] = f"{fitted}."
            if missing:
                row.notices["networks_missing"] = f"Not found and left out: {', '.join(missing)}."

    def _run(self, group: Sequence[Row], model: LoadedModel) -> dict[Row, Exception]:
        """Begins or advances the rows of a group; returns those that failed, with the reason."""
        facts = self._facts_of(model)
        if group[0].recipe is None:
            return _each(group, lambda row: row.begin(facts))
        if isinstance(group[0].effect, ChangeModel):
            return _each(group, lambda row: row.answer(facts))
        if isinstance(group[0].effect, Upscale):
            return _each(group, self._upscale)
        if isinstance(group[0].effect, RestoreFaces):
            return _each(group, self._restore_faces)
        effects = [row.effect for row in group if row.effect is not None]
        try:
            with _tiled(model, group[0].plan.resolved.request.tiling):
                answers = dict(zip(group, self._runner.run(model, facts.sigmas, effects), strict=True))
        except NotFiniteUNet:
            raise
        except Exception:
            if len(group) == 1:
                raise
            return self._run_one_by_one(group, model)
        return _each(group, lambda row: row.answer(answers[row]))

    def _upscale(self, row: Row) -> None:
        """Answers with the larger picture; whoever watches is told how far it is."""
        assert isinstance(row.effect, Upscale)
        row.answer(self._upscalers.enlarged(*row.effect, tell=self._tell_parts(row, "Upscaling", "tiles")))

    def _restore_faces(self, row: Row) -> None:
        """Answers with the picture and its restored faces; its owner is told where there are none."""
        assert isinstance(row.effect, RestoreFaces)
        tell = self._tell_parts(row, "Restoring faces", "faces")
        restored, faces = self._faces.restored(*row.effect, tell=tell)
        if not faces:
            row.notices["no_face"] = NO_FACE_FOUND
        row.answer(restored)

    def _tell_parts(self, row: Row, doing: str, parts: str) -> Callable[[int, int], None]:
        """Hands on how many parts of a work on a picture are done, at most ten times a second."""
        told = -math.inf

        def tell(done: int, total: int) -> None:
            nonlocal told
            now = self._clock()
            if total > 1 and (now - told >= LOADING_INTERVAL or done == total):
                told = now
                self._listener(ModelLoading((row.plan.job,), f"{doing}: {done} of {total} {parts}"))

        return tell

    def _run_one_by_one(self, group: Sequence[Row], model: LoadedModel) -> dict[Row, Exception]:
        """After a group has failed: only the rows at fault fail."""
        failures: dict[Row, Exception] = {}
        for row in group:
            try:
                failures |= self._run([row], model)
            except Exception as error:  # noqa: BLE001 - laid at this row's door, the others go on
                failures[row] = error
        return failures

    def _next_group(self) -> list[Row]:
        waiting = [
            Waiting(
                row.number,
                row.plan.owner,
                row.plan.job,
                row.plan.batch,
                row.choice,
                row.group_key(),
                row.done,
            )
            for row in self._rows.values()
        ]
        return [self._rows[number] for number in self._scheduler.next(waiting, self._pipelines.switch_cost)]

    def _came_of(self, row: Row, seconds: float) -> list[RowEvent]:
        plan = row.plan
        if row.picture is not None:
            self._drop([row])
            width, height, rgb = _rgb(row.picture.pixels)
            facts, notices = self._of_precision(row)
            facts = (*row.picture.facts, *facts)
            partial = row.picture.partial
            beside = tuple(BesidePicture(name, *_rgb(pixels)) for name, pixels in row.picture.beside)
            done = RowFinished(plan.job, plan.image, width, height, rgb, partial, facts, notices, row.seconds, beside)
            return [done]
        if row.call == row.told:
            return []
        row.told = row.call
        steps = row.resolved.request.steps
        advanced = RowAdvanced(plan.job, plan.image, row.call, row.calls, row.step + 1, steps, seconds)
        if plan.job in self._watched:
            now = self._clock()
            if now - row.previewed >= PREVIEW_INTERVAL and now >= self._previews_from:
                return [advanced, *self._preview(row, now)]
        return [advanced]

    def _of_precision(self, row: Row) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """What the infotext and the user are told of parts that went to a higher precision."""
        raised = self._pipelines.raised(row.choice)
        facts = list(self._own_facts)
        if "unet" in raised:
            facts.append(("Precision", raised["unet"]))
        if "vae" in raised:
            facts.append(("VAE precision", raised["vae"]))
            row.notices["vae_precision_raised"] = (
                f"The VAE gave values that are not numbers in {row.choice.precision}; the picture was decoded in "
                f"{raised['vae']}."
            )
        return tuple(facts), tuple(row.notices.items())

    def _preview(self, row: Row, now: float) -> list[RowEvent]:
        model = self._pipelines.kept(row.choice)
        if row.denoised is None or model is None:
            return []
        row.previewed = now
        try:
            image = self._previews.picture(row.denoised, model)
        except Exception:
            logger.exception("Job %s, picture %d cannot be previewed", row.plan.job, row.plan.image)
            row.previewed = math.inf
            return []
        ended = self._clock()
        self._previews_from = ended + (ended - now) * (1 / PREVIEW_SHARE - 1)
        return [RowPreviewed(row.plan.job, row.plan.image, row.step + 1, image.width, image.height, image.tobytes())]

    def _end_skipped(self) -> list[RowEvent]:
        """Ends the rows to be skipped; those without a denoised latent leave without a picture."""
        events, self._dropped = self._dropped, []
        for row in [row for row in self._rows.values() if row.skipping]:
            try:
                if not row.skip():
                    self._drop([row])
                    events.append(RowDropped(row.plan.job, row.plan.image))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
                events.extend(self._failed(row, error))
        return events

    def _failed(self, row: Row, error: Exception) -> list[RowEvent]:
        self._drop([row])
        known = error
        if not isinstance(known, EaselError):
            logger.error("Job %s, picture %d failed", row.plan.job, row.plan.image, exc_info=error)
            known = UnexpectedFailure(
                f"{type(error).__name__}: {error}", hint="This is a defect; the log holds the traceback."
            )
        return [RowFailed(row.plan.job, row.plan.image, known.code, str(known), known.field, row.seconds)]

    def _facts_of(self, model: LoadedModel) -> ModelFacts:
        if model.fingerprint not in self._facts:
            self._facts[model.fingerprint] = ModelFacts(
                sigmas=ModelSigmas.from_alphas_cumprod(model.alphas_cumprod, sdxl=model.family.name == SDXL.name),
                alphas_cumprod=model.alphas_cumprod,
                unet_channels=model.unet.config.in_channels,
                latent_channels=model.family.latent_channels,
                pixels_per_latent=model.family.pixels_per_latent,
                family=model.family,
                device=str(model.device),
                scale_input=takes_guidance_scale(model.unet),
            )
        return self._facts[model.fingerprint]

    def _loading(self, choice: ModelChoice) -> ModelLoading:
        name = Path(choice.checkpoint.path).stem
        return ModelLoading(self._waiting_for(choice), f"Loading {name}")

    def _waiting_for(self, choice: ModelChoice) -> tuple[str, ...]:
        return tuple({row.plan.job: None for row in self._rows.values() if row.choice == choice})

    def _tell_load(self, choice: ModelChoice) -> Tell:
        """Hands a load's bytes to the listener, with words and megabytes a second, at most ten times a second."""
        name = Path(choice.checkpoint.path).name
        began = last = self._clock()
        before = ""

        def tell(part: str, done: int, total: int) -> None:
            nonlocal last, before
            now = self._clock()
            # The end is a little short of the total: some tensors of a file are for no module.
            if part == before and done < 0.999 * total and now - last < LOADING_INTERVAL:
                return
            last, before = now, part
            rate = done / (now - began) if now > began else 0.0
            words = (
                f"Loading {Path(name).stem}: {part}, {done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s"
            )
            self._listener(ModelLoading(self._waiting_for(choice), words, Loading(name, part, done, total, rate)))

        return tell

    def _of(self, job: str) -> list[Row]:
        return [row for row in self._rows.values() if row.plan.job == job]

    def _leave(self, rows: Iterable[Row]) -> None:
        """Drops rows and tells of it at the next step."""
        rows = list(rows)
        self._dropped.extend(RowDropped(row.plan.job, row.plan.image) for row in rows)
        self._drop(rows)

    def _drop(self, rows: Iterable[Row]) -> None:
        for row in list(rows):
            row.close()
            self._rows.pop(row.number, None)


@contextmanager
def _tiled(model: LoadedModel, tiling: bool) -> Iterator[None]:
    """Convolutions wrap around while a picture without seams is in work."""
    undo = seamless([model.unet, model.vae.module]) if tiling else None
    try:
        yield
    finally:
        if undo is not None:
            undo()


def _pixels(picture: Image.Image) -> torch.Tensor:
    """[3, H, W] uint8 of an RGB picture."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _image(pixels: torch.Tensor) -> Image.Image:
    """An RGB picture of [3, H, W] uint8."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _rgb(pixels: torch.Tensor) -> tuple[int, int, bytes]:
    """[3, H, W] uint8 as width, height and the bytes of its rows."""
    channels, height, width = pixels.shape
    assert channels == 3
    return width, height, pixels.permute(1, 2, 0).contiguous().numpy().tobytes()


def _each(group: Sequence[Row], act: Callable[[Row], None]) -> dict[Row, Exception]:
    """Does something to every row; returns those that failed, with the reason."""
    failures: dict[Row, Exception] = {}
    for row in group:
        try:
            act(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
            failures[row] = error
    return failures
