"""`webui.py train`: from a TOML to a file; Ctrl+C rests, the same command goes on; kohya's keys are read."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
import tomllib
from pathlib import Path

import pytest
import uvicorn

from app.access import Access
from app.api import create_application, training_router
from app.cli.train import from_toml
from app.files.kohya import is_kohya, read_kohya
from app.files.run_log import read_log
from app.jobs import DataFolderLock
from app.schema.errors import TrainingProblem
from app.schema.training import parse_training
from tests.cli.conftest import Typed
from tests.cli.places import Places
from tests.jobs.training_place import TrainingPlace, some_pictures

KOHYA = """
[model_arguments]
pretrained_model_name_or_path = "/models/formula.safetensors"
vae = ""
[dataset_arguments]
train_data_dir = "dogs"
reg_data_dir = "ordinary"
resolution = "512,768"
enable_bucket = true
bucket_no_upscale = true
shuffle_caption = true
keep_tokens = 1
[training_arguments]
output_name = "dog"
output_dir = "out"
max_train_epochs = 10
train_batch_size = 2
learning_rate = 1e-4
unet_lr = 2e-4
text_encoder_lr = 5e-5
network_module = "lycoris.kohya"
network_dim = 8
network_alpha = 4
network_args = ["algo=lokr", "conv_dim=4", "conv_alpha=1", "factor=8"]
optimizer_type = "AdamW8bit"
lr_scheduler = "cosine_with_restarts"
lr_warmup_steps = 50
mixed_precision = "bf16"
min_snr_gamma = 5
clip_skip = 2
seed = 7
multires_noise_iterations = 6
"""


def toml(folder: Path, **fields: object) -> Path:
    usual: dict[str, object] = {"name": "mine", "data": "pictures", "steps": 30, "sample_every": 10}
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for name, value in {**usual, **fields}.items()
    ]
    path = folder / "run.toml"
    path.write_text("\n".join(lines).replace("'", '"'))
    return path


def test_a_training_runs_from_a_toml_and_its_file_is_printed(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some_pictures(tmp_path / "pictures")
    assert easel("train", str(toml(tmp_path, learning_rate=0.001)), "--rank", "4") == 0
    made = places.folders.loras[0] / "mine.safetensors"
    assert capsys.readouterr().out.strip() == str(made)
    assert made.is_file()


def test_wrong_data_end_the_command_before_anything_starts(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    assert easel("train", str(toml(tmp_path))) == 1
    assert "There are no pictures in pictures. Add some." in capsys.readouterr().err
    assert easel("train", str(tmp_path / "none.toml")) == 1
    assert easel("train", "--name", "x", "--steps", "0") == 1
    assert "steps" in capsys.readouterr().err
    assert not (places.folders.data / "training").exists()


def test_ctrl_c_rests_with_a_snapshot_and_the_same_command_goes_on(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some_pictures(tmp_path / "pictures")
    path = toml(tmp_path, steps=1500, sample_every=0)

    def press() -> None:
        while not any(_steps(log) > 5 for log in (places.folders.data / "training").glob("*/log.jsonl")):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    # A terminal's Ctrl+C, also where these tests run in the background, which a shell starts deaf to it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press).start()
    assert easel("train", str(path)) == 130
    signal.signal(signal.SIGINT, before)
    assert "Paused; the same command goes on." in capsys.readouterr().err
    (log,) = (places.folders.data / "training").glob("*/log.jsonl")
    rested_at = _steps(log)
    assert 5 < rested_at < 1500
    assert easel("train", str(path)) == 0
    assert [path.name for path in (places.folders.data / "training").iterdir()] == [log.parent.name]
    begun = [entry for entry in read_log(log)[0] if entry["kind"] == "prepared"]
    assert [entry["step"] for entry in begun] == [0, rested_at]


def test_a_failed_run_goes_on_by_the_same_command_also_at_a_lower_learning_rate(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some_pictures(tmp_path / "pictures")
    path = toml(tmp_path, comment="too fast", learning_rate="1e-3")
    for step in (0, 7):
        assert easel("train", str(path)) == 1
        told = capsys.readouterr().err
        assert "The loss of step 10 is nan. Take a lower one." in told
        assert "The same command goes on, also with another --learning-rate." in told
        (log,) = (places.folders.data / "training").glob("*/log.jsonl")
        assert [entry["step"] for entry in read_log(log)[0] if entry["kind"] == "prepared"][-1] == step
    assert easel("train", str(path), "--learning-rate", "5e-5") == 0
    told = capsys.readouterr()
    assert "It goes on with the learning rate 5e-5 instead of 1e-3." in told.err
    assert told.out.strip() == str(places.folders.loras[0] / "mine.safetensors")
    assert list((places.folders.data / "training").glob("*/log.jsonl")) == [log]


def test_kohyas_keys_become_a_request() -> None:
    values = tomllib.loads(KOHYA)
    assert is_kohya(values)
    imported = read_kohya(values, Path("/runs"))
    assert imported.fields["epochs"] == 10
    assert imported.left_out == ("multires_noise_iterations",)
    request = parse_training(imported.fields)
    assert (request.method, request.name, request.checkpoint) == ("lora", "dog", "formula")
    assert (Path(request.data), Path(request.class_data)) == (Path("/runs/dogs"), Path("/runs/ordinary"))
    assert (request.prior, request.width, request.height, request.upscale) == ("pictures", 512, 768, False)
    assert (request.lora_kind, request.rank, request.alpha) == ("LoKr", 8, 4.0)
    assert (request.conv_rank, request.conv_alpha, request.lokr_factor) == (4, 1.0, 8)
    assert (request.learning_rate, request.text_encoder_rate) == ("0.0002", 0.25)
    assert (request.optimizer, request.schedule, request.warm_up) == ("AdamW8bit", "cosine_with_restarts", 50)
    assert (request.precision, request.min_snr_gamma, request.clip_skip) == ("bf16", 5.0, 2)
    assert (request.shuffle_captions, request.keep_parts, request.seed) == (True, 1, 7)


def test_what_of_a_kohya_toml_is_left_out_is_said_and_its_files_lie_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("a dog", encoding="utf-8")
    path = tmp_path / "kohya.toml"
    said = 'caption_extension = ".cap"\noptimizer_type = "Lion8bit"\n'
    path.write_text(f'train_data_dir = "dogs"\nsample_prompts = "prompts.txt"\n{said}')
    fields = from_toml(path)
    assert (fields["sample_prompts"], Path(fields["data"])) == ("a dog", tmp_path / "dogs")
    assert capsys.readouterr().err == (
        "Left out, as nothing here does it: caption_extension = .cap (.txt and .caption are read); "
        "optimizer_type = Lion8bit (Lion is taken).\n"
    )


@pytest.mark.parametrize(("typed", "epochs"), [((), 10), (("--steps", "20"), 0)])
def test_kohyas_epochs_are_counted_with_the_data_sets_repeats(
    typed: tuple[str, ...], epochs: int, easel: Typed, places: Places, tmp_path: Path
) -> None:
    some_pictures(tmp_path / "dogs", 3)
    path = tmp_path / "kohya.toml"
    said = 'output_name = "dog"\nnetwork_dim = 4\nmax_train_epochs = 5\nmax_train_steps = 20\n'
    path.write_text(f'{said}[[datasets]]\n[[datasets.subsets]]\nimage_dir = "dogs"\nnum_repeats = 2\n')
    assert easel("train", str(path), *typed) == 0
    (run,) = (places.folders.data / "training").glob("*/run.json")
    request = json.loads(run.read_text())["request"]
    assert (request["epochs"], request["steps"], request["data"]) == (epochs, 20, str(tmp_path / "dogs"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no toml at all", "is no TOML"),
        ('train_data_dir = "x"\noptimizer_type = "SGD"', "optimizer_type 'SGD' is not served"),
        ('train_data_dir = "x"\nresolution = "wide"', "is no size"),
        ('train_data_dir = "x"\nlearning_rate = "fast"', "learning_rate 'fast' is no number"),
        ('train_data_dir = "x"\nsample_prompts = "none.txt"', "sample prompts .*none.txt cannot be read"),
    ],
)
def test_a_toml_that_cannot_be_read_says_why(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(TrainingProblem, match=words):
        from_toml(path)


def test_a_running_server_is_asked_to_train(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = DataFolderLock(places.folders.state)
    place = TrainingPlace(places.folders.data)
    application = create_application(Access())
    application.include_router(training_router(place.trainings))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    lock.tell_address(f"http://127.0.0.1:{listener.getsockname()[1]}")
    some_pictures(tmp_path / "pictures")
    try:
        assert easel("train", str(toml(tmp_path))) == 0
        (training,) = place.trainings.history(None)
        assert training.made is not None
        assert (training.state, training.owner) == ("done", "local")
        assert capsys.readouterr().out.strip() == training.made.path
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        place.close()
        lock.release()


def _steps(log: Path) -> int:
    return max((entry["step"] for entry in read_log(log)[0] if entry["kind"] == "step"), default=0)


def test_several_data_sets_of_kohya_are_refused_and_not_cut_to_the_first(tmp_path: Path) -> None:
    values = {"max_train_steps": 5, "datasets": [{"subsets": [{"image_dir": "a"}, {"image_dir": "b"}]}]}
    with pytest.raises(TrainingProblem, match="'subsets' names 2 data sets") as caught:
        read_kohya(values, tmp_path)
    assert "N_words" in caught.value.hint
