"""What the server knows of a training before it starts: its size from the checkpoint's header, and what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from app.files import Folders
from app.files.model_file import Identity
from app.files.run_folder import RunFolder
from app.jobs import TrainingStore
from app.launch import training_child
from app.launch.training import TrainingPlanner, start_child
from app.launch.workshop import extensions_of, open_workshop
from app.schema.errors import DiskFull, EaselError, TrainingProblem, UnsupportedModel
from app.schema.flags import LaunchOptions
from app.schema.request import FileIdentity
from app.schema.settings import Settings
from app.schema.training_run import TrainingRun
from extensions.example import extension as cast_extension
from tests.files.making import write_safetensors
from tests.models.checkpoints import write_tiny_checkpoint
from tests.training.making import SMALL, asked, draw_pictures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "SD1.safetensors"
    return write_tiny_checkpoint(path, "SD1", dtype=torch.float16, **SMALL["SD1"])


def run_of(checkpoint: Path, data: Path, method: str = "lora", **fields: Any) -> TrainingRun:
    identity = Identity.of(checkpoint)
    return TrainingRun(
        id="one",
        created=5.0,
        request=asked(data, method, **fields),
        checkpoint=FileIdentity(path=str(checkpoint), size=identity.size, mtime_ns=identity.mtime_ns),
        checkpoint_name=checkpoint.stem,
        destination=str(data.parent / "models" / "thing"),
    )


def test_a_plan_counts_numbers_bytes_and_free_space_from_the_header_alone(checkpoint: Path, tmp_path: Path) -> None:
    planner = TrainingPlanner(Folders.of(data_dir=tmp_path))
    data = draw_pictures(tmp_path / "data", 4)
    told = planner.plan(run_of(checkpoint, data, epochs=3, validation_share=0.25))
    assert (told.pictures, told.held_out, told.per_epoch, told.steps_per_epoch, told.steps) == (3, 1, 3, 2, 6)
    assert told.words.startswith(
        f"3 pictures (and 1 held back) in 1 bucket, 3 shown per epoch, 6 steps (3.0 epochs); {told.parameters:,} "
    )
    assert 0 < told.file_bytes < told.folder_bytes < told.free_bytes
    whole = planner.plan(run_of(checkpoint, data, "dreambooth"))
    assert whole.file_bytes == checkpoint.stat().st_size
    assert whole.folder_bytes > 9 * 4 * whole.parameters


def test_a_vae_of_another_kind_is_told_of_in_the_plan(checkpoint: Path, tmp_path: Path) -> None:
    coarse = write_tiny_checkpoint(tmp_path / "coarse.safetensors", vae_channels=(32, 32, 32, 32, 32))
    planner, run = (
        TrainingPlanner(Folders.of(data_dir=tmp_path)),
        run_of(checkpoint, draw_pictures(tmp_path / "data", 1)),
    )
    own, other = (FileIdentity(path=str(vae), size=1, mtime_ns=1) for vae in (checkpoint, coarse))
    assert planner.plan(run.model_copy(update={"vae": own})).pictures == 1
    with pytest.raises(UnsupportedModel, match=r"coarse\.safetensors does not fit.* 16 pixels a side") as caught:
        planner.plan(run.model_copy(update={"vae": other}))
    assert caught.value.field == "vae"


def emptied(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def spoilt(data: Path) -> None:
    (data / "1.png").write_bytes((data / "1.png").read_bytes()[:60])


def shrunk(data: Path) -> None:
    Image.new("RGB", (1, 1)).save(data / "1.png")


def garbled(data: Path) -> None:
    (data / "1.txt").write_bytes("紫色的圆".encode("gb18030"))


WRONG_DATA: dict[str, tuple[Callable[[Path], None], str]] = {
    "an empty folder": (emptied, "There are no pictures in"),
    "one damaged picture": (spoilt, "1 of the pictures in data cannot be used: 1.png: it is damaged"),
    "one pixel": (shrunk, "1.png: 1x1 is too small to learn from"),
    "captions in Chinese that are no UTF-8": (garbled, "its caption 1.txt is no UTF-8 text"),
}


@pytest.mark.parametrize("name", WRONG_DATA)
def test_wrong_data_are_told_before_a_training_starts(name: str, checkpoint: Path, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 2)
    harm, words = WRONG_DATA[name]
    harm(data)
    with pytest.raises(EaselError, match=words) as caught:
        TrainingPlanner(Folders.of(data_dir=tmp_path)).plan(run_of(checkpoint, data))
    assert caught.value.field == "data"
    assert caught.value.hint


def test_captions_in_chinese_are_planned_like_any(checkpoint: Path, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 2)
    (data / "1.txt").write_text("一只紫色的圆, sks", encoding="utf-8")
    assert TrainingPlanner(Folders.of(data_dir=tmp_path)).plan(run_of(checkpoint, data)).pictures == 2


def test_a_rate_that_is_no_number_is_told_before(checkpoint: Path, tmp_path: Path) -> None:
    planner = TrainingPlanner(Folders.of(data_dir=tmp_path))
    for rate in ("nan", "inf", "1e-3:3, nan"):
        with pytest.raises(EaselError, match="is not a number") as caught:
            planner.plan(run_of(checkpoint, draw_pictures(tmp_path / "data", 1), learning_rate=rate))
        assert caught.value.field == "learning_rate"


def test_a_rate_for_going_on_is_measured_by_the_steps_that_epochs_make(checkpoint: Path, tmp_path: Path) -> None:
    planner = TrainingPlanner(Folders.of(data_dir=tmp_path))
    run = run_of(checkpoint, draw_pictures(tmp_path / "data", 4), epochs=10, steps=6, learning_rate="1e-3:15, 1e-4")
    planner.check_rate(run.request)
    with pytest.raises(TrainingProblem, match="do not rise") as caught:
        planner.check_rate(run.request.model_copy(update={"learning_rate": "1e-3:15, 1e-4:9"}))
    assert caught.value.field == "learning_rate"


def test_checkpoints_that_cannot_be_trained_are_told_before(tmp_path: Path) -> None:
    planner = TrainingPlanner(Folders.of(data_dir=tmp_path))
    data = draw_pictures(tmp_path / "data", 1)
    painting = write_tiny_checkpoint(tmp_path / "painting.safetensors", "SD1", in_channels=9, **SMALL["SD1"])
    refiner = write_tiny_checkpoint(tmp_path / "refiner.safetensors", "SDXL refiner")
    flux = write_safetensors(
        tmp_path / "flux.safetensors",
        {
            "double_blocks.0.img_attn.qkv.weight": (9, 3),
            "single_blocks.0.linear1.weight": (9, 3),
            "img_in.weight": (3, 3),
        },
    )
    for path, words in (
        (painting, "for inpainting"),
        (refiner, "refiner cannot be trained"),
        (flux, "flux.safetensors"),
    ):
        with pytest.raises(EaselError, match=words):
            planner.plan(run_of(path, data))


class Busy:
    """A process that works on and on."""

    pid = 0

    def poll(self) -> int | None:
        return None


def test_a_training_that_still_runs_has_the_device_before_the_worker_of_pictures_begins(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders.of(data_dir=tmp_path / "home")
    folders.create()
    store = TrainingStore(folders.state / "jobs.sqlite")
    store.add("local", run_of(checkpoint, draw_pictures(tmp_path / "data", 1)), "training/one")
    assert store.begin("one")
    store.close()
    may_draw: list[bool] = []
    monkeypatch.setattr("app.launch.training.DeviceSharing.__call__", lambda self: False)
    monkeypatch.setattr("app.launch.training.start_child", lambda folder, data: Busy())
    monkeypatch.setattr("app.launch.workshop.Worker.start", lambda worker: may_draw.append(worker._lease.may_draw()))
    monkeypatch.setattr("app.launch.workshop.Worker.close", lambda worker: None)
    with open_workshop(LaunchOptions(data_dir=folders.data)) as workshop:
        assert workshop.trainings.get("one").state == "running"
    assert may_draw == [False]


def test_a_drive_without_room_is_told_before(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000))
    with pytest.raises(DiskFull, match=r"The training needs .* on the drive of .*, and 1 kB are free"):
        TrainingPlanner(Folders.of(data_dir=tmp_path)).plan(run_of(checkpoint, draw_pictures(tmp_path / "data", 1)))


def test_a_method_of_an_extension_is_trained_by_a_child_that_knows_the_extensions(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, pictures = tmp_path / "home", draw_pictures(tmp_path / "pictures", 2)
    home.mkdir()
    (home / "config.json").write_text(json.dumps({"disabled_extensions": []}))
    run = run_of(checkpoint, pictures, "example/cast", steps=1, prior="none", method_settings={"rate": 2.0})
    with pytest.raises(TrainingProblem, match="no extension here that teaches 'example/cast'"):
        TrainingPlanner(Folders.of(data_dir=home)).plan(run)
    folder = RunFolder(home / "training" / "one")
    folder.create(run)
    started: list[list[str]] = []
    monkeypatch.setattr("app.launch.training.start_detached", lambda words, *_: started.append(words))
    start_child(folder, home)
    assert started[0][1:] == ["-m", "app.launch.training_child", str(home), str(folder.path)]
    assert training_child.main(started[0][3:]) == 0, folder.last_words()
    assert (tmp_path / "models" / "thing.safetensors").stat().st_size > 0
    # Without the extension the same run fails in words.
    (home / "config.json").write_text(json.dumps({"disabled_extensions": ["example"]}))
    assert training_child.main(started[0][3:]) != 0
    assert "no extension here that teaches" in folder.log.read_text()


def test_the_plan_of_an_extensions_method_is_counted_by_its_own_target(checkpoint: Path, tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path / "home")
    folders.create()
    _, registry = extensions_of(folders, Settings(tmp_path / "config.json", tmp_path / "users"))
    registry.add(cast_extension, "example")
    registry.ask("example", ["register_targets"])
    run = run_of(checkpoint, draw_pictures(tmp_path / "pictures", 2), "example/cast", steps=1, prior="none")
    assert TrainingPlanner(folders, registry).plan(run).parameters == 4
