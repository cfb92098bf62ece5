"""A process may die at any moment: what it had saved counts, what it had not is made, nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.jobs import Inflight, recover
from app.jobs.recovery import MOST_DEATHS_LOADING
from app.jobs.store import Store
from app.schema.events import ImageReady, Notice
from app.schema.request import GenerationRequest
from tests.jobs.fake_engine import picture
from tests.jobs.workplace import Workplace, request, resolve


@pytest.fixture
def still(tmp_path: Path) -> Workplace:
    """A workplace whose threads do not run, as a killed process left it."""
    return Workplace(tmp_path)


def claimed(place: Workplace, sent: GenerationRequest) -> str:
    job = place.store.add("anna", sent, resolve(sent))
    assert place.store.claim(job.id)
    return job.id


def ready(job: str, image: int, path: str) -> ImageReady:
    return ImageReady(
        job=job, index=image, path=path, seed=7 + image, variation_seed=2000, width=16, height=8, infotext="text"
    )


def finish(place: Workplace) -> None:
    place.restart()
    place.worker.start()
    for entry in place.jobs.queue():
        place.jobs.wait(entry.id, 10)
    place.close()


def test_a_running_job_goes_on_where_it_was(still: Workplace) -> None:
    job = claimed(still, request(batch_count=3))
    still.store.reserve(ready(job, 0, "outputs/00000-7.png"))
    still.files.files["outputs/00000-7.png"] = picture(7, 16, 8)
    still.store.settle(job, 0, "saved", ready=ready(job, 0, "outputs/00000-7.png"), seconds=0.5)
    finish(still)
    events = [told.event for told in still.store_again().events_after(job)]
    images = [event.index for event in events if isinstance(event, ImageReady)]
    assert images == [0, 1, 2]
    assert [row for group in still.engines[0].groups for row in group if row[1] == 0] == []
    assert any(isinstance(event, Notice) and event.code == "resumed" for event in events)


def test_a_whole_file_under_a_reserved_name_counts(still: Workplace) -> None:
    job = claimed(still, request(batch_count=2))
    still.store.reserve(ready(job, 0, "outputs/00000-7.png"))
    still.files.files["outputs/00000-7.png"] = picture(7, 16, 8)
    finish(still)
    assert sorted(still.files.files) == ["outputs/00000-7.png", "outputs/00000-8.png"]
    assert [image.index for image in still.store_again().get(job).images] == [0, 1]


def test_a_reserved_name_without_a_file_is_made_again(still: Workplace) -> None:
    job = claimed(still, request(batch_count=2))
    still.store.reserve(ready(job, 0, "outputs/00000-7.png"))
    finish(still)
    assert sorted(still.files.files) == ["outputs/00000-7.png", "outputs/00000-8.png"]
    assert [image.index for image in still.store_again().get(job).images] == [0, 1]


def test_a_job_whose_last_picture_was_found_ends_at_once(still: Workplace) -> None:
    job = claimed(still, request())
    still.store.reserve(ready(job, 0, "outputs/00000-7.png"))
    still.files.files["outputs/00000-7.png"] = picture(7, 16, 8)
    still.restart()
    assert still.store.get(job).state == "done"


@pytest.mark.parametrize(("how", "state"), [("cancel", "cancelled"), ("interrupt", "done")])
def test_a_job_that_was_told_to_stop_stays_stopped(still: Workplace, how: str, state: str) -> None:
    job = claimed(still, request(batch_count=3))
    still.store.ask_to_stop(job, how)  # type: ignore[arg-type]
    still.restart()
    assert still.store.get(job).state == state


def die(place: Workplace, job: str, image: int, done: int) -> None:
    place.store.claim(job)
    place.inflight.before_group([(job, image, done)])
    place.restart()


def test_three_deaths_in_a_row_at_one_place_are_enough(still: Workplace, tmp_path: Path) -> None:
    job = claimed(still, request())
    die(still, job, 0, 4)
    die(still, job, 0, 4)
    assert still.store.get(job).state == "queued"
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(30)))
    still.store.claim(job)
    still.inflight.before_group([(job, 0, 4)])
    recover(still.store, still.inflight, still.files.is_whole, log)
    over = still.store.get(job)
    assert over.state == "failed"
    assert over.error is not None
    assert over.error.code == "quarantined"
    assert "3 times in a row" in over.error.message
    assert "picture 1, call 5" in over.error.message
    assert over.error.message.endswith("line 28\nline 29")
    assert "line 9\n" not in over.error.message


def test_deaths_at_different_places_are_taken_for_accidents(still: Workplace) -> None:
    job = claimed(still, request())
    for done in (1, 2, 1, 3, 2, 5):
        die(still, job, 0, done)
    assert still.store.get(job).state == "queued"


def test_a_death_counts_against_the_jobs_that_ran_alone(still: Workplace) -> None:
    guilty, innocent = claimed(still, request()), claimed(still, request())
    for _ in range(3):
        die(still, guilty, 0, 4)
    assert still.store.get(guilty).state == "failed"
    assert still.store.get(innocent).state == "queued"


def test_ends_while_a_model_loads_are_forgiven_longer(still: Workplace) -> None:
    job = claimed(still, request())
    for _ in range(MOST_DEATHS_LOADING):
        assert still.store.get(job).state != "failed"
        still.store.claim(job)
        still.inflight.before_group([(job, 0, 0)], loading=True)
        still.restart()
    error = still.store.get(job).error
    assert error is not None
    assert "20 times in a row while it loaded the model" in error.message


def test_ends_for_want_of_memory_are_not_forgiven(still: Workplace, tmp_path: Path) -> None:
    job = claimed(still, request())
    for kills in range(3):
        still.store.claim(job)
        Inflight(tmp_path / "inflight", lambda kills=kills: kills).before_group([(job, 0, 0)], loading=True)
        recover(still.store, Inflight(tmp_path / "inflight", lambda kills=kills: kills + 1), still.files.is_whole)
    error = still.store.get(job).error
    assert error is not None
    assert "3 times in a row for want of memory while it loaded the model" in error.message


def test_the_worker_knows_when_a_model_loads(workplace: Workplace, tmp_path: Path) -> None:
    loading: list[bool] = []
    note = workplace.inflight.before_group
    workplace.inflight.before_group = lambda rows, flag=False: (loading.append(flag), note(rows, flag))[1]  # type: ignore[method-assign]
    job = workplace.jobs.submit(request(prompt="load", steps=2), "anna")
    told = [one.event for one in workplace.jobs.events(job.id, timeout=10)]
    assert loading == [True, False]
    assert told[-1].kind == "finished"


def test_an_orderly_end_is_no_death(still: Workplace) -> None:
    still.worker.start()
    still.jobs.wait(still.jobs.submit(request(), "anna").id, 10)
    still.close()
    still.build()
    assert still.inflight.left_over().rows == []


def test_a_marker_cut_short_counts_as_none(still: Workplace, tmp_path: Path) -> None:
    still.inflight.before_group([("job", 0, 4)])
    assert still.inflight.left_over().rows == [("job", 0, 4)]
    marker = tmp_path / "inflight"
    marker.write_bytes(marker.read_bytes()[:-3])
    assert still.inflight.left_over().rows == []
    marker.write_bytes(b"")
    assert still.inflight.left_over().rows == []


def test_a_shorter_marker_hides_the_longer_one_before(still: Workplace) -> None:
    still.inflight.before_group([("a" * 30, image, 4) for image in range(8)])
    still.inflight.before_group([("b", 0, 1)])
    assert still.inflight.left_over().rows == [("b", 0, 1)]


@pytest.mark.parametrize(
    "interruption",
    [Store.claim, Store.reserve, Store.settle, Store.end],
    ids=["claim", "reserve", "settle", "end"],
)
def test_a_transaction_that_breaks_off_leaves_no_trace(
    still: Workplace, interruption: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = claimed(still, request()) if interruption is not Store.claim else ""
    if not job:
        job = still.store.add("anna", request(), resolve(request())).id
    before = dump(still)

    class PowerCut(BaseException):
        """Nothing may catch this."""

    def cut(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr("app.jobs.change.Change.tell", cut)
    act = {
        Store.claim: lambda: still.store.claim(job),
        Store.reserve: lambda: (still.store.reserve(ready(job, 0, "a.png")), cut()),
        Store.settle: lambda: still.store.settle(job, 0, "saved", ready=ready(job, 0, "a.png")),
        Store.end: lambda: still.store.finish(job),
    }[interruption]
    with pytest.raises(PowerCut):
        act()
    if interruption is Store.reserve:
        still.store.give_back(job, 0)
    assert dump(still) == before


def dump(place: Workplace) -> list[list[tuple[object, ...]]]:
    return [
        [tuple(row) for row in place.store._database.read(f"SELECT * FROM {table}")]
        for table in ("jobs", "pictures", "events")
    ]
