"""Texts from anywhere: pasted, old, broken, from other pages; what cannot be read is prompt text."""

from __future__ import annotations

import pytest

from app.schema.infotext.reader import read_infotext_text

ENTRIES = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"
FIELDS = {"Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Seed": "1"}


def prompts(text: str) -> tuple[str, str]:
    read = read_infotext_text(text)
    return read.prompt, read.negative_prompt


def test_prompts_of_several_lines() -> None:
    text = f"a cat,\n\n  on a mat \nNegative prompt: dog,\nbird\n\nfish\n{ENTRIES}"
    assert prompts(text) == ("a cat,\n\non a mat", "dog,\nbird\n\nfish")


@pytest.mark.parametrize(
    "text", ["", "  \n ", "a cat", "a cat\nSteps: 20, Seed: 4", "{red|blue} cat", "(cat:1.2), (dog:1.3)"]
)
def test_without_entries_all_is_prompt(text: str) -> None:
    read = read_infotext_text(text)
    assert (read.prompt, read.negative_prompt, read.fields, read.program) == (text.strip(), "", {}, "")


def test_line_ends_of_windows_and_blank_lines_around_do_no_harm() -> None:
    read = read_infotext_text(f"\r\n a cat\r\nNegative prompt: dog\r\n{ENTRIES}\r\n\r\n")
    assert (read.prompt, read.negative_prompt, read.fields) == ("a cat", "dog", FIELDS)


def test_a_label_in_other_letters() -> None:
    assert prompts(f"a cat\nNegative Prompt: dog\n{ENTRIES}") == ("a cat", "dog")


def test_entries_one_to_a_line() -> None:
    read = read_infotext_text("a cat\nSteps: 20\nSampler: Euler a\nCFG scale: 7\nSeed: 1")
    assert (read.prompt, read.fields) == ("a cat", FIELDS)


def test_a_value_with_a_line_break_in_it() -> None:
    read = read_infotext_text(
        f"a cat\n{ENTRIES}, ADetailer prompt: a face\nsmiling, ADetailer model: x, Version: v1.6.0"
    )
    assert read.prompt == "a cat"
    assert read.fields == {
        **FIELDS,
        "ADetailer prompt": "a face\nsmiling",
        "ADetailer model": "x",
        "Version": "v1.6.0",
    }


def test_templates_of_dynamic_prompts_on_lines_of_their_own() -> None:
    read = read_infotext_text(f"a cat\n{ENTRIES}\nTemplate: a {{red|blue}} cat, style: x\nNegative Template: dog, y")
    assert read.fields == {**FIELDS, "Template": "a {red|blue} cat, style: x", "Negative Template": "dog, y"}


def test_what_follows_an_empty_line_is_no_entry() -> None:
    assert read_infotext_text(f"a cat\n{ENTRIES}\n\nposted by anna, likes: 3").fields == FIELDS


def test_a_text_whose_line_breaks_were_lost() -> None:
    read = read_infotext_text(f"a (cat:1.2) Negative prompt: dog {ENTRIES}")
    assert (read.prompt, read.negative_prompt, read.fields) == ("a (cat:1.2)", "dog", FIELDS)
    read = read_infotext_text(f"a cat Negative prompt: {ENTRIES}")
    assert (read.prompt, read.negative_prompt, read.fields) == ("a cat", "", FIELDS)
    read = read_infotext_text(f"a (cat:1.2) on a mat {ENTRIES}")
    assert (read.prompt, read.fields) == ("a (cat:1.2) on a mat", FIELDS)


def test_steps_later_in_the_line_begin_no_second_one() -> None:
    read = read_infotext_text("a cat\nSampler: Euler a, CFG scale: 7, Seed: 1, Decode Steps: 3, Size: 64x64")
    assert (read.prompt, read.fields["Decode Steps"]) == ("a cat", "3")


def test_entries_in_the_prompt_stay_there() -> None:
    text = f"old: {ENTRIES}\nmore\n{ENTRIES}"
    assert prompts(text) == (f"old: {ENTRIES}\nmore", "")


def test_civitais_entries() -> None:
    resources = '[{"type":"checkpoint","modelVersionId":128078,"modelName":"SD, XL"},{"type":"lora","weight":0.85}]'
    read = read_infotext_text(
        f"a cat\n{ENTRIES}, Created Date: 2024-09-23T06:17:42.9952795Z, Civitai resources: {resources}, "
        'Civitai metadata: {"remixOfId":1}'
    )
    assert read.fields == {
        **FIELDS,
        "Created Date": "2024-09-23T06:17:42.9952795Z",
        "Civitai resources": resources,
        "Civitai metadata": '{"remixOfId":1}',
    }


def test_forges_entries_after_its_version() -> None:
    read = read_infotext_text(
        f"a cat\n{ENTRIES}, Distilled CFG Scale: 3.5, Version: f2.0.1v1.10.1-previous-530-g8bd7e056, "
        "Diffusion in Low Bits: Automatic (fp16 LoRA), Module 1: ae, Module 2: clip_l"
    )
    assert read.fields["Diffusion in Low Bits"] == "Automatic (fp16 LoRA)"
    assert [read.fields[f"Module {number}"] for number in (1, 2)] == ["ae", "clip_l"]


def test_a_broken_quote_ends_at_its_comma() -> None:
    assert read_infotext_text(f'a cat\n{ENTRIES}, Model: "half, Size: 64x64').fields == {
        **FIELDS,
        "Model": '"half',
        "Size": "64x64",
    }


def test_our_own_texts_keep_every_blank() -> None:
    text = f"  a cat \n\n b\t\nNegative prompt:  dog \nNegative prompt: x\n{ENTRIES}, Version: Easel 0.1.0"
    read = read_infotext_text(f"{text}\n")
    assert (read.prompt, read.negative_prompt) == ("  a cat \n\n b\t", " dog \nNegative prompt: x")
    assert read.program == "Easel"
    assert read.text() == text


def test_what_no_file_can_hold_is_left_out() -> None:
    read = read_infotext_text(f"a\0 cat\ud800\n{ENTRIES}")
    assert (read.prompt, read.fields) == ("a cat?", FIELDS)
