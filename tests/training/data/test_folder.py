"""Folders of training pictures: what is read, what its captions are, and what is refused before a run begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from app.schema.errors import TrainingProblem
from app.training.data import passed_over, read_folder


def picture(path: Path, size: tuple[int, int] = (32, 24), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, **options)
    return path


def test_captions_come_from_text_files_then_metadata_then_the_file_name(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "001-a_red_house"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("from txt\n", encoding="utf-8")
    (tmp_path / "a.caption").write_text("from caption", encoding="utf-8")
    (tmp_path / "b.caption").write_text("一只猫", encoding="utf-8")
    (tmp_path / "metadata.jsonl").write_text(
        json.dumps({"file_name": "c.png", "text": "from a list"}), encoding="utf-8"
    )
    assert {sample.path.stem: sample.caption for sample in read_folder(tmp_path)} == {
        "a": "from txt",
        "b": "一只猫",
        "c": "from a list",
        "001-a_red_house": "a red house",
    }


def test_kohya_folders_repeat_and_name_what_they_hold(tmp_path: Path) -> None:
    picture(tmp_path / "10_sks dog" / "one.png")
    picture(tmp_path / "2_dog" / "two.jpg")
    (tmp_path / "2_dog" / "two.txt").write_text("a dog in the snow", encoding="utf-8")
    picture(tmp_path / "notes" / "ignored.png")
    found = {sample.path.stem: (sample.repeats, sample.caption) for sample in read_folder(tmp_path)}
    assert found == {"one": (10, "sks dog"), "two": (2, "a dog in the snow")}
    assert [sample.repeats for sample in read_folder(tmp_path / "10_sks dog")] == [10]


def test_kohyas_table_of_captions_and_tags_is_read(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    table = {"some/where/x": {"caption": "a girl", "tags": "smile, hat"}}
    (tmp_path / "metadata.json").write_text(json.dumps(table), encoding="utf-8")
    assert read_folder(tmp_path)[0].caption == "a girl, smile, hat"


def test_a_turned_photograph_has_the_size_it_is_seen_at(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "turned.jpg", (60, 40), exif=exif)
    sample = read_folder(tmp_path)[0]
    assert (sample.width, sample.height) == (40, 60)


def test_masks_are_found_by_their_stem(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    mask = picture(tmp_path / "masks" / "a.png")
    assert read_folder(tmp_path)[0].mask == mask


def test_all_that_cannot_be_used_is_named_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    picture(tmp_path / "dot.png", (1, 1))
    whole = picture(tmp_path / "torn.png", (64, 64)).read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.jpg").write_text("not a picture", encoding="utf-8")
    picture(tmp_path / "latin.png")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(TrainingProblem) as caught:
        read_folder(tmp_path)
    for words in (
        "4 of the pictures",
        "dot.png: 1x1 is too small",
        "torn.png: it is damaged",
        "words.jpg",
        "latin.txt",
    ):
        assert words in caught.value.message
    assert caught.value.field == "data"


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingProblem, match="does not exist"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "readme.md").touch()
    with pytest.raises(TrainingProblem, match="no pictures"):
        read_folder(tmp_path, field="class_data")


def test_a_year_in_the_folders_own_name_is_no_count(tmp_path: Path) -> None:
    for name in ("2024_holiday", "00_raw", "01_raw"):
        picture(tmp_path / name / "a.png")
        assert [sample.repeats for sample in read_folder(tmp_path / name)] == [1]


def test_what_is_not_used_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert passed_over(tmp_path) == ()
    picture(tmp_path / "masks" / "a.png")
    picture(tmp_path / "10_sks dog" / "b.png")
    assert passed_over(tmp_path) == ()
    for name in ("more", "0_none"):
        picture(tmp_path / name / "c.png")
    (tmp_path / "notes").mkdir()
    picture(tmp_path / "d.gif")
    others, folders = passed_over(tmp_path)
    assert others.endswith("files are read: d.gif.")
    assert folders.startswith("Folders whose pictures are not used: 0_none, more. Name a folder '10_words'")


def test_a_list_of_captions_in_another_encoding_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_bytes('{"file_name": "a.png", "text": "café"}'.encode("latin-1"))
    with pytest.raises(TrainingProblem, match=r"metadata\.jsonl is no UTF-8 text"):
        read_folder(tmp_path)


def test_whether_somebody_wrote_the_caption_is_known(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "b.txt").write_text("", encoding="utf-8")
    assert [(sample.caption, sample.written) for sample in read_folder(tmp_path)] == [("a", False), ("", True)]
