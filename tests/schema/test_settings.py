"""Settings come in layers, keep their types, and survive a crash in the middle of writing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.schema.errors import CannotWrite, InvalidField, UnknownSetting
from app.schema.settings import FACTORY, KEPT_VERSIONS, Settings


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def settings(site_file: Path, tmp_path: Path) -> Settings:
    return Settings(site_file, tmp_path / "users")


def test_without_a_file_the_factory_speaks(settings: Settings) -> None:
    assert settings.values() == FACTORY
    assert settings.values("anna") == FACTORY


def test_a_users_layer_lies_over_the_sites(settings: Settings) -> None:
    settings.change({"samples_format": "webp", "jpeg_quality": 90})
    settings.change({"jpeg_quality": 50}, "anna")
    assert (settings.values().samples_format, settings.values().jpeg_quality) == ("webp", 90)
    assert (settings.values("anna").samples_format, settings.values("anna").jpeg_quality) == ("webp", 50)
    assert settings.values("berta").jpeg_quality == 90
    settings.reset(["jpeg_quality"], "anna")
    assert settings.values("anna").jpeg_quality == 90


def test_users_whose_names_differ_in_capitals_have_files_of_their_own(settings: Settings, tmp_path: Path) -> None:
    for quality, user in enumerate(["anna", "Anna", "a/../b", "你好"], start=50):
        settings.change({"jpeg_quality": quality}, user)
    assert [settings.values(user).jpeg_quality for user in ["anna", "Anna", "a/../b", "你好"]] == [50, 51, 52, 53]
    names = [path.name.lower() for path in (tmp_path / "users").iterdir()]
    assert len(set(names)) == 4


def test_values_are_kept_over_a_restart(settings: Settings, site_file: Path, tmp_path: Path) -> None:
    settings.change({"CLIP_stop_at_last_layers": 2.0})
    again = Settings(site_file, tmp_path / "users")
    assert again.values().CLIP_stop_at_last_layers == 2
    assert json.loads(site_file.read_text()) == {"CLIP_stop_at_last_layers": 2}


def test_what_a1111_wrote_and_is_not_known_here_is_kept(settings: Settings, site_file: Path) -> None:
    site_file.write_text(json.dumps({"quicksettings_list": ["a"], "jpeg_quality": 95}))
    assert settings.values().jpeg_quality == 95
    settings.change({"save_txt": True})
    assert json.loads(site_file.read_text()) == {"quicksettings_list": ["a"], "jpeg_quality": 95, "save_txt": True}


def test_a_value_of_the_wrong_type_is_refused_and_nothing_is_stored(settings: Settings, site_file: Path) -> None:
    with pytest.raises(InvalidField, match=r"CLIP_stop_at_last_layers: .*two"):
        settings.change({"jpeg_quality": 90, "CLIP_stop_at_last_layers": "two"})
    with pytest.raises(UnknownSetting, match="no_such_option"):
        settings.change({"jpeg_quality": 90, "no_such_option": 1})
    assert settings.values() == FACTORY
    assert not site_file.exists()


def test_a_wrong_type_in_the_file_counts_as_not_set(settings: Settings, site_file: Path) -> None:
    site_file.write_text('{"jpeg_quality": "high", "save_txt": true}')
    assert (settings.values().jpeg_quality, settings.values().save_txt) == (80, True)


@pytest.mark.parametrize("text", ["{broken", "[1, 2]", ""])
def test_a_damaged_file_does_not_stop_anything_and_is_kept_as_a_version(
    settings: Settings, site_file: Path, text: str
) -> None:
    site_file.write_text(text)
    assert settings.values() == FACTORY
    settings.change({"save_txt": True})
    assert settings.values().save_txt
    assert site_file.with_name("config.json.1").read_text() == text


def test_a_file_changed_by_hand_is_read_again(settings: Settings, site_file: Path) -> None:
    settings.change({"jpeg_quality": 90})
    site_file.write_text('{"jpeg_quality": 91, "save_txt": true}')
    assert settings.values().jpeg_quality == 91
    settings.change({"tiling": True})
    assert json.loads(site_file.read_text()) == {"jpeg_quality": 91, "save_txt": True, "tiling": True}


def test_the_last_versions_are_kept(settings: Settings, site_file: Path) -> None:
    for quality in range(50, 65):
        settings.change({"jpeg_quality": quality})
    kept = [
        json.loads(site_file.with_name(f"config.json.{number}").read_text())["jpeg_quality"]
        for number in range(1, KEPT_VERSIONS + 1)
    ]
    assert kept == list(range(63, 53, -1))
    assert not site_file.with_name(f"config.json.{KEPT_VERSIONS + 1}").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(tmp_path / "file" / "config.json", tmp_path)
    with pytest.raises(CannotWrite, match=r"config\.json"):
        settings.change({"save_txt": True})
