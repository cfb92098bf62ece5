"""Masks: read, blurred, planned, filled and laid back, with the pixels outside them untouched."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from app.recipes.framing import Box
from app.recipes.masks import blurred, filled, kept_pixels, latent_mask, plan_mask, put_back, read_mask

GOLDEN = Path(__file__).parents[1] / "golden"


def picture() -> Image.Image:
    return Image.open(GOLDEN / "pictures" / "init.png").convert("RGB")


def square(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def test_fill_has_the_recorded_pixels() -> None:
    recorded = json.loads((GOLDEN / "framing.json").read_text(encoding="utf-8"))["pixel_files"]["masking_fill"]
    mask = Image.open(GOLDEN / "pictures" / "mask.png").convert("L")
    assert sha256(filled(picture(), mask).tobytes()).hexdigest() == recorded["sha256"]


def test_alpha_says_what_is_masked_and_is_hard_unless_shades_are_wanted() -> None:
    painted = Image.new("RGBA", (3, 1))
    painted.putalpha(Image.frombytes("L", (3, 1), bytes([128, 129, 255])))
    assert list(read_mask(painted).tobytes()) == [0, 255, 255]
    assert list(read_mask(painted, hard=False).tobytes()) == [128, 129, 255]


def test_an_opaque_picture_is_a_mask_by_its_brightness() -> None:
    painted = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    painted.putpixel((0, 0), (0, 0, 0, 255))
    assert list(read_mask(painted).tobytes()) == [0, 255]


def test_blur_is_a_gaussian_of_sigma_pixels() -> None:
    edge = np.zeros((64, 64), np.uint8)
    edge[:, 32:] = 255
    soft = np.asarray(blurred(Image.fromarray(edge), 4, 0)).astype(float) / 255
    assert abs(soft[0, 32 + 4] - 0.87) < 0.015  # the normal distribution at (4 + .5) / 4 deviations
    assert (soft == soft[0]).all()
    assert np.array_equal(np.asarray(blurred(Image.fromarray(edge), 0, 4)), edge)


def test_the_whole_picture_is_new_where_the_blurred_mask_is_half() -> None:
    plan = plan_mask(blurred(square((64, 64), (16, 16, 48, 48)), 4, 4), (64, 64), 0, None)
    assert plan is not None
    assert plan.region is None
    assert plan.overlay.getpixel((17, 32)) == 255
    assert plan.repainted.getpixel((17, 32)) < 255


def test_only_masked_crops_to_the_mask_and_nothing_to_a_black_one() -> None:
    plan = plan_mask(square((100, 80), (90, 0, 100, 10)), (64, 64), 0, 8)
    assert plan is not None
    assert plan.region == Box(82, 0, 100, 18)
    assert plan.repainted.size == (64, 64)
    assert plan_mask(Image.new("L", (100, 80)), (64, 64), 0, 8) is None


def test_pixels_outside_the_mask_come_back_to_the_byte() -> None:
    before, mask = picture(), square((256, 256), (64, 64, 128, 128))
    after = put_back(Image.new("RGB", (256, 256), "red"), kept_pixels(before, mask), None)
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(after)[outside], np.asarray(before)[outside])
    assert (np.asarray(after)[~outside] == (255, 0, 0)).all()


def test_a_region_goes_back_to_its_place() -> None:
    before, mask = picture(), square((256, 256), (64, 64, 128, 128))
    after = put_back(Image.new("RGB", (512, 512), "red"), kept_pixels(before, mask), Box(60, 60, 132, 132))
    outside = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(after)[outside], np.asarray(before)[outside])
    assert (np.asarray(after)[~outside] == (255, 0, 0)).all()


def test_the_latent_mask_is_hard_or_has_shades() -> None:
    soft = blurred(square((64, 64), (0, 0, 32, 64)), 6, 6)
    assert set(np.unique(latent_mask(soft, 8, 8))) == {0.0, 1.0}
    assert len(np.unique(latent_mask(soft, 8, 8, hard=False))) > 2
