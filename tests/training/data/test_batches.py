"""Batches show every picture as often as asked, one bucket at a time, and follow from the step alone."""

from __future__ import annotations

from collections import Counter

from app.training.data import Deal

BUCKETS = ["wide"] * 5 + ["tall"] * 3 + ["square"]
REPEATS = [1, 1, 1, 1, 2, 3, 1, 1, 1]


def test_every_epoch_shows_everything_once_per_repeat() -> None:
    deal = Deal(BUCKETS, REPEATS, size=4, seed=3)
    assert deal.steps_per_epoch == 2 + 2 + 1
    for epoch in range(3):
        batches = [deal.batch(epoch * deal.steps_per_epoch + step) for step in range(deal.steps_per_epoch)]
        shown = Counter(sample for batch in batches for sample in batch.samples)
        assert [shown[sample] for sample in range(9)] == REPEATS
        assert all(len({BUCKETS[sample] for sample in batch.samples}) == 1 for batch in batches)
        assert {batch.epoch for batch in batches} == {epoch}


def test_repeats_are_told_apart() -> None:
    deal = Deal(["one"], [3], size=3, seed=0)
    assert sorted(deal.batch(0).shown) == [0, 1, 2]


def test_epochs_differ_and_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    deal = Deal(BUCKETS, REPEATS, size=2, seed=1)
    first = [deal.batch(step) for step in range(2 * deal.steps_per_epoch)]
    assert [batch.samples for batch in first[: len(first) // 2]] != [
        batch.samples for batch in first[len(first) // 2 :]
    ]
    again = Deal(BUCKETS, REPEATS, size=2, seed=1)
    assert [again.batch(step) for step in reversed(range(len(first)))] == first[::-1]
    assert [Deal(BUCKETS, REPEATS, size=2, seed=2).batch(step) for step in range(len(first))] != first
