"""A1111's global options as fields of the request: each has its setting, and each is written into the infotext."""

from __future__ import annotations

import pytest

from app.schema.control import controls_of
from app.schema.guidance_fields import GuidanceFields
from app.schema.infotext.settings import INFOTEXT_SETTINGS
from app.schema.prompt_fields import PromptFields
from app.schema.request import GenerationRequest
from app.schema.sampling_fields import SamplingFields
from app.schema.settings import FACTORY, REQUEST_FIELDS, SettingValues, request_values

OF_THE_PAGE = {"cfg_scale", "eta", "ignore_network_tags"}
"""Fields that A1111's page and API have themselves; eta has two settings."""
NOT_IN_A1111 = {"cfg_rescale"}
OPTION_FIELDS = [name for model in (PromptFields, GuidanceFields, SamplingFields) for name in model.model_fields]


@pytest.mark.parametrize("field", OPTION_FIELDS)
def test_each_is_said_in_the_infotext_and_has_its_setting(field: str) -> None:
    control = controls_of(GenerationRequest)[field]
    assert control.infotext
    assert (field in REQUEST_FIELDS.values()) != (field in OF_THE_PAGE | NOT_IN_A1111)


def test_no_two_fields_share_a_key() -> None:
    keys = [control.infotext for control in controls_of(GenerationRequest).values() if control.infotext]
    assert len(keys) == len(set(keys))


def test_a_setting_shows_itself_as_its_field_does_and_keeps_its_limits() -> None:
    shown, fields = controls_of(SettingValues), controls_of(GenerationRequest)
    for setting, field in REQUEST_FIELDS.items():
        assert shown[setting] == fields[field]
        assert getattr(FACTORY, setting) == getattr(GenerationRequest(), field)
    with pytest.raises(ValueError, match="CLIP_stop_at_last_layers"):
        SettingValues.model_validate({"CLIP_stop_at_last_layers": 13})


def test_settings_and_keys_are_bound_as_in_a1111() -> None:
    """But for the random number source, which is the CPU here, so that pictures are the same on every machine."""
    fields = controls_of(GenerationRequest)
    for key, setting, default in INFOTEXT_SETTINGS:
        if setting in REQUEST_FIELDS:
            assert fields[REQUEST_FIELDS[setting]].infotext == key
            if setting not in ("randn_source", "sd_model_checkpoint"):
                assert getattr(FACTORY, setting) == default


def test_eta_comes_from_the_setting_of_the_samplers_kind() -> None:
    settings = FACTORY.model_copy(update={"eta_ancestral": 0.5, "eta_ddim": 0.2})
    assert request_values(settings, "Euler a")["eta"] == 0.5
    assert request_values(settings, "DPM++ 2S a Karras")["eta"] == 0.5
    assert request_values(settings, "DDIM")["eta"] == 0.2
    assert request_values(FACTORY, "DDIM")["eta"] is None
    assert request_values(FACTORY, "Euler a")["eta"] is None
    assert "eta" not in request_values(settings, "no such sampler")
