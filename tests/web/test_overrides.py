"""Override settings are texts that say a field and its value, there and back."""

from __future__ import annotations

import pytest

from app.schema.errors import InvalidField
from app.schema.request import GenerationRequest
from app.schema.settings import SettingValues
from app.web.form import START, TXT2IMG, request_of
from app.web.overrides import overrides_of, read_overrides

USUAL = GenerationRequest()


def test_only_what_differs_and_has_no_widget_is_an_override() -> None:
    wanted = {"clip_skip": 2, "noise_source": "GPU", "emphasis": "Original", "steps": 50, "seed": 5, "tiling": True}
    assert sorted(overrides_of(TXT2IMG, wanted, USUAL)) == ["Clip skip: 2", "RNG: GPU", "Tiling: True"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"clip_skip": 2},
        {"eta": 0.25},
        {"noise_seed_delta": 31337, "s_churn": 1.5, "tiling": True},
        {"precision": "bf16", "emphasis": "No norm", "noise_source": "NV"},
        {"extensions": {"hires": {"text": "a, b: c", "number": 2}}},
    ],
)
def test_overrides_come_back_as_they_were(wanted: dict[str, object]) -> None:
    assert read_overrides(overrides_of(TXT2IMG, wanted, USUAL)) == wanted


def test_a_setting_can_be_overridden_by_the_usual_value() -> None:
    otherwise = USUAL.model_copy(update={"eta": 0.5, "tiling": True})
    texts = overrides_of(TXT2IMG, {"eta": None, "tiling": False}, otherwise)
    assert sorted(texts) == ["Eta: None", "Tiling: False"]
    assert read_overrides(texts) == {"eta": None, "tiling": False}


@pytest.mark.parametrize("text", ["", "nonsense", "Steps: 5", "Clip skip: many", "Extension settings: {", "Eta: -1"])
def test_what_is_no_override_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_overrides([text])
    assert caught.value.field == "overrides"


def test_overrides_go_before_settings_and_behind_the_form() -> None:
    values = [{**START, "styles": []}[name] for name in TXT2IMG.ids]
    settings = SettingValues(CLIP_stop_at_last_layers=3, randn_source="NV")
    request = request_of(TXT2IMG, values, settings, {"clip_skip": 2, "steps": 99})
    assert (request.clip_skip, request.noise_source, request.steps) == (2, "NV", START["steps"])
