"""A request that an extension expands: its pictures are as it says, and one that redraws another waits for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.jobs.expand import expand
from app.jobs.job import read_document, write_document
from app.jobs.recovery import recover
from app.schema.events import ImageReady
from app.schema.expansion import PartPlan
from app.schema.request import ResolvedRequest
from tests.jobs.fake_engine import picture
from tests.jobs.workplace import Workplace, engine_of, request, resolve

SOURCE = "0" * 64
CHAIN = (None, 0, 1)


def chained(prompts: Sequence[str] = ("one", "two", "three"), sources: Sequence[int | None] = CHAIN) -> ResolvedRequest:
    """Pictures with seeds 7, 8 ... and prompts of their own, of which some redraw an earlier one."""
    base = resolve(request(init_images=(SOURCE,)))
    variants = tuple(
        base.model_copy(update={"request": base.request.model_copy(update={"prompt": prompt})}) for prompt in prompts
    )
    parts = tuple(
        PartPlan(variant=number, seed=7 + number, variation_seed=2000, batch=number, source=source)
        for number, source in enumerate(sources)
    )
    return base.model_copy(update={"parts": parts, "variants": variants})


def digest(seed: int) -> str:
    return hashlib.sha256(picture(seed, 16, 8)).hexdigest()


def submitted(place: Workplace, resolved: ResolvedRequest) -> str:
    job = place.store.add("anna", resolved.request, resolved)
    place.worker.wake()
    return job.id


def drawn(place: Workplace) -> list[tuple[str, tuple[str, ...]]]:
    """What the engine was given: prompts and pictures to redraw."""
    return [(plan.resolved.request.prompt, plan.resolved.request.init_images) for plan in place.engines[-1].submitted]


def test_the_pictures_are_as_the_extension_says() -> None:
    plans = expand("job", "anna", chained(), done=[0])
    assert [(plan.image, plan.seed, plan.batch, plan.source) for plan in plans] == [(1, 8, 1, 0), (2, 9, 2, 1)]
    assert [plan.resolved.request.prompt for plan in plans] == ["two", "three"]


def test_parts_are_stored_with_the_job() -> None:
    resolved = chained()
    assert read_document(write_document(resolved.request, resolved), 1)[1] == resolved


def test_each_round_redraws_the_saved_picture_of_the_one_before(workplace: Workplace) -> None:
    job = workplace.jobs.wait(submitted(workplace, chained()), 10)
    assert job.state == "done"
    assert drawn(workplace) == [("one", (SOURCE,)), ("two", (digest(7),)), ("three", (digest(8),))]
    assert [image.seed for image in job.images] == [7, 8, 9]
    assert workplace.kept.keys() == {digest(7), digest(8)}  # nobody follows from the last
    assert [image.infotext.splitlines()[0] for image in job.images] == ["one", "two", "three"]


def test_a_failed_round_ends_those_that_follow_from_it_alone(workplace: Workplace) -> None:
    resolved = chained(("one", "fail", "three", "four"), (None, 0, 1, 0))
    job = workplace.jobs.wait(submitted(workplace, resolved), 10)
    assert [image.index for image in job.images] == [0, 3]
    assert workplace.store.settled(job.id) == {0: "saved", 1: "failed", 2: "dropped", 3: "saved"}


def test_an_interrupted_job_begins_no_further_round(gated: Workplace) -> None:
    id = submitted(gated, chained())
    gate = engine_of(gated)
    gate.permits.release(2)
    while not gate.groups:
        pass
    gated.jobs.interrupt(id)
    gate.open_for_good.set()
    job = gated.jobs.wait(id, 10)
    assert job.state == "done"
    assert [image.index for image in job.images] in ([], [0])
    assert len(gate.submitted) == 1


@pytest.mark.parametrize("marked", [True, False])
def test_after_a_kill_a_job_goes_on_from_the_last_saved_round(tmp_path: Path, marked: bool) -> None:
    """marked: the process died after the picture was marked as saved; otherwise just before."""
    place = Workplace(tmp_path)
    resolved = chained()
    job = place.store.add("anna", resolved.request, resolved)
    assert place.store.claim(job.id)
    ready = ImageReady(
        job=job.id, index=0, path="outputs/a.png", seed=7, variation_seed=2000, width=16, height=8, infotext="one"
    )
    place.store.reserve(ready, digest(7))
    place.files.files["outputs/a.png"] = picture(7, 16, 8)
    if marked:
        place.store.settle(job.id, 0, "saved", ready=ready)
    assert digest(7) in place.store.hashes()
    place.restart()
    recover(place.store, place.inflight, place.files.is_whole)
    place.worker.start()
    assert place.jobs.wait(job.id, 10).state == "done"
    assert drawn(place) == [("two", (digest(7),)), ("three", (digest(8),))]
    assert digest(7) not in place.store.hashes()  # over, so that it may be cleared away
    place.close()


def test_what_follows_from_a_picture_that_did_not_come_is_dropped_after_a_kill(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    resolved = chained(sources=(None, 0, None))
    job = place.store.add("anna", resolved.request, resolved)
    assert place.store.claim(job.id)
    place.store.settle(job.id, 0, "failed")
    place.restart()
    place.worker.start()
    assert [image.index for image in place.jobs.wait(job.id, 10).images] == [2]
    place.close()
