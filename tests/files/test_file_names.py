"""Patterns give A1111's names, and no name that a file system refuses or that leads out of its folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.files.file_names import PictureFacts, clean, file_name, fill, folder_name

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "file_name_patterns.json").read_text("utf-8"))
FACTS = PictureFacts(
    seed=42,
    prompt=GOLDEN["prompt"],
    negative_prompt="blurry",
    styles=["Quality"],
    seeds=[42, 43],
    steps=20,
    cfg_scale=7.0,
    width=512,
    height=768,
    sampler="DPM++ 2M",
    schedule="Karras",
    model_name="sd/v1:5",
    model_hash="8ac1dfeb94",
    denoising_strength=0.6,
    batch_size=2,
    batch_number=2,
    number=2,
    user="ann",
    image=b"pixels",
    time=datetime(2024, 5, 1, 13, 14, 15),
)
# A1111 leaves [clip_skip] as it stands (it fails inside); the negative prompt and the picture of the record are not
# in it, so that three hashes cannot be compared.
NOT_COMPARED = ("[clip_skip]", "[image_hash<8>]", "[negative_prompt_hash]", "[full_prompt_hash]")


@pytest.mark.parametrize(("pattern", "expected"), [row for row in GOLDEN["results"] if row[0] not in NOT_COMPARED])
def test_patterns_are_filled_as_a1111_does(pattern: str, expected: str) -> None:
    assert fill(pattern, FACTS) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[date]", "2024-05-01"),
        ("[datetime]", "20240501131415"),
        ("[datetime<%H.%M>]", "13.14"),
        ("[datetime<%Y><No/Where>]", "2024"),
        ("[job_timestamp]", "20240501131415"),
        ("[model_name]-[model_hash]", "sd_v1_5-8ac1dfeb94"),
        ("[clip_skip]", "1"),
        ("[user]", "ann"),
        ("[SEED]", "42"),
        ("[image_hash<12>]", hashlib.sha256(b"pixels").hexdigest()[:12]),
        ("[negative_prompt_hash<4>]", hashlib.sha256(b"blurry").hexdigest()[:4]),
        ("[prompt_hash<x>]", hashlib.sha256(GOLDEN["prompt"].encode()).hexdigest()[:8]),
    ],
)
def test_other_patterns(pattern: str, expected: str) -> None:
    assert fill(pattern, FACTS) == expected


def test_what_does_not_apply_vanishes_with_the_text_before_it() -> None:
    plain = PictureFacts(seed=1, seeds=[1], batch_number=1, number=1)
    assert fill("[seed]-batch[batch_number]", plain) == "1"
    assert fill("[seed] denoise [denoising] end", plain) == "1 end"
    assert fill("[seed] of [generation_number]", plain) == "1"
    assert fill("[seed] by [user]", plain) == "1"


def test_an_empty_prompt_has_words() -> None:
    assert fill("[prompt_words]", PictureFacts(seed=1)) == "empty"


def test_what_file_systems_refuse_is_replaced() -> None:
    assert clean('a#<>:"/\\|?*b\nc\td\0e') == "a__________b_c_d_e"
    assert clean("  a b . . ") == "a b"
    assert clean("a b", spaces=False) == "a_b"
    assert clean("x" * 300) == "x" * 128
    assert clean("con") == "_con"
    assert clean("NUL.txt") == "_NUL.txt"
    assert clean("console") == "console"
    assert clean("half \ud800 a character") == "half _ a character"


def test_a_name_in_chinese_fits_into_the_bytes_of_a_name() -> None:
    name = file_name("[seed]-[prompt_spaces]", replace(FACTS, prompt="红色的房子 🏠 " * 60))
    assert name.startswith("42-红色的房子 🏠 红")
    assert 200 < len(name.encode()) <= 220


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[date]", "2024-05-01"),
        ("[date]/[model_name]", "2024-05-01/sd_v1_5"),
        ("../../[seed]", "42"),
        ("/etc/[seed]", "etc/42"),
        ("C:\\Windows\\[seed]", "C_/Windows/42"),
        (".. /. ./.../a", "a"),
        ("[none]", ""),
    ],
)
def test_a_folder_pattern_never_leads_out(pattern: str, expected: str) -> None:
    assert folder_name(pattern, FACTS) == expected


def test_a_prompt_of_slashes_makes_no_folders() -> None:
    assert folder_name("[prompt]", replace(FACTS, prompt="../../etc/passwd")) == ".._.._etc_passwd"


@given(st.text(max_size=400), st.text(max_size=60))
def test_any_prompt_and_pattern_give_a_usable_name(prompt: str, pattern: str) -> None:
    facts = PictureFacts(seed=1, prompt=prompt)
    name = file_name(pattern + "[prompt_spaces]", facts)
    assert len(name.encode("utf-8")) <= 220
    assert not set(name) & set('#<>:"/\\|?*\0\n')
    assert all(part not in ("", ".", "..") for part in folder_name(pattern + "[prompt]", facts).split("/") if part)
