"""Prompt names: a name put into a prompt finds the file it was taken from, whatever else lies in the folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.files import Folders, ModelLibrary, prompt_names
from tests.files.making import lora, write_safetensors


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.of(data_dir=tmp_path, program_dir=tmp_path / "program")


def names_of(folders: Folders) -> dict[str, str | None]:
    library = ModelLibrary(folders)
    files = library.list("lora")
    names = prompt_names(files, "lora")
    for file in files:
        if file.path in names:
            assert library.find(names[file.path], "lora") == file
    library.close()
    return {file.name: names.get(file.path) for file in files}


def test_the_trainers_name_comes_first_as_in_a1111(folders: Folders) -> None:
    write_safetensors(folders.loras[0] / "v2-000004.safetensors", lora(768), metadata={"ss_output_name": "ink"})
    write_safetensors(folders.loras[0] / "plain.safetensors", lora(768))
    assert names_of(folders) == {"plain.safetensors": "plain", "v2-000004.safetensors": "ink"}


def test_of_two_with_one_name_each_gets_a_name_of_its_own(folders: Folders) -> None:
    for name in ("a/ink", "b/ink", "c"):
        write_safetensors(
            folders.loras[0] / f"{name}.safetensors", lora(768), metadata={"ss_output_name": "ink", "n": name}
        )
    assert names_of(folders) == {"a/ink.safetensors": "ink", "b/ink.safetensors": "b/ink", "c.safetensors": "c"}


def test_a_name_that_would_break_the_tag_gives_way_to_the_hash_or_none(folders: Folders) -> None:
    write_safetensors(folders.loras[0] / "a:b.safetensors", lora(768))
    write_safetensors(
        folders.loras[0] / "<img src=x>.safetensors", lora(768), metadata={"sshs_model_hash": "0123456789abcdef"}
    )
    assert names_of(folders) == {"<img src=x>.safetensors": "0123456789ab", "a:b.safetensors": None}


def test_hypernetworks_go_by_their_stem_and_embeddings_always(folders: Folders) -> None:
    library = ModelLibrary(folders)
    for folder, kind in ((folders.hypernetworks[0], "hypernetwork"), (folders.embeddings[0], "embedding")):
        folder.mkdir(parents=True)
        (folder / "one.pt").write_bytes(b"x")
        files = library.list(kind)
        assert prompt_names(files, kind) == {files[0].path: "one"}
    library.close()
