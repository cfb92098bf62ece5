"""Every sampler beside every other: whoever joins, leaves or is ended, each latent is the one it has alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.conditioning import Conditioning, ConditioningSchedule
from app.recipes import Decode, EncodeText
from app.schema.choices import SAMPLER_NAMES
from app.schema.events import RowAdvanced, RowDropped, RowFinished
from tests.engine.formula import FormulaRunner, formula_engine, image_plans, run_to_end

NAMES = [sampler.name for sampler in SAMPLER_NAMES]
SIDE = 32


class ExactRunner(FormulaRunner):
    """Reads prompt editing call by call, and puts the bits of the latent into the picture."""

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, EncodeText):
            variants = effect.unit.variants
            meanings = (Conditioning(torch.full((1, 77, 4), len(variant.text) / 100)) for variant in variants)
            return ConditioningSchedule(tuple(variant.end for variant in variants), tuple(meanings))
        if isinstance(effect, Decode):
            bits = effect.latent.contiguous().view(torch.uint8).flatten()
            pixels = torch.zeros(3 * SIDE * SIDE, dtype=torch.uint8)
            pixels[: len(bits)] = bits
            return pixels.view(3, SIDE, SIDE)
        return super()._answer(effect)


def plans_of(sampler: str, **fields: Any) -> list[Any]:
    """A job that is told apart by its sampler; each has another number of steps and another batch."""
    number = NAMES.index(sampler)
    own = {
        "prompt": "[cat|lions|:0.8] in [a house:snow:3]",
        "negative_prompt": "[fog:a lot of rain:0.4]",
        "steps": 4 + number % 5,
        "batch_size": 1 + number % 2,
        "s_churn": 3.0 * (number % 3),
        "eta": 0.7 if number % 4 == 3 else None,
        "guidance_minimum_sigma": 2.0 if number % 5 == 4 else 0.0,
        "seed": 100 * number,
        "width": SIDE,
        "height": SIDE,
    }
    return image_plans(sampler, owner=f"owner {number % 3}", sampler=sampler, **{**own, **fields})


def exact_engine() -> Any:
    return formula_engine(runner=ExactRunner())[0]


def finished(events: list[Any]) -> dict[tuple[str, int], bytes]:
    return {(event.job, event.image): event.rgb for event in events if isinstance(event, RowFinished)}


def alone(sampler: str, *, skipped_after: int | None = None) -> dict[tuple[str, int], bytes]:
    """The job's latents in an engine of its own, ended early after so many calls."""
    engine = exact_engine()
    for plan in plans_of(sampler):
        engine.submit(plan)
    return finished(to_end(engine, skip={} if skipped_after is None else {sampler: skipped_after}, cancel={}))


def to_end(engine: Any, *, skip: dict[str, int], cancel: dict[str, int]) -> list[Any]:
    """Runs to the end; a job is skipped or cancelled as soon as one of its pictures has made so many calls."""
    events: list[Any] = []
    waiting = [(skip, engine.skip), (cancel, engine.cancel)]
    while not engine.idle:
        new = engine.step()
        events += new
        for after, end in waiting:
            for event in new:
                if isinstance(event, RowAdvanced) and event.call == after.get(event.job):
                    end(event.job)
    return events


def test_all_samplers_in_flight_together_make_what_each_makes_alone() -> None:
    engine = exact_engine()
    events: list[Any] = []
    for name in NAMES:  # each joins when the others are some calls ahead
        for plan in plans_of(name):
            engine.submit(plan)
        for _ in range(7):
            events += engine.step()
    events += run_to_end(engine)
    expected = {key: latent for name in NAMES for key, latent in alone(name).items()}
    assert finished(events) == expected
    assert len(expected) == 30


@pytest.mark.parametrize("leaver", NAMES)
def test_whoever_leaves_or_is_ended_leaves_the_others_as_they_are(leaver: str) -> None:
    number = NAMES.index(leaver)
    ended, staying = NAMES[(number + 7) % len(NAMES)], NAMES[(number + 13) % len(NAMES)]
    engine = exact_engine()
    for name in (leaver, ended, staying):
        for plan in plans_of(name):
            engine.submit(plan)
    events = to_end(engine, skip={ended: 3}, cancel={leaver: 2})
    assert {event.job for event in events if isinstance(event, RowDropped)} == {leaver}
    assert finished(events) == {**alone(ended, skipped_after=3), **alone(staying)}


def test_a_picture_ended_early_is_its_last_denoised_latent() -> None:
    for name in NAMES:
        early, whole = alone(name, skipped_after=2), alone(name)
        assert early.keys() == whole.keys()
        assert early != whole
