"""Versions in the order of their release, and what each did otherwise."""

from __future__ import annotations

import pytest

from app.schema.infotext.versions import compatibility, read_version

IN_ORDER = (
    "1.5.1",
    "v1.6.0-RC-28-ga0af2852",
    "v1.6.0",
    "v1.6.1-3-gabcdef0",
    "v1.7.0-RC-4-g1111111",
    "1.7.0",
    "v1.7.0-224-g1234567",
    "v1.7.0-225-g1234567",
    "v1.8.0-RC",
    "1.8.0",
    "v1.10.1",
    "v1.10.1-12-gabcdef0",
    "v2.0.dev1",
    "v2.0a1",
    "v2",
)


def test_versions_come_in_the_order_of_their_release() -> None:
    read = [read_version(text) for text in IN_ORDER]
    assert read == sorted(version for version in read if version is not None)
    assert len(set(read)) == len(IN_ORDER)


@pytest.mark.parametrize("text", ["", "f2.0.1v1.10.1-previous-530-g8bd7e056", "Easel 0.1.0", "ComfyUI", "-", "1..2"])
def test_versions_of_other_programs_are_none(text: str) -> None:
    assert read_version(text) is None


@pytest.mark.parametrize(
    ("version", "sampler", "prompt", "expected"),
    [
        ("v1.5.9", "DDIM", "[a]", {"Old prompt editing timelines", "Pad conds v0", "Downcast alphas_cumprod"}),
        ("v1.5.9", "Euler", "(a)", {"Downcast alphas_cumprod"}),
        ("v1.6.0", "PLMS", "[a]", {"Downcast alphas_cumprod"}),
        ("v1.7.0-225-g1", "PLMS", "[a]", set()),
        ("", "PLMS", "[a]", set()),
    ],
)
def test_older_versions_need_older_behaviour(version: str, sampler: str, prompt: str, expected: set[str]) -> None:
    assert compatibility({"Version": version, "Sampler": sampler}, prompt) == dict.fromkeys(expected, True)


def test_a_refiner_switched_by_steps_before_1_8() -> None:
    key = "Refiner switch by sampling steps"
    assert compatibility({"Version": "v1.7.0-300-g1", "Refiner": "x"}, "") == {key: True}
    assert compatibility({"Version": "v1.8.0", "Refiner": "x"}, "") == {}
