"""What goes wrong stays with the job it belongs to, and the next one runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.jobs import Jobs
from app.jobs.job import UPGRADES, Upgrade, read_document, write_document
from app.schema.errors import DiskFull, JobNotFound, NewerVersion
from app.schema.events import Failed, Notice
from tests.jobs.workplace import Workplace, engine_of, request, resolve


def still_works(jobs: Jobs) -> bool:
    return jobs.wait(jobs.submit(request(), "anna").id, 10).state == "done"


def test_a_picture_that_cannot_be_made_fails_its_job(workplace: Workplace) -> None:
    job = workplace.jobs.wait(workplace.jobs.submit(request(prompt="fail"), "anna").id, 10)
    assert job.state == "failed"
    assert job.error == Failed(job=job.id, code="not_finite", message="The picture is not finite.")
    assert still_works(workplace.jobs)


def test_pictures_that_were_made_count_although_others_failed(workplace: Workplace) -> None:
    def half(rows: list[tuple[str, int, int]]) -> None:
        for row in workplace.engines[-1].rows:
            if row.plan.image == 0:
                failing = row.plan.resolved.request.model_copy(update={"prompt": "fail"})
                row.plan = row.plan._replace(resolved=row.plan.resolved.model_copy(update={"request": failing}))

    make = workplace.make_engine
    workplace.make_engine = lambda before: make(lambda rows: (before(rows), half(rows))[0])
    job = workplace.jobs.submit(request(batch_count=2), "anna")
    told = [one.event for one in workplace.jobs.events(job.id, timeout=10)]
    assert Notice(job=job.id, code="not_finite", text="Picture 1: The picture is not finite.") in told
    over = workplace.jobs.get(job.id)
    assert over.state == "done"
    assert [image.index for image in over.images] == [1]


def test_an_engine_that_breaks_down_is_made_anew(workplace: Workplace) -> None:
    job = workplace.jobs.wait(workplace.jobs.submit(request(prompt="break"), "anna").id, 10)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, "the engine broke" in job.error.message) == ("unexpected_failure", True)
    assert workplace.engines[0].closed
    assert still_works(workplace.jobs)
    assert len(workplace.engines) == 2


def test_an_engine_that_cannot_be_made_fails_the_job_and_is_tried_again(workplace: Workplace) -> None:
    make = workplace.make_engine

    def broken(before_group: object) -> object:
        workplace.make_engine = make
        raise ImportError("no torch here")

    workplace.make_engine = broken  # type: ignore[assignment]
    job = workplace.jobs.wait(workplace.jobs.submit(request(), "anna").id, 10)
    assert job.state == "failed"
    assert job.error is not None
    assert "no torch here" in job.error.message
    assert still_works(workplace.jobs)


def test_a_full_disk_fails_the_job_that_met_it(workplace: Workplace) -> None:
    workplace.files.room = 1
    job = workplace.jobs.wait(workplace.jobs.submit(request(batch_count=5), "anna").id, 10)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "disk_full"
    assert len(job.images) == 1
    assert workplace.store.reserved() == []
    workplace.files.room = 100
    assert still_works(workplace.jobs)


def fill_up(workplace: Workplace) -> None:
    """Lets the job database grow no more."""
    connection = workplace.store._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_job_that_cannot_be_stored_is_refused(workplace: Workplace) -> None:
    fill_up(workplace)
    refused = request(prompt="long " * 10_000)
    with pytest.raises(DiskFull, match="Free some disk space"):
        workplace.jobs.submit(refused, "anna")
    assert workplace.jobs.history("anna") == []


def test_an_end_that_cannot_be_stored_is_told_all_the_same(gated: Workplace) -> None:
    job = gated.jobs.submit(request(prompt="long " * 10_000), "anna")
    with gated.jobs.watch(job.id) as watch:
        while not any(one.event.kind == "started" for one in watch.take(10)):
            pass
    fill_up(gated)
    engine_of(gated).open_for_good.set()
    over = gated.jobs.wait(job.id, 10)
    assert over.state == "failed"
    assert over.error is not None
    assert over.error.code == "disk_full"


def test_names_already_taken_are_stepped_over(workplace: Workplace) -> None:
    workplace.files.files["outputs/00000-7.png"] = b"somebody else's"
    job = workplace.jobs.wait(workplace.jobs.submit(request(), "anna").id, 10)
    assert job.images[0].path == "outputs/00001-7.png"
    assert workplace.files.files["outputs/00000-7.png"] == b"somebody else's"


def test_a_damaged_row_is_lost_and_the_next_job_runs(workplace: Workplace) -> None:
    with workplace.store._change() as change:
        change.run(
            "INSERT INTO jobs (id, owner, state, version, document, submitted) "
            "VALUES ('x', 'anna', 'queued', 1, '{broken', 0)"
        )
    assert still_works(workplace.jobs)
    state = workplace.store._database.read("SELECT state FROM jobs WHERE id = 'x'")[0]["state"]
    assert state == "lost"


def test_a_row_of_a_newer_program_is_refused_in_words_and_left_alone(workplace: Workplace) -> None:
    with workplace.store._change() as change:
        change.run(
            "INSERT INTO jobs (id, owner, state, version, document, submitted) "
            "VALUES ('x', 'anna', 'queued', 99, '{}', 0)"
        )
    with pytest.raises(NewerVersion, match=r"newer Easel \(version 99"):
        workplace.jobs.get("x")
    assert still_works(workplace.jobs)
    assert workplace.store._database.read("SELECT state FROM jobs WHERE id = 'x'")[0]["state"] == "queued"
    assert "x" not in [job.id for job in workplace.jobs.history("anna")]


def test_tables_of_a_newer_program_are_not_touched(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    place.store._database._connection.execute("PRAGMA user_version = 99")
    place.store.close()
    with pytest.raises(NewerVersion, match="Update Easel"):
        place.build()


def test_an_old_row_is_upgraded_step_by_step() -> None:
    sent = request(prompt="a cat")
    old = json.loads(write_document(sent, resolve(sent)))
    old["request"]["text"] = old["request"].pop("prompt")

    def renames(before: str, after: str) -> Upgrade:
        return lambda document: {
            **document,
            "request": {after if key == before else key: value for key, value in document["request"].items()},
        }

    first, second = renames("text", "words"), renames("words", "prompt")
    assert UPGRADES == ()
    assert read_document(json.dumps(old), 1, (first, second)) == (sent, resolve(sent))
    with pytest.raises(NewerVersion):
        read_document(json.dumps(old), 4, (first, second))


def test_an_unknown_job_is_not_found(workplace: Workplace) -> None:
    for act in (workplace.jobs.get, workplace.jobs.cancel, workplace.jobs.interrupt, workplace.jobs.skip):
        with pytest.raises(JobNotFound):
            act("nosuchjob")
