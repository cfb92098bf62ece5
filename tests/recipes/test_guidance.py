"""Guidance between a sampler and the model: CFG, AND, the count of calls, and an end before the end."""

import pytest
import torch

from app.recipes import Guidance, Skip, guided
from app.samplers import Denoised, Point


class Word(str):
    """Stands for a conditioning."""

    length = 77


class Said:
    """A conditioning schedule that remembers at which calls it was read."""

    def __init__(self, name):
        self.name = name
        self.calls = []

    def at(self, call, calls_planned):
        self.calls.append(call)
        return Word(f"{self.name}{call}")


def three_points(x):
    for step in range(3):
        answer = yield Point(x, sigma=3.0 - step, step=step)
        assert isinstance(answer, Denoised)
        x = answer.x0
    return x + 100


def latent(value):
    return torch.full((1, 4, 2, 2), float(value))


def drive(generator, answers):
    """Sends rows, returns (questions, result)."""
    questions = [next(generator)]
    for rows in answers:
        try:
            questions.append(generator.send(rows))
        except StopIteration as stop:
            return questions, stop.value
    raise AssertionError("the generator wanted more")


def test_the_answer_is_uncond_plus_scale_times_the_difference():
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 1)
    answer = guidance.answer(torch.cat([latent(3), latent(1)]))
    assert torch.equal(answer.x0, latent(1 + 7 * 2))
    assert torch.equal(answer.uncond_x0, latent(1))


def test_parts_of_an_and_add_up_with_their_weights_without_normalisation():
    guidance = Guidance(((Said("a"), 1.5), (Said("b"), -0.5)), Said("n"), 2.0, 1)
    answer = guidance.answer(torch.cat([latent(3), latent(5), latent(1)]))
    assert torch.equal(answer.x0, latent(1 + 2 * 1.5 * 2 + 2 * -0.5 * 4))


def test_each_call_asks_for_every_part_as_it_stands_then_then_for_the_negative_prompt():
    positive, negative = Said("p"), Said("n")
    generator = guided(three_points(latent(0)), Guidance(((positive, 1.0),), negative, 1.0, 3), 3, lambda *_: None)
    questions, _ = drive(generator, [torch.cat([latent(2), latent(0)])] * 3)
    assert [question.conditionings for question in questions] == [("p0", "n0"), ("p1", "n1"), ("p2", "n2")]
    assert [question.sigma for question in questions] == [3.0, 2.0, 1.0]


def test_the_sampler_runs_to_its_end_and_every_call_is_reported():
    told = []
    report = lambda call, calls, step, denoised: told.append((call, calls, step, float(denoised.mean())))  # noqa: E731
    generator = guided(three_points(latent(0)), Guidance(((Said("p"), 1.0),), Said("n"), 1.0, 3), 3, report)
    _, (result, partial) = drive(generator, [torch.cat([latent(k), latent(0)]) for k in (2, 3, 4)])
    assert not partial
    assert torch.equal(result, latent(104))
    assert told == [(1, 3, 0, 2.0), (2, 3, 1, 3.0), (3, 3, 2, 4.0)]


def test_skip_returns_the_last_denoised_latent():
    generator = guided(three_points(latent(0)), Guidance(((Said("p"), 1.0),), Said("n"), 1.0, 3), 3, lambda *_: None)
    next(generator)
    generator.send(torch.cat([latent(2), latent(0)]))
    with pytest.raises(StopIteration) as stop:
        generator.throw(Skip())
    result, partial = stop.value.value
    assert partial
    assert torch.equal(result, latent(2))


def test_skip_before_the_first_answer_goes_on_up():
    generator = guided(three_points(latent(0)), Guidance(((Said("p"), 1.0),), Said("n"), 1.0, 3), 3, lambda *_: None)
    next(generator)
    with pytest.raises(Skip):
        generator.throw(Skip())
