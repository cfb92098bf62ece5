"""What lies beside a model file is found under A1111's names and read anew each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.files import ModelFile
from app.files.model_file import Summary
from app.files.sidecars import config_of, preview_of, sidecars


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
    assert sidecars(model) == (None, "", {}, None)


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
