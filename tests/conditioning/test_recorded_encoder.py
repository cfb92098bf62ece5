"""The same text encoder gives what A1111 1.10.1 recorded, in all emphasis modes and at every CLIP skip tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.conditioning import Conditioning, encode_unit
from app.language import Reading, TextUnit, Timing, Tokenizer, Variant, plan_text
from app.models import TextEncoder
from tests.conditioning.recorded_encoder import SHIFT, ParityWord, recorded_encoder
from tests.language.golden import GOLDEN, golden

pytestmark = pytest.mark.slow

RECORDED = golden("prompts_tokens.json")
CASES = [case for case in RECORDED["conds"] if "text_index" in case]
TOKENIZER = Tokenizer()


@pytest.fixture(scope="module")
def numbers() -> Any:
    return np.load(Path(GOLDEN / "prompts_conds.npz"))


@pytest.fixture(scope="module")
def plain() -> TextEncoder:
    return recorded_encoder()


@pytest.fixture
def encoder(plain: TextEncoder, request: pytest.FixtureRequest) -> Iterator[TextEncoder]:
    shift = getattr(request, "param", 0.0)
    bias = plain.transformer.final_layer_norm.bias
    kept = bias.clone()
    with torch.inference_mode():
        bias -= shift
        yield plain
        bias.copy_(kept)


def name(case: dict[str, Any]) -> str:
    """The recording's name in prompts_conds.npz."""
    mode = case["emphasis"] if case["clip_skip"] == 1 else f"clipskip{case['clip_skip']}"
    return f"{case['text_index']}/{mode}" + ("/shifted" if "final_norm_bias_minus" in case else "")


def compare(conditioning: Conditioning, numbers: Any, recording: str, tolerance: float) -> None:
    context = conditioning.context[0]
    assert np.abs(context[:, :8].numpy() - numbers[f"{recording}/head"]).max() < tolerance
    length = context.norm(dim=-1).numpy()
    assert np.abs(length / numbers[f"{recording}/l2"] - 1).max() < tolerance


@pytest.mark.parametrize(
    ("encoder", "case"),
    [(SHIFT if "final_norm_bias_minus" in case else 0.0, case) for case in CASES],
    ids=[name(case) for case in CASES],
    indirect=["encoder"],
)
def test_each_recording_is_met(encoder: TextEncoder, numbers: Any, case: dict[str, Any]) -> None:
    text = RECORDED["texts"][case["text_index"]]["text"]
    reading = Reading(Timing(1), emphasis=case["emphasis"], clip_skip=case["clip_skip"])
    # The recordings are of whole texts: a lone `:1.3` at the end was not taken for a guidance weight.
    unit = plan_text(text, reading, negative=True)[0].unit
    words = [ParityWord(TOKENIZER.encode("parity-ti"))]
    conditioning = encode_unit([encoder], unit, TOKENIZER, vocabularies=words).at(0, 1)
    # Original divides by this random encoder's mean, which is nearly 0 unless it is shifted.
    loose = case["emphasis"] == "Original" and "final_norm_bias_minus" not in case and case["clip_skip"] == 1
    compare(conditioning, numbers, name(case), 1e-3 if loose else 1e-4)


@pytest.mark.parametrize("encoder", [SHIFT], indirect=True)
def test_the_mean_is_taken_over_all_texts_of_a_unit(encoder: TextEncoder, numbers: Any) -> None:
    first, second = RECORDED["conds"][-1]["batch"]
    unit = TextUnit((Variant(1, first), Variant(2, second)))
    schedule = encode_unit([encoder], unit, TOKENIZER)
    compare(schedule.at(0, 2), numbers, "batch/0/shifted", 1e-4)
    compare(schedule.at(2, 2), numbers, "batch/1/shifted", 1e-4)
