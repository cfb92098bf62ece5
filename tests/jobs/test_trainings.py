"""Trainings as jobs: stored, followed, paused, started again after a kill, taken up by a restarted server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from app.entries import TargetEntry
from app.jobs import DeviceLease
from app.schema.errors import PictureNotFound, TrainingNotFound, TrainingProblem
from app.schema.events import Notice
from tests.jobs.training_place import TrainingPlace
from tests.training.lives import Life


@pytest.fixture
def place(tmp_path: Path) -> Iterator[TrainingPlace]:
    made = TrainingPlace(tmp_path)
    yield made
    made.close()


def kinds(place: TrainingPlace, id: str) -> list[str]:
    return [told.event.kind for told in place.trainings.stored_events(id)]


def test_a_training_runs_to_its_end_and_its_file_is_in_the_library_at_once(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(), "local").id
    training = place.over(id)
    assert training.state == "done"
    assert training.made is not None
    assert training.made.name == "thing"
    assert [file.stem for file in place.library.list("lora")] == ["thing"]
    assert [sample.step for sample in training.samples] == [10, 20, 30]
    assert place.trainings.sample_file(id, "000010-00.png").is_file()
    assert kinds(place, id) == ["queued", "started", "sample", "sample", "sample", "made", "finished"]
    assert training.run.request.session == id
    assert training.run.checkpoint.path.endswith("formula.safetensors")


def test_wrong_data_are_told_before_anything_is_stored(place: TrainingPlace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingProblem, match="no pictures in empty") as problem:
        place.trainings.submit(place.request(data=str(tmp_path / "empty")), "local")
    assert problem.value.field == "data"
    for name in ("", "a/b", ".hidden"):
        with pytest.raises(TrainingProblem) as problem:
            place.trainings.submit(place.request(name=name), "local")
        assert problem.value.field == "name"
    (place.folders.loras[0] / "taken.safetensors").write_bytes(b"x")
    with pytest.raises(TrainingProblem, match=r"taken\.safetensors in Lora already"):
        place.trainings.submit(place.request(name="taken"), "local")
    assert place.trainings.history(None) == []


def test_a_killed_process_is_started_again_and_the_file_is_that_of_one_run(place: TrainingPlace) -> None:
    whole = place.over(place.trainings.submit(place.request(name="whole", steps=80), "local").id)
    id = place.trainings.submit(place.request(name="killed", steps=80), "local").id
    for step in (11, 43):
        place.until(id, lambda step=step: place.step(id) >= step)  # type: ignore[misc]
        place.lives[-1].kill()
    killed = place.over(id)
    assert killed.state == "done"
    assert whole.made is not None
    assert killed.made is not None
    one, other = (Path(made.path).read_bytes().split()[0] for made in (whole.made, killed.made))
    assert one == other
    assert kinds(place, id).count("sample") == 8


def test_a_process_that_dies_three_times_at_one_place_is_not_tried_again(place: TrainingPlace) -> None:
    training = place.over(place.trainings.submit(place.request(comment="dies"), "local").id)
    assert training.state == "failed"
    assert training.error is not None
    assert training.error.code == "quarantined"
    assert len(place.lives) == 3


def test_a_failure_is_told_with_its_field(place: TrainingPlace) -> None:
    training = place.over(place.trainings.submit(place.request(comment="breaks"), "local").id)
    assert training.error is not None
    assert (training.state, training.error.field) == ("failed", "data")


def test_a_failed_training_is_told_to_go_on_and_its_failure_is_no_end_any_more(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(comment="breaks"), "local").id
    failed = place.over(id)
    assert kinds(place, id) == ["queued", "started", "failed"]
    (place.trainings.run_folder(id).path / "mended").touch()
    again = place.trainings.ask(id, "go")
    assert (again.over, again.wish, again.error, again.ended, again.started) == (False, "go", None, None, None)
    with place.trainings.watch(id) as watch:
        told = [one for news in iter(lambda: watch.take(60), []) for one in news]
    seen = [one.event for one in told if one.id is not None]
    assert [event.kind for event in seen] == [
        "queued", "started", "notice", "queued", "started", "sample", "sample", "sample", "made", "finished",
    ]  # fmt: skip
    assert isinstance(seen[2], Notice)
    assert seen[2].text == "It failed, and was told to go on: The data are wrong."
    done = place.trainings.get(id)
    assert (done.state, done.error) == ("done", None)
    assert (failed.started or 0) < (done.started or 0)
    assert len(place.lives) == 2


def test_a_failed_training_goes_on_from_its_snapshot_at_a_lower_learning_rate(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(comment="too fast", learning_rate="1e-3"), "local").id
    failed = place.over(id)
    assert failed.error is not None
    assert (failed.state, failed.error.field) == ("failed", "learning_rate")
    with pytest.raises(TrainingProblem, match="cannot be read") as caught:
        place.trainings.go_on(id, "quick")
    assert caught.value.field == "learning_rate"
    assert place.state(id) == "failed"
    place.trainings.go_on(id, "5e-5")
    done = place.over(id)
    assert (done.state, done.run.request.learning_rate) == ("done", "5e-5")
    folder = place.trainings.run_folder(id)
    assert folder.run() == done.run
    assert [entry["step"] for entry in place.trainings.log(id) if entry["kind"] == "prepared"] == [0, 7]
    notices = [told.event.text for told in place.trainings.stored_events(id) if isinstance(told.event, Notice)]
    assert notices[-1] == "It goes on with the learning rate 5e-5 instead of 1e-3."
    with pytest.raises(TrainingProblem, match="Only a training that rests or has failed"):
        place.trainings.go_on(id, "1e-5")
    assert folder.run() == done.run
    assert place.trainings.go_on(id).state == "done"


def test_a_failed_training_without_its_folder_cannot_go_on(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(comment="breaks"), "local").id
    place.over(id)
    shutil.rmtree(place.trainings.run_folder(id).path)
    with pytest.raises(TrainingProblem, match="is gone, so it cannot go on"):
        place.trainings.ask(id, "go")
    assert place.state(id) == "failed"
    assert place.trainings.submit_or_resume(place.request(), "local").id != id


def test_a_process_that_cannot_even_begin_is_not_taken_for_how_the_one_before_it_ended(place: TrainingPlace) -> None:
    id = place.begun().id
    place.trainings.ask(id, "pause")
    place.until(id, lambda: place.state(id) == "paused")
    (place.trainings.run_folder(id).path / "run.json").unlink()
    (place.trainings.run_folder(id).path / "run.json").mkdir()
    place.trainings.ask(id, "go")
    training = place.over(id)
    assert training.error is not None
    assert (training.error.code, len(place.lives)) == ("quarantined", 4)


def test_a_server_that_ends_while_a_failed_training_begins_again_does_not_find_it_failed(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(comment="breaks"), "local").id
    place.over(id)
    place.supervisor.close()
    (place.trainings.run_folder(id).path / "mended").touch()
    place.trainings.ask(id, "go")
    assert place.store.begin(id)  # and the process has written nothing yet
    place.leave()
    place.build()
    assert place.over(id).state == "done"


def test_a_paused_training_frees_its_place_and_goes_on_when_it_is_told_to(place: TrainingPlace) -> None:
    first = place.begun()
    place.trainings.ask(first.id, "pause")
    place.until(first.id, lambda: place.state(first.id) == "paused")
    assert place.lives[-1].poll() is not None
    second = place.trainings.submit(place.request(name="other"), "local")
    assert place.over(second.id).state == "done"
    at = place.step(first.id)
    place.trainings.ask(first.id, "go")
    place.until(first.id, lambda: place.step(first.id) > at)
    place.trainings.ask(first.id, "stop")
    stopped = place.over(first.id)
    assert stopped.state == "done"
    assert stopped.made is not None


def test_a_training_that_rests_although_it_was_stopped_is_ended_and_not_begun_again_and_again(
    place: TrainingPlace,
) -> None:
    id = place.begun(comment="rests").id
    place.trainings.ask(id, "stop")
    training = place.over(id)
    assert training.error is not None
    assert (training.state, len(place.lives)) == ("failed", 2)
    assert "ended without a file" in training.error.message


def test_a_training_that_is_told_to_rest_and_then_to_stop_makes_its_file(place: TrainingPlace) -> None:
    id = place.begun().id
    place.trainings.ask(id, "pause")
    place.trainings.ask(id, "stop")
    training = place.over(id)
    assert (training.state, training.made is not None) == ("done", True)


def test_a_file_that_is_only_created_waits_for_no_training(place: TrainingPlace) -> None:
    training = place.begun()
    waiting = place.trainings.submit(place.request(name="waiting"), "local")
    created = place.over(place.trainings.create(place.request(name="created", sample_every=0), "local").id)
    assert (created.state, created.run.device) == ("done", "cpu")
    assert created.made is not None
    at = place.step(training.id)
    place.until(training.id, lambda: place.step(training.id) > at)
    assert [place.state(one.id) for one in (training, waiting)] == ["running", "queued"]


def test_a_file_that_is_only_created_needs_no_device(tmp_path: Path) -> None:
    lease = DeviceLease(lambda: False)
    assert lease.may_draw()  # pictures have it
    place = TrainingPlace(tmp_path, lease=lease)
    training = place.trainings.submit(place.request(name="waiting"), "local")
    assert place.over(place.trainings.create(place.request(name="created"), "local").id).state == "done"
    assert place.state(training.id) == "queued"
    assert lease.may_draw()
    place.close()


def test_a_creation_that_outlived_the_server_is_taken_up(tmp_path: Path) -> None:
    place = TrainingPlace(tmp_path)
    place.supervisor.close()
    id = place.trainings.create(place.request(name="created"), "local").id
    assert place.store.begin(id)
    place.leave()
    place.build()
    assert place.over(id).state == "done"
    place.close()


def test_a_cancelled_training_ends_without_a_file_and_can_be_forgotten(place: TrainingPlace) -> None:
    id = place.begun().id
    waiting = place.trainings.submit(place.request(name="waiting"), "local").id
    assert place.trainings.ask(waiting, "cancel").state == "cancelled"
    place.trainings.ask(id, "cancel")
    assert place.over(id).state == "cancelled"
    assert place.library.list("lora") == ()
    folder = place.trainings.run_folder(id).path
    assert folder.is_dir()
    place.trainings.forget(id)
    assert not folder.exists()
    with pytest.raises(TrainingNotFound):
        place.trainings.get(id)


def test_a_restarted_server_takes_up_the_training_that_is_alive(place: TrainingPlace) -> None:
    id = place.begun().id
    place.leave()
    assert place.lives[-1].poll() is None
    place.build()
    at = 5
    place.until(id, lambda: place.step(id) > at)
    assert len(place.lives) == 1
    place.trainings.ask(id, "stop")
    assert place.over(id).state == "done"
    assert kinds(place, id).count("started") == 1


def test_a_training_that_ended_while_no_server_was_there_is_found_done(place: TrainingPlace) -> None:
    id = place.begun(steps=60, sample_every=20).id
    place.leave()
    assert place.lives[-1].wait() == 0
    place.build()
    training = place.over(id)
    assert training.state == "done"
    assert [sample.step for sample in training.samples] == [20, 40, 60]
    assert len(place.lives) == 1


def test_a_training_whose_process_died_with_the_server_is_started_again(place: TrainingPlace) -> None:
    id = place.begun(steps=120).id
    place.leave()
    place.lives[-1].kill()
    place.build()
    assert place.over(id).state == "done"
    assert len(place.lives) == 2


def test_the_same_request_goes_on_with_what_is_unfinished(place: TrainingPlace) -> None:
    first = place.begun(name="same")
    place.trainings.ask(first.id, "pause")
    place.until(first.id, lambda: place.state(first.id) == "paused")
    request = place.request(name="same", steps=100_000, sample_every=0)
    again = place.trainings.submit_or_resume(request, "local")
    assert again.id == first.id
    place.until(first.id, lambda: place.state(first.id) == "running")
    other = place.trainings.submit_or_resume(request.model_copy(update={"name": "new"}), "local")
    assert other.id != first.id


def test_the_same_request_goes_on_with_what_has_failed_also_at_another_learning_rate(place: TrainingPlace) -> None:
    fast = place.request(comment="too fast", learning_rate="1e-3")
    id = place.trainings.submit(fast, "local").id
    place.over(id)
    assert place.trainings.submit_or_resume(fast, "local").id == id
    assert place.over(id).state == "failed"
    assert place.trainings.submit_or_resume(fast.model_copy(update={"learning_rate": "1e-5"}), "local").id == id
    assert place.over(id).state == "done"
    (place.folders.loras[0] / "thing.safetensors").unlink()
    assert place.trainings.submit_or_resume(fast, "local").id != id


def test_others_trainings_and_files_outside_the_samples_are_not_there(place: TrainingPlace) -> None:
    id = place.trainings.submit(place.request(), "ann").id
    with pytest.raises(TrainingNotFound):
        place.trainings.get(id, "bob")
    assert place.trainings.history("bob") == []
    for name in ("../run.json", "run.json", "../samples/000010-00.png", "none.png"):
        with pytest.raises(PictureNotFound):
            place.trainings.sample_file(id, name)
    place.over(id)


def test_a_training_makes_way_for_a_picture_that_waits_and_goes_on_afterwards(tmp_path: Path) -> None:
    lease = DeviceLease(lambda: False, patience=0.02, linger=0.05)
    place = TrainingPlace(tmp_path, lease=lease)
    id = place.trainings.submit(place.request(steps=100_000, sample_every=0), "local").id
    place.until(id, lease.due)
    assert place.state(id) == "queued"
    lease.granted()
    place.until(id, lambda: place.step(id) >= 5)
    assert not lease.may_draw()
    place.until(id, lambda: place.state(id) == "queued")
    assert _ended(place.lives[0])
    assert lease.may_draw()
    place.until(id, lease.due)
    lease.granted()
    place.until(id, lambda: len(place.lives) == 2)
    place.trainings.ask(id, "cancel")
    assert place.over(id).state == "cancelled"
    place.close()


class NeverHeld(DeviceLease):
    """A device that is another's already when a training is taken up."""

    def hold(self) -> None:
        pass


def on_one_device(tmp_path: Path, lease: DeviceLease) -> tuple[TrainingPlace, str]:
    """A training that was begun on a graphics card, by a server that has ended. lease: of the server that comes."""
    before = DeviceLease(lambda: False, linger=0.0)
    place = TrainingPlace(tmp_path, lease=before)
    id = place.trainings.submit(place.request(steps=100_000, sample_every=0), "local").id
    place.until(id, before.due)
    before.granted()
    place.until(id, lambda: place.step(id) >= 5)
    place.leave()
    place.lease = lease
    return place, id


def test_a_training_that_outlived_the_server_has_the_device_before_any_picture_is_drawn(tmp_path: Path) -> None:
    lease = DeviceLease(lambda: False, patience=0.02, linger=0.05)
    place, id = on_one_device(tmp_path, lease)
    place.build()
    assert not lease.may_draw()
    place.until(id, lambda: place.state(id) == "queued")
    assert place.lives[0].wait(30) is not None
    assert lease.may_draw()
    place.until(id, lease.due)
    lease.granted()
    place.until(id, lambda: len(place.lives) == 2)
    place.close()


def test_a_training_that_died_with_the_server_begins_again_with_the_device(tmp_path: Path) -> None:
    lease = DeviceLease(lambda: False)
    place, id = on_one_device(tmp_path, lease)
    place.lives[0].kill()
    place.build()
    assert not lease.may_draw()
    place.until(id, lambda: len(place.lives) == 2)
    assert not lease.may_draw()
    place.close()


@pytest.mark.parametrize("alive", [True, False])
def test_a_training_that_cannot_have_the_device_at_once_waits_for_its_turn(alive: bool, tmp_path: Path) -> None:
    lease = NeverHeld(lambda: False, linger=0.0)
    place, id = on_one_device(tmp_path, lease)
    if not alive:
        place.lives[0].kill()
    assert lease.may_draw()
    place.build()
    place.until(id, lambda: place.state(id) == "queued")
    assert place.lives[0].wait(30) is not None
    place.until(id, lease.due)
    assert len(place.lives) == 1
    lease.granted()
    place.until(id, lambda: len(place.lives) == 2)
    assert not lease.may_draw()
    place.close()


def test_where_both_can_have_the_device_pictures_do_not_wait_for_a_training_that_outlived_the_server(
    tmp_path: Path,
) -> None:
    lease = DeviceLease()
    place, id = on_one_device(tmp_path, lease)
    place.build()
    place.until(id, lease.may_draw)
    assert not _ended(place.lives[0])
    place.close()


def _ended(life: Life) -> bool:
    return life.poll() is not None


class Settings(BaseModel):
    """Of a method."""

    model_config = ConfigDict(extra="forbid")

    rate: float = 1.0


def test_a_method_of_an_extension_is_checked_where_it_is_submitted(place: TrainingPlace) -> None:
    place.trainings._targets = {"mine/thing": TargetEntry("thing", "Thing", "embedding", lambda: None, Settings)}
    run = place.trainings.resolve(place.request(method="mine/thing", method_settings={"rate": 2.0}))
    assert Path(run.destination).parent == place.folders.embeddings[0]
    for method, settings, field in (
        ("mine/other", {}, "method"),
        ("mine/thing", {"rate": "fast"}, "method_settings.rate"),
        ("mine/thing", {"speed": 1}, "method_settings.speed"),
        ("lora", {"rate": 1.0}, "method_settings"),
    ):
        with pytest.raises(TrainingProblem) as problem:
            place.trainings.resolve(place.request(method=method, method_settings=settings))
        assert problem.value.field == field
