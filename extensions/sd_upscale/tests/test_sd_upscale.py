"""SD upscale: tiles where A1111 puts them, seams over the overlap, each tile a picture of its own, none drawn twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.extension_api import Evaluate, GenerationRequest, ImagePlan, InvalidField, Skip, Stage, Tools, Upscale
from app.recipes import draw, with_stages
from extensions.sd_upscale.settings import pictures
from extensions.sd_upscale.stage import upscaled
from extensions.sd_upscale.tiles import joined, tiles_of
from tests.recipes.driver import Driver, plan, resolved

PICTURE = "a" * 64
RECORDED = [
    [0, 512, [[0, 512], [244, 512], [488, 512]]],
    [188, 512, [[0, 512], [244, 512], [488, 512]]],
]
"""A1111's tiles of 512x512 with an overlap of 64 in a picture of 1000x700: of each row its top, its height and its
tiles' left sides and widths."""
CALLS = 3
"""Of the model for one tile: four steps at half the strength."""


def asked(values: dict[str, Any] | None = None, **fields: Any) -> ImagePlan:
    values = {"overlap": 8, "upscaler": "Lanczos", **(values or {})}
    small = {"init_images": (PICTURE,), "denoising_strength": 0.5, "extensions": {"sd_upscale": values}}
    return plan(resolved(**(small | fields)))


class Shelf:
    """Where finished steps are kept."""

    def __init__(self) -> None:
        self.steps: dict[str, Image.Image] = {}

    def recipe(self, source: Image.Image) -> Any:
        staged = with_stages(draw, [("sd_upscale", Stage(30, upscaled))])

        def recipe(image: ImagePlan, tools: Tools) -> Any:
            lent = replace(tools, picture=lambda digest: source, kept=self.steps.get, keep=self.steps.__setitem__)
            return staged(image, lent)

        return recipe


def grey(width: int, height: int, level: int = 100) -> Image.Image:
    return Image.new("RGB", (width, height), (level,) * 3)


def test_tiles_lie_where_a1111_puts_them() -> None:
    wanted = [(left, top) for top, _, row in RECORDED for left, _ in row]
    tiles = tiles_of((1000, 700), (512, 512), 64)
    assert [(tile.left, tile.top) for tile in tiles] == wanted
    assert {(tile.width, tile.height) for tile in tiles} == {(512, 512)}


def test_a_picture_smaller_than_a_tile_is_one_tile() -> None:
    assert tiles_of((40, 700), (512, 512), 64) == [(0, 0, 40, 512), (0, 188, 40, 512)]


def test_tiles_go_over_into_each_other_evenly_over_their_overlap() -> None:
    tiles = tiles_of((12, 8), (8, 8), 4)
    whole = np.asarray(joined(dict(zip(tiles, (grey(8, 8, 0), grey(8, 8, 200)), strict=True)), (12, 8), 4))
    assert whole[0, :, 0].tolist() == [0, 0, 0, 0, 0, 49, 100, 150, 200, 200, 200, 200]
    tiles = tiles_of((8, 12), (8, 8), 4)
    whole = np.asarray(joined(dict(zip(tiles, (grey(8, 8, 0), grey(8, 8, 200)), strict=True)), (8, 12), 4))
    assert whole[:, 7, 0].tolist() == [0, 0, 0, 0, 0, 49, 100, 150, 200, 200, 200, 200]


def test_equal_tiles_join_without_a_trace() -> None:
    source = Image.effect_noise((200, 120), 60).convert("RGB")
    tiles = tiles_of(source.size, (64, 64), 16)
    assert joined({tile: source.crop(tile.box) for tile in tiles}, source.size, 16).tobytes() == source.tobytes()


def test_each_tile_is_drawn_at_its_own_size_and_the_picture_is_as_large_as_asked() -> None:
    driver = Driver()
    picture = driver.run(Shelf().recipe(grey(40, 24)), asked())
    assert picture.pixels.shape == (3, 48, 80)
    [upscale] = driver.of(Upscale)
    assert (upscale.upscaler, upscale.width, upscale.height) == ("Lanczos", 80, 48)
    assert {tuple(effect.x.shape[-2:]) for effect in driver.of(Evaluate)} == {(4, 4)}
    assert driver.reports[-1][:2] == (6 * CALLS, 6 * CALLS)  # 3 x 2 tiles
    assert [call for call, _, _ in driver.reports] == [*range(1, 6 * CALLS + 1)]


def test_seeds_rise_within_a_batch_and_from_batch_to_batch() -> None:
    seeds: list[int] = []

    def noted(inner: Any, image: ImagePlan, tools: Tools, passing: Any) -> Any:
        seeds.append(image.seed)
        return inner(image, tools, passing)

    staged = with_stages(draw, [("note", Stage(1, noted)), ("sd_upscale", Stage(30, upscaled))])
    image = asked(batch_size=2, extensions={"note": {}, "sd_upscale": {"overlap": 8, "upscaler": "Lanczos"}})
    Driver().run(lambda plan, tools: staged(plan, replace(tools, picture=lambda digest: grey(40, 24))), image)
    assert seeds == [1, 2, 2, 3, 3, 4]


def test_what_was_kept_is_not_drawn_again_and_the_picture_is_the_same() -> None:
    shelf = Shelf()
    whole = Driver().run(shelf.recipe(grey(40, 24)), asked())
    del shelf.steps["tile-3"], shelf.steps["tile-5"]
    again = Driver()
    assert again.run(shelf.recipe(grey(40, 24)), asked()).pixels.equal(whole.pixels)
    assert len(again.of(Evaluate)) == 2 * CALLS
    assert again.of(Upscale) == []


def test_a_skipped_picture_keeps_the_tiles_that_were_drawn() -> None:
    whole = Driver()
    full = whole.run(Shelf().recipe(grey(40, 24)), asked())
    third = [number for number, (effect, _) in enumerate(whole.effects) if isinstance(effect, Evaluate)][2 * CALLS]
    picture = Driver().run(Shelf().recipe(grey(40, 24)), asked(), fail_at=third, error=Skip())
    assert picture.partial
    assert picture.pixels[:, :16, :48].equal(full.pixels[:, :16, :48])
    assert picture.pixels.shape == full.pixels.shape


def test_without_an_upscaler_the_size_stays() -> None:
    driver = Driver()
    assert driver.run(Shelf().recipe(grey(44, 30)), asked({"upscaler": "None"})).pixels.shape == (3, 30, 44)
    assert driver.of(Upscale) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"init_images": ()}, "none is given"),
        ({"mask": "b" * 64}, "whole pictures"),
        ({"width": 64, "extensions": {"sd_upscale": {"overlap": 32}}}, "cannot overlap by 32"),
    ],
)
def test_what_it_cannot_do_is_said_at_submission(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        pictures(asked(**fields).resolved.request)


def test_every_batch_is_a_large_picture_with_the_next_seed() -> None:
    request = asked(batch_count=2, batch_size=3).resolved.request
    parts = pictures(request)
    assert [(part.request.seed, part.request.batch_size, part.source) for part in parts] == [(1, 3, None), (2, 3, None)]
    assert isinstance(parts[0].request, GenerationRequest)
