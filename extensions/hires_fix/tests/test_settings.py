"""Hires fix: its sizes are A1111's, and the second pass is the request that one would write for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.extension_api import GenerationRequest
from extensions.hires_fix.settings import HiresFix, first_pass, second_pass

RECORDED = json.loads((Path(__file__).parents[3] / "tests" / "golden" / "framing.json").read_text(encoding="utf-8"))


def asked(**values: Any) -> GenerationRequest:
    return GenerationRequest(
        prompt="a cat",
        negative_prompt="fog",
        width=64,
        height=96,
        steps=20,
        cfg_scale=7,
        sampler="Euler",
        checkpoint="base",
        extensions={"hires_fix": values, "refiner": {"checkpoint": "other"}},
    )


def second(**values: Any) -> GenerationRequest:
    made = second_pass(asked(**values))
    assert made is not None
    return made


def test_sizes_are_the_recorded_ones() -> None:
    for case in RECORDED["hires_resolution"]:
        values = HiresFix(
            upscale_by=case["hr_scale"], resize_width=case["hr_resize_x"], resize_height=case["hr_resize_y"]
        )
        size = values.size(case["width"], case["height"])
        assert [size.width, size.height] == case["upscale_to"], case
        assert [size.cut_width // 8, size.cut_height // 8] == case["truncate"], case


def test_without_more_words_the_second_pass_is_the_first_one_at_twice_the_size() -> None:
    made = second()
    assert (made.width, made.height) == (128, 192)
    assert (made.prompt, made.negative_prompt, made.checkpoint) == ("a cat", "fog", "base")
    assert (made.steps, made.sampler, made.cfg_scale) == (20, "Euler", 7)
    assert (made.denoising_strength, made.exact_steps) == (0.7, True)
    assert "hires_fix" not in made.extensions


def test_the_second_pass_has_what_is_said_for_it() -> None:
    made = second(
        prompt="a dog",
        negative_prompt="rain",
        checkpoint="other",
        sampler="DPM++ 2M",
        schedule="Karras",
        steps=7,
        cfg_scale=3,
        denoising_strength=0.4,
        resize_width=256,
        token_merging_ratio=0.5,
    )
    assert (made.prompt, made.negative_prompt, made.checkpoint) == ("a dog", "rain", "other")
    assert (made.sampler, made.schedule, made.steps, made.cfg_scale) == ("DPM++ 2M", "Karras", 7, 3)
    assert (made.denoising_strength, made.width, made.height) == (0.4, 256, 384)
    assert made.token_merging_ratio == 0.5


@pytest.mark.parametrize(
    ("where", "in_first", "in_second"),
    [("second pass", False, True), ("first pass", True, False), ("both passes", True, True)],
)
def test_the_refiner_works_where_it_is_told_to(where: str, in_first: bool, in_second: bool) -> None:
    assert ("refiner" in first_pass(asked(refiner_pass=where)).extensions) == in_first
    assert ("refiner" in second(refiner_pass=where).extensions) == in_second


def test_a_redrawn_picture_has_no_second_pass() -> None:
    assert second_pass(asked().model_copy(update={"init_images": ("0" * 64,)})) is None


def test_a_size_takes_the_place_of_the_factor() -> None:
    assert HiresFix(resize_height=64, upscale_by=3).upscale_by is None
    assert HiresFix(upscale_by=None).upscale_by == 2.0


def test_nothing_said_of_names_means_the_same() -> None:
    assert HiresFix(sampler="", checkpoint="").sampler == "Use same sampler"


@pytest.mark.parametrize(
    "values",
    [{"steps": -1}, {"denoising_strength": 1.5}, {"upscale_by": 0}, {"first_picture": "cat.png"}, {"colour": "red"}],
)
def test_what_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HiresFix.model_validate(values)
