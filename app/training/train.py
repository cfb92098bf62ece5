"""train: one call from a request and a model to a finished file; called again, it goes on.

Knows the order of things; the loop, the lesson, the target and the data each do their part. Starts no process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from app.language import Tokenizer
from app.models import LoadedModel
from app.schema.training import TrainingRequest
from app.training.after_step import OUTBOX, AfterStep, DrawSamples, Report
from app.training.data import Material, Placed, caption_of, class_caption_of, class_captions, deal_of, read_material
from app.training.events import Encoded, Event, Noted, Prepared, RolledBack
from app.training.latents import LatentStore, encode_pictures
from app.training.lesson import DiffusionLesson, LessonSettings, Pictures, Prior
from app.training.loop import ALONE, LoopSettings, run
from app.training.measures import MEASURED, Measures
from app.training.plan import in_steps, plan_of, rates_of
from app.training.precision import autocast_dtype, made_ready
from app.training.schedule import after_warm_up, named_schedule, rate_at, warm_up_steps
from app.training.snapshot import Manifest, Snapshots
from app.training.state import SKIPPED
from app.training.targets import NO_TARGETS, Target, Targets, make_target
from app.training.teacher import drawn_by_teacher, lessons_of
from app.training.texts import Texts
from app.training.together import Together

PATIENCE = 3
SNAPSHOTS, LATENTS = "snapshots", "latents"


def _say_nothing(event: Event) -> None:
    """The report of processes that help the first one."""


class _Stopped(Exception):
    """Asked to stop before the first step. Caught in `train`."""


def train(
    request: TrainingRequest,
    model: LoadedModel,
    folder: Path,
    *,
    report: Report = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    draw_samples: DrawSamples | None = None,
    together: Together = ALONE,
    targets: Targets = NO_TARGETS,
) -> Path | None:
    """Trains, or goes on from the folder's newest snapshot, and returns the file in folder/outbox; None when stopped.

    model: loaded as `precision_to_load` says, without networks; it is given back as it was. draw_samples(step, target):
    called before the first step and every `sample_every` steps, with the weights that would be exported then in their
    places; it may draw with the model and `target.vocabularies()`. The number of threads is that of the first start.
    targets: of extensions. together: with whom; of several processes each calls this, and only the first reports,
    writes and returns the file.
    Raises TrainingProblem, DiskFull, CannotWrite; snapshots stay.
    """
    if together.rank:
        report, draw_samples = _say_nothing, None
    material = read_material(request)
    request = in_steps(request, material)
    plan = plan_of(request, material, model, folder, check_class=True, targets=targets)
    snapshots = Snapshots(folder / SNAPSHOTS)
    before = snapshots.latest()
    facts = _facts(request, material, model, before, report)
    report(Prepared(plan, before.step if before else 0))
    for warning in plan.warnings:
        report(Noted(warning))
    tokenizer = Tokenizer()
    with made_ready(model, request):
        target = make_target(request, model, tokenizer, targets)
        try:
            store = LatentStore(folder / LATENTS, f"{model.vae.file or model.file}/{model.vae.dtype}")
            with together.first():
                lesson, held_out = _lesson(request, model, target, material, tokenizer, store, report, should_stop)
            measures = Measures(request, model, target, lesson, material, held_out, facts)
            this = AfterStep(request, model, folder, material, plan, target, measures, lesson, report, draw_samples)
            if before is None and draw_samples and request.sample_every:
                draw_samples(0, target)
            return _learn(this, snapshots, facts, should_stop, together)
        except _Stopped:
            return None
        finally:
            target.detach()


def _learn(
    this: AfterStep,
    snapshots: Snapshots,
    facts: dict[str, Any],
    should_stop: Callable[[], bool],
    together: Together,
) -> Path | None:
    settings = _settings(this.request, this.target, autocast_dtype(this.request.precision, this.model.device), facts)
    this.begin()
    state = run(
        this.lesson,
        settings,
        snapshots,
        this.stepped,
        facts,
        should_stop=should_stop,
        after_step=this.after,
        rolled_back=lambda step, cause: this.report(RolledBack(step, cause)),
        together=together,
    )
    if state.step < settings.steps or together.rank:
        return None
    best = this.measures.best()
    if best is not None and best.step != state.step:
        this.report(Noted(f"Step {best.step} looks better than the last. {best.reason}"))
    return this.export(this.folder / OUTBOX / f"{this.request.name}{this.target.suffix}", state)


def _settings(
    request: TrainingRequest, target: Target, autocast: torch.dtype | None, facts: Mapping[str, Any]
) -> LoopSettings:
    rates = rates_of(request)
    steps = rates[-1].until
    warm_up = warm_up_steps(request.warm_up, steps)
    falls = named_schedule(request.schedule, steps - warm_up, request.schedule_cycles, request.schedule_power)
    shape = after_warm_up(falls, warm_up)
    return LoopSettings(
        steps=steps,
        rate=1.0,
        schedule=lambda step: (rate_at(rates, step) or 0.0) * shape(step),
        betas=None,
        weight_decay=request.weight_decay,
        clip=request.clip,
        average=request.average,
        every=request.snapshot_seconds,
        accumulation=request.accumulation,
        optimizer=request.optimizer,
        factors=target.rates(),
        warms_up=warm_up > 0,
        half=autocast == torch.float16,
        patience=facts["patience"],
    )


def _lesson(
    request: TrainingRequest,
    model: LoadedModel,
    target: Target,
    material: Material,
    tokenizer: Tokenizer,
    store: LatentStore,
    report: Report,
    should_stop: Callable[[], bool],
) -> tuple[DiffusionLesson, Pictures | None]:
    """The lesson, its pictures encoded, and the held-out ones."""
    total = len(material.pictures) + len(material.held_out) + len(material.class_pictures)
    total += lessons_of(request)
    done = 0

    def told(*_: int) -> None:
        nonlocal done
        done += 1
        report(Encoded(done, total))
        if should_stop():
            raise _Stopped

    def encoded(some: tuple[Placed, ...], captions: list[str], *, flip: bool, own: bool) -> Pictures:
        cached = encode_pictures(some, model.vae, flip=flip, store=store, report=told)
        deal = deal_of(some, request.batch_size, request.seed)
        templates = material.templates if own else None
        return Pictures(cached, captions, deal, material.options, templates)

    def own_captions(some: tuple[Placed, ...]) -> list[str]:
        return [caption_of(one.sample, request, material.templates is not None) for one in some]

    pictures = encoded(material.pictures, own_captions(material.pictures), flip=request.flip, own=True)
    held_out = None
    if material.held_out:
        held_out = encoded(material.held_out, own_captions(material.held_out), flip=False, own=True)
    autocast = autocast_dtype(request.precision, model.device)
    prior = None
    if lessons_of(request):
        captions = class_captions([one.sample for one in material.pictures], request)
        bucket = max(buckets := material.buckets(), key=lambda one: (buckets[one], one))
        ordinary = drawn_by_teacher(captions, request, model, target, bucket, store, autocast=autocast, report=told)
        prior = Prior(ordinary, taught=True)
    elif material.class_pictures:
        words = [class_caption_of(one.sample, request) for one in material.class_pictures]
        prior = Prior(encoded(material.class_pictures, words, flip=request.flip, own=False), taught=False)
    settings = LessonSettings(
        seed=request.seed,
        autocast=autocast,
        noise_offset=request.noise_offset,
        min_snr_gamma=request.min_snr_gamma,
        prior_weight=request.prior_weight,
    )
    texts = Texts(model, tokenizer, request.clip_skip)
    return DiffusionLesson(model, target, texts, pictures, settings, prior), held_out


def _facts(
    request: TrainingRequest, material: Material, model: LoadedModel, before: Manifest | None, report: Report
) -> dict[str, Any]:
    """What each snapshot remembers; says where it differs from the run so far, and takes over its number of threads."""
    told = request.model_dump(mode="json")
    facts: dict[str, Any] = {
        "request": told,
        "pictures": material.fingerprint,
        "base": model.file.path if model.file is not None else "",
        "threads": torch.get_num_threads(),
        "patience": PATIENCE,
    }
    if before is None or "request" not in before.facts:
        return facts
    facts["threads"] = before.facts.get("threads", facts["threads"])
    facts["patience"] = before.facts.get("patience", PATIENCE)
    if before.facts["request"].get("learning_rate") != request.learning_rate:
        facts["patience"] = len(before.facts.get(SKIPPED, ())) + PATIENCE  # another rate gets patience of its own
    facts[MEASURED] = before.facts.get(MEASURED, [])
    torch.set_num_threads(facts["threads"])
    changed = [name for name, value in told.items() if before.facts["request"].get(name) != value]
    if changed:
        report(Noted(f"Changed since the last snapshot: {', '.join(changed)}. The file will not be that of one run."))
    if before.facts.get("pictures") != facts["pictures"]:
        report(Noted("The pictures or captions have changed since the last snapshot."))
    return facts
