"""Two processes that share the parts of each step learn what one alone learns; only the first writes and tells."""

from __future__ import annotations

import math
import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest
from app.training import Snapshots
from app.training.loop import run
from app.training.together import Alone, require_cards, together
from tests.training.lessons import SETTINGS, Bend

SHARED = replace(SETTINGS, accumulation=3, patience=1)
STOPS_AT = 12


class Spoilt(Bend):
    """The last part of step 5, which is the second of the first process, gives no number."""

    def loss(self, step: int) -> Tensor:
        return super().loss(step) * (math.nan if step == 3 * 4 + 2 else 1)


def learn(folder: Path, rank: int, **options: Any) -> None:
    """Runs to the stop; leaves weights and what was told in the folder."""
    told: list[str] = []
    lesson = Spoilt()
    state = run(
        lesson,
        SHARED,
        Snapshots(folder / "snapshots"),
        lambda step, loss, rate: told.append(f"{step}"),
        should_stop=lambda: len(told) >= STOPS_AT,
        rolled_back=lambda step, cause: told.append(f"back at {step}"),
        **options,
    )
    assert (state.step, state.skipped) == (STOPS_AT - 1, (4,))
    save_file({name: weight.detach() for name, weight in lesson.weights.items()}, folder / f"{rank}.safetensors")
    (folder / f"{rank}.txt").write_text(" ".join(told))


def life(rank: int, port: int, folder: Path) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    others = together()
    assert (others.rank, others.size) == (rank, 2)
    with others.first():
        (folder / "order.txt").open("a").write(f"{rank}")
    learn(folder, rank, together=others)


def test_two_processes_learn_what_one_learns_stop_together_and_leave_the_same_step_out(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()
    learn(tmp_path / "alone", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    context = multiprocessing.get_context("fork")
    lives = [context.Process(target=life, args=(rank, port, tmp_path / "both")) for rank in (0, 1)]
    for process in lives:
        process.start()
    for process in lives:
        process.join(120)
    assert [process.exitcode for process in lives] == [0, 0]
    alone, first, second = (
        load_file(tmp_path / name) for name in ("alone/0.safetensors", "both/0.safetensors", "both/1.safetensors")
    )
    for name, weight in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weight, atol=1e-5, rtol=1e-4)
    assert (tmp_path / "both/order.txt").read_text() == "01"
    assert (tmp_path / "both/0.txt").read_text() == (tmp_path / "alone/0.txt").read_text()
    assert (tmp_path / "both/1.txt").read_text() == ""
    assert sorted(path.name for path in (tmp_path / "both/snapshots").iterdir()) == sorted(
        path.name for path in (tmp_path / "alone/snapshots").iterdir()
    )


def test_without_a_launcher_a_process_is_alone() -> None:
    assert isinstance(together(), Alone)


def test_more_cards_than_there_are_or_a_missing_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_cards(TrainingRequest(cards=1), 0)
    require_cards(TrainingRequest(cards=2), 2)
    with pytest.raises(TrainingProblem, match=r"4 graphics cards are asked for, and 2 can be had here\. Take up to 2"):
        require_cards(TrainingRequest(cards=4), 2)
    monkeypatch.setattr("app.training.packages.find_spec", lambda name: None)
    with pytest.raises(TrainingProblem, match="need the package accelerate, which is not installed"):
        require_cards(TrainingRequest(cards=2), 2)
