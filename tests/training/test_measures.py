"""The overfit meter: nothing for the untouched, more the more is changed; the best step's file is kept and taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from app.files.run_folder import RunFolder
from app.language import Tokenizer
from app.models import LoadedModel
from app.training import Drifted, Event, Noted, Target, Validated, make_target, train
from app.training.drift import DriftMeter
from tests.training.making import asked, draw_pictures, lesson_of, sha256, stir, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures") / "data", 3)


def meter_of(model: LoadedModel, learnt: Target) -> DriftMeter:
    captions = ("circle", "circle, white ground")
    return DriftMeter(model, learnt, lesson_of(model, learnt), captions, width=64, height=64, seed=3)


@pytest.mark.parametrize("method", ["lora", "dreambooth", "hypernetwork"])
def test_what_changes_ordinary_ones_is_seen_and_more_of_it_more(model: LoadedModel, data: Path, method: str) -> None:
    learnt = make_target(asked(data, method, prior="none", weight_init="Zero"), model, Tokenizer())
    meter = meter_of(model, learnt)
    untouched = meter.measure()
    stir(learnt, by=0.003)
    little = meter.measure()
    stir(learnt, by=0.03)
    much = meter.measure()
    learnt.detach()
    assert untouched < 1e-5  # where weights lie in memory may change the last bit of a sum
    assert 1e-4 < little < much
    assert meter.measure() < 1e-5


def test_a_new_word_changes_no_ordinary_one_at_all(model: LoadedModel, data: Path) -> None:
    learnt = make_target(asked(data, "textual_inversion", name="sks"), model, Tokenizer())
    meter = meter_of(model, learnt)
    stir(learnt, by=5.0)
    assert meter.measure() == 0.0


def test_the_best_steps_file_is_kept_until_a_better_one_comes(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter((0.5, 0.3, 0.2, 0.4, 0.6))
    monkeypatch.setattr("app.training.lesson.DiffusionLesson.validation", lambda *given: next(losses))
    request = asked(data, "lora", steps=5, sample_every=1, validation_share=0.3, prior="none", save_every=1)
    events: list[Event] = []
    made = train(request, model, tmp_path, report=events.append)
    assert made is not None
    folder = RunFolder(tmp_path)
    assert [path.name for path in folder.best.iterdir()] == ["thing-000003.safetensors"]
    assert sha256(folder.best / "thing-000003.safetensors") == sha256(folder.copies / "thing-000003.safetensors")
    assert sorted(folder.results()) == [1, 2, 3, 4]
    assert [event.loss for event in events if isinstance(event, Validated)] == [0.5, 0.3, 0.2, 0.4, 0.6]
    assert [event.step for event in events if isinstance(event, Drifted)] == [1, 2, 3, 4, 5]
    assert [event.text for event in events if isinstance(event, Noted)] == [
        "Step 3 looks better than the last. The loss on held-out pictures is lowest there (0.2)."
    ]


def test_what_is_no_number_is_not_told_as_one(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DriftMeter, "measure", lambda meter: torch.nan)
    events: list[Any] = []
    assert train(asked(data, "textual_inversion", steps=1), model, tmp_path, report=events.append) is not None
    assert not [event for event in events if isinstance(event, Drifted)]
