"""A picture has its final name only when it is whole, carries its infotext, and never takes another's place."""

from __future__ import annotations

import errno
import os
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from app.files import Folders
from app.files.encoding import Encoding
from app.files.images import Images, Naming, Numbers, picture_facts
from app.files.picture_info import read_infotext
from app.schema.errors import CannotWrite, DiskFull
from app.schema.events import RowFinished
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

TODAY = datetime.now().strftime("%Y-%m-%d")
TODAYS = f"outputs/txt2img-images/{TODAY}"
FINISHED = RowFinished("job", 0, 16, 8, bytes(range(256)) + bytes(128), False, (), (), 1.0)
INFOTEXT = "a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler"


def plan(image: int = 0, **fields: object) -> ImagePlan:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 7, "batch_count": 2, **fields})
    checkpoint = FileIdentity(path="/m/starter.safetensors", size=1, mtime_ns=1, sha256="ab" * 32)
    resolved = ResolvedRequest(request=request, checkpoint=checkpoint, checkpoint_name="starter")
    return ImagePlan("job", "ann", image, 0, 7 + image, -1, resolved)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(Folders.of(data_dir=tmp_path))


def first_name(images: Images, **fields: object) -> str:
    return next(images.names(plan(**fields), FINISHED))


def test_the_default_name_is_a1111s(images: Images, tmp_path: Path) -> None:
    path = first_name(images)
    assert path == f"{TODAYS}/00000-7.png"
    images.write(path, FINISHED, INFOTEXT)
    assert read_infotext(tmp_path / path) == INFOTEXT
    with Image.open(tmp_path / path) as picture:
        assert (picture.size, picture.mode, picture.tobytes()) == ((16, 8), "RGB", FINISHED.rgb)


def test_numbers_go_on_after_the_highest_in_the_folder(images: Images, tmp_path: Path) -> None:
    folder = tmp_path / TODAYS
    folder.mkdir(parents=True)
    for name in ("00003-9.png", "00041-1.jpg", "notes.txt", "grid-0099-1.png"):
        (folder / name).touch()
    assert list(islice(images.names(plan(), FINISHED), 3)) == [f"{TODAYS}/0004{number}-7.png" for number in (2, 3, 4)]
    assert first_name(images) == f"{TODAYS}/00045-7.png"


def test_grids_count_by_themselves(tmp_path: Path) -> None:
    for name in ("00041-1.jpg", "grid-0007-1.png"):
        (tmp_path / name).touch()
    numbers = Numbers()
    assert (numbers.take(tmp_path, "grid"), numbers.take(tmp_path, "grid"), numbers.take(tmp_path)) == (8, 9, 42)


def test_a_name_without_a_number_steps_aside_for_another_file(tmp_path: Path) -> None:
    naming = Naming(by_folder=False, numbered=False, folder="here")
    images = Images(Folders.of(data_dir=tmp_path), naming)
    first = first_name(images)
    assert first == "here/7-a cat.png"
    images.write(first, FINISHED, "")
    assert first_name(images) == "here/7-a cat-1.png"


def test_a_picture_that_is_not_to_be_saved_goes_where_it_is_cleared_away(images: Images, tmp_path: Path) -> None:
    path = first_name(images, save_images=False)
    assert path == f"data/unsaved/{TODAY}/00000-7.png"
    images.write(path, FINISHED, "")
    images.clear_unsaved(datetime(2020, 1, 1))
    assert (tmp_path / path).is_file()
    images.clear_unsaved(datetime(2100, 1, 1))
    assert not (tmp_path / path).exists()


def test_a_file_that_is_there_is_never_replaced(images: Images, tmp_path: Path) -> None:
    path = first_name(images)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        images.write(path, FINISHED, INFOTEXT)
    assert (tmp_path / path).read_bytes() == b"somebody's"


def fail_with(number: int) -> object:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fails


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, DiskFull, "no room left for 00000-7.png"),
        (errno.EDQUOT, DiskFull, "no room left for 00000-7.png"),
        (errno.EIO, CannotWrite, "00000-7.png cannot be written: Input/output error"),
    ],
)
def test_a_failure_at_any_step_leaves_nothing_and_says_why(
    images: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    number: int,
    error: type[Exception],
    words: str,
) -> None:
    path = first_name(images)
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail_with(number))
    with pytest.raises(error, match=words):
        images.write(path, FINISHED, INFOTEXT)
    assert [*(tmp_path / TODAYS).iterdir()] == []


def test_a_folder_that_cannot_be_made_is_named(images: Images, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("in the way")
    with pytest.raises(CannotWrite, match="cannot be written: Not a directory"):
        images.write(first_name(images), FINISHED, INFOTEXT)


def test_after_a_kill_only_a_whole_file_counts(images: Images, tmp_path: Path) -> None:
    path = first_name(images)
    folder = tmp_path / TODAYS
    folder.mkdir(parents=True)
    half = folder / "00000-7.png.tmp"
    half.write_bytes(b"\x89PNG half")
    assert not images.is_whole(path)
    assert not half.exists()
    (tmp_path / path).touch()
    assert not images.is_whole(path)
    images.write(path, FINISHED, INFOTEXT)
    assert images.is_whole(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "jpeg", "webp", "avif", "gif"])
@pytest.mark.parametrize("infotext", [INFOTEXT, "红色的房子 🏠, ÿ"])
def test_every_format_carries_the_infotext(tmp_path: Path, kind: str, infotext: str) -> None:
    images = Images(Folders.of(data_dir=tmp_path), encoding=Encoding(kind))
    path = first_name(images)
    assert path.endswith(f"7.{kind}")
    images.write(path, FINISHED, infotext)
    assert read_infotext(tmp_path / path) == infotext
    assert read_infotext((tmp_path / path).read_bytes()) == infotext
    with Image.open(tmp_path / path) as picture:
        assert picture.format == {"jpg": "JPEG"}.get(kind, kind.upper())


def test_a_lossless_webp_keeps_every_pixel(tmp_path: Path) -> None:
    images = Images(Folders.of(data_dir=tmp_path), encoding=Encoding("webp", lossless=True))
    path = first_name(images)
    images.write(path, FINISHED, INFOTEXT)
    with Image.open(tmp_path / path) as picture:
        assert picture.convert("RGB").tobytes() == FINISHED.rgb


def test_without_infotext_none_is_written(tmp_path: Path) -> None:
    images = Images(Folders.of(data_dir=tmp_path), encoding=Encoding(infotext=False))
    path = first_name(images)
    images.write(path, FINISHED, INFOTEXT)
    assert read_infotext(tmp_path / path) is None


def test_what_a_format_cannot_hold_becomes_a_png(tmp_path: Path) -> None:
    images = Images(Folders.of(data_dir=tmp_path), encoding=Encoding("webp"))
    wide = FINISHED._replace(width=16384, height=1, rgb=bytes(3 * 16384))
    path = next(images.names(plan(), wide))
    assert path.endswith(".png")
    images.write(path, wide, INFOTEXT)
    assert read_infotext(tmp_path / path) == INFOTEXT
    jpeg = Images(Folders.of(data_dir=tmp_path), encoding=Encoding("jpg"))
    long = first_name(jpeg, prompt="x" * 30_000)
    assert long.endswith(".png")
    assert first_name(jpeg, prompt="x" * 20_000).endswith(".jpg")


def test_an_infotext_too_long_for_a_jpeg_goes_beside_it(tmp_path: Path) -> None:
    images = Images(Folders.of(data_dir=tmp_path))
    images.write_picture(tmp_path / "a.jpg", Image.new("RGB", (8, 8)), "x" * 40_000)
    assert (tmp_path / "a.txt").read_text() == "x" * 40_000 + "\n"


def test_a_text_file_beside_each_picture_when_asked_for(tmp_path: Path) -> None:
    images = Images(Folders.of(data_dir=tmp_path), Naming(text_file=True))
    path = first_name(images)
    images.write(path, FINISHED, INFOTEXT)
    assert (tmp_path / path).with_suffix(".txt").read_text() == INFOTEXT + "\n"


def test_a_plan_tells_the_patterns_their_values() -> None:
    facts = picture_facts(plan(1, batch_size=2, steps=9), FINISHED)
    assert (facts.seed, facts.seeds, facts.number, facts.batch_number) == (8, [7, 8, 9, 10], 2, 2)
    assert (facts.model_name, facts.model_hash, facts.steps, facts.user) == ("starter", "ababababab", 9, "ann")
    assert picture_facts(plan(1, variation_strength=0.5), FINISHED).seeds == [7, 7]


def test_a_redrawn_file_keeps_its_name_in_the_folder_asked_for(images: Images, tmp_path: Path) -> None:
    asked = {"init_images": ("ab" * 32,), "source_names": ("my scene", "a:b"), "output_folder": "trip/day 1"}
    path = first_name(images, **asked)
    assert path == "outputs/txt2img-images/trip/day 1/my scene.png"
    images.write(path, FINISHED, "")
    assert first_name(images, **asked) == "outputs/txt2img-images/trip/day 1/my scene-1.png"
    second = next(images.names(plan(1, **asked), FINISHED))
    assert second == "outputs/txt2img-images/trip/day 1/a_b.png"
