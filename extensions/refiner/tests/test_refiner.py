"""The refiner: at its share of the way the pass turns to another checkpoint, which reads the prompts itself."""

from __future__ import annotations

from typing import Any

import pytest

from app.extension_api import ChangeModel, EncodeText, Evaluate, ImagePlan, Skip, Stage
from app.models.families import SDXL, SDXL_REFINER
from app.recipes import draw, with_stages
from app.schema.errors import UnsupportedModel
from extensions.refiner.settings import refining
from extensions.refiner.stage import refine
from tests.recipes.driver import Driver, facts, plan, resolved

RECIPE = with_stages(draw, [("refiner", Stage(10, refine))])


def refined(request: dict[str, Any] | None = None, **values: Any) -> ImagePlan:
    first = resolved(extensions={"refiner": {"checkpoint": "refiner", **values}}, **(request or {}))
    wanted = refining(first.request)
    assert wanted is not None
    return plan(first.model_copy(update={"passes": {"refiner": resolved("refiner", **(request or {}))}}))


def models_of(driver: Driver) -> list[str]:
    return [on for effect, on in driver.effects if isinstance(effect, Evaluate)]


def test_it_turns_at_a_share_of_the_models_timesteps() -> None:
    # Four steps of Euler stand at timesteps 999, 666, 333 and 0: 0, 0.333, 0.666 and 0.999 of the way.
    for switch_at, before in ((0.3, 1), (0.4, 2), (0.6, 2), (0.7, 3), (1.0, 4)):
        driver = Driver()
        driver.run(RECIPE, refined(switch_at=switch_at))
        assert models_of(driver) == ["base"] * before + ["refiner"] * (4 - before), switch_at


def test_it_turns_at_a_share_of_the_calls_where_that_is_wanted() -> None:
    for switch_at, before in ((0.25, 1), (0.3, 2), (0.5, 2), (0.8, 4)):
        driver = Driver()
        driver.run(RECIPE, refined(switch_at=switch_at, by_steps=True))
        assert models_of(driver).count("base") == before, switch_at


def test_the_prompts_are_read_anew_and_the_way_goes_on() -> None:
    driver = Driver()
    driver.run(RECIPE, refined({"prompt": "a cat", "negative_prompt": "fog"}, switch_at=0.5))
    assert driver.texts() == ["a cat", "fog", "a cat", "fog"]
    assert [on for effect, on in driver.effects if isinstance(effect, EncodeText)] == ["base"] * 2 + ["refiner"] * 2
    sigmas = [effect.sigma for effect in driver.of(Evaluate)]
    assert sigmas == sorted(sigmas, reverse=True)
    assert [report[0] for report in driver.reports] == [1, 2, 3, 4]


def test_sdxls_refiner_is_told_the_aesthetic_scores() -> None:
    driver = Driver({"base": facts(family=SDXL), "refiner": facts(family=SDXL_REFINER)})
    driver.run(RECIPE, refined({"aesthetic_score": 7.0, "negative_aesthetic_score": 2.0}, switch_at=0.5))
    positive, negative = (effect.unit.sizes for effect in driver.of(EncodeText)[-2:])
    assert (positive.aesthetic_score, negative.aesthetic_score) == (7.0, 2.0)


def test_a_checkpoint_with_other_latents_is_refused() -> None:
    driver = Driver({"refiner": facts(family=SDXL_REFINER)})
    with pytest.raises(UnsupportedModel, match="SDXL refiner"):
        driver.run(RECIPE, refined(switch_at=0.5))


def test_the_pictures_own_checkpoint_refines_nothing() -> None:
    image = refined(switch_at=0.5)
    same = image.resolved.model_copy(update={"passes": {"refiner": resolved("base")}})
    driver = Driver()
    driver.run(RECIPE, image._replace(resolved=same))
    assert not driver.of(ChangeModel)


def test_skipped_while_it_turns_it_is_what_came_before() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, refined(switch_at=0.5), fail_at=5, error=Skip())
    assert picture.partial
    assert models_of(driver) == ["base", "base"]


@pytest.mark.parametrize("checkpoint", ["", "None"])
def test_without_a_checkpoint_there_is_no_pass(checkpoint: str) -> None:
    assert refining(resolved(extensions={"refiner": {"checkpoint": checkpoint}}).request) is None
