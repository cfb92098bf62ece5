"""The starter that ships: listed whatever the folders are, small, read like any checkpoint, and it follows prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.files import CHECKPOINT, Folders, ModelLibrary, recommended
from app.models import load_checkpoint
from app.starter import judge
from benchmarks.artist import Artist

LARGEST = 30_000_000


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """The file as a library finds it whose own folders are elsewhere and empty."""
    library = ModelLibrary(Folders.of(data_dir=tmp_path / "data", models_dir=tmp_path / "models"))
    found = library.find("starter", CHECKPOINT)
    assert found.problem is None
    assert found.family == "SD1"
    assert recommended(found) | {"width": 128, "height": 128} == recommended(found)
    library.close()
    return found.path


def test_it_is_small_and_reads_like_any_checkpoint(starter: Path) -> None:
    assert starter.stat().st_size <= LARGEST
    model = load_checkpoint(starter)
    assert (model.family.name, model.prediction_type) == ("SD1", "v")
    assert model.vae.scaling_factor == 0.18215
    assert model.report == ()


def test_times_of_day_follow_the_prompt(starter: Path) -> None:
    artist = Artist(starter, steps=20, device="cpu")
    asked = {f"a landscape on a meadow {words}": time for words, time in TIMES.items()}
    pictures = artist.draw([(prompt, seed) for prompt in asked for seed in (1, 2)])
    seen = [judge(picture).time for picture in pictures]
    assert seen == [time for time in asked.values() for _ in (1, 2)]


TIMES = {"by day": "day", "at sunset": "sunset", "at night": "night"}
