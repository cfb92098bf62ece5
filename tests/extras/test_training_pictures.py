"""Pictures to be taught from: split, cut around what is to be seen, cut to a size, mirrored."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from app.extras.training_pictures import best_size, focal_crop, focal_point, split, training_pictures
from app.schema.extras import ExtrasRequest


def ramp(width: int, height: int) -> Image.Image:
    """Each column has its own red, each row its own green."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    pixels[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return Image.fromarray(pixels)


def with_detail(width: int, height: int, x: int, y: int, side: int = 24) -> Image.Image:
    """Grey, but for a square of noise around a place."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    pixels[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = noise
    return Image.fromarray(pixels)


def test_a_long_picture_is_split_into_parts_that_overlap() -> None:
    request = ExtrasRequest(split=True, target_width=64, target_height=64, split_overlap=0.25)
    parts = split(ramp(256, 64), request)
    assert [part.size for part in parts] == [(64, 64)] * 5
    reds = [np.asarray(part)[0, :, 0] for part in parts]
    assert reds[0][0] == 0
    assert reds[-1][-1] == 255
    assert all(before[-1] > after[0] for before, after in pairwise(reds))


def test_a_tall_picture_is_scaled_and_split_downwards() -> None:
    parts = split(ramp(128, 512), ExtrasRequest(split=True, target_width=64, target_height=64, split_overlap=0))
    assert [part.size for part in parts] == [(64, 64)] * 4
    assert np.asarray(parts[-1])[-1, 0, 1] > 250


@pytest.mark.parametrize("size", [(64, 64), (100, 64), (10, 40), (1, 1)])
def test_a_picture_that_is_not_oversized_stays_whole(size: tuple[int, int]) -> None:
    request = ExtrasRequest(split=True, target_width=64, target_height=64)
    (part,) = split(ramp(*size), request)
    assert part.size == size


@pytest.mark.parametrize("weights", [{"entropy": 1.0, "edges": 0.0}, {"entropy": 0.0, "edges": 1.0}])
def test_the_focal_point_lies_where_something_is_to_be_seen(weights: dict[str, float]) -> None:
    x, y = focal_point(with_detail(300, 200, 240, 50), **weights)
    assert x == pytest.approx(0.8, abs=0.02)
    assert y == pytest.approx(0.25, abs=0.02)


def test_of_an_even_picture_it_is_the_middle() -> None:
    assert focal_point(Image.new("RGB", (80, 40), "grey"), 0.15, 0.5) == (0.5, 0.5)
    assert focal_point(Image.new("RGB", (1, 1)), 1, 1) == (0.5, 0.5)


def test_the_crop_keeps_what_is_to_be_seen_and_never_leaves_the_picture() -> None:
    request = ExtrasRequest(target_width=64, target_height=64)
    cut = focal_crop(with_detail(400, 100, 380, 50), request)
    assert cut.size == (64, 64)
    grey = np.asarray(cut.convert("L"), dtype=float)
    assert grey[:, 32:].std() > 4 * grey[:, :32].std()


@pytest.mark.parametrize(
    ("size", "wish", "expected"),
    [
        ((1000, 1000), {}, (640, 640)),
        ((1600, 1000), {}, (768, 512)),
        ((1600, 1000), {"objective": "Minimize error"}, (704, 448)),
        ((4000, 1000), {}, None),
        ((1000, 1000), {"least_side": 768, "largest_side": 768}, None),
        ((1000, 1000), {"least_side": 768, "largest_side": 768, "largest_area": 768 * 768}, (768, 768)),
    ],
)
def test_the_size_of_an_auto_sized_crop(
    size: tuple[int, int], wish: dict[str, object], expected: tuple[int, int] | None
) -> None:
    assert best_size(*size, ExtrasRequest.model_validate(wish)) == expected


def test_mirrored_copies_stand_behind_the_pictures() -> None:
    plain, across, down, both = training_pictures(ramp(8, 8), ExtrasRequest(flips=("Horizontal", "Vertical", "Both")))
    pixels = np.asarray(plain)
    assert np.array_equal(np.asarray(across), pixels[:, ::-1])
    assert np.array_equal(np.asarray(down), pixels[::-1])
    assert np.array_equal(np.asarray(both), pixels[::-1, ::-1])


def test_the_helpers_work_one_after_the_other() -> None:
    request = ExtrasRequest(split=True, target_width=64, target_height=64, split_overlap=0, flips=("Horizontal",))
    assert len(training_pictures(ramp(256, 64), request)) == 8
