"""The trainer: pictures of ordinary ones are drawn where they are missing, and the checkpoint is the one begun with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from app.files.hashes import sha256_of
from app.files.model_file import Identity
from app.files.run_folder import RunFolder, Wish
from app.models import LoadedModel, load_checkpoint
from app.schema.errors import ModelChanged, OutOfMemory, TrainingProblem
from app.schema.request import FileIdentity
from app.schema.training_run import TrainingRun
from app.training import read_material
from app.training.trainer import load_model, train_run, untrained, with_class_pictures
from tests.models.checkpoints import write_tiny_checkpoint
from tests.training.making import SMALL, asked, draw_pictures, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.training.trainer.CLASS_STEPS", 2)


def go(kind: str = "", **values: object) -> Wish:
    return "go"


def test_missing_pictures_of_ordinary_ones_are_drawn_and_learnt_from(model: LoadedModel, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    request = asked(draw_pictures(tmp_path / "data", 1), "lora", prior="pictures", class_pictures=3)
    told: list[str] = []
    ready = with_class_pictures(request, model, folder, lambda kind, text: told.append(text), go)
    assert ready is not None
    drawn = sorted((tmp_path / "run" / "class").glob("*.png"))
    assert [path.name for path in drawn] == [f"ordinary-{number:05d}.png" for number in range(3)]
    assert told[-1] == "Drawing pictures of ordinary ones: 3 of 3"
    assert Image.open(drawn[0]).size == (64, 64)
    assert len({path.read_bytes() for path in drawn}) == 3
    material = read_material(ready)
    assert (len(material.class_pictures), material.class_missing) == (3, 0)
    assert {one.sample.caption for one in material.class_pictures} == {"circle"}


def test_what_was_drawn_before_a_kill_is_kept_and_the_rest_is_the_same(model: LoadedModel, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 1)
    request = asked(data, "lora", prior="pictures", class_pictures=3, class_data=str(tmp_path / "class"))
    wishes = iter(("go", "go", "pause"))
    assert with_class_pictures(request, model, RunFolder(tmp_path), go, lambda: next(wishes)) is None  # type: ignore[arg-type]
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "class").glob("*.png")}
    assert len(before) == 2
    assert with_class_pictures(request, model, RunFolder(tmp_path), go, go) is not None  # type: ignore[arg-type]
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "class").glob("*.png")}
    assert before.items() <= after.items()
    assert len(after) == 3


def test_without_a_word_for_them_they_cannot_be_drawn(model: LoadedModel, tmp_path: Path) -> None:
    request = asked(draw_pictures(tmp_path / "data", 1), "lora", prior="pictures", class_words="")
    with pytest.raises(TrainingProblem, match="What ordinary ones are called is not said") as caught:
        with_class_pictures(request, model, RunFolder(tmp_path), go, go)  # type: ignore[arg-type]
    assert caught.value.field == "class_words"


def test_a_device_that_is_too_small_is_told_of_in_words(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **named: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")

    monkeypatch.setattr("app.training.trainer.load_model", lambda *given: model)
    monkeypatch.setattr("app.training.trainer.train", full)
    request = asked(draw_pictures(tmp_path / "data", 1), "lora", prior="none")
    run = TrainingRun(
        id="one",
        created=5.0,
        request=request,
        checkpoint=FileIdentity(path="x", size=1, mtime_ns=1),
        checkpoint_name="base",
        destination=str(tmp_path / "thing"),
    )
    with pytest.raises(OutOfMemory, match=r"Tried to allocate 2\.00 GiB\. Take a smaller batch") as caught:
        train_run(run, RunFolder(tmp_path / "run"), go, go)  # type: ignore[arg-type]
    assert caught.value.field == "batch_size"


def run_of(checkpoint: Path, sha256: str | None = None, **fields: object) -> TrainingRun:
    """fields: of the request."""
    identity = Identity.of(checkpoint)
    file = FileIdentity(path=str(checkpoint), size=identity.size, mtime_ns=identity.mtime_ns, sha256=sha256)
    request = asked(checkpoint.parent / "data", **{"method": "lora", **fields})
    return TrainingRun(
        id="one", created=5.0, request=request, checkpoint=file, checkpoint_name="SD1", destination="x", device="cpu"
    )


def test_a_checkpoint_of_the_same_size_and_another_content_is_refused(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "SD1.safetensors", **SMALL["SD1"])
    known, unknown = run_of(checkpoint, sha256_of(checkpoint)), run_of(checkpoint)
    assert load_model(unknown).file == Identity.of(checkpoint)
    os.utime(checkpoint, ns=(1, 1))
    assert load_model(known).file == Identity.of(checkpoint)  # touched, or copied over: the hash tells
    with pytest.raises(ModelChanged, match="or begin a new one with this file") as caught:
        load_model(unknown)
    assert caught.value.field == "checkpoint"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for run in (known, unknown):
        with pytest.raises(ModelChanged, match=r"SD1\.safetensors was replaced"):
            load_model(run)


@pytest.mark.parametrize("family", ["SD1", "SD2", "SDXL"])
@pytest.mark.parametrize("method", ["textual_inversion", "hypernetwork"])
def test_a_file_is_created_from_a_model_that_is_loaded_as_it_is_stored(
    method: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "base.safetensors", family, dtype=torch.float16, **SMALL[family])
    run = run_of(checkpoint, method=method, initial_text="circle").model_copy(update={"untrained": True})
    loaded: list[LoadedModel] = []
    monkeypatch.setattr("app.training.trainer.untrained", lambda *given: loaded.append(given[1]) or untrained(*given))
    folders = [RunFolder(tmp_path / name) for name in ("run", "other")]
    for folder in folders:
        folder.create(run)
    made = train_run(run, folders[0], lambda kind, **values: None, lambda: "go")
    assert made is not None
    assert {weight.dtype for _, weight in loaded[0].weights()} == {torch.float16}
    other = untrained(run.request, load_checkpoint(checkpoint), folders[1])
    assert made.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("prior", "phase"),
    [
        ("pictures", "Drawing pictures of ordinary ones: 1 of 2"),
        ("none", "Reading the pictures: 1 of 2"),
        ("prediction", "Reading the pictures: 2 of 4"),  # the first that the untouched model draws comes next
    ],
)
def test_a_run_that_is_stopped_before_its_first_step_ends_in_words(prior: str, phase: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "SD1.safetensors", **SMALL["SD1"])
    draw_pictures(tmp_path / "data", 2)
    folder = RunFolder(tmp_path / "run")
    folder.create(run := run_of(checkpoint, prior=prior))
    phases: list[str] = []

    def tell(kind: str, **values: object) -> None:
        phases.append(str(values.get("text")))

    with pytest.raises(TrainingProblem, match="stopped before its first step, so there is nothing to keep"):
        train_run(run, folder, tell, lambda: "stop" if phase in phases else "go")
    assert phase in phases
