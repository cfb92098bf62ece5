"""Guidance between a sampler and the model: CFG, AND, the count of calls, and an end before the end."""

import pytest
import torch

from app.conditioning import Conditioning, ConditioningSchedule
from app.recipes import Call, Economy, EncodeImage, Evaluate, Guidance, Rescale, Skip, guided
from app.recipes.padding import Padding
from app.samplers import Denoised, ModelSigmas, Point


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


ASKED = Evaluate(latent(2), 2.0, ())


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
    answer = guidance.answer(ASKED, torch.cat([latent(3), latent(1)])).denoised
    assert torch.equal(answer.x0, latent(1 + 7 * 2))
    assert torch.equal(answer.uncond_x0, latent(1))


def test_parts_of_an_and_add_up_with_their_weights_without_normalisation():
    guidance = Guidance(((Said("a"), 1.5), (Said("b"), -0.5)), Said("n"), 2.0, 1)
    answer = guidance.answer(ASKED, torch.cat([latent(3), latent(5), latent(1)])).denoised
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


def point(sigma=2.0):
    return Point(latent(2), sigma, 0)


def asked_at(guidance, call, sigma=2.0):
    return [str(row) for row in guidance.question(point(sigma), call).conditionings]


def test_below_its_minimum_sigma_every_other_call_does_without_the_negative_prompt():
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 8, economy=Economy(minimum_sigma=3.0))
    assert [len(asked_at(guidance, call, sigma=2.0)) for call in range(4)] == [2, 1, 2, 1]
    assert [len(asked_at(guidance, call, sigma=3.0)) for call in range(4)] == [2, 2, 2, 2]


def test_with_all_steps_no_call_below_the_minimum_sigma_asks_it():
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 8, economy=Economy(minimum_sigma=3.0, all_steps=True))
    assert [len(asked_at(guidance, call, sigma=2.0)) for call in range(4)] == [1, 1, 1, 1]


def test_the_first_share_of_the_calls_may_do_without_it():
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 10, economy=Economy(early=0.2))
    assert [len(asked_at(guidance, call)) for call in range(5)] == [1, 1, 1, 2, 2]


def test_without_the_negative_prompt_the_scale_is_one_and_the_first_part_stands_in_for_it():
    guidance = Guidance(((Said("a"), 1.5), (Said("b"), 0.5)), Said("n"), 7.0, 8)
    answer = guidance.answer(ASKED, torch.cat([latent(3), latent(5)])).denoised
    assert torch.equal(answer.x0, latent(3 + 0.5 * 2))
    assert torch.equal(answer.uncond_x0, latent(3))


def conditioning(length, value=0.0):
    return Conditioning(torch.full((1, length, 2), float(value)))


def schedule(length, value=0.0):
    return ConditioningSchedule((8,), (conditioning(length, value),))


def lengths(guidance):
    return [row.length for row in guidance.question(point(), 0).conditionings]


def test_the_shorter_of_both_prompts_is_filled_up_with_the_empty_one():
    empty = conditioning(77, 5)
    long_negative = Guidance(((schedule(77), 1.0),), schedule(231), 7.0, 8, padding=Padding(empty))
    assert lengths(long_negative) == [231, 231]
    padded = long_negative.question(point(), 0).conditionings[0].context
    assert torch.equal(padded[:, 77:], torch.full((1, 154, 2), 5.0))
    assert lengths(Guidance(((schedule(154), 1.0),), schedule(77), 7.0, 8, padding=Padding(empty))) == [154, 154]


def test_by_version_0_the_negative_prompt_is_extended_by_its_last_vector_or_cut():
    padding = Padding(empty=None)
    longer = Guidance(((schedule(154), 1.0),), schedule(77, 3), 7.0, 8, padding=padding)
    assert torch.equal(longer.question(point(), 0).conditionings[1].context, torch.full((1, 154, 2), 3.0))
    assert lengths(Guidance(((schedule(77), 1.0),), schedule(154), 7.0, 8, padding=padding)) == [77, 77]


def test_rescaling_gives_the_guided_velocity_the_spread_of_the_prompts_own():
    generator = torch.Generator().manual_seed(0)
    cond, uncond = torch.randn(2, 1, 4, 8, 8, generator=generator, dtype=torch.float64)
    x, sigma = 3 * torch.randn(1, 4, 8, 8, generator=generator, dtype=torch.float64), 1.7
    asked = Evaluate(x, sigma, ())
    rows = torch.cat([cond, uncond])
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 8)

    def velocity(x0):
        return (x / (sigma**2 + 1) - x0) * (sigma**2 + 1) ** 0.5 / sigma

    whole = guidance._replace(guides=(Rescale(1.0),)).told(asked, rows, Call(0, 8)).x0
    assert torch.allclose(velocity(whole).std(), velocity(cond).std())
    plain = guidance.told(asked, rows, Call(0, 8)).x0
    half = guidance._replace(guides=(Rescale(0.5),)).told(asked, rows, Call(0, 8)).x0
    assert torch.allclose(half, (whole + plain) / 2)


def test_a_call_without_the_negative_prompt_is_not_rescaled():
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 8, guides=(Rescale(1.0),))
    assert torch.equal(guidance.told(ASKED, latent(3), Call(0, 8)).x0, latent(3))


class Adding:
    """Adds to x before a call and to the answer after it, and remembers how often."""

    repaints = False

    def __init__(self, key, x, x0):
        self.key, self.x, self.x0, self.calls = key, x, x0, []

    def before(self, question, call):
        read = yield EncodeImage(latent(self.x)[0])
        return question._replace(x=question.x * 10 + read)

    def after(self, answered, call):
        self.calls.append(tuple(call))
        return answered.denoised._replace(x0=answered.denoised.x0 * 10 + self.x0)


def test_guides_act_before_and_after_each_call_the_first_nearest_to_the_model():
    inner, outer = Adding("inner", 1, 3), Adding("outer", 2, 4)
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 1.0, 3, guides=(inner, outer))
    told = []
    report = lambda call, calls, step, denoised: told.append(float(denoised.mean()))  # noqa: E731
    generator = guided(three_points(latent(0)), guidance, 3, report)
    asked = []
    wanted = next(generator)
    try:
        while True:
            if isinstance(wanted, EncodeImage):
                wanted = generator.send(wanted.pixels[None])
                continue
            asked.append((float(wanted.x.mean()), wanted.guides))
            wanted = generator.send(torch.cat([latent(1), latent(0)]))
    except StopIteration as stop:
        end, _ = stop.value
    # x, then outer's 10 x + 2, then inner's 10 x + 1; the answer 1, then inner's 13, then outer's 134.
    keys = ("inner", "outer")
    assert asked == [(21.0, keys), (13400 + 21.0, keys), (13400 + 21.0, keys)]
    assert told == [134.0] * 3
    assert torch.equal(end, latent(234))
    assert inner.calls == outer.calls == [(0, 3), (1, 3), (2, 3)]


def test_an_editing_model_is_asked_without_the_picture_too_and_follows_both_scales():
    image = torch.ones(1, 4, 2, 2)
    guidance = Guidance(((schedule(77), 1.0),), schedule(77), 7.0, 8, image=image, image_scale=1.5)
    rows = guidance.question(point(), 0).conditionings
    assert [float(row.image.mean()) for row in rows] == [1.0, 1.0, 0.0]
    answer = guidance.answer(ASKED, torch.cat([latent(5), latent(3), latent(1)])).denoised
    assert torch.equal(answer.x0, latent(1 + 1.5 * (3 - 1) + 7 * (5 - 3)))


def test_other_noise_levels_than_the_models_tell_the_timestep():
    levels = ModelSigmas.scaled_linear(quantize=True)
    guidance = Guidance(((Said("p"), 1.0),), Said("n"), 7.0, 8, levels=levels)
    timestep = guidance.question(point(sigma=2.0), 0).timestep
    assert timestep == float(levels.sigma_to_t(2.0))
    assert timestep == round(timestep)
    own = Point(latent(2), 2.0, 0, timestep=12.5)
    assert guidance.question(own, 0).timestep == 12.5


def test_a_u_net_that_takes_the_scale_is_told_it_and_asked_for_no_negative_prompt():
    guidance = Guidance(((schedule(77), 1.0),), schedule(77), 6.0, 8, scale_input=True)
    question = guidance.question(point(), 0)
    assert (len(question.conditionings), question.scale) == (1, 6.0)
    assert guidance.answer(question, latent(3.0)).denoised.x0.equal(latent(3.0))
    usual = guidance._replace(scale_input=False).question(point(), 0)
    assert (len(usual.conditionings), usual.scale) == (2, None)
