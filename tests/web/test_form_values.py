"""Widgets' raw values become requests, and what a browser kept a form, without trust in either."""

from __future__ import annotations

import pytest

from app.schema.errors import InvalidField, InvalidPrompt
from app.schema.settings import SettingValues
from app.web.form import START, TXT2IMG, request_of, restored
from app.web.model_menus import followed

FACTORY = SettingValues()


def values(**changed: object) -> list[object]:
    """What Gradio sends of an untouched form, but for some fields."""
    sent = {**START, "checkpoint": None, "styles": [], "seed": "-1", "variation_seed": "-1", **changed}
    return [sent[name] for name in TXT2IMG.ids]


def test_an_untouched_form_asks_for_the_usual() -> None:
    request = request_of(TXT2IMG, values(), FACTORY)
    assert (request.sampler, request.schedule, request.steps, request.cfg_scale) == ("DPM++ 2M", "Automatic", 20, 7.0)
    assert (request.checkpoint, request.vae, request.seed, request.image_count) == ("", "Automatic", -1, 1)


def test_seeds_keep_all_their_64_bits() -> None:
    assert request_of(TXT2IMG, values(seed=str(2**64 - 1)), FACTORY).seed == 18_446_744_073_709_551_615
    assert request_of(TXT2IMG, values(seed=""), FACTORY).seed == -1


def test_whole_numbers_may_come_as_fractions_and_only_then() -> None:
    assert request_of(TXT2IMG, values(steps=30.0), FACTORY).steps == 30
    with pytest.raises(InvalidField) as caught:
        request_of(TXT2IMG, values(steps=30.5), FACTORY)
    assert caught.value.field == "steps"


def test_settings_fill_the_fields_that_the_form_does_not_show() -> None:
    settings = SettingValues(CLIP_stop_at_last_layers=2, randn_source="NV", s_churn=3.0, samples_save=False)
    request = request_of(TXT2IMG, values(), settings)
    assert (request.clip_skip, request.noise_source, request.s_churn, request.save_images) == (2, "NV", 3.0, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "seven"),
        ("seed", "9" * 5000),
        ("seed", str(2**64)),
        ("steps", None),
        ("steps", 0),
        ("steps", 10**9),
        ("steps", "x"),
        ("width", 0),
        ("cfg_scale", float("nan")),
        ("variation_strength", 2),
    ],
)
def test_a_wrong_value_names_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        request_of(TXT2IMG, values(**{field: value}), FACTORY)
    assert caught.value.field == field


@pytest.mark.parametrize("prompt", ["a\0b", "x" * 1_000_000, "\ud800"])
def test_a_prompt_that_cannot_be_read_is_named(prompt: str) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        request_of(TXT2IMG, values(prompt=prompt), FACTORY)
    assert caught.value.field == "prompt"


def test_a_kept_form_comes_back_without_what_is_not_valid_any_more() -> None:
    kept = {"prompt": "a cat", "steps": 30, "seed": "12", "width": -5, "sampler": "Gone", "schedule": "Karras"}
    kept |= {"unknown": 1, "cfg_scale": "x", "height": None, "styles": ["sketch"]}
    assert restored(TXT2IMG, kept) == {
        "prompt": "a cat",
        "steps": 30,
        "seed": "12",
        "schedule": "Karras",
        "styles": ("sketch",),
    }


@pytest.mark.parametrize("kept", [None, [], "text", 7, {"prompt": ["a"]}, {"styles": 3}, {"steps": {}}, {"vae": [1]}])
def test_nonsense_in_the_browser_s_storage_is_no_form(kept: object) -> None:
    assert restored(TXT2IMG, kept) == {}


def test_fields_follow_the_checkpoint_until_the_user_changes_them() -> None:
    small, large = {"width": 128, "height": 128, "steps": 12}, {"width": 1024, "height": 1024}
    assert followed({}, {}, small) == small
    assert followed({"width": 128, "height": 256, "steps": 12}, small, large) == {"width": 1024}
