"""Presets are requests' values, and none leaves anything of another behind."""

from __future__ import annotations

import pytest

from app.schema.training import TrainingRequest
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
