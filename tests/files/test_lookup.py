"""A name means the file that A1111 would take, and a miss names what looks similar."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.files import ModelFile
from app.files.lookup import find, near, needs_legacy_hash
from app.files.model_file import Summary

SHA = "8ac1dfeb94c196734a7cb38817cb63afe481e781c741102b6fc1bc3f4d78ad63"


def entry(
    name: str,
    kind: str = "checkpoint",
    sha256: str | None = None,
    legacy_hash: str | None = None,
    metadata: dict[str, str] | None = None,
) -> ModelFile:
    summary = Summary("SAFETENSORS", kind, metadata=tuple((metadata or {}).items()))
    return ModelFile(Path("/m") / name, kind, name, 1, 1, summary, sha256=sha256, legacy_hash=legacy_hash)


PHOTO = entry("real/photo v2.safetensors", sha256=SHA, legacy_hash="a1b2c3d4")
LONG = entry("photo v2 inpainting.safetensors")
ANIME = entry("anime/thing.ckpt")
FILES = (LONG, PHOTO, ANIME)


@pytest.mark.parametrize(
    "text",
    [
        "a1b2c3d4",
        "real_photo v2",
        f"real/photo v2.safetensors [{SHA[:10]}]",
        "real/photo v2.safetensors",
        "real\\photo v2.safetensors",
        "photo v2",
        "real/photo v2.safetensors [a1b2c3d4]",
        SHA[:10],
        SHA,
        f"photo v2 [{SHA[:10]}]",
        "  photo v2  ",
        "l/photo",
    ],
)
def test_every_name_that_a1111_accepts_finds_the_checkpoint(text: str) -> None:
    assert find(text, FILES, "checkpoint") is PHOTO


def test_a_part_of_a_title_finds_the_shortest_title_that_contains_it() -> None:
    assert find("photo", FILES, "checkpoint") is LONG  # the other's title has its folder and hash
    assert find("photo v2 inp", FILES, "checkpoint") is LONG


def test_an_unknown_hash_in_brackets_is_ignored() -> None:
    assert find("thing.ckpt [0123456789]", FILES, "checkpoint") is ANIME


def test_parts_are_matched_with_their_capitals_as_in_a1111() -> None:
    assert find("PHOTO V2", FILES, "checkpoint") is None


def test_no_text_finds_nothing() -> None:
    assert find("", FILES, "checkpoint") is None
    assert find("   ", FILES, "checkpoint") is None
    assert find("[0123456789]", FILES, "checkpoint") is None


def test_of_two_files_of_one_name_the_first_is_taken() -> None:
    first, second = entry("a/same.safetensors"), entry("b/same.safetensors")
    assert find("same", (first, second), "checkpoint") is first
    assert find("b/same.safetensors", (first, second), "checkpoint") is second
    assert find("b_same", (first, second), "checkpoint") is second


def test_a_lora_is_found_by_file_name_then_by_its_trainers_name_then_by_hash() -> None:
    metadata = {"ss_output_name": "pretty", "sshs_model_hash": "0123456789abcdef"}
    named = entry("sub/file-7.safetensors", "lora", metadata=metadata)
    other = entry("pretty.safetensors", "lora")
    assert find("file-7", (named, other), "lora") is named
    assert find("pretty", (named, other), "lora") is other
    assert find("pretty", (named,), "lora") is named
    assert find("0123456789ab", (named, other), "lora") is named
    assert find("FILE-7", (named, other), "lora") is named
    assert find("file", (named, other), "lora") is None


def test_a_vae_is_chosen_by_its_file_name() -> None:
    vae = entry("sub/kl-f8.vae.pt", "vae")
    assert find("kl-f8.vae.pt", (vae,), "vae") is vae
    assert find("kl-f8", (vae,), "vae") is None


def test_a_hypernetwork_is_found_by_a_part_of_its_name() -> None:
    short, long = entry("style.pt", "hypernetwork"), entry("style-long.pt", "hypernetwork")
    assert find("tyle", (long, short), "hypernetwork") is short


def test_an_embedding_is_found_whatever_the_capitals() -> None:
    file = entry("EasyNegative.safetensors", "embedding")
    assert find("easynegative", (file,), "embedding") is file


def test_a_miss_names_what_looks_similar() -> None:
    assert near("foto v2", FILES) == ["real/photo v2.safetensors"]
    assert near("real/thng [0123456789]", FILES) == ["anime/thing.ckpt"]
    assert near("zzz", FILES) == []


def test_only_eight_hex_digits_ask_for_legacy_hashes() -> None:
    assert needs_legacy_hash("a1b2c3d4")
    assert needs_legacy_hash("model.ckpt [a1b2c3d4]")
    assert not needs_legacy_hash("model.ckpt [a1b2c3d4e5]")
    assert not needs_legacy_hash("model a1b2c3d4")
