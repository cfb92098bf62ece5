"""A run folder: killed at any moment, started again, the file is the same to the bit; and it is where it belongs."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.files.model_file import Identity
from app.files.run_folder import RunFolder
from app.files.run_log import RunLog, loss_curve, read_log
from app.files.taking import take_step
from app.schema.errors import NewerVersion, TrainingBusy, TrainingProblem
from app.schema.request import FileIdentity
from app.schema.training import TrainingRequest
from app.schema.training_run import TrainingRun
from app.training.__main__ import main
from app.training.run import BUSY, DONE, FAILED, PAUSED, carry_out
from app.training.trainer import train_run
from tests.models.checkpoints import write_tiny_checkpoint
from tests.training.fake_trainer import train
from tests.training.lives import Life, start_fake, start_real
from tests.training.making import SMALL, asked, draw_pictures

Makes = Callable[..., RunFolder]


@pytest.fixture
def makes(tmp_path: Path) -> Makes:
    def make(name: str = "run", file: str = "", **fields: object) -> RunFolder:
        usual = {"name": "thing", "method": "lora", "steps": 60, "sample_every": 20, "created": 5}
        request = TrainingRequest.model_validate({**usual, **fields})
        checkpoint = FileIdentity(path="x", size=1, mtime_ns=1)
        return created(tmp_path / name, request, checkpoint, tmp_path / "models" / (file or name))

    return make


def created(path: Path, request: TrainingRequest, checkpoint: FileIdentity, destination: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.create(
        TrainingRun(
            id="one",
            created=5.0,
            request=request,
            checkpoint=checkpoint,
            checkpoint_name="base",
            destination=str(destination),
            device="cpu",
        )
    )
    return folder


def steps_of(folder: RunFolder) -> int:
    return max((entry["step"] for entry in read_log(folder.log)[0] if entry["kind"] == "step"), default=0)


def until(folder: RunFolder, step: int, life: Life) -> None:
    while life.poll() is None and steps_of(folder) < step:
        time.sleep(0.001)


def kinds(folder: RunFolder) -> list[str]:
    return [entry["kind"] for entry in read_log(folder.log)[0]]


def test_a_run_ends_with_its_file_preview_and_settings_in_the_model_folder(makes: Makes, tmp_path: Path) -> None:
    folder = makes(trigger="sks", class_words="dog", steps=40)
    assert carry_out(folder.path, train) == DONE
    made = tmp_path / "models" / "run.safetensors"
    assert made.read_bytes() == (folder.outbox / "thing.safetensors").read_bytes()
    assert (tmp_path / "models" / "run.png").read_bytes() == (folder.samples / "000040-00.png").read_bytes()
    told = json.loads((tmp_path / "models" / "run.json").read_text())
    assert told["activation text"] == "sks dog"
    assert told["description"] == "LoRA trained on base."
    assert told["notes"].startswith("LoRA trained on base, ")
    assert "steps: 40" in told["notes"]
    assert not any(word in told["notes"] for word in ("widths", "session", "class_data", "name: "))
    assert kinds(folder)[-2:] == ["made", "done"]


def test_another_run_under_the_name_brings_the_sidecar_up_to_date(makes: Makes, tmp_path: Path) -> None:
    sidecar, preview = tmp_path / "models" / "run.json", tmp_path / "models" / "run.png"
    first = makes(trigger="old", class_words="dog", steps=20)
    assert carry_out(first.path, train) == DONE
    edited = json.loads(sidecar.read_text()) | {"description": "By me.", "preferred weight": 0.7}
    sidecar.write_text(json.dumps(edited))
    second = makes("second", "run", trigger="new", class_words="dog", steps=40, overwrite=True)
    assert carry_out(second.path, train) == DONE
    told = json.loads(sidecar.read_text())
    assert (told["activation text"], told["description"], told["preferred weight"]) == ("new dog", "By me.", 0.7)
    assert "steps: 40" in told["notes"]
    assert preview.read_bytes() == (second.samples / "000040-00.png").read_bytes()
    preview.write_bytes(b"the user's own")
    third = makes("third", "run", steps=20, overwrite=True)
    assert carry_out(third.path, train) == DONE
    assert preview.read_bytes() == b"the user's own"


def test_killed_at_random_moments_the_file_is_the_same_to_the_bit(makes: Makes, tmp_path: Path) -> None:
    whole = makes("whole")
    assert carry_out(whole.path, train) == DONE
    chance = random.Random(3)
    killed = makes("killed")
    for _ in range(4):
        life = start_fake(killed)
        until(killed, chance.randint(1, 55), life)
        life.kill()
    assert start_fake(killed).wait() == DONE
    assert (tmp_path / "models/killed.safetensors").read_bytes() == (tmp_path / "models/whole.safetensors").read_bytes()
    assert [point.step for point in loss_curve(read_log(killed.log)[0])] == list(range(1, 61))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("dreambooth", {"prior": "prediction", "class_pictures": 2}),
        ("lora", {"network_dropout": 0.2, "text_encoder_rate": 0.5}),
        ("textual_inversion", {"vectors": 2, "name": "sks"}),
        ("hypernetwork", {"dropout_structure": (0, 0.2, 0)}),
    ],
)
def test_the_real_trainer_killed_twice_gives_the_same_file(
    tmp_path: Path, method: str, fields: dict[str, object]
) -> None:
    file = write_tiny_checkpoint(tmp_path / "SD1.safetensors", dtype=torch.float32, **SMALL["SD1"])
    identity = Identity.of(str(file))
    checkpoint = FileIdentity(path=str(file), size=identity.size, mtime_ns=identity.mtime_ns)
    data = draw_pictures(tmp_path / "data", 2)
    request = asked(
        data, method, steps=5, snapshot_seconds=0, accumulation=2, average=0.9, sample_every=2, created=5, **fields
    )
    request = request.model_copy(update={"sample_prompts": "sks circle --w 64 --h 64 --s 1 --d 5"})
    folders = [
        created(tmp_path / name, request, checkpoint, tmp_path / "models" / name) for name in ("whole", "killed")
    ]
    assert carry_out(folders[0].path, train_run) == DONE
    blows = sorted(random.Random().sample(range(1, 5), 2))
    for blow in blows:
        life = start_real(folders[1])
        until(folders[1], blow, life)
        life.kill()
    assert start_real(folders[1]).wait() == DONE, folders[1].last_words()
    one, other = (next((tmp_path / "models").glob(f"{name}.[sp][at]*")) for name in ("whole", "killed"))
    assert one.read_bytes() == other.read_bytes(), f"killed at {blows}"
    drawn = [sorted(path.name for path in folder.samples.iterdir()) for folder in folders]
    assert drawn[0] == drawn[1] == [f"{step:06d}-00.png" for step in (0, 2, 4, 5)]


def test_a_run_that_is_paused_rests_with_a_snapshot_and_goes_on(makes: Makes, tmp_path: Path) -> None:
    folder = makes(steps=200)
    life = start_fake(folder)
    until(folder, 20, life)
    folder.wish("pause")
    assert life.wait() == PAUSED
    rested_at = steps_of(folder)
    assert 20 <= rested_at < 200
    assert json.loads((folder.snapshots / "state.json").read_text())[0] == rested_at
    assert kinds(folder)[-1] == "paused"
    assert carry_out(folder.path, train) == DONE
    assert (tmp_path / "models" / "run.safetensors").is_file()


def test_a_run_that_is_stopped_keeps_what_is_learnt_so_far(makes: Makes, tmp_path: Path) -> None:
    folder = makes(steps=100_000)
    life = start_fake(folder)
    until(folder, 10, life)
    folder.wish("stop")
    assert life.wait() == DONE
    made = tmp_path / "models" / "run.safetensors"
    shorter = makes("shorter", steps=steps_of(folder))
    assert carry_out(shorter.path, train) == DONE
    assert made.read_bytes() == (tmp_path / "models" / "shorter.safetensors").read_bytes()


def test_the_real_trainer_makes_a_file_of_what_is_learnt_when_it_is_stopped(tmp_path: Path) -> None:
    file = write_tiny_checkpoint(tmp_path / "SD1.safetensors", dtype=torch.float32, **SMALL["SD1"])
    identity = Identity.of(str(file))
    checkpoint = FileIdentity(path=str(file), size=identity.size, mtime_ns=identity.mtime_ns)
    request = asked(draw_pictures(tmp_path / "data", 2), "hypernetwork", steps=10_000, sample_every=0)
    folder = created(tmp_path / "run", request, checkpoint, tmp_path / "models" / "run")
    life = start_real(folder)
    until(folder, 2, life)
    folder.wish("stop")
    assert life.wait() == DONE, folder.last_words()
    assert (tmp_path / "models" / "run.pt").is_file()


def test_a_second_process_is_refused_while_the_first_works(makes: Makes) -> None:
    folder = makes(steps=100_000)
    life = start_fake(folder)
    until(folder, 1, life)
    assert folder.holder() == life.pid
    assert start_fake(folder).wait() == BUSY
    with pytest.raises(TrainingBusy, match="works on run already"):
        carry_out(folder.path, train)
    life.kill()
    assert folder.holder() is None


def test_what_the_user_can_mend_is_told_in_words(makes: Makes) -> None:
    folder = makes(comment="breaks")
    assert carry_out(folder.path, train) == FAILED
    ending = read_log(folder.log)[0][-1]
    assert (ending["kind"], ending["code"], ending["field"]) == ("failed", "training_problem", "data")


def test_a_disk_without_room_is_told_before_anything_begins(makes: Makes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.training.run.LEAST_ROOM", 10**18)
    folder = makes()
    assert carry_out(folder.path, train) == FAILED
    assert read_log(folder.log)[0][-1]["code"] == "disk_full"
    assert steps_of(folder) == 0


def test_a_file_of_the_same_name_is_replaced_only_where_that_is_allowed(makes: Makes, tmp_path: Path) -> None:
    folder = makes(steps=8)
    there = tmp_path / "models" / "run.safetensors"
    there.parent.mkdir()
    there.write_bytes(b"somebody else's")
    assert carry_out(folder.path, train) == DONE
    assert there.read_bytes() == b"somebody else's"
    made = there.with_name("run-2.safetensors")
    assert made.is_file()
    assert carry_out(folder.path, train) == DONE  # once more: it finds its own file
    assert sorted(path.name for path in there.parent.glob("*.safetensors")) == ["run-2.safetensors", "run.safetensors"]


def test_the_best_steps_file_takes_the_last_ones_place_and_gives_it_back(
    makes: Makes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = makes(steps=40, sample_every=10)
    with pytest.raises(TrainingProblem, match="not come to its end"):
        take_step(folder, 20)
    assert carry_out(folder.path, train) == DONE
    made, preview = tmp_path / "models" / "run.safetensors", tmp_path / "models" / "run.png"
    last = made.read_bytes()
    assert main([str(folder.path), "--take", "best"]) == 0
    assert capsys.readouterr().out.strip() == str(made)
    assert made.read_bytes() == (folder.best / "thing-000020.safetensors").read_bytes() != last
    assert preview.read_bytes() == (folder.samples / "000020-00.png").read_bytes()
    assert folder.taken() == 20
    preview.write_bytes(b"a picture that the user chose")
    assert main([str(folder.path), "--take", "last"]) == 0
    assert (made.read_bytes(), folder.taken()) == (last, None)
    assert preview.read_bytes() == b"a picture that the user chose"
    assert main([str(folder.path), "--take", "7"]) == FAILED
    assert "No file of step 7 was kept. There are 20." in capsys.readouterr().err
    made.write_bytes(b"somebody else's")
    assert take_step(folder, 20).name == "run-2.safetensors"
    assert made.read_bytes() == b"somebody else's"


def test_a_folder_that_is_none_and_one_of_a_newer_program_are_refused(makes: Makes, tmp_path: Path) -> None:
    with pytest.raises(TrainingProblem, match="no folder of a training run"):
        carry_out(tmp_path, train)
    folder = makes()
    text = (folder.path / "run.json").read_text()
    (folder.path / "run.json").write_text(text.replace('"version": 1,\n "id"', '"version": 99,\n "id"'))
    with pytest.raises(NewerVersion):
        folder.run()


def test_a_line_cut_off_by_a_kill_is_taken_away_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"kind": "step", "step": 1, "loss": 2.0, "rate": 1}\n{"kind": "st')
    first, place = read_log(path)
    assert [entry["step"] for entry in first] == [1]
    log = RunLog(path)
    log.tell("step", step=2, loss=4.0, rate=1)
    log.close()
    assert [entry["step"] for entry in read_log(path, place)[0]] == [2]
    assert loss_curve(read_log(path)[0], most=1)[0][:2] == (2, 3.0)
