"""The loop: steps, rates, clipping and the moving average; interrupted and resumed it gives the same bits."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.setup.environment import PROGRAM
from app.training import LoopSettings, Snapshot, Snapshots, constant, linear
from app.training.loop import run
from tests.training.lessons import SETTINGS, STEPS, Bend, digest, newest

LEARNER = (sys.executable, "-m", "tests.training.lessons")


@dataclass
class Slope:
    """The loss is the sum of four weights times `steepness`: every gradient is `steepness`."""

    steepness: float = 1.0
    weights: Tensor = field(default_factory=lambda: torch.zeros(4, requires_grad=True))

    def parameters(self) -> Mapping[str, Tensor]:
        return {"w": self.weights}

    def loss(self, step: int) -> Tensor:
        return self.weights.sum() * self.steepness


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Everything that 40 steps without an interruption come to: weights, averages, the optimiser's state."""
    folder = tmp_path_factory.mktemp("straight")
    run(Bend(), replace(SETTINGS, every=1e9), Snapshots(folder))
    return newest(folder).tensors


def newest_step(folder: Path) -> int:
    return newest(folder).step


def by_kind(tensors: Mapping[str, Tensor], kind: str) -> str:
    return digest({name: tensor for name, tensor in tensors.items() if name.startswith(f"{kind}.")})


def test_begun_here_killed_in_a_new_process_and_ended_here_is_the_whole(
    straight: dict[str, Tensor], tmp_path: Path
) -> None:
    begun = random.Random().randrange(1, STEPS // 2)
    chosen = random.Random().randrange(begun + 1, STEPS - 5)
    assert run(Bend(), SETTINGS, Snapshots(tmp_path), until=begun).step == newest_step(tmp_path) == begun
    command = [*LEARNER, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n" * (chosen - begun + 3))  # it may go on a little while the blow falls, not to its end
        child.stdin.flush()
        while int(child.stdout.readline()) < chosen:
            pass
        child.kill()
    assert STEPS > newest_step(tmp_path) >= chosen - 1
    state = run(Bend(), SETTINGS, Snapshots(tmp_path))
    assert state.step == STEPS
    tensors = newest(tmp_path).tensors
    for kind in ("weights", "average", "optimizer"):
        assert by_kind(tensors, kind) == by_kind(straight, kind), f"{kind}, begun to {begun}, killed at {chosen}"
    assert digest(tensors) == digest(straight)


def test_a_snapshot_at_every_step_and_a_new_start_at_every_step_change_nothing(
    straight: dict[str, Tensor], tmp_path: Path
) -> None:
    for step in range(1, STEPS + 1):
        run(Bend(), SETTINGS, Snapshots(tmp_path), until=step)
    assert digest(newest(tmp_path).tensors) == digest(straight)


def test_names_that_begin_one_another_keep_their_own_optimiser_state(tmp_path: Path) -> None:
    # 'a', 'a.b', 'a.b.weight' and 'a.step.late', which took part in three of ten steps.
    run(Bend(), SETTINGS, Snapshots(tmp_path), until=10)
    tensors = newest(tmp_path).tensors
    steps = {name: tensors[f"optimizer.{name}.step"] for name in Bend().parameters()}
    assert {name: step.item() for name, step in steps.items()} == {
        "a": 10,
        "a.b": 10,
        "a.b.weight": 10,
        "a.step.late": 3,
    }
    assert {step.dtype for step in steps.values()} == {torch.float32}
    assert {tuple(step.shape) for step in steps.values()} == {()}
    for name, tensor in Bend().parameters().items():
        for key in ("exp_avg", "exp_avg_sq"):
            assert tensors[f"optimizer.{name}.{key}"].shape == tensor.shape
            assert tensors[f"optimizer.{name}.{key}"].dtype == torch.float32


def test_the_loop_learns(tmp_path: Path) -> None:
    lesson = Bend()
    first = torch.stack([lesson.loss(step) for step in range(1000, 1020)]).mean().item()
    run(lesson, replace(SETTINGS, steps=300, every=1e9), Snapshots(tmp_path))
    assert torch.stack([lesson.loss(step) for step in range(1000, 1020)]).mean().item() < first / 3


def test_until_stops_early_and_never_goes_back_or_beyond(tmp_path: Path) -> None:
    reported: list[int] = []

    def learn(until: int | None) -> int:
        return run(Bend(), SETTINGS, Snapshots(tmp_path), lambda step, *_: reported.append(step), until=until).step

    assert [learn(3), learn(2), learn(5)] == [3, 3, 5]
    assert [learn(STEPS + 10), learn(None)] == [STEPS, STEPS]
    assert reported == list(range(1, STEPS + 1))


def test_each_step_has_the_schedules_rate_and_its_own_loss(tmp_path: Path) -> None:
    reported: list[tuple[int, float, float]] = []
    settings = LoopSettings(4, 0.5, linear(4), clip=0.0)
    run(Slope(2.0), settings, Snapshots(tmp_path), lambda *report: reported.append(report))
    assert [(step, rate) for step, _, rate in reported] == [(1, 0.5), (2, 0.375), (3, 0.25), (4, 0.125)]
    # Under a steady gradient AdamW moves each weight by the rate: the loss is that of the weights before the step.
    assert [loss for _, loss, _ in reported] == pytest.approx([0, -4.0, -7.0, -9.0], rel=1e-5)


@pytest.mark.parametrize(("steepness", "clip", "norm"), [(50.0, 1.0, 1.0), (50.0, 0.0, 100.0), (0.1, 1.0, 0.2)])
def test_gradients_are_clipped_to_their_common_norm(steepness: float, clip: float, norm: float, tmp_path: Path) -> None:
    lesson = Slope(steepness)
    run(lesson, LoopSettings(1, 1e-3, constant(1), clip=clip), Snapshots(tmp_path))
    assert lesson.weights.grad is not None
    assert lesson.weights.grad.norm().item() == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_the_average_warms_up_in_closed_form(steps: int, tmp_path: Path) -> None:
    # The weights move once, from 0 to w, and stay: after n steps the average lacks prod (1 + k) / (10 + k) of w.
    lesson = Slope()
    settings = LoopSettings(steps, 1.0, lambda step: float(step == 0), average=0.999)
    state = run(lesson, settings, Snapshots(tmp_path))
    lacking = math.factorial(steps + 1) * math.factorial(10) / math.factorial(steps + 10)
    torch.testing.assert_close(state.average["w"], lesson.weights.detach() * (1 - lacking), rtol=1e-5, atol=1e-6)


def test_the_warmed_up_average_has_the_decay_asked_for(tmp_path: Path) -> None:
    lesson = Slope()
    settings = LoopSettings(8, 1.0, lambda step: float(step == 0), average=0.25)
    state = run(lesson, settings, Snapshots(tmp_path))
    lacking = (2 / 11) * 0.25**7  # (1 + 2) / (10 + 2) is a quarter already
    torch.testing.assert_close(state.average["w"], lesson.weights.detach() * (1 - lacking))


def test_without_an_average_none_is_kept(tmp_path: Path) -> None:
    state = run(Slope(), LoopSettings(2, 0.1, constant(2)), Snapshots(tmp_path), facts={"made by": "a test"})
    snapshot = newest(tmp_path)
    assert state.average == {}
    assert sorted(snapshot.tensors) == [
        "optimizer.w.exp_avg",
        "optimizer.w.exp_avg_sq",
        "optimizer.w.step",
        "weights.w",
    ]
    assert snapshot.facts == {"made by": "a test"}


def test_snapshots_come_by_the_clock_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("app.training.loop.time.monotonic", lambda: now[0])
    saved: list[int] = []

    def report(step: int, loss: float, rate: float) -> None:
        now[0] += 25
        saved.extend(int(path.name[5:]) for path in tmp_path.iterdir() if int(path.name[5:]) not in saved)

    run(Slope(), LoopSettings(8, 0.1, constant(8), every=60), Snapshots(tmp_path, keep=9), report)
    assert [*saved, newest(tmp_path).step] == [3, 6, 8]


def test_snapshots_that_take_long_come_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("app.training.loop.time.monotonic", lambda: now[0])
    save = Snapshots.save
    saved: list[int] = []

    def slowly(snapshots: Snapshots, snapshot: Snapshot) -> Path:
        now[0] += 20
        saved.append(snapshot.step)
        return save(snapshots, snapshot)

    def report(step: int, loss: float, rate: float) -> None:
        now[0] += 25

    monkeypatch.setattr(Snapshots, "save", slowly)
    run(Slope(), LoopSettings(20, 0.1, constant(20), every=60), Snapshots(tmp_path), report)
    assert saved == [3, 11, 19, 20]  # the first after 60 seconds, then after ten times the 20 that one took


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_a_weight(tmp_path: Path) -> None:
    class Spoilt(Bend):
        def loss(self, step: int) -> Tensor:
            return super().loss(step) * (math.nan if step == 7 else 1)

    lesson = Spoilt()
    with pytest.raises(TrainingProblem, match=r"The loss of step 8 is nan\. Take a lower learning rate"):
        run(lesson, SETTINGS, Snapshots(tmp_path))
    assert newest(tmp_path).step == 7
    assert all(bool(tensor.isfinite().all()) for tensor in lesson.parameters().values())


class Pair(Bend):
    """Two weights with gradients of 1, that say which parts of which steps they were asked for."""

    def __init__(self) -> None:
        self.weights = {name: torch.zeros(2, requires_grad=True) for name in ("fast", "slow")}
        self.asked: list[int] = []
        self.spoilt: tuple[int, ...] = ()

    def loss(self, step: int) -> Tensor:
        self.asked.append(step)
        spoil = math.nan if step in self.spoilt else 1.0
        return (self.weights["fast"].sum() + self.weights["slow"].sum()) * spoil


def test_parts_are_numbered_through_and_their_mean_is_the_step(tmp_path: Path) -> None:
    lesson = Pair()
    losses: list[float] = []
    settings = LoopSettings(3, 0.1, constant(3), accumulation=2, clip=0.0, optimizer="Lion", betas=None)
    run(lesson, settings, Snapshots(tmp_path), lambda _, loss, __: losses.append(loss))
    assert lesson.asked == [0, 1, 2, 3, 4, 5]
    assert losses == pytest.approx([0.0, -0.4, -0.8])
    grad = lesson.weights["fast"].grad
    assert grad is not None
    assert grad.tolist() == [1.0, 1.0]


def test_each_parameter_has_its_factor_of_the_rate(tmp_path: Path) -> None:
    lesson = Pair()
    settings = LoopSettings(2, 0.1, constant(2), optimizer="Lion", betas=None, factors={"slow": 0.25})
    run(lesson, settings, Snapshots(tmp_path))
    assert lesson.weights["fast"].tolist() == pytest.approx([-0.2, -0.2])
    assert lesson.weights["slow"].tolist() == pytest.approx([-0.05, -0.05])


def test_a_step_without_numbers_is_left_out_and_never_asked_again(tmp_path: Path) -> None:
    lesson = Pair()
    lesson.spoilt = (3,)
    told: list[tuple[int, str]] = []
    settings = LoopSettings(6, 0.1, constant(6), optimizer="Lion", betas=None, patience=1, every=0.0)
    state = run(lesson, settings, Snapshots(tmp_path), rolled_back=lambda step, cause: told.append((step, cause)))
    assert told == [(4, "The loss of step 4 is nan.")]
    assert state.skipped == (3,)
    assert lesson.asked == [0, 1, 2, 3, 4, 5]
    assert lesson.weights["fast"].tolist() == pytest.approx([-0.5, -0.5])
    # Where snapshots are rare, it begins again from the one before, and comes to the same.
    again = Pair()
    again.spoilt = (3,)
    run(again, replace(settings, every=1e9), Snapshots(tmp_path / "rare"))
    assert again.asked == [0, 1, 2, 3, 0, 1, 2, 4, 5]
    assert torch.equal(again.weights["fast"], lesson.weights["fast"])


def test_a_snapshot_of_ruined_weights_is_given_up(tmp_path: Path) -> None:
    class Steep(Pair):
        """A rate of 1e38 makes its second step's loss infinite, whichever batch is asked."""

        def loss(self, step: int) -> Tensor:
            return super().loss(step) * 1e3

    settings = LoopSettings(6, 1e38, constant(6), clip=0.0, optimizer="Lion", betas=None, patience=3, every=0.0)
    with pytest.raises(TrainingProblem, match=r"is -?inf"):
        run(Steep(), settings, Snapshots(tmp_path))
    assert newest(tmp_path).step == 0
    lesson = Steep()
    state = run(lesson, replace(settings, rate=0.1), Snapshots(tmp_path))
    assert (state.step, state.skipped) == (6, ())
    assert lesson.weights["fast"].tolist() == pytest.approx([-0.6, -0.6])


def test_one_bad_batch_after_a_resume_costs_no_snapshot(tmp_path: Path) -> None:
    lesson, settings = Pair(), LoopSettings(9, 0.1, constant(9), optimizer="Lion", betas=None, patience=2, every=0.0)
    lesson.spoilt = (2, 5)
    run(lesson, settings, Snapshots(tmp_path), until=5)
    run(lesson, settings, Snapshots(tmp_path))
    assert lesson.asked == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_patience_comes_to_an_end(tmp_path: Path) -> None:
    lesson = Pair()
    lesson.spoilt = (2, 3)
    settings = LoopSettings(6, 0.1, constant(6), optimizer="Lion", betas=None, patience=1)
    with pytest.raises(TrainingProblem, match="The loss of step 4 is nan"):
        run(lesson, settings, Snapshots(tmp_path))


def test_it_stops_when_asked_and_keeps_the_step(tmp_path: Path) -> None:
    lesson = Pair()
    state = run(
        lesson, LoopSettings(6, 0.1, constant(6)), Snapshots(tmp_path), should_stop=lambda: len(lesson.asked) == 2
    )
    assert state.step == newest(tmp_path).step == 2


def test_gradients_that_overflow_in_half_precision_only_lower_the_scale(tmp_path: Path) -> None:
    class Steep(Pair):
        def loss(self, step: int) -> Tensor:
            return super().loss(step) * (1e36 if step == 0 else 1.0)

    settings = LoopSettings(3, 0.1, constant(3), optimizer="Lion", betas=None, half=True)
    lesson = Steep()
    run(lesson, settings, Snapshots(tmp_path))
    assert lesson.weights["fast"].tolist() == pytest.approx([-0.2, -0.2])
    assert newest(tmp_path).facts["scaler"]["scale"] == 32768.0
