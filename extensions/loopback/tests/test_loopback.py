"""Loopback: how many rounds, how strong each is, and what each redraws."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from app.extension_api import GenerationRequest, InvalidField
from extensions.loopback.settings import Loopback, rounds, strengths

PICTURE, OTHER = "a" * 64, "b" * 64


def asked(values: dict[str, Any], **fields: Any) -> GenerationRequest:
    given = {"init_images": (PICTURE,), "seed": 5, "denoising_strength": 0.6, **fields}
    return GenerationRequest(extensions={"loopback": values}, **given)


@pytest.mark.parametrize(
    ("curve", "half"), [("Linear", 0.5), ("Aggressive", math.sin(math.pi / 4)), ("Lazy", 1 - math.cos(math.pi / 4))]
)
def test_the_strength_goes_from_the_first_to_the_last_along_the_curve(curve: Any, half: float) -> None:
    found = strengths(0.8, Loopback(loops=3, final_denoising_strength=0.2, curve=curve))
    assert found == pytest.approx([0.8, 0.8 - 0.6 * half, 0.2])


def test_one_round_has_the_forms_strength() -> None:
    assert strengths(0.8, Loopback(loops=1)) == [0.8]


def test_each_round_redraws_the_one_before_with_the_next_seed() -> None:
    parts = rounds(asked({"loops": 3}, mask="c" * 64, masked_content="fill"))
    assert [part.source for part in parts] == [None, 0, 1]
    assert [part.request.seed for part in parts] == [5, 6, 7]
    assert [part.request.denoising_strength for part in parts] == pytest.approx([0.6, 0.55, 0.5])
    assert [part.request.masked_content for part in parts] == ["fill", "original", "original"]


def test_every_batch_and_picture_begins_anew_and_the_seed_goes_on() -> None:
    parts = rounds(asked({"loops": 2}, batch_count=2, init_images=(PICTURE, OTHER)))
    assert [part.source for part in parts] == [None, 0, None, 2, None, 4, None, 6]
    assert [part.request.seed for part in parts] == [*range(5, 13)]
    begun = [part.request.init_images for part in parts if part.source is None]
    assert begun == [(PICTURE,), (OTHER,), (PICTURE,), (OTHER,)]


def test_the_largest_seed_is_followed_by_the_smallest() -> None:
    parts = rounds(asked({"loops": 2}, seed=2**64 - 1))
    assert [part.request.seed for part in parts] == [2**64 - 1, 0]


def test_without_a_picture_there_is_nothing_to_redraw() -> None:
    with pytest.raises(InvalidField, match="none is given"):
        rounds(asked({}, init_images=()))


@pytest.mark.parametrize("captioner", ["CLIP", "DeepBooru"])
def test_an_interrogated_prompt_is_refused_in_words(captioner: str) -> None:
    with pytest.raises(ValidationError, match="no captioner"):
        Loopback.model_validate({"interrogation": captioner})
