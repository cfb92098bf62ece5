"""Presets are requests' values, and none leaves anything of another behind."""

from __future__ import annotations

import pytest

from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest, parse_training
from app.schema.training_presets import preset, presets

ALL = [(method, family) for method, families in presets().items() for family in families]


@pytest.mark.parametrize(("method", "family"), ALL)
def test_every_preset_is_taken_by_a_request(method: str, family: str) -> None:
    TrainingRequest.model_validate({"method": method, "name": "mine", "data": "pictures", **preset(method, family)})


def test_choosing_another_takes_back_what_the_one_before_had_set() -> None:
    names = {frozenset(preset(method, family)) for method, family in ALL}
    assert len(names) == 1
    assert preset("lora", "starter")["conv_rank"] == 8
    assert preset("lora", "SD1")["conv_rank"] == TrainingRequest.model_fields["conv_rank"].default


def test_an_unknown_family_gets_the_values_of_sd1() -> None:
    assert preset("lora", "Flux") == preset("lora", "SD1")


@pytest.mark.parametrize(("family", "width"), [("SD1", 768), ("SD2", 1024), ("SDXL", 2048)])
def test_a_hypernetwork_reads_what_the_text_says(family: str, width: int) -> None:
    assert width in preset("hypernetwork", family)["widths"]


def test_dropout_of_everything_is_refused() -> None:
    with pytest.raises(TrainingProblem, match=r"^dropout_structure: it holds shares from 0 to below 1"):
        parse_training({"dropout_structure": [0, 1.0, 0]})
