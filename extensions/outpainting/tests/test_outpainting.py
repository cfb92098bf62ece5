"""Outpainting: the picture stays to the byte, all around it is drawn, and the seam is no step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from app.extension_api import Evaluate, ImagePlan, InvalidField, Skip, Stage, Tools
from app.recipes import draw, with_stages
from extensions.outpainting.filling import shaped_noise
from extensions.outpainting.seam import joined
from extensions.outpainting.settings import Outpainting
from extensions.outpainting.stage import outpainted
from extensions.outpainting.windows import growths, windows
from tests.recipes.driver import Driver, facts, plan, resolved

PICTURE = "a" * 64
SIDES = ("left", "right", "up", "down")


def asked(values: dict[str, Any] | None = None, **fields: Any) -> ImagePlan:
    values = {"pixels": 16, "mask_blur": 2, **(values or {})}
    values["directions"] = list(values.get("directions", SIDES))
    small = {"init_images": (PICTURE,), "denoising_strength": 0.8, "extensions": {"outpainting": values}}
    return plan(resolved(**(small | fields)))


def scene(width: int = 44, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def recipe(source: Image.Image, steps: dict[str, Image.Image] | None = None) -> Any:
    staged = with_stages(draw, [("outpainting", Stage(30, outpainted))])
    shelf = {} if steps is None else steps

    def made(image: ImagePlan, tools: Tools) -> Any:
        lent = replace(tools, picture=lambda digest: source, kept=shelf.get, keep=shelf.__setitem__)
        return staged(image, lent)

    return made


def drawn(image: ImagePlan, source: Image.Image, **models: Any) -> np.ndarray:
    return Driver(**models).run(recipe(source), image).pixels.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("fill", ["shaped noise", "fill", "original", "latent noise", "latent nothing"])
@pytest.mark.parametrize("directions", [("left",), ("up", "right"), SIDES])
def test_the_picture_stays_to_the_byte_and_all_around_it_is_drawn(fill: str, directions: tuple[str, ...]) -> None:
    source = scene()
    made = drawn(asked({"fill": fill, "directions": directions}), source)
    left, top = (16 if side in directions else 0 for side in ("left", "up"))
    right, bottom = (16 if side in directions else 0 for side in ("right", "down"))
    assert made.shape == (30 + top + bottom, 44 + left + right, 3)
    assert (made[top : top + 30, left : left + 44] == np.asarray(source)).all()


def test_an_inpainting_checkpoint_is_told_where_the_new_part_is() -> None:
    driver = Driver(models={"base": facts(unet_channels=9)})
    driver.run(recipe(scene()), asked({"directions": ("right",), "mask_blur": 0}))
    [first, *_] = driver.of(Evaluate)
    shown = first.conditionings[0].image
    assert shown is not None
    assert shown.shape[1] == 5
    assert shown[0, 0].tolist() == [[0, 0, 1, 1]] * 3  # windows of 32x24: 16 new pixels are two cells


def test_strips_are_at_most_half_a_window_and_come_to_what_was_asked() -> None:
    strips = growths((100, 60), ("down", "left"), 50, (64, 32))
    assert [(one.direction, one.pixels) for one in strips] == [
        ("left", 25),
        ("left", 25),
        ("down", 12),
        ("down", 13),
        ("down", 12),
        ("down", 13),
    ]
    assert strips[-1].size == (150, 110)


@pytest.mark.parametrize("direction", SIDES)
@pytest.mark.parametrize("size", [(1, 1), (37, 200), (200, 37), (64, 64)])
def test_the_windows_hold_the_whole_strip_and_lie_inside(direction: Any, size: tuple[int, int]) -> None:
    for growth in growths(size, (direction,), 24, (64, 64)):
        seen = np.zeros((growth.size[1], growth.size[0]), dtype=bool)
        for left, top, right, bottom in windows(growth, (64, 64), 8):
            assert min(left, top) >= 0
            assert (right, bottom) <= growth.size
            assert bottom <= growth.size[1]
            seen[top:bottom, left:right] = True
        left, top, right, bottom = growth.strip
        assert seen[top:bottom, left:right].all()


def test_a_picture_of_one_pixel_grows() -> None:
    made = drawn(asked({"directions": ("left", "down")}), Image.new("RGB", (1, 1), (9, 8, 7)))
    assert made.shape == (17, 17, 3)
    assert made[0, 16].tolist() == [9, 8, 7]


def test_a_kept_window_is_not_drawn_again_and_the_picture_is_the_same() -> None:
    steps: dict[str, Image.Image] = {}
    whole = Driver()
    first = whole.run(recipe(scene(), steps), asked()).pixels
    del steps[f"window-{len(steps) - 1}"]
    again = Driver()
    assert again.run(recipe(scene(), steps), asked()).pixels.equal(first)
    assert 0 < len(again.of(Evaluate)) < len(whole.of(Evaluate))


def test_a_skipped_picture_has_its_full_size_and_the_original_in_it() -> None:
    whole = Driver()
    full = whole.run(recipe(scene()), asked()).pixels
    later = [number for number, (effect, _) in enumerate(whole.effects) if isinstance(effect, Evaluate)][-1]
    made = Driver().run(recipe(scene()), asked(), fail_at=later, error=Skip())
    assert made.partial
    assert made.pixels.shape == full.shape
    assert (made.pixels.permute(1, 2, 0).numpy()[16:46, 16:60] == np.asarray(scene())).all()


def test_shaped_noise_has_the_pictures_spectrum_levels_and_colours() -> None:
    generator = np.random.default_rng(1)
    rough = generator.standard_normal((64, 64))
    smooth = np.fft.ifft2(np.fft.fft2(rough) * np.exp(-40 * sum(np.meshgrid(*[np.fft.fftfreq(64) ** 2] * 2)))).real
    piece = 128 + 200 * np.stack([smooth, smooth, -smooth], -1)
    made = shaped_noise(piece, (96, 48), generator, 1.0, 0.0)
    assert made.shape == (48, 96, 3)
    assert abs(made.mean() - piece.mean()) < 1
    assert (made.min(), made.max()) == pytest.approx((piece.min(), piece.max()))
    assert np.corrcoef(made[..., 0].ravel(), made[..., 2].ravel())[0, 1] < -0.95
    beside = np.corrcoef(made[:, :-1, 0].ravel(), made[:, 1:, 0].ravel())[0, 1]
    own = np.corrcoef(piece[:, :-1, 0].ravel(), piece[:, 1:, 0].ravel())[0, 1]
    white = shaped_noise(piece, (96, 48), generator, 0.0, 0.0)
    assert beside == pytest.approx(own, abs=0.1)
    assert abs(np.corrcoef(white[:, :-1, 0].ravel(), white[:, 1:, 0].ravel())[0, 1]) < 0.2


def test_a_shift_of_colours_makes_no_step_at_the_seam() -> None:
    known = np.full((40, 80, 3), 100, dtype=np.uint8)
    drawn_over = np.full((40, 80, 3), 130, dtype=np.uint8)
    new = np.zeros((40, 80), dtype=bool)
    new[:, 40:] = True
    made = joined(known, drawn_over, new, 8).astype(int)
    assert (made[:, :40] == 100).all()
    assert np.abs(np.diff(made[20, :, 0])).max() <= 2
    assert (made[:, 75:] == 130).all()
    hard = joined(known, drawn_over, new, 0)
    assert (hard[:, 40:] == 130).all()


def test_a_side_must_be_chosen() -> None:
    with pytest.raises(ValidationError, match="at least one side"):
        Outpainting.model_validate({"directions": []})


def test_without_a_picture_it_is_refused_in_words() -> None:
    with pytest.raises(InvalidField, match="none is given"):
        drawn(asked(init_images=()), scene())
