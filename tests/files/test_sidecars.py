"""What lies beside a model file is found under A1111's names and read anew each time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.files import ModelFile
from app.files.civitai import CivitaiInfo
from app.files.model_file import Summary
from app.files.sidecars import (
    config_of,
    preview_of,
    sidecars,
    trigger_words_of,
    write_preview,
    write_user_metadata,
)
from app.schema.errors import CannotWrite, UnknownChoice


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    path = tmp_path / "a v1.5.safetensors"
    path.write_bytes(b"")
    return ModelFile(path, "checkpoint", path.name, 0, 0, Summary("SAFETENSORS"))


def beside(model: ModelFile, ending: str, content: bytes = b"x") -> Path:
    path = model.path.parent / f"a v1.5{ending}"
    path.write_bytes(content)
    return path


def test_a_lone_file_has_none(model: ModelFile) -> None:
    assert sidecars(model) == (None, "", {}, None, None)


def test_a_preview_is_found_in_a1111s_order(model: ModelFile) -> None:
    webp = beside(model, ".preview.webp")
    assert preview_of(model) == webp
    preview = beside(model, ".preview.png")
    assert preview_of(model) == preview
    plain = beside(model, ".png")
    assert preview_of(model) == plain


def test_the_description_is_that_of_the_json_else_of_the_texts(model: ModelFile) -> None:
    beside(model, ".description.txt", "später 好".encode())
    assert sidecars(model).description == "später 好"
    beside(model, ".txt", b"\xef\xbb\xbf plain \xff ")
    assert sidecars(model).description == "plain \ufffd"
    beside(model, ".json", b'{"description": "from json", "activation text": "sks"}')
    found = sidecars(model)
    assert (found.description, found.user_metadata["activation text"]) == ("from json", "sks")


@pytest.mark.parametrize("content", [b"not json", b"[1]", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * 1_000_001 + b'"'])
def test_a_broken_json_counts_as_absent(model: ModelFile, content: bytes) -> None:
    beside(model, ".json", content)
    assert sidecars(model).user_metadata == {}


def test_a_configuration_beside_a_checkpoint_is_found(model: ModelFile) -> None:
    yaml = beside(model, ".yaml")
    assert config_of(model) == sidecars(model).config == yaml


CIVITAI = {
    "id": 7,
    "modelId": 3,
    "name": "v2",
    "baseModel": "SDXL 1.0",
    "trainedWords": ["sks cat", " ", 5, "sitting"],
    "description": "<p>Use &lt;lora:cat:1&gt;</p><p>twice<br>or more</p>",
    "model": {"name": "Cat"},
    "files": [{"hashes": {"SHA256": "AB" * 32}}, {"hashes": {"SHA256": "no digest"}}, 3],
}


def test_what_civitai_helper_noted_is_read(model: ModelFile) -> None:
    beside(model, ".civitai.info", json.dumps(CIVITAI).encode())
    found = sidecars(model)
    assert found.civitai == CivitaiInfo(
        "Cat", "v2", "SDXL 1.0", ("sks cat", "sitting"), "Use <lora:cat:1>\ntwice\nor more", 3, 7, ("ab" * 32,)
    )
    assert found.description == "Use <lora:cat:1>\ntwice\nor more"
    beside(model, ".txt", b"mine")
    assert sidecars(model).description == "mine"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"files": 3, "model": [], "trainedWords": {}}', b"[" * 99_999])
def test_a_strange_civitai_note_harms_nothing(model: ModelFile, content: bytes) -> None:
    beside(model, ".civitai.info", content)
    assert sidecars(model).civitai in (None, CivitaiInfo())


def test_trigger_words_are_the_users_then_civitais_then_the_files_own(model: ModelFile) -> None:
    own = replace(model, summary=Summary("SAFETENSORS", metadata=(("modelspec.trigger_phrase", "own words"),)))
    assert trigger_words_of(model, sidecars(model)) == ()
    assert trigger_words_of(own, sidecars(own)) == ("own words",)
    beside(model, ".civitai.info", json.dumps(CIVITAI).encode())
    assert trigger_words_of(own, sidecars(own)) == ("sks cat", "sitting")
    beside(model, ".json", b'{"activation text": "mine, all mine"}')
    assert trigger_words_of(own, sidecars(own)) == ("mine, all mine",)


def test_user_metadata_are_changed_field_by_field_and_written_whole(model: ModelFile) -> None:
    beside(model, ".json", '{"notes": "旧", "other program": {"a": 1}, "vae": "x"}'.encode())
    written = write_user_metadata(model, {"notes": "新 🎨", "preferred weight": 0.8, "vae": None})
    assert written == {"notes": "新 🎨", "other program": {"a": 1}, "preferred weight": 0.8}
    assert sidecars(model).user_metadata == written
    assert [path.name for path in model.path.parent.glob("*.json*")] == ["a v1.5.json"]


def test_a_sidecar_that_cannot_be_read_is_not_written_over(model: ModelFile) -> None:
    place = beside(model, ".json", b'{"notes": "a comma is missing" "x": 1}')
    with pytest.raises(CannotWrite, match="not written over"):
        write_user_metadata(model, {"notes": "new"})
    assert place.read_bytes() == b'{"notes": "a comma is missing" "x": 1}'


def test_a_preview_is_put_under_a1111s_name_and_hides_behind_no_other(model: ModelFile) -> None:
    beside(model, ".png", b"former")
    place = write_preview(model, b"picture", ".webp")
    assert place.name == "a v1.5.webp"
    assert preview_of(model) == place
    assert place.read_bytes() == b"picture"
    assert place.with_name("a v1.5.png.bak").read_bytes() == b"former"
    assert write_preview(replace(model, kind="embedding"), b"x", ".png").name == "a v1.5.preview.png"
    with pytest.raises(UnknownChoice, match=r"\.exe"):
        write_preview(model, b"", ".exe")
