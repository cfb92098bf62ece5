"""Rates follow from the step alone; A1111's 'rate:step' text means what it means there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.optimization import get_scheduler

from app.schema.errors import TrainingProblem
from app.training import named_schedule, rate_at, read_rates, with_warm_up
from app.training.schedule import after_warm_up, warm_up_steps


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)),
        ("linear", (1.0, 0.75, 0.5, 0.25, 0.0, 0.0)),
        ("cosine", (1.0, 0.853553, 0.5, 0.146447, 0.0, 0.0)),
        ("cosine_with_restarts", (1.0, 0.5, 1.0, 0.5, 0.0, 0.0)),
        ("polynomial", (1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0)),
    ],
)
def test_a_schedule_by_name(name: Any, factors: tuple[float, ...]) -> None:
    schedule = named_schedule(name, 100, cycles=2, power=2.0)
    assert [schedule(step) for step in (0, 25, 50, 75, 100, 130)] == pytest.approx(factors, abs=1e-6)


def test_a_warm_up_rises_in_even_steps_and_then_leaves_the_schedule_alone() -> None:
    schedule = with_warm_up(named_schedule("constant", 100), 4)
    assert [schedule(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    linear = named_schedule("linear", 10)
    assert [with_warm_up(linear, 2)(step) for step in (0, 1, 5)] == [0.5, 0.9, 0.5]
    assert [with_warm_up(linear, 0)(step) for step in range(11)] == [linear(step) for step in range(11)]


def test_a_warm_up_may_be_a_share_and_leaves_a_step() -> None:
    assert [warm_up_steps(asked, 200) for asked in (0, 0.1, 1, 50, 500)] == [0, 20, 1, 50, 199]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("constant", {"name": "constant_with_warmup"}),
        ("linear", {"name": "linear"}),
        ("cosine", {"name": "cosine"}),
        ("cosine_with_restarts", {"name": "cosine_with_restarts", "num_cycles": 3}),
        ("polynomial", {"name": "polynomial", "power": 1.5}),
    ],
)
def test_schedules_after_a_warm_up_are_diffusers(name: Any, theirs: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(optimizer=optimizer, num_warmup_steps=10, num_training_steps=110, **theirs)
    ours = after_warm_up(named_schedule(name, 100, cycles=3, power=1.5), 10)
    for step in range(110):
        # Its first step of a warm-up learns nothing at all.
        wanted = (step + 1) / 10 if step < 10 else scheduler.get_last_lr()[0]
        assert ours(step) == pytest.approx(wanted, abs=1e-6), step
        optimizer.step()
        scheduler.step()


# Each row: text, steps at most, and the rate at some steps; None: the training is over (a1111-facts, section 10).
RATES = [
    ("0.005", 1000, {0: 0.005, 999: 0.005, 1000: None}),
    ("5e-3:200, 1e-3:500", 1000, {0: 5e-3, 199: 5e-3, 200: 1e-3, 499: 1e-3, 500: None, 900: None}),
    ("5e-3:200, 1e-3:500, 1e-5", 1000, {199: 5e-3, 200: 1e-3, 300: 1e-3, 500: 1e-5, 999: 1e-5, 1000: None}),
    ("5e-3:-1", 1000, {0: 5e-3, 999: 5e-3}),
    ("5e-3:200, 1e-3:5000", 1000, {200: 1e-3, 999: 1e-3, 1000: None}),
    ("5e-3, 1e-3:500", 1000, {0: 5e-3, 999: 5e-3}),
    (" 5e-3 : 200 ,, 1e-3 ,", 1000, {0: 5e-3, 200: 1e-3}),
]


@pytest.mark.parametrize(("text", "steps", "expected"), RATES, ids=[text for text, _, _ in RATES])
def test_a1111s_rate_syntax(text: str, steps: int, expected: dict[int, float | None]) -> None:
    stretches = read_rates(text, steps)
    assert {step: rate_at(stretches, step) for step in expected} == expected


@pytest.mark.parametrize("text", ["", " , ", "fast", "1e-3:soon", "1e-3:2.5", "1e-3:", ":200", "nan", "inf:20", "1;2"])
def test_what_cannot_be_read_is_refused_and_named(text: str) -> None:
    with pytest.raises(TrainingProblem) as raised:
        read_rates(text, 100)
    assert raised.value.field == "learning_rate"
    assert text.strip(" ,") in str(raised.value)


def test_a_resumed_run_reads_the_same_rate_as_one_that_went_through() -> None:
    stretches = read_rates("5e-3:200, 1e-3:500, 1e-5", 1000)
    through = [rate_at(stretches, step) for step in range(1000)]
    assert [rate_at(read_rates("5e-3:200, 1e-3:500, 1e-5", 1000), step) for step in range(300, 1000)] == through[300:]
