"""The suggested step: held-out pictures decide; without them, how far ordinary ones have changed."""

from __future__ import annotations

import pytest

from app.files.best_step import Measured, best_step, measured_in


def test_the_lowest_loss_on_held_out_pictures_wins_and_of_nearly_equal_ones_the_earliest() -> None:
    told = [Measured(step, 0.9, loss) for step, loss in ((10, 0.5), (20, 0.401), (30, 0.4), (40, 0.45))]
    best = best_step(told)
    assert best is not None
    assert (best.step, best.reason) == (20, "The loss on held-out pictures is lowest there (0.4).")
    clear = best_step([*told, Measured(50, 0.9, 0.3)])
    assert clear is not None
    assert clear.step == 50


@pytest.mark.parametrize(
    ("drifts", "step", "words"),
    [
        ((0.1, 0.2, 0.4), 30, "stayed what they were"),
        ((0.1, 0.4, 0.7, 0.3), 20, "70% at step 30"),
        ((0.8, 0.9), 10, "80% at step 10"),
    ],
)
def test_without_held_out_pictures_it_is_the_last_step_before_ordinary_ones_change_much(
    drifts: tuple[float, ...], step: int, words: str
) -> None:
    best = best_step([Measured(10 * number, drift) for number, drift in enumerate(drifts, 1)])
    assert best is not None
    assert best.step == step
    assert words in best.reason


def test_where_nothing_was_measured_nothing_is_suggested() -> None:
    assert best_step([]) is None
    assert best_step([Measured(5)]) is None


def test_a_resumed_runs_last_lines_count() -> None:
    log = [
        {"kind": "validation", "step": 10, "loss": 9.0},
        {"kind": "drift", "step": 20, "drift": 0.5},
        {"kind": "step", "step": 21, "loss": 1.0},
        {"kind": "validation", "step": 10, "loss": 0.3},
        {"kind": "drift", "step": 10, "drift": 0.1},
    ]
    assert measured_in(log) == [Measured(10, 0.1, 0.3), Measured(20, 0.5, None)]
