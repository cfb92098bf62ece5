"""`generate` makes the pictures that were typed and puts them where they were wished."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.cli.generate import copy, follow, output_paths, request_parser, requested
from app.schema.control import controls_of
from app.schema.errors import CannotWrite, EaselError, InvalidField
from app.schema.events import Event, Failed, Finished, ImageReady, Notice, Progress
from app.schema.request import GenerationRequest
from tests.cli.places import Places

Typed = Callable[..., int]
FIRST = GenerationRequest(width=128, height=128)


def typed(*arguments: str) -> argparse.Namespace:
    return request_parser().parse_args(arguments)


def test_a_prompt_becomes_a_picture_file_with_its_infotext(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.png"
    assert easel("generate", "a red house", "--steps", "3", "--seed", "7", "-o", str(target)) == 0
    assert capsys.readouterr().out == f"{target}\n"
    with Image.open(target) as image:
        assert image.size == (128, 128)
        assert image.info["parameters"].startswith("a red house\nSteps: 3")
    (kept,) = (places.folders.data / "outputs").iterdir()
    assert kept.read_bytes() == target.read_bytes()


def test_without_an_output_the_pictures_of_the_data_folder_are_named(
    easel: Typed, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("generate", "a house", "--batch-count", "2", "--seed", "7") == 0
    names = [Path(line) for line in capsys.readouterr().out.split()]
    assert [name.name for name in names] == ["00000-7.png", "00000-8.png"]
    assert all(name.is_relative_to(places.folders.data) for name in names)


def test_several_pictures_are_numbered(tmp_path: Path) -> None:
    assert output_paths(tmp_path / "a.png", 1) == [tmp_path / "a.png"]
    assert output_paths(tmp_path / "a.png", 3) == [tmp_path / f"a-{number}.png" for number in (1, 2, 3)]


def test_every_control_of_a_request_is_an_option() -> None:
    said = {
        "prompt": "x",
        "styles": ("one", "two"),
        "tiling": True,
        "save_images": False,
        "seed": -1,
        "cfg_scale": 6.5,
        "eta": 0.5,
        "emphasis": "No norm",
        "negative_prompt": "blurred",
    }
    words = ["x", "--styles", "one", "--styles", "two", "--tiling", "--no-save-images", "--seed", "-1"]
    words += ["--cfg-scale", "6.5", "--eta", "0.5", "--emphasis", "No norm", "--negative-prompt", "blurred"]
    assert requested(typed(*words), FIRST) == FIRST.model_copy(update=said)
    options = {name for action in request_parser()._actions for name in action.option_strings}
    missing = [name for name in controls_of(GenerationRequest) if f"--{name.replace('_', '-')}" not in options]
    assert missing == ["prompt"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--width", "0"], "--width: input should be greater than or equal to 8 (got '0')."),
        (["--steps", "1000000000"], "--steps: input should be less than or equal to 10000 (got '1000000000')."),
        (["--steps", "many"], "--steps: input should be a valid integer"),
        (["--emphasis", "Loud"], "--emphasis: input should be 'Original', 'No norm', 'Ignore' or 'None'"),
    ],
)
def test_a_wrong_value_names_its_option(words: list[str], told: str) -> None:
    with pytest.raises(InvalidField) as problem:
        requested(typed("x", *words), FIRST)
    assert str(problem.value).startswith(told)


@pytest.mark.parametrize("prompt", ["x" * 1_000_000, "a\0b"])
def test_an_unreadable_prompt_is_told(
    easel: Typed, places: Places, prompt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("generate", prompt) == 2
    assert capsys.readouterr().err.startswith("The prompt h")
    assert places.engines_started == 0


def test_emoji_and_chinese_arrive_as_they_are(easel: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("generate", "红色的房子 🏠", "-o", str(tmp_path / "房子.png")) == 0
    with Image.open(tmp_path / "房子.png") as image:
        assert image.info["parameters"].startswith("红色的房子 🏠\n")


def test_nothing_is_started_for_an_output_that_cannot_be_written(
    easel: Typed, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("generate", "x", "-o", str(tmp_path / "out.jpg")) == 2
    assert easel("generate", "x", "-o", str(tmp_path / "nowhere" / "out.png")) == 1
    assert easel("generate", "x", "--checkpoint", "lost") == 1
    jpeg, nowhere, lost = capsys.readouterr().err.splitlines()
    assert jpeg == "--output out.jpg: pictures are written as PNG. End it in .png."
    assert nowhere.startswith(f"The folder {tmp_path / 'nowhere'} is not there")
    assert lost == "There is no checkpoint named 'lost'."
    assert places.engines_started == 0


def test_a_picture_that_fails_is_an_error_and_the_next_command_works(
    easel: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("generate", "fail") == 1
    assert "The picture is not finite." in capsys.readouterr().err
    assert easel("generate", "a house") == 0


class Script:
    """A workshop that tells what it was given to tell."""

    def __init__(self, *events: Event | BaseException) -> None:
        self.told = events
        self.cancelled: list[str] = []

    def submit(self, request: GenerationRequest) -> str:
        return "job"

    def events(self, job: str) -> Iterator[Event]:
        for event in self.told:
            if isinstance(event, BaseException):
                raise event
            yield event

    def cancel(self, job: str) -> None:
        self.cancelled.append(job)

    def path(self, image: ImageReady) -> Path:
        return Path(image.path)


IMAGE = ImageReady(
    job="job", index=0, path="a.png", seed=7, variation_seed=0, width=128, height=128, infotext="a house\nSteps: 20"
)


def test_the_bar_follows_progress_and_shows_notices(capsys: pytest.CaptureFixture[str]) -> None:
    half = Progress(job="job", progress=0.5, image=0, images=1, step=10, steps=20, eta=3.0, phase="Drawing")
    script = Script(half, Notice(job="job", code="odd", text="LoRA not found"), IMAGE, _done("done"))
    assert follow(script, "job", GenerationRequest(steps=20)) == [IMAGE]
    shown = capsys.readouterr().err
    assert "10/20" in shown.replace(" ", "")
    assert "20/20" in shown.replace(" ", "")
    assert "Drawing" in shown
    assert "LoRA not found\n" in shown


def test_a_failed_job_raises_its_words() -> None:
    failed = Failed(job="job", code="out_of_memory", message="No room for 4096x4096.", field="width")
    with pytest.raises(EaselError, match=r"No room for 4096x4096\."):
        follow(Script(failed), "job", GenerationRequest())


def test_ctrl_c_drops_what_is_left_of_the_job() -> None:
    script = Script(IMAGE, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        follow(script, "job", GenerationRequest())
    assert script.cancelled == ["job"]


def test_a_copy_that_fails_leaves_nothing_and_says_where_the_picture_is(tmp_path: Path) -> None:
    (tmp_path / "taken.png").mkdir()
    source = tmp_path / "a.png"
    source.write_bytes(b"picture")
    with pytest.raises(CannotWrite) as problem:
        copy(source, tmp_path / "taken.png")
    assert str(source) in str(problem.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "taken.png"]


def _done(state: str) -> Finished:
    return Finished(job="job", state=state, seconds=1.0)  # type: ignore[arg-type]
