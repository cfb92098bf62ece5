"""The judge reads fresh drawings right; what it says of the model's pictures is worth that much."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app.starter import Scene, Verdict, draw_scene, judge
from app.starter.world import GROUNDS, TIMES
from tests.starter.conftest import Answers


@pytest.fixture(scope="module")
def verdicts(answers: Answers) -> list[tuple[Scene, Verdict]]:
    return [(question.scene, judge(picture)) for question, picture in answers]


@pytest.mark.parametrize("said", ["subject", "colour", "ground", "time", "place", "look"])
def test_it_tells_what_a_fresh_drawing_shows(said: str, verdicts: list[tuple[Scene, Verdict]]) -> None:
    right = [getattr(verdict, said) == getattr(scene, said) for scene, verdict in verdicts]
    assert np.mean(right) >= 0.95


def test_it_finds_nothing_in_an_empty_landscape() -> None:
    for number, time in enumerate(TIMES):
        for ground in GROUNDS:
            verdict = judge(draw_scene(Scene(None, "red", ground, time), 6_000_000 + number))
            assert (verdict.subject, verdict.colour, verdict.place) == (None, None, None)
            assert (verdict.time, verdict.ground) == (time, ground)


def test_a_verdict_does_not_depend_on_the_size_of_the_picture(answers: Answers) -> None:
    picture = next(picture for question, picture in answers if question.scene.look == "flat")
    larger = judge(picture.resize((256, 256), Image.Resampling.NEAREST))
    assert larger._replace(look="flat") == judge(picture)  # a pixel doubled is pixel art, rightly


def test_noise_and_plain_grey_show_no_thing() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    assert judge(Image.new("RGB", (128, 128), (128, 128, 128))).subject is None
    assert judge(Image.fromarray(noise)).look != "watercolour"
