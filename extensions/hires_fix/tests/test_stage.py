"""Hires fix as a stage: which effects follow each other, and what each pass is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn import functional

from app.extension_api import (
    ChangeModel,
    Decode,
    EncodeImage,
    EncodeText,
    Evaluate,
    ImagePlan,
    Skip,
    Stage,
    Upscale,
)
from app.models.families import SDXL
from app.recipes import draw, with_stages
from app.schema.errors import UnsupportedModel
from app.schema.request import FileIdentity
from extensions.hires_fix.settings import second_pass
from extensions.hires_fix.stage import hires
from tests.recipes.driver import Driver, facts, plan, resolved

RECIPE = with_stages(draw, [("hires_fix", Stage(20, hires))])


def two_passes(second_checkpoint: str = "base", request: dict[str, Any] | None = None, **values: Any) -> ImagePlan:
    first = resolved(extensions={"hires_fix": values}, **(request or {}))
    wanted = second_pass(first.request)
    assert wanted is not None
    second = first.model_copy(
        update={
            "request": wanted,
            "checkpoint_name": second_checkpoint,
            "checkpoint": FileIdentity(path=second_checkpoint, size=1, mtime_ns=1),
        }
    )
    return plan(first.model_copy(update={"passes": {"hires_fix": second}}))


def kinds(driver: Driver) -> list[str]:
    """The kinds of effects in order, each once in a row."""
    names = [type(effect).__name__ for effect, _ in driver.effects]
    return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]


def test_a_latent_upscaler_decodes_only_the_end() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, two_passes())
    assert picture.pixels.shape == (3, 64, 64)
    assert kinds(driver) == ["EncodeText", "Evaluate", "ChangeModel", "EncodeText", "Evaluate", "Decode"]
    assert [tuple(effect.x.shape[-2:]) for effect in driver.of(Evaluate)] == [(4, 4)] * 4 + [(8, 8)] * 4


def test_an_image_upscaler_enlarges_the_decoded_picture() -> None:
    driver = Driver()
    driver.run(RECIPE, two_passes(upscaler="Lanczos", resize_width=72, resize_height=64))
    assert kinds(driver)[2:6] == ["Decode", "Upscale", "ChangeModel", "EncodeImage"]
    [upscale] = driver.of(Upscale)
    assert (upscale.upscaler, upscale.file, upscale.width, upscale.height) == ("Lanczos", None, 72, 72)
    assert driver.of(Evaluate)[-1].x.shape == (1, 4, 8, 9)  # the eight rows too many are cut away


def test_the_upscalers_file_is_the_one_that_was_resolved() -> None:
    file = FileIdentity(path="4x.pth", size=3, mtime_ns=4)
    image = two_passes(upscaler="4x")
    image = image._replace(resolved=image.resolved.model_copy(update={"upscalers": {"4x": file}}))
    driver = Driver()
    driver.run(RECIPE, image)
    assert driver.of(Upscale)[0].file == file


@pytest.mark.parametrize(
    ("upscaler", "mode", "antialias"),
    [
        ("Latent", "bilinear", False),
        ("Latent (antialiased)", "bilinear", True),
        ("Latent (bicubic)", "bicubic", False),
        ("Latent (bicubic antialiased)", "bicubic", True),
        ("Latent (nearest)", "nearest", False),
        ("Latent (nearest-exact)", "nearest-exact", False),
    ],
)
def test_the_latent_modes_are_torchs(upscaler: str, mode: str, antialias: bool) -> None:
    image = two_passes(upscaler=upscaler, upscale_by=1.5, denoising_strength=0.0, first_picture="0" * 64)
    driver = Driver()
    colours = Image.radial_gradient("L").resize((32, 32)).convert("RGB")

    def recipe(image: ImagePlan, tools: Any) -> Any:
        return RECIPE(image, replace(tools, picture=lambda digest: colours))

    driver.run(recipe, image)
    pixels = driver.of(EncodeImage)[0].pixels
    cells = functional.avg_pool2d(pixels[None], 8)
    latent = torch.cat([cells, cells[:, :1]], dim=1)
    expected = functional.interpolate(latent, (6, 6), mode=mode, antialias=antialias)
    # With no denoising strength nothing is drawn over it.
    [decoded] = driver.of(Decode)
    assert torch.allclose(decoded.latent, expected)


def test_the_second_pass_has_exactly_its_steps_and_its_own_cfg_prompt_and_model() -> None:
    driver = Driver()
    driver.run(RECIPE, two_passes("other", steps=6, prompt="a dog", negative_prompt="rain"))
    assert len(driver.of(Evaluate)) == 4 + 6
    assert driver.texts() == ["", "", "a dog", "rain"]
    assert [on for effect, on in driver.effects if isinstance(effect, Evaluate)] == ["base"] * 4 + ["other"] * 6


def test_prompt_editing_counts_on_in_the_second_pass() -> None:
    driver = Driver()
    driver.run(RECIPE, two_passes(request={"prompt": "[a:b:6][c:d:1.5]"}))
    units = [effect.unit for effect in driver.of(EncodeText) if not effect.unit.negative]
    assert [[tuple(variant) for variant in unit.variants] for unit in units] == [
        [(4, "ac")],
        [(2, "ac"), (4, "bd")],
    ]


def test_progress_runs_once_over_both_passes() -> None:
    driver = Driver()
    driver.run(RECIPE, two_passes(steps=6))
    assert [(call, calls) for call, calls, _ in driver.reports] == [(number, 10) for number in range(1, 11)]


def test_skipped_in_the_first_pass_it_is_the_first_pass_so_far() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, two_passes(), fail_at=4, error=Skip())
    assert (picture.partial, tuple(picture.pixels.shape)) == (True, (3, 32, 32))


def test_skipped_between_both_it_is_the_whole_first_pass_by_its_own_model() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, two_passes("other"), fail_at=8, error=Skip())
    assert (picture.partial, tuple(picture.pixels.shape)) == (True, (3, 32, 32))
    effect, on = driver.effects[-1]
    assert isinstance(effect, Decode)
    assert on == "base"


def test_skipped_in_the_second_pass_it_is_the_large_picture_so_far() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, two_passes(), fail_at=11, error=Skip())
    assert (picture.partial, tuple(picture.pixels.shape)) == (True, (3, 64, 64))


def test_a_latent_of_another_family_is_refused_and_an_image_upscaler_goes_on() -> None:
    other = facts(family=SDXL)
    with pytest.raises(UnsupportedModel, match="SDXL"):
        Driver({"other": other}).run(RECIPE, two_passes("other"))
    driver = Driver({"other": other})
    assert driver.run(RECIPE, two_passes("other", upscaler="Lanczos")).pixels.shape == (3, 64, 64)
    sizes = driver.of(EncodeText)[-1].unit.sizes
    assert (sizes.height, sizes.width) == (64, 64)


@pytest.mark.parametrize(("upscaler", "decoded"), [("Latent", 2), ("Lanczos", 2)])
def test_the_first_pass_can_be_saved_beside_the_picture(upscaler: str, decoded: int) -> None:
    driver = Driver()
    picture = driver.run(RECIPE, two_passes(upscaler=upscaler, save_first=True))
    [(name, pixels)] = picture.beside
    assert (name, tuple(pixels.shape)) == ("before-highres-fix", (3, 32, 32))
    assert picture.pixels.shape == (3, 64, 64)
    assert len(driver.of(Decode)) == decoded
    assert Driver().run(RECIPE, two_passes(upscaler=upscaler)).beside == ()


def test_a_request_that_does_not_name_it_is_drawn_once() -> None:
    driver = Driver()
    driver.run(RECIPE, plan(resolved()))
    assert len(driver.of(Evaluate)) == 4
    assert not driver.of(ChangeModel)
