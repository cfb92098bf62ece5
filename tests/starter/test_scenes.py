"""Pictures follow from a scene and a seed alone, and show the look that is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.starter.looks import PAPER, look_of
from app.starter.scenes import draw_scene
from app.starter.world import COLOURS, GROUNDS, LOOKS, PLACES, SUBJECTS, TIMES, Look, Place, Scene

HOUSE = Scene("house", "red", "meadow", "day")

# Mean colour of each quarter of the house above with seed 3: whoever changes a drawing changes what is examined.
QUARTERS: dict[Look, list[list[float]]] = {
    "flat": [[148.1, 191.7, 222.7], [162.9, 195.6, 214.5], [173.6, 162.1, 113.9], [167.1, 163.6, 111.1]],
    "watercolour": [[180.5, 204.2, 220.4], [190.0, 207.5, 215.6], [193.2, 170.0, 137.8], [196.3, 175.9, 146.1]],
    "pixel art": [[149.0, 192.5, 223.3], [163.4, 196.8, 215.4], [174.7, 163.2, 113.6], [168.0, 165.3, 110.5]],
    "sketch": [[162.5, 191.9, 211.5], [172.6, 194.4, 205.6], [170.6, 163.6, 131.5], [168.0, 165.1, 129.5]],
}


def pixels(scene: Scene, seed: int) -> np.ndarray:
    return np.asarray(draw_scene(scene, seed), dtype=np.float32)


@pytest.mark.parametrize("look", LOOKS)
def test_every_thing_is_drawn_as_128_by_128_rgb(look: Look) -> None:
    for subject in (None, *SUBJECTS):
        picture = draw_scene(Scene(subject, "red", "sea", "sunset", "left", look), 5)
        assert (picture.size, picture.mode) == ((128, 128), "RGB")


def test_the_same_scene_and_seed_give_the_same_bytes_whatever_was_drawn_before() -> None:
    scenes = [
        Scene(
            SUBJECTS[number % 6], colour, GROUNDS[number % 4], TIMES[number % 3], PLACES[number % 3], LOOKS[number % 4]
        )
        for number, colour in enumerate(COLOURS)
    ]
    first = [draw_scene(scene, 11).tobytes() for scene in scenes]
    np.random.seed(5)  # the global generator, which must not matter
    torch.manual_seed(6)
    assert [draw_scene(scene, 11).tobytes() for scene in reversed(scenes)] == first[::-1]


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_are_those_that_the_shipped_model_learnt_from(look: Look) -> None:
    quarters = pixels(HOUSE._replace(look=look), 3).reshape(2, 64, 2, 64, 3).mean((1, 3)).reshape(4, 3)
    np.testing.assert_allclose(quarters, QUARTERS[look], atol=0.3)


def test_another_seed_gives_another_picture_of_the_same_scene() -> None:
    assert len({draw_scene(HOUSE, seed).tobytes() for seed in range(20)}) == 20


def test_other_sizes_are_drawn_as_well() -> None:
    assert draw_scene(HOUSE, 3, 192, 128).size == (192, 128)
    assert draw_scene(HOUSE._replace(look="pixel art"), 3, 64, 96).size == (64, 96)


def test_the_place_moves_the_thing() -> None:
    def centre(place: Place) -> float:
        red = pixels(HOUSE._replace(place=place), 3)
        mask = np.abs(red - COLOURS["red"]).sum(-1) < 6
        return float(np.nonzero(mask)[1].mean())

    left, middle, right = (centre(place) for place in PLACES)
    assert middle - left > 15
    assert right - middle > 15


def test_a_moon_stands_in_the_sky_on_either_side_of_what_is_in_the_middle() -> None:
    night = HOUSE._replace(time="night")
    moon = np.array((252, 244, 208))
    places = []
    for seed in range(12):
        without, with_one = (
            np.abs(pixels(night._replace(moon=there), seed) - moon).max(-1) < 6 for there in (False, True)
        )
        assert not without.any()
        rows, columns = np.nonzero(with_one)
        assert len(rows) > 60
        assert rows.max() < 60
        places.append(columns.mean())
    assert min(places) < 40
    assert max(places) > 88


@pytest.mark.parametrize("look", LOOKS)
def test_what_lacks_its_moon_is_the_same_picture_elsewhere(look: Look) -> None:
    night = Scene("boat", "red", "sea", "night", "left", look, moon=True)
    assert night.lacking == night._replace(moon=False)
    moon = (pixels(night, 4) != pixels(night.lacking, 4)).any(-1)
    assert moon[:50, 64:].any()
    assert not moon[:64, :64].any()


def test_what_lacks_its_thing_is_the_same_landscape() -> None:
    boat = Scene("boat", "red", "sea", "night", "left")
    assert boat.lacking == boat._replace(subject=None)
    thing = (pixels(boat, 4) != pixels(boat.lacking, 4)).any(-1)
    assert thing[40:100, 20:60].mean() > 0.3
    assert not thing[:, 100:].any()


@pytest.mark.parametrize("look", LOOKS)
def test_the_pixel_statistic_tells_every_look(look: Look) -> None:
    draw = np.random.default_rng(4)
    scenes = [
        Scene(SUBJECTS[draw.integers(6)], "blue", GROUNDS[draw.integers(4)], TIMES[number % 3], "middle", look)
        for number in range(24)
    ]
    told = [look_of(draw_scene(scene, 900 + number)) for number, scene in enumerate(scenes)]
    assert told.count(look) >= 23


def test_pixel_art_is_made_of_squares_and_watercolour_keeps_a_margin_of_paper() -> None:
    squares = pixels(HOUSE._replace(look="pixel art"), 3).reshape(32, 4, 32, 4, 3)
    assert (squares == squares[:, :1, :, :1]).all()
    assert set(np.unique(squares)) <= {*range(0, 256, 32), 255}
    smooth = pixels(HOUSE, 3)[:40, :40].mean((0, 1))
    np.testing.assert_allclose(squares[:10, 0, :10, 0].mean((0, 1)), smooth, atol=6)  # dithered, it keeps its colour
    painted = pixels(HOUSE._replace(look="watercolour"), 3)
    assert np.abs(painted[0] - PAPER).max() <= 1
    assert np.abs(painted[64, 64] - PAPER).max() > 60
