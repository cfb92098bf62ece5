"""Seeds, batches, progress, infotext entries and the database's file, each for itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.jobs import Bus, Told, database
from app.jobs.database import Database, on_network_drive
from app.jobs.expand import expand
from app.jobs.progress import ProgressMeter
from app.schema.events import BesidePicture, Preview, Progress, RowAdvanced, RowFinished
from app.schema.infotext import picture_entries
from tests.jobs.fake_engine import FakeEngine, Row
from tests.jobs.workplace import Workplace, request, resolve


def test_seeds_rise_over_count_and_size() -> None:
    plans = expand("job", "anna", resolve(request(batch_count=2, batch_size=3, seed=40)))
    assert [(plan.image, plan.batch, plan.seed) for plan in plans] == [
        (0, 0, 40),
        (1, 0, 41),
        (2, 0, 42),
        (3, 1, 43),
        (4, 1, 44),
        (5, 1, 45),
    ]


def test_with_a_variation_strength_the_variation_seeds_rise_instead() -> None:
    plans = expand("job", "anna", resolve(request(batch_count=3, seed=40, variation_seed=9, variation_strength=0.2)))
    assert [(plan.seed, plan.variation_seed) for plan in plans] == [(40, 9), (40, 10), (40, 11)]


def test_the_largest_seed_is_followed_by_zero() -> None:
    plans = expand("job", "anna", resolve(request(batch_count=2, seed=2**64 - 1)))
    assert [plan.seed for plan in plans] == [2**64 - 1, 0]


def test_pictures_that_are_there_need_no_plan() -> None:
    plans = expand("job", "anna", resolve(request(batch_count=4)), {0: "saved", 2: "failed"})
    assert [(plan.image, plan.seed) for plan in plans] == [(1, 8), (3, 10)]


def entries(**fields: object) -> dict[str, object]:
    (plan,) = expand("job", "anna", resolve(request(**fields)))
    return dict(picture_entries(plan))


def test_all_entries_stand_in_a1111s_order() -> None:
    (plan,) = expand(
        "job",
        "anna",
        resolve(
            request(
                sampler="Euler a",
                variation_seed=9,
                variation_strength=0.5,
                seed_resize_width=64,
                seed_resize_height=32,
                clip_skip=2,
                noise_seed_delta=31337,
                tiling=True,
                eta=0.5,
                s_churn=1.0,
                emphasis="No norm",
                precision="bf16",
                prompt="a (cat:1.2)",
            )
        ),
    )
    facts = [("VAE hash", "0123456789"), ("VAE", "a.safetensors"), ("Lora hashes", "x: 1")]
    text = picture_entries(plan, facts)
    assert [key for key, value in text if value is not None] == [
        "Steps",
        "Sampler",
        "Schedule type",
        "CFG scale",
        "Seed",
        "Size",
        "Model hash",
        "Model",
        "VAE hash",
        "VAE",
        "Variation seed",
        "Variation seed strength",
        "Seed resize from",
        "Clip skip",
        "ENSD",
        "RNG",
        "Tiling",
        "Lora hashes",
        "Emphasis",
        "Eta",
        "Sigma churn",
        "Precision",
        "Version",
    ]
    assert dict(text)["Variation seed"] == 9
    assert dict(text)["Seed resize from"] == "64x32"


def test_what_has_its_usual_value_is_not_written() -> None:
    written = {key for key, value in entries().items() if value is not None}
    assert written == {
        "Steps",
        "Sampler",
        "Schedule type",
        "CFG scale",
        "Seed",
        "Size",
        "Model hash",
        "Model",
        "RNG",
        "Version",
    }


def test_the_noise_seed_delta_is_written_only_where_it_acts() -> None:
    assert entries(noise_seed_delta=5, sampler="Euler")["ENSD"] is None
    assert entries(noise_seed_delta=5, sampler="Euler a", eta=0.0)["ENSD"] is None
    assert entries(noise_seed_delta=5, sampler="Euler a")["ENSD"] == 5


def test_progress_counts_pictures_and_calls() -> None:
    now = [100.0]
    meter = ProgressMeter("job", 4, 10, ended=1, clock=lambda: now[0])

    def call(number: int) -> Progress | None:
        return meter.advanced(RowAdvanced("job", 1, number, 10, number, 10, 0.1))

    assert meter.waiting("Loading").progress == 0.25
    first = call(5)
    assert first is not None
    assert (first.progress, first.eta, first.phase) == (0.375, None, "Sampling")
    now[0] += 0.05
    assert call(6) is None
    now[0] += 0.95
    later = call(9)
    assert later is not None
    assert later.progress == pytest.approx(0.475)
    assert later.eta == pytest.approx(0.525 / 0.1)
    last = call(10)
    assert last is not None
    assert last.phase == "Decoding"
    assert meter.finished(1).progress == 0.5


def test_of_progress_and_preview_only_the_latest_is_kept() -> None:
    bus = Bus()

    def progress(share: float) -> Progress:
        return Progress(job="job", progress=share, image=0, images=1, step=1, steps=2, eta=None, phase="Sampling")

    preview = Preview(job="job", index=0, step=1, data="data:,")
    for event in (progress(0.1), preview, progress(0.2), progress(0.3)):
        bus.publish(Told(None, event))
    mailbox = bus.open("job", lambda: None)
    assert [told.event for told in mailbox.take()] == [progress(0.3), preview]
    assert mailbox.take() == []


def test_a_look_counts_as_watching_for_a_while() -> None:
    now = [0.0]
    bus = Bus(lambda: now[0])
    assert not bus.watched("job")
    bus.look("job")
    assert bus.watched("job")
    now[0] += 10
    assert not bus.watched("job")
    blind = bus.open("job", lambda: None, previews=False)
    assert not bus.watched("job")
    mailbox = bus.open("job", lambda: None)
    assert bus.watched("job")
    bus.close(mailbox)
    bus.close(blind)
    assert not bus.watched("job")


def test_on_a_network_drive_the_database_keeps_a_rollback_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Database(tmp_path / "a" / "jobs.sqlite3")
    assert here.read("PRAGMA journal_mode")[0][0] == "wal"
    here.close()
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4", opts="rw"),
        SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4", opts="rw"),
    ]
    monkeypatch.setattr(database.psutil, "disk_partitions", lambda all: mounts)
    assert on_network_drive(tmp_path / "b")
    there = Database(tmp_path / "b" / "jobs.sqlite3")
    assert there.read("PRAGMA journal_mode")[0][0] == "delete"
    there.close()
    mounts[1].fstype = "fuseblk"
    assert not on_network_drive(tmp_path / "b")


def test_a_step_on_the_way_is_saved_beside_its_picture(tmp_path: Path) -> None:
    class TwoPasses(FakeEngine):
        def _finish(self, row: Row) -> RowFinished:
            return super()._finish(row)._replace(beside=(BesidePicture("before-highres-fix", 2, 1, bytes(6)),))

    place = Workplace(tmp_path, TwoPasses)
    place.worker.start()
    try:
        job = place.jobs.wait(place.jobs.submit(request(), "ann").id)
        [saved] = job.images
        path = saved.path.replace(".png", "-before-highres-fix.png")
        assert place.files.files == {saved.path: place.files.files[saved.path], path: bytes(6)}
        assert place.files.infotexts[path] == saved.infotext
    finally:
        place.close()
