"""A job goes from request to saved pictures and tells of every step on the way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from app.jobs import Told
from app.schema.errors import JobNotFound, PictureNotFound
from app.schema.events import Finished, ImageReady, Loading, Notice, Progress
from app.schema.memory import ModelMemory
from tests.jobs.fake_engine import picture
from tests.jobs.workplace import Workplace, engine_of, request


def kinds(told: list[Told]) -> list[str]:
    return [one.event.kind for one in told if one.id is not None]


def test_every_picture_is_saved_once_with_its_own_seed(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(batch_count=2, batch_size=2), "anna")
    done = workplace.jobs.wait(job.id, 10)
    assert done.state == "done"
    assert [image.seed for image in done.images] == [7, 8, 9, 10]
    assert sorted(image.index for image in done.images) == [0, 1, 2, 3]
    assert {image.path: workplace.files.files[image.path] for image in done.images} == {
        image.path: picture(image.seed, 16, 8) for image in done.images
    }
    assert done.seconds == pytest.approx(4 * 0.5)
    assert done.started is not None
    assert done.ended is not None
    assert done.submitted <= done.started <= done.ended


def test_the_request_is_kept_as_sent_and_as_carried_out(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(seed=-1), "anna")
    assert (job.request.seed, job.resolved.request.seed) == (-1, 1000)
    assert workplace.jobs.wait(job.id, 10).images[0].seed == 1000


def test_the_infotext_says_what_the_picture_is_made_of(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(prompt="a cat", negative_prompt="dog", seed=5), "anna")
    image = workplace.jobs.wait(job.id, 10).images[0]
    assert image.infotext == (
        "a cat\nNegative prompt: dog\nSteps: 3, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7, Seed: 5, "
        "Size: 16x8, Model hash: ababababab, Model: formula, RNG: CPU, Version: Easel 0.1.0"
    )
    assert workplace.files.infotexts[image.path] == image.infotext


def test_events_come_in_order_and_end_with_the_job(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(), "anna")
    told = list(workplace.jobs.events(job.id, timeout=10))
    assert kinds(told) == ["queued", "started", "notice", "image", "finished"]
    ids = [one.id for one in told if one.id is not None]
    assert ids == sorted(ids)


def test_a_late_watcher_is_told_the_same(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(), "anna")
    workplace.jobs.wait(job.id, 10)
    first = list(workplace.jobs.events(job.id, timeout=10))
    assert kinds(first) == ["queued", "started", "notice", "image", "finished"]
    after = first[2].id
    assert after is not None
    assert list(workplace.jobs.events(job.id, after, timeout=10)) == first[3:]
    assert list(workplace.jobs.events(job.id, first[-1].id or 0, timeout=10)) == []


def test_a_notice_that_every_picture_brings_is_told_once(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(batch_count=3), "anna")
    told = [one.event for one in workplace.jobs.events(job.id, timeout=10)]
    assert [event for event in told if isinstance(event, Notice)] == [
        Notice(job=job.id, code="odd", text="Something odd.")
    ]


def test_an_asyncio_loop_watches_as_a_thread_does(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(), "anna")

    async def watch() -> list[Told]:
        told: list[Told] = []
        with workplace.jobs.watch_async(job.id) as watch:
            while not watch.over:
                told += await watch.take(10)
        return told

    assert kinds(asyncio.run(watch())) == ["queued", "started", "notice", "image", "finished"]


def test_progress_rises_and_a_preview_comes_only_where_somebody_looks(gated: Workplace) -> None:
    seen = gated.jobs.submit(request(prompt="seen", steps=2), "anna")
    unseen = gated.jobs.submit(request(prompt="unseen", steps=2), "berta")
    engine = engine_of(gated)
    with gated.jobs.watch(seen.id) as watch:
        told: list[Told] = []
        while not watch.over:
            engine.permits.release()
            told += watch.take(0.05)
    gated.jobs.wait(unseen.id, 0)
    shares = [one.event.progress for one in told if isinstance(one.event, Progress)]
    assert shares == sorted(shares)
    assert shares[-1] > 0
    assert "preview" in [one.event.kind for one in told]
    assert gated.jobs.latest(unseen.id)[1] is None


def test_asking_for_the_latest_is_watching(gated: Workplace) -> None:
    job = gated.jobs.submit(request(steps=50), "anna")
    engine = engine_of(gated)
    preview = None
    while preview is None:
        engine.permits.release()
        preview = gated.jobs.latest(job.id)[1]
    assert preview.data.startswith("data:image/jpeg;base64,")


def test_cancel_ends_a_waiting_job_at_once(gated: Workplace) -> None:
    gated.jobs.submit(request(), "anna")
    waiting = gated.jobs.submit(request(), "anna")
    gated.jobs.cancel(waiting.id)
    assert gated.jobs.get(waiting.id).state == "cancelled"
    assert [one.event for one in gated.jobs.events(waiting.id, timeout=10)][-1] == Finished(
        job=waiting.id, state="cancelled", seconds=0
    )


def test_cancel_drops_what_is_in_work_and_keeps_what_is_saved(gated: Workplace) -> None:
    job = gated.jobs.submit(request(batch_count=3, steps=1), "anna")
    engine_of(gated).permits.release()
    with gated.jobs.watch(job.id) as watch:
        while not any(isinstance(one.event, ImageReady) for one in watch.take(10)):
            pass
    gated.jobs.cancel(job.id)
    engine_of(gated).open_for_good.set()
    over = gated.jobs.wait(job.id, 10)
    assert over.state == "cancelled"
    # The step that ran when the order came may have finished one more.
    assert 1 <= len(over.images) <= 2


def test_interrupt_keeps_the_picture_in_flight_as_it_is(gated: Workplace) -> None:
    job = gated.jobs.submit(request(batch_count=3, steps=50), "anna")
    engine = engine_of(gated)
    engine.permits.release()
    while gated.jobs.progress(job.id) is None or gated.jobs.progress(job.id).step == 0:  # type: ignore[union-attr]
        threading.Event().wait(0.001)
    gated.jobs.interrupt(job.id)
    engine.open_for_good.set()
    over = gated.jobs.wait(job.id, 10)
    assert over.state == "done"
    assert [(image.index, image.partial) for image in over.images] == [(0, True)]


def test_skip_goes_on_with_the_next_picture(gated: Workplace) -> None:
    job = gated.jobs.submit(request(batch_count=2, steps=50), "anna")
    engine = engine_of(gated)
    engine.permits.release()
    while gated.jobs.progress(job.id) is None or gated.jobs.progress(job.id).step == 0:  # type: ignore[union-attr]
        threading.Event().wait(0.001)
    gated.jobs.skip(job.id)
    engine.open_for_good.set()
    over = gated.jobs.wait(job.id, 10)
    assert [(image.index, image.partial) for image in over.images] == [(0, True), (1, False)]


def test_one_owner_does_not_block_another(gated: Workplace) -> None:
    long = gated.jobs.submit(request(batch_count=50), "anna")
    short = gated.jobs.submit(request(), "berta")
    engine = engine_of(gated)
    with gated.jobs.watch(short.id) as watch:
        while not watch.over:
            engine.permits.release()
            watch.take(0.05)
    assert len(gated.jobs.get(long.id).images) < 50
    gated.jobs.cancel(long.id)


def test_of_waiting_owners_the_one_served_longest_ago_is_next(tmp_path: object, workplace: Workplace) -> None:
    workplace.worker._most_owners = 1
    order: list[str] = []
    workplace.writer.job_ended = order.append
    blocker = workplace.jobs.submit(request(prompt="blocker", steps=200), "zoe")
    mine = [workplace.jobs.submit(request(prompt=f"a{number}"), "anna") for number in range(3)]
    yours = workplace.jobs.submit(request(prompt="b"), "berta")
    for job in [blocker, *mine, yours]:
        workplace.jobs.wait(job.id, 10)
    assert order == [blocker.id, mine[0].id, yours.id, mine[1].id, mine[2].id]


def test_a_job_belongs_to_its_owner(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(), "anna")
    with pytest.raises(JobNotFound):
        workplace.jobs.get(job.id, "berta")
    with pytest.raises(JobNotFound):
        workplace.jobs.cancel(job.id, "berta")
    with pytest.raises(JobNotFound):
        workplace.jobs.watch(job.id, owner="berta")
    workplace.jobs.wait(job.id, 10)
    assert workplace.jobs.history("berta") == []
    assert [past.id for past in workplace.jobs.history("anna")] == [job.id]


def test_the_queue_lists_jobs_in_order(gated: Workplace) -> None:
    first = gated.jobs.submit(request(), "anna")
    engine_of(gated)
    second = gated.jobs.submit(request(), "anna")
    assert [(entry.id, entry.state) for entry in gated.jobs.queue()] == [
        (first.id, "running"),
        (second.id, "queued"),
    ]
    assert gated.jobs.oldest_running("anna") == first.id
    assert gated.jobs.oldest_running("berta") is None


def test_ids_sort_by_time(workplace: Workplace) -> None:
    ids = []
    for moment in (1.0, 1.001, 999_999_999.0, 1_800_000_000.0):
        workplace.store._clock = lambda moment=moment: moment
        ids.append(workplace.jobs.submit(request(), "anna").id)
    assert ids == sorted(ids)
    assert all(id.isalnum() and len(id) == 13 for id in ids)


def test_pictures_that_were_not_to_be_saved_are_cleared_after_a_day(workplace: Workplace) -> None:
    workplace.jobs.wait(workplace.jobs.submit(request(), "anna").id, 10)
    assert workplace.files.cleared is not None
    assert timedelta(days=1) <= datetime.now() - workplace.files.cleared < timedelta(days=1, minutes=1)


def test_a_picture_that_was_not_made_is_not_found(workplace: Workplace) -> None:
    job = workplace.jobs.submit(request(), "anna")
    workplace.jobs.wait(job.id, 10)
    with pytest.raises(PictureNotFound):
        workplace.jobs.image_file(job.id, 4)


def until(happened: Callable[[], bool]) -> None:
    """Waits for the engine's thread."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_models_in_memory_are_told_and_obey(workplace: Workplace) -> None:
    path = "models/formula.safetensors"
    workplace.jobs.pin(path)
    assert workplace.jobs.models_in_memory() == ModelMemory()
    workplace.jobs.wait(workplace.jobs.submit(request(), "anna").id, 10)
    (model,) = workplace.jobs.models_in_memory().models
    assert (model.path, model.tier, model.host_bytes, model.pinned) == (path, "host", 7, True)
    workplace.jobs.unload()
    workplace.jobs.unpin(path)
    until(lambda: [model.pinned for model in workplace.jobs.models_in_memory().models] == [False])
    workplace.jobs.unload()
    until(lambda: not workplace.jobs.models_in_memory().models)
    workplace.jobs.reload()
    until(lambda: len(workplace.jobs.models_in_memory().models) == 1)


def test_a_load_tells_its_bytes_to_whoever_watches(workplace: Workplace) -> None:
    seen: list[Loading | None] = []
    waiting = workplace.worker._tell
    workplace.worker._tell = lambda told: (seen.append(told.loading if told else None), waiting(told))[1]  # type: ignore[method-assign]
    workplace.jobs.wait(workplace.jobs.submit(request(prompt="load"), "anna").id, 10)
    (loading,) = [one for one in seen if one is not None]
    assert (loading.name, loading.part, loading.done, loading.total) == (
        "formula.safetensors", "U-Net", 50_000_000, 100_000_000
    )  # fmt: skip
