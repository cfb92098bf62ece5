"""Tiles cover a picture, fade into each other, and hold no more than one of them beside the answer."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from app.models.tiles import in_tiles, starts


def doubled(part: Tensor) -> Tensor:
    return part.repeat_interleave(2, 1).repeat_interleave(2, 2)


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("height", "width"), [(50, 70), (20, 200), (64, 20), (20, 20), (21, 19)])
def test_what_is_alike_in_every_tile_comes_out_as_in_one_piece(height: int, width: int) -> None:
    picture = noise(height, width)
    assert torch.equal(in_tiles(picture, 2, doubled, tile=20, overlap=4), doubled(picture))


def test_neighbours_share_at_least_the_overlap_and_the_last_ends_with_the_picture() -> None:
    for size in range(21, 400, 7):
        begun = starts(size, 20, 4)
        assert begun[0] == 0
        assert begun[-1] + 20 == size
        assert max(after - before for before, after in pairwise(begun)) <= 16


def test_two_tiles_that_disagree_fade_into_each_other_without_a_step() -> None:
    seen: list[int] = []

    def grey(part: Tensor) -> Tensor:
        seen.append(0)
        return torch.full_like(part, 100 if len(seen) == 1 else 180)

    answer = in_tiles(torch.zeros(3, 16, 32, dtype=torch.uint8), 1, grey, tile=24, overlap=16)
    row = answer[0, 8].int()
    assert (row[0], row[-1]) == (100, 180)
    assert int(row.diff().abs().max()) <= 80 / 16 + 1


def test_progress_tells_every_tile() -> None:
    told: list[tuple[int, int]] = []
    in_tiles(noise(40, 40), 1, lambda part: part, tile=20, overlap=4, progress=lambda *args: told.append(args))
    assert told == [(done, 9) for done in range(10)]


MEASURE = """
import resource, torch
from app.models.tiles import in_tiles
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
picture = torch.zeros(3, 4096, 4096, dtype=torch.uint8)
in_tiles(picture[:, :400, :400], 1, torch.clone, tile=192, overlap=8)
before = peak()
answer = in_tiles(picture, 1, torch.clone, tile=192, overlap=8)
print(tuple(answer.shape), peak() - before - answer.numel())
"""


def test_beside_the_answer_a_picture_of_4096_pixels_takes_less_than_32_megabytes() -> None:
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=120, check=True)
    shape, _, more = told.stdout.rpartition(" ")
    assert shape == "(3, 4096, 4096)"
    assert int(more) < 32 << 20
