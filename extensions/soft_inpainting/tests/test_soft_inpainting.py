"""Soft inpainting: shades of the mask count, detail stays where old meets new, and little changes go back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.recipes import Evaluate, draw, with_stages
from app.recipes.effects import Tools
from app.recipes.passes import Stage
from app.schema.infotext import picture_entries, read_infotext_text, request_from_infotext, write_infotext
from app.schema.request import ImagePlan
from extensions.soft_inpainting.blending import blended, guides, hardened
from extensions.soft_inpainting.differences import kernel, leniency, newness, ranked_mean, smootherstep
from extensions.soft_inpainting.settings import NAME, SoftInpainting
from extensions.soft_inpainting.stage import put_back_by_difference
from tests.recipes.driver import Driver, plan, resolved

USUAL = SoftInpainting()
SIZE = 256
"""A change spreads by two latent cells and is smoothed over three: the left edge is beyond that."""


def test_the_mask_hardens_with_the_noise() -> None:
    mask = torch.tensor([0.0, 0.25, 1.0])
    assert hardened(USUAL, mask, 4.0).tolist() == [0.0, 0.0625, 1.0]
    assert hardened(USUAL, mask, 1.0).tolist() == [0.0, 0.5, 1.0]
    assert hardened(SoftInpainting(bias=2, strength=0.25), mask, 2.0).tolist() == [0.0, 0.25, 1.0]


def test_half_way_between_two_latents_the_length_is_their_power_mean() -> None:
    kept, new = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    kept[0, 0], new[0, 1] = 2.0, 1.0
    middle = blended(USUAL, kept, new, torch.full((1, 1, 1, 1), 0.25), 1.0)  # counts as a half
    assert middle.norm().item() == pytest.approx(((2**4 + 1) / 2) ** 0.25, rel=1e-4)
    assert (middle[0, 0] / middle[0, 1]).item() == pytest.approx(2.0)
    for mask, whole in ((0.0, kept), (1.0, new)):
        assert torch.allclose(blended(USUAL, kept, new, torch.full((1, 1, 1, 1), mask), 1.0), whole, atol=1e-4)


def test_a_contrast_of_32_is_the_longer_of_both() -> None:
    kept, new = torch.full((1, 4, 1, 1), 50.0), torch.full((1, 4, 1, 1), -10.0)
    middle = blended(SoftInpainting(contrast=32), kept, new, torch.full((1, 1, 1, 1), 0.25), 1.0)
    assert middle.norm().item() == pytest.approx(100 * 0.5 ** (1 / 32), rel=1e-4)


def test_neighbours_weigh_less_with_their_distance() -> None:
    bell = kernel()
    assert bell.shape == (5, 5)
    assert bell[2, 2] == 1
    lowest = np.exp(-9 / 2.25)
    assert bell[2, 3] == pytest.approx((np.exp(-1 / 2.25) - lowest) / (1 - lowest))
    assert bell[0, 0] == pytest.approx((np.exp(-8 / 2.25) - lowest) / (1 - lowest))


def test_a_ranked_mean_over_all_ranks_is_the_weighted_mean() -> None:
    cells = np.random.default_rng(0).random((7, 6))
    bell = kernel()
    window = cells[1:6, 0:5]
    assert ranked_mean(cells, (0.0, 1.0))[3, 2] == pytest.approx((window * bell).sum() / bell.sum())
    corner = (cells[:3, :3] * bell[2:, 2:]).sum() / bell[2:, 2:].sum()
    assert ranked_mean(cells, (0.0, 1.0))[0, 0] == pytest.approx(corner)


def test_ranks_are_counted_by_weight_and_at_least_one_cell_counts() -> None:
    cells = np.zeros((5, 5))
    cells[2, 2] = 8.0
    bell = kernel()
    # The tenth at the top is less than the weight 1 of the cell itself, so that alone counts.
    assert 0.1 * bell.sum() < 1
    assert ranked_mean(cells, (0.9, 1.0))[2, 2] == pytest.approx(8.0)
    assert ranked_mean(cells, (0.9, 1.0))[2, 3] == pytest.approx(8.0 * bell[2, 1])
    assert ranked_mean(cells, (0.25, 0.75))[2, 2] == 0.0
    assert np.allclose(ranked_mean(np.full((3, 4), 2.5), (0.25, 0.75)), 2.5)


def test_what_moved_by_the_threshold_is_half_new() -> None:
    mask = np.ones((8, 8))
    for moved, level in ((0.0, 0), (0.5, 127), (50.0, 254)):
        new = newness(USUAL, np.full((8, 8), moved), mask, (64, 64))
        assert (new.mode, new.size) == ("L", (64, 64))
        assert np.allclose(np.asarray(new), level, atol=1)


def test_the_masks_influence_makes_the_threshold_large_outside_of_it() -> None:
    mask = np.array([[0.0, 1.0]])
    assert np.allclose(leniency(USUAL, mask), 1.0, atol=1e-4)
    strict = leniency(SoftInpainting(influence=1.0), mask)
    assert strict[0, 1] == 0
    assert strict[0, 0] > 1e4
    new = newness(
        SoftInpainting(influence=1.0), np.full((8, 16), 2.0), np.repeat(np.repeat(mask, 8, 0), 8, 1), (128, 64)
    )
    assert np.asarray(new)[:, 0].max() == 0
    assert np.asarray(new)[:, -1].min() == 255


def test_smootherstep_is_level_at_both_ends() -> None:
    assert smootherstep(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]
    assert smootherstep(np.array([0.01]))[0] < 1e-5


def painted(values: dict[str, Any] | None, **request: Any) -> tuple[np.ndarray, Driver]:
    """A grey picture with a mask whose left is black, its middle grey, its right white; what came out, in levels."""
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(128, (SIZE // 4, 0, SIZE // 2, SIZE))
    mask.paste(255, (SIZE // 2, 0, SIZE, SIZE))
    stored = {"a" * 64: Image.new("RGB", (SIZE, SIZE), (200, 200, 200)), "b" * 64: mask}
    fields = {
        "init_images": ("a" * 64,),
        "mask": "b" * 64,
        "mask_blur_x": 0,
        "mask_blur_y": 0,
        "width": SIZE,
        "height": SIZE,
        "denoising_strength": 0.7,
        "extensions": {} if values is None else {NAME: values},
    }

    def with_pictures(image: ImagePlan, tools: Tools) -> Any:
        return recipe(image, replace(tools, picture=stored.__getitem__))

    recipe = with_stages(draw, [(NAME, Stage(20, put_back_by_difference))], [(NAME, guides)])
    driver = Driver()
    picture = driver.run(with_pictures, plan(resolved(**(fields | request))))
    return picture.pixels.permute(1, 2, 0).numpy(), driver


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_what_is_not_masked_stays_to_the_byte_and_the_rest_is_new(sampler: str) -> None:
    soft, _ = painted({}, sampler=sampler, steps=6)
    assert (soft[:, :8] == 200).all()
    assert (np.abs(soft[:, -8:].astype(int) - 200) > 20).all()


def test_shades_of_the_mask_are_seen_by_the_steps() -> None:
    soft, hard = painted({}, steps=6)[1], painted(None, steps=6)[1]
    last = [driver.of(Evaluate)[-1].x for driver in (soft, hard)]
    middle = SIZE // 8 * 3 // 8  # in cells, where the mask is grey
    assert not torch.allclose(last[0][..., middle], last[1][..., middle], atol=0.01)
    assert soft.of(Evaluate)[0].guides == ((NAME, None),)


def test_a_threshold_above_all_change_puts_everything_back() -> None:
    soft, _ = painted({"threshold": 8.0, "difference_contrast": 8.0}, steps=6)
    assert (soft == 200).all()


@pytest.mark.parametrize("values", [None, {"enabled": False}])
def test_switched_off_it_changes_nothing(values: dict[str, Any] | None) -> None:
    assert np.array_equal(painted(values, steps=4)[0], painted(None, steps=4)[0])


def test_without_a_mask_or_overlay_it_draws_as_ever() -> None:
    assert np.array_equal(painted({}, mask=None, steps=4)[0], painted(None, mask=None, steps=4)[0])
    bare, _ = painted({}, overlay_original=False, steps=4)
    assert bare.shape == (SIZE, SIZE, 3)


def test_only_masked_goes_back_into_its_place() -> None:
    soft, _ = painted({}, inpaint_area="Only masked", masked_padding=0, steps=4)
    assert soft.shape == (SIZE, SIZE, 3)
    assert (np.abs(soft[:, : SIZE // 8].astype(int) - 200) <= 1).all()


def test_the_infotext_has_a1111s_keys_and_is_read_back() -> None:
    values = {"bias": 2.0, "influence": 0.25}
    whole = SoftInpainting(**values).model_dump(mode="json")  # type: ignore[arg-type]
    picture = plan(resolved(init_images=("a" * 64,), mask="b" * 64, extensions={NAME: whole}))
    text = write_infotext("", "", picture_entries(picture, models={NAME: SoftInpainting}))
    for entry in (
        "Soft inpainting enabled: True",
        "Soft inpainting schedule bias: 2,",
        "Soft inpainting preservation strength: 0.5",
        "Soft inpainting transition contrast boost: 4,",
        "Soft inpainting mask influence: 0.25",
        "Soft inpainting difference threshold: 0.5",
        "Soft inpainting difference contrast: 2,",
    ):
        assert entry in text
    pasted = request_from_infotext(read_infotext_text(text), models={NAME: SoftInpainting})
    assert SoftInpainting.model_validate(pasted.fields["extensions"][NAME]) == SoftInpainting.model_validate(whole)
