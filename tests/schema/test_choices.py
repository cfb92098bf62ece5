"""Names, aliases and old combined names are found as A1111's users write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.schema.choices import (
    SAMPLER_NAMES,
    SCHEDULE_NAMES,
    SamplerName,
    ScheduleName,
    find_sampler,
    find_schedule,
    split_sampler_name,
)
from app.schema.errors import UnknownChoice

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent.parent / "golden" / "samplers_geometry.json").read_text())
UNKNOWN_HERE = {"nonsense"}
# A1111 knows neither aliases nor other capitals here, and takes " Uniform" off "... SGM Uniform" first.
BETTER_HERE = {"k_euler": "Euler", "euler a": "Euler a", "DPM++ 2M SGM Uniform": "DPM++ 2M"}


def test_the_samplers_are_a1111s_with_its_options() -> None:
    assert [(sampler.name, list(sampler.aliases)) for sampler in SAMPLER_NAMES] == [
        (name, aliases) for name, aliases, _ in RECORDED["samplers"]
    ]
    for sampler, (_, _, options) in zip(SAMPLER_NAMES, RECORDED["samplers"], strict=True):
        schedule = find_schedule(options["scheduler"]).label if "scheduler" in options else ""
        assert sampler.default_schedule == schedule
        assert sampler.second_order == options.get("second_order", False)
        assert sampler.ancestral == options.get("uses_ensd", False)
        assert sampler.brownian == options.get("brownian_noise", False)
        assert sampler.discard_next_to_last == options.get("discard_next_to_last_sigma", False)


def test_the_schedules_are_a1111s() -> None:
    ours = [
        [schedule.name, schedule.label, schedule.default_rho, schedule.needs_model, list(schedule.aliases)]
        for schedule in SCHEDULE_NAMES
    ]
    assert ours == RECORDED["schedules"]


@pytest.mark.parametrize("sampler", SAMPLER_NAMES, ids=lambda sampler: sampler.name)
def test_a_sampler_is_found_by_name_and_alias_in_any_capitals(sampler: SamplerName) -> None:
    for text in (sampler.name, sampler.name.lower(), *sampler.aliases, *(alias.upper() for alias in sampler.aliases)):
        assert find_sampler(text) == sampler


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES, ids=lambda schedule: schedule.label)
def test_a_schedule_is_found_by_label_name_and_alias_in_any_capitals(schedule: ScheduleName) -> None:
    for text in (schedule.label, schedule.name, schedule.label.upper(), *schedule.aliases):
        assert find_schedule(text) == schedule


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownChoice) as error:
        find_sampler("Eulr a")
    assert error.value.field == "sampler"
    assert str(error.value) == "There is no sampler called 'Eulr a'. Nearest: Euler a, Euler."
    with pytest.raises(UnknownChoice) as error:
        find_schedule("Karas")
    assert error.value.field == "schedule"
    assert "Nearest: Karras" in str(error.value)
    with pytest.raises(UnknownChoice, match="Known: DPM\\+\\+ 2M, DPM\\+\\+ SDE"):
        find_sampler("zzzzqqqq")


@pytest.mark.parametrize(
    ("name", "schedule", "convert", "sampler", "label"),
    [case for case in RECORDED["names"] if case[0] not in UNKNOWN_HERE | BETTER_HERE.keys()],
)
def test_old_names_split_as_recorded(name: str, schedule: str, convert: bool, sampler: str, label: str) -> None:
    assert split_sampler_name(name, schedule, convert_automatic=convert) == (sampler, label)


@pytest.mark.parametrize(("name", "sampler"), BETTER_HERE.items())
def test_names_that_a1111_misreads_are_read_as_meant(name: str, sampler: str) -> None:
    label = "SGM Uniform" if name.endswith("SGM Uniform") else "Automatic"
    assert split_sampler_name(name, "Automatic") == (sampler, label)


def test_an_unknown_sampler_is_refused_even_with_a_known_schedule_behind_it() -> None:
    for name in ("nonsense", "nonsense Karras", "Karras"):
        with pytest.raises(UnknownChoice):
            split_sampler_name(name, "Automatic")


def test_an_unknown_schedule_is_automatic() -> None:
    assert split_sampler_name("Euler", "Bogus") == ("Euler", "Automatic")
