"""Samplers, schedules and upscalers of extensions do a job's work; one that does wrong fails that job alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.engine import UpscalerShelf
from app.entries import SamplerEntry, ScheduleEntry, TargetEntry, UpscalerEntry
from app.extension_api import hook
from app.guard import Guard
from app.hooks import PAGE_HOOKS, Registry
from app.launch.extensions import passes_of, tables_of, targets_of, upscalers_of
from app.recipes import Tools, generate
from app.samplers import SAMPLERS, SCHEDULES, ModelSigmas, Point, ScheduleInputs
from app.schema.choices import SamplerName, ScheduleName
from app.schema.errors import ExtensionFailed, TrainingProblem
from app.schema.events import RowFailed, RowFinished
from app.schema.request import GenerationRequest, ImagePlan
from app.schema.training import TrainingRequest
from app.training import make_target
from tests.engine.formula import formula_engine, image_plans, run_to_end

SIGMAS = ModelSigmas.scaled_linear()
LEVELS = torch.tensor([4.0, 2.0, 1.0, 0.0])


class Extension:
    """One that brings a sampler, a schedule and an upscaler of the same function."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act

    @hook
    def register_samplers(self) -> list[SamplerEntry]:
        return [SamplerEntry(SamplerName("Mine", ("my_alias",), second_order=True), lambda: self._act)]

    @hook
    def register_schedules(self) -> list[ScheduleEntry]:
        return [ScheduleEntry(ScheduleName("My levels", "my_levels", default_rho=3.0), lambda: self._act)]

    @hook
    def register_upscalers(self) -> list[UpscalerEntry]:
        return [UpscalerEntry("My upscaler", lambda: self._act)]


def registry_with(act: Callable[..., Any], marked: dict[str, str] | None = None) -> Registry:
    registry = Registry(guard=Guard(0.3))
    registry.guard.marked = (marked if marked is not None else {}).__setitem__
    registry.add(Extension(act), "mine")
    registry.ask("mine", PAGE_HOOKS)
    return registry


def drawn(registry: Registry, **request: Any) -> list[Any]:
    """What becomes of a picture with this request, and of one of another job beside it."""
    tables = tables_of(registry)

    def recipe(plan: ImagePlan, tools: Tools) -> Any:
        return generate(plan, replace(tools, tables=tables))

    engine, _, _ = formula_engine(recipe=recipe)
    for plan in (*image_plans("mine", **request), *image_plans("other", owner="bob")):
        engine.submit(plan)
    return [event for event in run_to_end(engine) if isinstance(event, RowFinished | RowFailed)]


def pixels(events: list[Any], job: str) -> bytes:
    (found,) = (event for event in events if event.job == job)
    assert isinstance(found, RowFinished), found
    return found.rgb


def test_a_sampler_draws_what_the_same_function_draws_inside() -> None:
    mine = drawn(registry_with(SAMPLERS["Heun"]), sampler="Mine", schedule="Karras", steps=5)
    heun = drawn(registry_with(SAMPLERS["Heun"]), sampler="Heun", schedule="Karras", steps=5)
    assert pixels(mine, "mine") == pixels(heun, "mine")
    assert pixels(mine, "mine") != pixels(mine, "other")


def test_a_schedule_is_walked_and_knows_its_rho() -> None:
    told = []

    def levels(steps: int, inputs: ScheduleInputs) -> torch.Tensor:
        told.append(inputs.rho)
        return SCHEDULES["Exponential"](steps, inputs)

    mine = drawn(registry_with(levels), schedule="My levels", steps=5)
    named = drawn(registry_with(levels), schedule="Exponential", steps=5)
    assert pixels(mine, "mine") == pixels(named, "mine")
    assert told == [3.0]


def raising(*arguments: Any) -> Any:
    raise RuntimeError("the sky is down")


def hanging(*arguments: Any) -> Any:
    threading.Event().wait(60)


def hanging_walk(x: Any, sigmas: Any, noise: Any, options: Any) -> Any:
    yield Point(x, float(sigmas[0]), 0)
    threading.Event().wait(60)


def nonsense_walk(x: Any, sigmas: Any, noise: Any, options: Any) -> Any:
    yield "the model, please"


def small_walk(x: Any, sigmas: Any, noise: Any, options: Any) -> Any:
    yield Point(x, float(sigmas[0]), 0)
    return x[..., :1]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (raising, "the sky is down"),
        (hanging, "did not come back in time"),
        (hanging_walk, "did not come back in time"),
        (nonsense_walk, "which is no point for a latent"),
        (small_walk, "without a latent of the shape"),
    ],
)
def test_a_sampler_that_does_wrong_fails_its_job_alone(act: Any, words: str) -> None:
    marked: dict[str, str] = {}
    events = drawn(registry_with(act, marked), sampler="Mine")
    (failed,) = (event for event in events if event.job == "mine")
    assert failed.code == "extension_failed"
    assert "The sampler Mine of the extension 'mine' failed" in failed.message
    assert words in failed.message
    assert list(marked) == ["mine"]
    assert pixels(events, "other")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (raising, "the sky is down"),
        (hanging, "did not come back in time"),
        (lambda steps, inputs: torch.tensor([float("nan"), 0.0]), "which are no noise levels"),
        (lambda steps, inputs: torch.zeros(2, 2), "which are no noise levels"),
    ],
)
def test_a_schedule_that_does_wrong_fails_its_job_alone(act: Any, words: str) -> None:
    marked: dict[str, str] = {}
    events = drawn(registry_with(act, marked), schedule="My levels")
    (failed,) = (event for event in events if event.job == "mine")
    assert words in failed.message
    assert list(marked) == ["mine"]
    assert pixels(events, "other")


def test_a_schedule_that_does_not_fall_is_refused_by_the_rule_for_all() -> None:
    marked: dict[str, str] = {}
    events = drawn(registry_with(lambda steps, inputs: LEVELS.flip(0), marked), schedule="My levels")
    (failed,) = (event for event in events if event.job == "mine")
    assert "does not fall from step to step" in failed.message
    assert marked == {}


def test_an_upscaler_enlarges_by_the_rule_for_all() -> None:
    def doubled(pixels: torch.Tensor, factor: float, tell: Any) -> torch.Tensor:
        tell(1, 1)
        return pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)

    told = []
    shelf = UpscalerShelf(torch.device("cpu"), brought=upscalers_of(registry_with(doubled)))
    small = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 8, 8)
    larger = shelf.enlarged(small, "My upscaler", None, 16, 16, lambda done, total: told.append(done))
    assert torch.equal(larger, small.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert told == [1]


@pytest.mark.parametrize("act", [raising, hanging, lambda pixels, factor, tell: pixels.float()])
def test_an_upscaler_that_does_wrong_is_told_and_marked(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.launch.extensions.UPSCALER_SECONDS", 0.3)
    marked: dict[str, str] = {}
    shelf = UpscalerShelf(torch.device("cpu"), brought=upscalers_of(registry_with(act, marked)))
    with pytest.raises(ExtensionFailed, match="The upscaler My upscaler of the extension 'mine' failed"):
        shelf.enlarged(torch.zeros(3, 8, 8, dtype=torch.uint8), "My upscaler", None, 16, 16)
    assert list(marked) == ["mine"]


class Teaches:
    """An extension with a method of this function."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act

    @hook
    def register_targets(self) -> list[TargetEntry]:
        return [TargetEntry("thing", "Thing", "lora", lambda: self._act)]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (raising, "the sky is down"),
        (hanging, "did not come back in time"),
        (lambda request, model, tokenizer: SimpleNamespace(parameters=dict), "It has nothing to train"),
    ],
)
def test_a_training_method_that_does_wrong_is_told_and_marked(act: Any, words: str) -> None:
    marked: dict[str, str] = {}
    registry = Registry(guard=Guard(0.3))
    registry.guard.marked = marked.__setitem__
    registry.add(Teaches(act), "mine")
    registry.ask("mine", PAGE_HOOKS)
    request = TrainingRequest(method="mine/thing", name="a", data="b")
    with pytest.raises(ExtensionFailed, match="The method thing of the extension 'mine' failed") as failed:
        make_target(request, None, None, targets_of(registry))  # type: ignore[arg-type]
    assert words in str(failed.value)
    assert list(marked) == ["mine"]
    with pytest.raises(TrainingProblem, match="no extension here that teaches 'mine/thing'"):
        make_target(request, None, None)  # type: ignore[arg-type]


class Asks:
    """An extension with a further pass of this function."""

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = act

    @hook
    def register_passes(self) -> list[Any]:
        return [self._act]


@pytest.mark.parametrize("act", [raising, hanging])
def test_a_further_pass_that_does_wrong_refuses_the_job_alone(act: Any) -> None:
    marked: dict[str, str] = {}
    registry = Registry(guard=Guard(0.2))
    registry.guard.marked = marked.__setitem__
    registry.add(Asks(act), "mine")
    registry.ask("mine", PAGE_HOOKS)
    with pytest.raises(ExtensionFailed, match="The further pass of the extension 'mine' failed"):
        passes_of(registry)["mine"](GenerationRequest())
    assert list(marked) == ["mine"]
