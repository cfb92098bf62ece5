"""A TensorBoard log holds every figure once, also after a kill; without its package it is refused in words."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event as Record

from app.schema.errors import TrainingProblem
from app.training import Drifted, Prepared, Stepped, Validated, plan
from app.training.tensorboard import TensorBoardLog
from tests.training.making import asked, draw_pictures


def records(folder: Path) -> Iterator[Any]:
    """Every event of the log's files: length, checksum, bytes, checksum."""
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            record = Record()
            record.ParseFromString(data[place + 12 : place + 12 + length])
            yield record
            place += 12 + length + 4


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    found = []
    for record in records(folder):
        found += [(record.step, value.simple_value) for value in record.summary.value if value.tag == name]
    return found


def test_figures_and_samples_lie_in_the_log(tmp_path: Path) -> None:
    planned = plan(asked(draw_pictures(tmp_path / "data", 1), "lora"))
    board = TensorBoardLog(tmp_path / "board")
    board(Prepared(planned, 0))
    for step, loss in ((1, 0.5), (2, float("nan")), (3, 0.25)):
        board(Stepped(step, 3, 1, loss, 0.125, 2.0))
    board(Validated(3, 0.75))
    board(Drifted(3, 0.0625))
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    board.sample(0, tmp_path / "a.png", 3)
    board.close()
    assert scalars(tmp_path / "board", "loss") == [(1, 0.5), (3, 0.25)]
    assert scalars(tmp_path / "board", "learning_rate") == [(1, 0.125), (3, 0.125)]
    assert scalars(tmp_path / "board", "held-out_loss") == [(3, 0.75)]
    assert scalars(tmp_path / "board", "change_of_ordinary_ones") == [(3, 0.0625)]
    images = [
        value for record in records(tmp_path / "board") for value in record.summary.value if value.HasField("image")
    ]
    assert [(image.tag, image.image.width) for image in images] == [("sample_1", 8)]


def test_a_run_that_goes_on_takes_back_what_came_after_its_snapshot(tmp_path: Path) -> None:
    planned = plan(asked(draw_pictures(tmp_path / "data", 1), "lora"))
    board = TensorBoardLog(tmp_path / "board")
    board(Prepared(planned, 5))
    board.close()
    marks = [record.step for record in records(tmp_path / "board") if record.HasField("session_log")]
    assert marks == [6]  # TensorBoard drops steps from there on that came before


def test_without_the_package_it_is_refused_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.training.packages.find_spec", lambda name: None)
    with pytest.raises(TrainingProblem, match="needs the package tensorboardX, which is not installed") as caught:
        plan(asked(draw_pictures(tmp_path, 1), "lora", tensorboard=True))
    assert caught.value.field == "tensorboard"
