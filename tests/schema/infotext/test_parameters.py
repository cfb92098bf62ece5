"""A1111's own answers: its parameters for recorded texts, what they override, its quoting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.language import Style, extract_styles, parse_attention
from app.schema.errors import InvalidPrompt
from app.schema.infotext.lookups import Lookups
from app.schema.infotext.pairs import quoted, unquoted
from app.schema.infotext.parameters import a1111_parameters, old_hires_sizes, png_info_parameters
from app.schema.infotext.settings import INFOTEXT_SETTINGS, cast_setting, override_settings, settings_of

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "infotexts.json").read_text("utf-8"))
STYLES = [Style(**style) for style in GOLDEN["styles"]]
LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"


def uses_emphasis(prompt: str) -> bool:
    return any(piece.weight != 1 and piece.text != "BREAK" for piece in parse_attention(prompt))


LOOKUPS = Lookups(
    uses_emphasis=uses_emphasis, extract_styles=lambda prompt, negative: extract_styles(prompt, negative, STYLES)
)


@pytest.mark.parametrize("case", GOLDEN["infotexts"], ids=lambda case: case["infotext"][:40])
def test_texts_are_read_as_a1111_reads_them(case: Mapping[str, Any]) -> None:
    parameters = a1111_parameters(case["infotext"], LOOKUPS)
    assert list(parameters.items()) == list(case["parsed"].items())
    assert [list(override) for override in override_settings(parameters)] == case["override_settings"]


@pytest.mark.parametrize("case", GOLDEN["style_setting_variants"], ids=lambda case: case["setting"])
def test_styles_are_taken_out_as_the_option_says(case: Mapping[str, Any]) -> None:
    parameters = a1111_parameters(case["infotext"], LOOKUPS, styles=case["setting"])
    assert list(parameters.items()) == list(case["parsed"].items())


@pytest.mark.parametrize("answer", GOLDEN["png_info"], ids=("with an infotext", "without"))
def test_png_info_answers_as_a1111_does(answer: Mapping[str, Any]) -> None:
    assert list(png_info_parameters(answer["info"], LOOKUPS).items()) == list(answer["parameters"].items())


def test_values_are_quoted_as_a1111_quotes_them() -> None:
    assert [quoted(case["value"]) for case in GOLDEN["quote"]] == [str(case["quoted"]) for case in GOLDEN["quote"]]
    assert [unquoted(case["text"]) for case in GOLDEN["unquote"]] == [case["value"] for case in GOLDEN["unquote"]]


def test_pairs_of_text_become_settings() -> None:
    for case in GOLDEN["override_settings"]:
        assert settings_of(case["pairs"]) == case["settings"]


def test_the_settings_are_a1111s_with_its_types_and_defaults() -> None:
    ours = [[key, setting, type(default).__name__, default] for key, setting, default in INFOTEXT_SETTINGS]
    assert ours == GOLDEN["infotext_to_setting"]


def test_first_passes_of_old_texts_have_the_sizes_that_a1111_gave_them() -> None:
    for case in GOLDEN["old_hires_first_pass"]:
        width, height = case["size"]
        old = {"Size-1": str(width), "Size-2": str(height), "First pass size-1": "0", "First pass size-2": "0"}
        sizes = old_hires_sizes(old)
        assert [sizes["Size-1"], sizes["Size-2"]] == case["first"]
        assert [sizes["Hires resize-1"], sizes["Hires resize-2"]] == case["size"]


def test_the_checkpoint_is_overridden_only_when_asked_for() -> None:
    parameters = {"Model hash": "6ce0161689", "Clip skip": "2"}
    current = {"sd_model_checkpoint": "v1-5.safetensors [8ac1dfeb94]", "CLIP_stop_at_last_layers": 2}
    assert override_settings(parameters, current) == []
    assert override_settings(parameters, current, with_checkpoint=True) == [
        ("Model hash", "sd_model_checkpoint", "6ce0161689")
    ]


def test_keys_that_the_page_has_fields_for_override_nothing() -> None:
    assert override_settings({"Eta": "0.5", "RNG": "NV"}, skip=("RNG",)) == [("Eta", "eta_ancestral", 0.5)]


def test_a_value_of_the_wrong_type_overrides_nothing() -> None:
    assert override_settings({"Clip skip": "two", "NGMS": "lots", "ENSD": "9" * 5000}) == []
    assert cast_setting("False", True) is False
    assert cast_setting("CodeFormer", False) is True


def test_a_hypernetwork_of_old_becomes_a_tag() -> None:
    assert a1111_parameters(f"cat\n{LINE}, Hypernet: anime")["Prompt"] == "cat<hypernet:anime:1.0>"
    text = f"cat\n{LINE}, Hypernet: anime, Hypernet strength: 0.4"
    assert a1111_parameters(text)["Prompt"] == "cat<hypernet:anime:0.4>"


def test_png_info_names_networks_as_they_are_called_here() -> None:
    text = (
        f"cat <lora:foo:0.8> <lora:bar:1>\n{LINE}, AddNet Enabled: True, AddNet Module 1: LoRA, "
        'AddNet Model 1: style(0123abcd), AddNet Weight A 1: 0.6, Lora hashes: "foo: aaaaaaaaaaaa, bar: bbbbbbbbbbbb"'
    )
    lookups = Lookups(network={"aaaaaaaaaaaa": "local foo"}.get)
    assert png_info_parameters(text, lookups)["Prompt"] == ("cat <lora:local foo:0.8> <lora:bar:1>\n<lora:style:0.6>")


def test_an_empty_value_is_no_value_but_an_empty_string_is() -> None:
    parameters = a1111_parameters(f'cat\n{LINE}, Template: , Note: "", Last: x')
    assert ("Template" in parameters, parameters["Note"], parameters["Last"]) == (False, "", "x")


def test_keys_to_be_skipped_are_left_out() -> None:
    assert "Seed" not in a1111_parameters(f"cat\n{LINE}", skip=("Seed",))


def test_old_behaviour_can_be_switched_off() -> None:
    text = f"[cat]\n{LINE}, Version: v1.5.1"
    added = a1111_parameters(text).keys() - a1111_parameters(text, old_behaviour=False).keys()
    assert added == {"Old prompt editing timelines", "Downcast alphas_cumprod"}


def test_a_prompt_that_the_grammar_refuses_uses_emphasis() -> None:
    def refuse(prompt: str) -> bool:
        raise InvalidPrompt("A weight that is no number.", field="prompt")

    assert a1111_parameters(f"(cat:1.2.3)\n{LINE}", Lookups(uses_emphasis=refuse))["Emphasis"] == "Original"
