"""`models` lists the model folders and tells what a file is, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.places import Places
from tests.files.making import SD1, lora, write_safetensors

Typed = Callable[..., int]


@pytest.fixture(autouse=True)
def two_files(places: Places) -> None:
    write_safetensors(places.folders.checkpoints[0] / "houses.safetensors", SD1)
    write_safetensors(places.folders.loras[0] / "deep" / "trees.safetensors", lora(768))
    (places.folders.checkpoints[0] / "broken.safetensors").write_bytes(b"<html>not found</html>")


def test_everything_is_listed_with_what_is_broken_marked(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["checkpoint", "checkpoint", "lora", "3"]
    assert "houses.safetensors" in lines[1]
    assert lines[0].endswith(")"), "the broken file says why"
    assert "deep/trees.safetensors" in lines[2]


def test_a_kind_narrows_the_list(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "list", "lora", "--json") == 0
    (file,) = json.loads(capsys.readouterr().out)
    assert (file["kind"], file["name"], file["problem"]) == ("lora", "deep/trees.safetensors", None)
    assert easel("models", "list", "loras") == 1
    assert "There is no kind of model named 'loras'." in capsys.readouterr().err


def test_a_file_is_found_whatever_its_kind(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "info", "trees") == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert told["kind"] == "lora"
    assert told["name"] == "deep/trees.safetensors"
