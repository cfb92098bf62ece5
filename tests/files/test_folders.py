"""Folders lie where A1111's users expect them, whatever their names and whichever flags are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, UPSCALER, VAE, Folders
from app.schema.errors import CannotWrite


def test_without_flags_everything_lies_beside_the_program(tmp_path: Path) -> None:
    folders = Folders.of(program_dir=tmp_path)
    assert folders.of_kind(CHECKPOINT) == (tmp_path / "models/Stable-diffusion",)
    assert folders.of_kind(VAE) == (tmp_path / "models/VAE",)
    assert folders.of_kind(LORA) == (tmp_path / "models/Lora", tmp_path / "models/LyCORIS")
    assert folders.of_kind(EMBEDDING) == (tmp_path / "embeddings",)
    assert folders.of_kind(HYPERNETWORK) == (tmp_path / "models/hypernetworks",)
    assert tmp_path / "models/ESRGAN" in folders.of_kind(UPSCALER)
    assert folders.outputs == tmp_path / "outputs"


def test_the_programs_own_checkpoints_are_listed_whatever_the_flags_say(tmp_path: Path) -> None:
    folders = Folders.of(
        program_dir=tmp_path / "easel",
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        ckpt_dir=[tmp_path / "a", str(tmp_path / "b")],
    )
    assert folders.of_kind(CHECKPOINT) == (
        tmp_path / "models/Stable-diffusion",
        tmp_path / "a",
        tmp_path / "b",
        tmp_path / "easel/models/Stable-diffusion",
    )
    assert folders.embeddings == (tmp_path / "data/embeddings",)


def test_lora_embedding_and_hypernetwork_folders_take_the_place_of_the_conventional_ones(tmp_path: Path) -> None:
    folders = Folders.of(
        data_dir=tmp_path,
        lora_dir=tmp_path / "l",
        embeddings_dir=tmp_path / "e",
        hypernetwork_dir=tmp_path / "h",
        vae_dir=tmp_path / "v",
    )
    assert folders.loras == (tmp_path / "l", tmp_path / "models/LyCORIS")
    assert folders.embeddings == (tmp_path / "e",)
    assert folders.hypernetworks == (tmp_path / "h",)
    assert folders.vaes == (tmp_path / "models/VAE", tmp_path / "v")


def test_missing_folders_are_made_under_any_name(tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path / "数据 和 图片 🎨", program_dir=tmp_path / "program")
    folders.create()
    for kind in (CHECKPOINT, VAE, LORA, EMBEDDING, HYPERNETWORK):
        assert folders.of_kind(kind)[0].is_dir()
    assert folders.outputs.is_dir()
    assert folders.state.is_dir()
    assert not (tmp_path / "program").exists()


def test_a_folder_that_is_only_read_is_not_made_in_place_of_an_unmounted_one(tmp_path: Path) -> None:
    Folders.of(data_dir=tmp_path / "data", ckpt_dir=tmp_path / "drive").create()
    assert not (tmp_path / "drive").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in the way")
    with pytest.raises(CannotWrite, match=r"models.Stable-diffusion cannot be made"):
        Folders.of(data_dir=tmp_path).create()


def test_one_folder_under_two_names_is_listed_once(tmp_path: Path) -> None:
    real = tmp_path / "models/Stable-diffusion"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    assert Folders.of(program_dir=tmp_path, ckpt_dir=tmp_path / "link").checkpoints == (real,)
