"""Guides of extensions act on the model calls of requests that name them; what they do wrong is their extension's."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from app.guard import Guard
from app.recipes import (
    Answered,
    Call,
    Effect,
    EncodeImage,
    Evaluate,
    Guide,
    Pass,
    PlainGuide,
    Residuals,
    Scene,
    Stage,
    draw,
    with_stages,
)
from app.samplers import Denoised
from app.schema.errors import ExtensionFailed
from app.schema.request import ImagePlan
from tests.recipes.driver import Driver, plan, resolved


class Grey(PlainGuide):
    """Whatever the model answers, it is grey."""

    def after(self, answered: Answered, call: Call) -> Denoised:
        return answered.denoised._replace(x0=torch.full_like(answered.denoised.x0, 0.25))


class Makes:
    """A maker that remembers the scenes."""

    def __init__(self, *guides: Guide) -> None:
        self.guides = guides
        self.scenes: list[Scene] = []

    def __call__(self, image: ImagePlan, tools: Any, scene: Scene) -> Generator[Effect, Any, tuple[Guide, ...]]:
        self.scenes.append(scene)
        yield EncodeImage(torch.zeros(3, 8, 8))
        return self.guides


def latent_of(maker: Any, marked: dict[str, str] | None = None, **request: Any) -> tuple[Tensor, Driver]:
    """What the last call of a picture came to, and what was asked for on the way."""
    reported: list[Tensor] = []
    guard = Guard(0.3)
    guard.marked = (marked if marked is not None else {}).__setitem__

    def watched(inner: Any, image: Any, tools: Any, passing: Pass) -> Any:
        drawn = yield from inner(image, tools, passing)
        reported.append(drawn.latent)
        return drawn

    named = {"mine": {}, "watch": {}} if request.pop("named", True) else {"watch": {}}
    driver = Driver()
    recipe = with_stages(draw, [("watch", Stage(1, watched))], [("mine", maker)], guard)
    driver.run(recipe, plan(resolved(extensions=named, **request)))
    return reported[0], driver


def test_they_act_on_the_pictures_that_name_them() -> None:
    maker = Makes(Grey())
    guided, driver = latent_of(maker)
    plain, _ = latent_of(Makes())
    unnamed, other = latent_of(Makes(Grey()), named=False)
    assert torch.allclose(guided, torch.tensor(0.25))
    assert not torch.allclose(plain, torch.tensor(0.25))
    assert torch.equal(unnamed, plain)
    assert len(driver.of(EncodeImage)) == 1
    assert len(other.of(EncodeImage)) == 0
    assert maker.scenes == [Scene(4, 4, None, None, False, True)]


@pytest.mark.parametrize(("sampler", "preserving"), [("Euler", False), ("DDIM", True)])
def test_they_are_told_what_the_pass_works_on(sampler: str, preserving: bool) -> None:
    maker = Makes()
    _, _ = latent_of(maker, sampler=sampler)
    assert maker.scenes[0].variance_preserving is preserving


class Tagged(PlainGuide):
    def __init__(self, key: str) -> None:
        self.key = key


def test_their_keys_with_the_owners_name_decide_who_shares_a_call() -> None:
    _, driver = latent_of(Makes(Tagged("soft")))
    assert {effect.guides for effect in driver.of(Evaluate)} == {(("mine", "soft"),)}


class Raising(PlainGuide):
    def after(self, answered: Answered, call: Call) -> Denoised:
        raise RuntimeError("the sky is down")


class Shrinking(PlainGuide):
    def after(self, answered: Answered, call: Call) -> Denoised:
        return Denoised(answered.denoised.x0[..., :1])


class Forgetful(PlainGuide):
    def before(self, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
        yield from ()
        return question._replace(conditionings=question.conditionings[:1])


class Unhashable(PlainGuide):
    def __init__(self) -> None:
        self.key = []  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (Raising(), "the sky is down"),
        (Shrinking(), "It answers"),
        (Forgetful(), "another number of answers"),
        (Unhashable(), "unhashable"),
    ],
)
def test_one_that_does_wrong_fails_the_picture_in_words_and_is_marked(guide: Guide, words: str) -> None:
    marked: dict[str, str] = {}
    with pytest.raises(ExtensionFailed, match="A guide of the extension 'mine' failed") as failed:
        latent_of(Makes(guide), marked)
    assert words in str(failed.value)
    assert list(marked) == ["mine"]


def test_residuals_are_added_and_parted() -> None:
    one = Residuals((torch.arange(8.0).reshape(2, 1, 2, 2),), torch.ones(2, 3, 1, 1))
    assert torch.equal((one + one).down[0], one.down[0] * 2)
    assert torch.equal(one.row(1).down[0], torch.arange(4.0, 8.0).reshape(1, 1, 2, 2))
    assert one.shapes == ((1, 2, 2), (3, 1, 1))
    question = Evaluate(torch.zeros(1, 4, 2, 2), 1.0, ("a", "b"), residuals=one)  # type: ignore[arg-type]
    assert question.part(1).conditionings == ("b",)
    assert question.part(1).residuals is not None
    assert torch.equal(question.part(1).residuals.mid, torch.ones(1, 3, 1, 1))
