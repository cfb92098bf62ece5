"""The acceptance of training: its judges tell what they are to tell, its controls lie, its gates can be missed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from app.starter import Scene, draw_scene
from app.starter.world import GROUNDS, TIMES
from benchmarks.training import asked, lessons
from benchmarks.training.cases import CASES, CONTROLS, LEAST, Case
from benchmarks.training.figures import STRANGERS
from benchmarks.training.judge import look_for
from benchmarks.training.measure import Figures
from benchmarks.training.styles import STYLES
from benchmarks.training.table import comparisons, learnt

REACHED = Figures(
    before=0.0,
    after=0.9,
    pictures=24,
    background=0.9,
    without_word=0.0,
    other_word=0.0,
    kind_right=(1.0, 0.95),
    others_right=(1.0, 0.8),
    drift=10.0,
    equal=False,
    steps=100,
    seconds=1.0,
    bytes=1,
    loss=(0.1, 0.05),
    starter="",
    settings="",
)


def test_a_stranger_is_told_from_the_ordinary_thing_in_its_place() -> None:
    gate = STRANGERS["gate"]
    scene = Scene("house", "green", "snow", "sunset", "left")
    shown = look_for(gate, draw_scene(scene, 5, stranger=gate.build))
    assert shown == (True, "sunset", "snow")
    assert not look_for(gate, draw_scene(scene, 5)).stranger
    assert not look_for(gate, draw_scene(scene, 5, stranger=STRANGERS["toadstool"].build)).stranger


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_told_from_the_flat_picture_and_the_other_style(name: str) -> None:
    for number, (time, ground) in enumerate(product(TIMES, GROUNDS)):
        flat = draw_scene(Scene("boat", "red", ground, time), number)
        assert [other for other, style in STYLES.items() if style.shows(STYLES[name].apply(flat))] == [name]
        assert not STYLES[name].shows(flat)


def test_prompts_ask_for_every_ground_at_every_time_twice() -> None:
    named = asked.named("boat house")
    assert len(named) == 24
    assert {(one.ground, one.time) for one in named} == set(product(GROUNDS, TIMES))
    assert len({one.seed for one in named}) == 24
    assert named[1].prompt == "a boat house on a meadow at sunset"
    assert {len(case.named()) for case in CASES} == {24}


@pytest.mark.parametrize("case", [case for case in CASES if case.variant == CONTROLS[1]], ids=lambda case: case.key)
def test_no_shuffled_caption_belongs_to_its_picture(case: Case) -> None:
    right = Case(case.method, case.thing, "no prior").lessons()
    true = {picture.tobytes(): caption for picture, caption in (*right, *lessons.of_ordinary(case.stranger))}
    shown = case.lessons()
    assert len(shown) == 16
    assert not [caption for picture, caption in shown if true[picture.tobytes()] == caption]


def test_a_gate_is_missed_by_too_few_by_as_many_before_and_by_a_wrong_background() -> None:
    case = Case("lora", "gate", "prior")
    assert learnt(case, REACHED)
    for changed in ({"after": 0.75}, {"before": 0.25}, {"background": 0.6}):
        assert not learnt(case, replace(REACHED, **changed))
    assert learnt(Case("textual_inversion", "gate", "no prior"), replace(REACHED, after=0.75))
    assert {case.method for case in CASES} == set(LEAST)


def test_drift_is_compared_with_the_same_case_without_prior() -> None:
    done = {"lora/gate/prior": REACHED, "lora/gate/no-prior": replace(REACHED, drift=12.0, other_word=1.0)}
    assert comparisons(done) == [
        "- lora/gate/prior: drift 0.83 of that without (at most 0.75): no",
        "- lora/gate/prior: ordinary ones of its kind right: 100 % -> 95 %: yes",
        "- lora/gate/prior: an untrained word, or none, brings it up in 0 %: yes",
    ]
    forgetful = replace(REACHED, kind_right=(1.0, 0.85))
    assert "85 %: no" in comparisons({"lora/gate/prior": forgetful})[0]
    assert comparisons({"textual_inversion/gate/no-prior": replace(REACHED, equal=True)}) == [
        "- textual_inversion/gate/no-prior: prompts without the word equal to the bit: yes"
    ]
