"""Which rows go next: fairness between owners, order inside a job, batches in step, patience with models."""

from app.engine.scheduler import Scheduler, Waiting


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at_hand(*choices: str):
    """These models cost nothing to change to, the others a load."""
    return lambda choice: 0.0 if choice in choices else 1.0


def row(
    number: int,
    *,
    owner: str = "ann",
    job: str = "j",
    batch: int = 0,
    choice: str = "a",
    group: object = "g",
    done: int = 0,
):
    return Waiting(number, owner, job, batch, choice, group, done)


def test_nothing_waits():
    assert Scheduler().next([], at_hand()) == ()


def test_images_of_one_batch_share_a_call():
    rows = [row(0), row(1), row(2, batch=1), row(3, batch=1)]
    assert Scheduler().next(rows, at_hand("a")) == (0, 1)


def test_rows_of_different_jobs_never_share_a_call():
    assert Scheduler().next([row(0, job="one"), row(1, job="two")], at_hand("a")) == (0,)


def test_rows_with_other_shapes_of_call_are_kept_apart():
    assert Scheduler().next([row(0, group="short"), row(1, group="long")], at_hand("a")) == (0,)


def test_rows_that_are_behind_are_brought_up_first():
    assert Scheduler().next([row(0, done=3), row(1, done=2)], at_hand("a")) == (1,)


def test_a_second_batch_waits_for_the_first():
    assert Scheduler().next([row(5, batch=1), row(7, batch=0)], at_hand("a")) == (7,)


def test_the_older_job_of_an_owner_goes_first():
    assert Scheduler().next([row(4, job="younger"), row(2, job="older")], at_hand("a")) == (2,)


def test_owners_take_turns_by_seconds_not_by_jobs():
    scheduler = Scheduler()
    rows = [row(0, owner="ann", job="a"), row(1, owner="bob", job="b")]
    served = []
    for _ in range(40):
        (number,) = scheduler.next(rows, at_hand("a"))
        owner = rows[number].owner
        served.append(owner)
        scheduler.charge(owner, 3.0 if owner == "ann" else 1.0)
    assert served.count("ann") == 10
    assert served.count("bob") == 30


def test_a_newcomer_starts_level_and_does_not_starve_the_others():
    scheduler = Scheduler()
    ann = row(0, owner="ann", job="a")
    scheduler.next([ann], at_hand("a"))
    scheduler.charge("ann", 100.0)
    bob = row(1, owner="bob", job="b")
    served = []
    for _ in range(10):
        (number,) = scheduler.next([ann, bob], at_hand("a"))
        served.append(number)
        scheduler.charge([ann, bob][number].owner, 1.0)
    assert sorted(served) == [0] * 5 + [1] * 5


def test_the_model_in_use_is_preferred_for_a_bounded_time():
    clock = Clock()
    scheduler = Scheduler(patience=10, clock=clock)
    rows = [row(0, owner="ann", job="a", choice="other"), row(1, owner="bob", job="b", choice="loaded")]
    assert scheduler.next(rows, at_hand("loaded")) == (1,)
    clock.now = 9.9
    assert scheduler.next(rows, at_hand("loaded")) == (1,)
    clock.now = 10.0
    assert scheduler.next(rows, at_hand("loaded")) == (0,)


def test_after_a_change_the_patience_begins_anew():
    clock = Clock()
    scheduler = Scheduler(patience=10, clock=clock)
    rows = [row(0, owner="ann", job="a", choice="x"), row(1, owner="bob", job="b", choice="y")]
    scheduler.next(rows, at_hand("x"))
    clock.now = 10.0
    assert scheduler.next(rows, at_hand("x")) == (1,)
    assert scheduler.next(rows, at_hand("y")) == (1,)
    clock.now = 19.0
    assert scheduler.next(rows, at_hand("y")) == (1,)
    clock.now = 20.0
    assert scheduler.next(rows, at_hand("y")) == (0,)


def test_a_change_that_was_decided_stands_until_it_has_happened():
    clock = Clock()
    scheduler = Scheduler(patience=10, clock=clock)
    rows = [row(0, owner="ann", job="a", choice="x"), row(1, owner="bob", job="b", choice="y")]
    scheduler.next(rows, at_hand("x"))
    clock.now = 10.0
    assert scheduler.next(rows, at_hand("x")) == (1,)
    assert scheduler.next(rows, at_hand("x")) == (1,)


def test_an_absent_model_is_no_reason_to_wait():
    assert Scheduler(patience=10, clock=Clock()).next([row(0, choice="only")], at_hand("other")) == (0,)


def test_between_models_at_hand_nobody_waits():
    scheduler = Scheduler(patience=10, clock=Clock())
    rows = [row(0, owner="ann", job="a", choice="x"), row(1, owner="bob", job="b", choice="y")]
    served = []
    for _ in range(10):
        (number,) = scheduler.next(rows, at_hand("x", "y"))
        served.append(number)
        scheduler.charge(rows[number].owner, 1.0)
    assert served == [0, 1] * 5


def test_two_models_that_take_turns_do_not_make_a_third_wait_for_ever():
    clock = Clock()
    scheduler = Scheduler(patience=10, clock=clock)
    rows = [row(number, owner=choice, job=choice, choice=choice) for number, choice in enumerate("xyz")]
    served = []
    for second in range(12):
        clock.now = float(second)
        (number,) = scheduler.next(rows, at_hand("x", "y"))
        served.append(number)
        scheduler.charge(rows[number].owner, 1.0)
    assert served == [0, 1] * 5 + [2, 2]


def test_a_model_that_only_has_to_be_moved_waits_a_tenth():
    clock = Clock()
    scheduler = Scheduler(patience=10, clock=clock)
    rows = [row(0, owner="ann", job="a", choice="host"), row(1, owner="bob", job="b", choice="device")]
    costs = {"host": 0.1, "device": 0.0}
    assert scheduler.next(rows, costs.__getitem__) == (1,)
    clock.now = 1.0
    assert scheduler.next(rows, costs.__getitem__) == (0,)
