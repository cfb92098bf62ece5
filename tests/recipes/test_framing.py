"""Sizes, crops and regions are A1111's, to the pixel."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.recipes.framing import RESIZE_AND_FILL, masked_region, resized, widened

GOLDEN = Path(__file__).parents[1] / "golden"
RECORDED: dict[str, Any] = json.loads((GOLDEN / "framing.json").read_text(encoding="utf-8"))
RESIZED = [name for name in RECORDED["pixel_files"] if name.startswith("resize")]


@pytest.mark.parametrize("name", RESIZED)
def test_a_resized_picture_has_the_recorded_pixels(name: str) -> None:
    recorded = RECORDED["pixel_files"][name]
    picture = Image.open(GOLDEN / "pictures" / "init.png").convert("RGB")
    mode = int(name.removeprefix("resize_mode")[0])
    answer = resized(picture, *recorded["size"], mode)
    assert sha256(answer.tobytes()).hexdigest() == recorded["sha256"]


def test_regions_of_only_masked_are_the_recorded_ones() -> None:
    for case in RECORDED["crop_regions"]:
        mask = Image.new("L", tuple(case["image"]))
        if case["masked"]:
            mask.paste(255, tuple(case["masked"]))
        region = masked_region(mask, case["pad"])
        assert (None if region is None else list(region)) == case["crop"], case
        if region is not None:
            assert list(widened(region, tuple(case["processing"]), mask.size)) == case["expanded"], case


def test_a_picture_of_one_pixel_fills_any_frame() -> None:
    dot = Image.new("RGB", (1, 1), (10, 20, 30))
    for mode in range(3):
        assert resized(dot, 64, 8, mode).getcolors() == [(64 * 8, (10, 20, 30))]


def test_a_mask_keeps_its_mode_while_it_is_fitted() -> None:
    assert resized(Image.new("L", (30, 10), 255), 20, 20, RESIZE_AND_FILL).mode == "L"
