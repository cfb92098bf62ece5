"""Buckets hold every shape, and a picture fills its bucket without being bent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.training.data import Bucket, bucket_sizes, place

SD1 = bucket_sizes(512, 512, 64, 256, 1024)


def test_sizes_stay_within_the_area_in_whole_steps_and_both_ways_round() -> None:
    assert Bucket(512, 512) in SD1
    assert Bucket(640, 384) in SD1
    assert all(width * height <= 512 * 512 and width % 64 == height % 64 == 0 for width, height in SD1)
    assert all(Bucket(height, width) in SD1 for width, height in SD1)
    assert min(min(bucket) for bucket in SD1) == 256
    assert max(max(bucket) for bucket in SD1) == 1024


@pytest.mark.parametrize(
    ("size", "bucket"), [((1000, 1000), (512, 512)), ((1920, 1080), (640, 384)), ((100, 900), (256, 1024))]
)
def test_a_picture_goes_to_the_nearest_aspect(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    assert place(*size, SD1).bucket == bucket


@given(some.integers(16, 4000), some.integers(16, 4000))
def test_a_placing_covers_its_bucket_and_keeps_proportions(width: int, height: int) -> None:
    placing = place(width, height, SD1)
    (across, down), bucket = placing.scaled, placing.bucket
    assert across >= bucket.width
    assert down >= bucket.height
    assert across == bucket.width or down == bucket.height
    assert abs(across * height - down * width) <= max(width, height)
    assert 0 <= placing.left <= across - bucket.width
    assert 0 <= placing.top <= down - bucket.height


def test_small_pictures_can_be_left_small() -> None:
    placing = place(300, 200, SD1, upscale=False)
    assert (placing.bucket, placing.scaled) == ((256, 192), (288, 192))
    assert place(2000, 1000, SD1, upscale=False) == place(2000, 1000, SD1)
