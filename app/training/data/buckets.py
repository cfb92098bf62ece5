"""Aspect buckets: the sizes that pictures of every shape are trained at, and how each is fitted into its own.

Arithmetic only (NovelAI 2022, 'aspect ratio bucketing'); no pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Bucket(NamedTuple):
    """A size to train at, in pixels."""

    width: int
    height: int


class Placing(NamedTuple):
    """How a picture fills its bucket: scaled to `scaled` (width, height), then cut at (left, top)."""

    bucket: Bucket
    scaled: tuple[int, int]
    left: int
    top: int


def bucket_sizes(width: int, height: int, step: int, smallest: int, largest: int) -> tuple[Bucket, ...]:
    """All sizes in whole steps whose area is at most width x height, the narrowest first.

    smallest, largest: of a side. The size asked for is among them, rounded down to whole steps.
    """
    area = width * height
    found = {Bucket(width // step * step, height // step * step)}
    for one in range(max(smallest, step), largest + 1, step):
        other = min(area // one // step * step, largest)
        if other >= smallest:
            found |= {Bucket(one, other), Bucket(other, one)}
    return tuple(sorted(found, key=lambda bucket: (bucket.width / bucket.height, bucket.width)))


def place(width: int, height: int, buckets: tuple[Bucket, ...], *, upscale: bool = True) -> Placing:
    """The bucket nearest in aspect, and the cover-and-cut-the-middle that fills it.

    upscale: False leaves a picture that is smaller than its bucket small: its bucket is cut down to the whole steps
    that the picture fills.
    """
    aspect = math.log(width / height)
    nearest = min(buckets, key=lambda b: (abs(math.log(b.width / b.height) - aspect), -b.width * b.height))
    if not upscale and (width < nearest.width or height < nearest.height):
        step = math.gcd(*(side for bucket in buckets for side in bucket))
        nearest = Bucket(
            max(min(width, nearest.width) // step, 1) * step, max(min(height, nearest.height) // step, 1) * step
        )
    scale = max(nearest.width / width, nearest.height / height)
    scaled = (max(round(width * scale), nearest.width), max(round(height * scale), nearest.height))
    return Placing(nearest, scaled, (scaled[0] - nearest.width) // 2, (scaled[1] - nearest.height) // 2)
