"""A stage may hand a pass a sampler of its own, which walks in place of the request's."""

from __future__ import annotations

from typing import Any

import torch

from app.recipes import Evaluate, draw, with_stages
from app.recipes.passes import Pass, Stage
from app.samplers import SAMPLERS
from tests.recipes.driver import Driver, plan, resolved


def walked(own: Any, **request: Any) -> Driver:
    """What the model was asked, with the sampler handed over by a stage."""

    def stage(inner: Any, image: Any, tools: Any, passing: Pass) -> Any:
        return inner(image, tools, Pass(sampler=own))

    driver = Driver()
    driver.run(with_stages(draw, [("mine", Stage(1, stage))]), plan(resolved(extensions={"mine": {}}, **request)))
    return driver


def test_the_pass_is_walked_by_it_on_the_requests_levels() -> None:
    handed = walked(SAMPLERS["Heun"], sampler="Euler", steps=4).of(Evaluate)
    plain = walked(None, sampler="Euler", steps=4).of(Evaluate)
    named = walked(None, sampler="Heun", steps=4).of(Evaluate)
    assert (len(plain), len(named)) == (4, 7)
    assert [effect.sigma for effect in handed] == [effect.sigma for effect in named]
    assert all(torch.equal(one.x, other.x) for one, other in zip(handed, named, strict=True))
