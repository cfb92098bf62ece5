"""A1111's options in `override_settings`, and fields of its API that are options too, become fields of the request."""

from __future__ import annotations

import pytest

from app.api.sdapi_request import Txt2ImgFields, generation_request
from app.schema.errors import InvalidField, UnknownSetting
from app.schema.request import GenerationRequest
from app.schema.settings import FACTORY, REQUEST_FIELDS

CHANGED = {
    "sd_model_checkpoint": "model",
    "sd_vae": "None",
    "emphasis": "No norm",
    "randn_source": "NV",
    "sd_noise_schedule": "Zero Terminal SNR",
    "uni_pc_variant": "bh2",
    "uni_pc_skip_type": "logSNR",
    "img2img_background_color": "#102030",
    "upscaler_for_img2img": "Lanczos",
    "sd_text_encoder": "clip_l.safetensors",
}


def request(**fields: object) -> GenerationRequest:
    return generation_request(Txt2ImgFields.model_validate(fields), FACTORY, keep=str)


def another(option: str) -> object:
    """A value that the option may have and does not have by itself."""
    default = getattr(FACTORY, option)
    if option in CHANGED:
        return CHANGED[option]
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int) else default / 2 or 0.5


@pytest.mark.parametrize("option", list(REQUEST_FIELDS))
def test_each_option_can_be_overridden_by_its_own_name(option: str) -> None:
    value = another(option)
    assert value != getattr(FACTORY, option)
    assert getattr(request(override_settings={option: value}), REQUEST_FIELDS[option]) == value


def test_eta_has_an_option_for_each_kind_of_sampler_and_a_field_that_wins() -> None:
    etas = {"eta_ancestral": 0.5, "eta_ddim": 0.25}
    assert request(sampler_name="Euler a", override_settings=etas).eta == 0.5
    assert request(sampler_name="DDIM", override_settings=etas).eta == 0.25
    assert request(sampler_name="DDIM", override_settings=etas, eta=1).eta == 1


def test_a_field_that_is_an_option_too_goes_before_it() -> None:
    assert request(s_min_uncond=2, override_settings={"s_min_uncond": 3.0}).guidance_minimum_sigma == 2
    assert request(s_min_uncond=None, override_settings={"s_min_uncond": 3.0}).guidance_minimum_sigma == 3


def test_what_no_request_may_say_is_refused_by_name() -> None:
    with pytest.raises(UnknownSetting, match="cannot be overridden"):
        request(override_settings={"samples_format": "jpg"})
    with pytest.raises(UnknownSetting, match="is not known"):
        request(override_settings={"no_such_option": 1})
    with pytest.raises(InvalidField, match="uni_pc_order"):
        request(override_settings={"uni_pc_order": 0})
