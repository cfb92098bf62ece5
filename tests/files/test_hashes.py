"""Hashes are A1111's, computed once for each state of a file, and may be broken off."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from app.files import CHECKPOINT, LORA, Folders, ModelLibrary
from app.files import hashes as hashes_module
from app.files.hashes import addnet_hash, legacy_hash, sha256_of
from app.schema.errors import ModelChanged
from tests.files import making
from tests.files.making import header_of, lora, safetensors_bytes, write_safetensors


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path, program_dir=tmp_path)
    folders.create()
    return folders


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"easel" * 500_000)
    assert sha256_of(path) == hashlib.sha256(b"easel" * 500_000).hexdigest()


def test_the_addnet_hash_is_that_of_the_weights_alone(tmp_path: Path) -> None:
    text, _ = header_of({"a": (4,)}, "F32")
    one, other, pickle = tmp_path / "one.safetensors", tmp_path / "other.safetensors", tmp_path / "a.pt"
    one.write_bytes(safetensors_bytes(text, b"0123456789abcdef"))
    other.write_bytes(safetensors_bytes(text + b"    ", b"0123456789abcdef"))
    pickle.write_bytes(b"\x80\x02.")
    assert addnet_hash(one) == addnet_hash(other) == hashlib.sha256(b"0123456789abcdef").hexdigest()
    assert addnet_hash(pickle) == hashlib.sha256(b"\x80\x02.").hexdigest()


def test_the_legacy_hash_is_that_of_64_kib_after_the_first_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(0x100000) + b"\x01" * 0x10000 + b"\x02" * 10)
    assert legacy_hash(path) == hashlib.sha256(b"\x01" * 0x10000).hexdigest()[:8]
    path.write_bytes(bytes(0x100000))
    assert legacy_hash(path) == ""


def test_a_title_carries_the_hash_as_soon_as_it_is_known_and_after_a_restart(folders: Folders) -> None:
    path = write_safetensors(folders.checkpoints[0] / "sub/a.safetensors", making.SD1)
    index = folders.state / "library.sqlite"
    library = ModelLibrary(folders, index)
    file = library.find("a")
    assert (file.title, file.sha256) == ("sub/a.safetensors", None)
    whole = hashlib.sha256(path.read_bytes()).hexdigest()
    assert library.hash(file) == whole
    assert library.list(CHECKPOINT)[0].title == f"sub/a.safetensors [{whole[:10]}]"
    assert library.find(whole[:10]).sha256 == whole
    assert library.find(f"a [{whole[:10]}]").stem == "a"
    library.close()
    again = ModelLibrary(folders, index)
    assert again.find(whole).title == f"sub/a.safetensors [{whole[:10]}]"


def test_a_hash_is_computed_once_for_each_state_of_a_file(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders)
    first = library.hash(library.find("a"))
    monkeypatch.setattr(hashes_module, "sha256_of", lambda *_, **__: "read again")
    assert library.hash(library.find("a")) == first
    write_safetensors(path, making.SD2)
    assert library.find("a").sha256 is None
    assert library.hash(library.find("a")) == "read again"


def test_a_file_that_was_replaced_is_not_taken_for_the_listed_one(folders: Folders) -> None:
    path = write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders)
    file = library.find("a")
    write_safetensors(path, making.SD2)
    with pytest.raises(ModelChanged, match=r"a\.safetensors was replaced or removed"):
        library.hash(file)
    path.unlink()
    with pytest.raises(ModelChanged):
        library.hash(file)


def test_hashing_is_broken_off_when_asked(folders: Folders) -> None:
    write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders)
    with pytest.raises(CancelledError):
        library.hash(library.find("a"), cancelled=lambda: True)
    assert library.find("a").sha256 is None


def test_hashes_in_the_background_reach_the_list(folders: Folders) -> None:
    write_safetensors(folders.loras[0] / "a.safetensors", lora(768))
    library = ModelLibrary(folders)
    library.hash_later(library.find("a", LORA)).result(timeout=10)
    (file,) = library.list(LORA)
    assert file.sha256 == sha256_of(file.path)
    assert file.addnet_hash == addnet_hash(file.path)
    assert file.short_hash == addnet_hash(file.path)[:12]


def test_the_program_ends_in_the_middle_of_a_hash(folders: Folders) -> None:
    library = ModelLibrary(folders)
    begun, seen = threading.Event(), []

    def task(closing: Callable[[], bool]) -> str:
        begun.set()
        while not closing():
            pass
        seen.append("closed")
        return ""

    library.hashes.later(task)
    begun.wait()
    library.close()
    assert seen == ["closed"]


def test_an_old_eight_digit_hash_finds_its_checkpoint(folders: Folders) -> None:
    for name, shapes in (("one", making.SD1), ("two", making.SDXL)):
        path = write_safetensors(folders.checkpoints[0] / f"{name}.safetensors", shapes)
        with path.open("r+b") as file:
            file.seek(0x100000)
            file.write(name.encode())
    library = ModelLibrary(folders)
    old = legacy_hash(folders.checkpoints[0] / "two.safetensors")
    assert library.find(old).stem == "two"
    assert library.find(f"two.safetensors [{old}]").stem == "two"


def test_a_diffusers_folder_has_a_hash_that_follows_its_files(folders: Folders) -> None:
    place = folders.checkpoints[0] / "folder"
    (place / "unet").mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    (place / "unet/config.json").write_text("{}")
    library = ModelLibrary(folders)
    before = library.hash(library.list(CHECKPOINT)[0])
    (place / "unet/config.json").write_text('{"in_channels": 9}')
    library.refresh()
    after = library.hash(library.list(CHECKPOINT)[0])
    assert len(before) == len(after) == 64
    assert before != after


def test_two_who_ask_for_a_hash_at_once_read_the_file_once(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders)
    file = library.find("a")
    begun, go_on, reads = threading.Event(), threading.Event(), []

    def slow(path: Path, **options: object) -> str:
        reads.append(path)
        begun.set()
        go_on.wait(10)
        return sha256_of(path)

    monkeypatch.setattr(hashes_module, "sha256_of", slow)
    first = library.hash_later(file)
    begun.wait(10)
    second = threading.Thread(target=library.hash, args=(file,))
    second.start()
    go_on.set()
    second.join(10)
    assert (first.result(10), reads) == (sha256_of(file.path), [file.path])
