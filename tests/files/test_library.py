"""The library lists every file under its A1111 name, opens only new ones, and hides nothing that is broken."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, VAE, Folders, ModelFile, ModelLibrary
from app.files import library as library_module
from app.files.network_facts import EmbeddingFacts, LoraFacts
from app.files.summarise import summarise
from app.schema.errors import BrokenModelFile, ModelNotFound, UnsupportedModel
from tests.files import making
from tests.files.making import lora, write_safetensors

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path / "data 数据", program_dir=tmp_path / "program")
    folders.create()
    return folders


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that the library looked into."""
    names: list[str] = []

    def counted(path: Path):  # type: ignore[no-untyped-def]
        names.append(path.name)
        return summarise(path)

    monkeypatch.setattr(library_module, "summarise", counted)
    return names


def names(files: tuple[ModelFile, ...]) -> list[str]:
    return [file.name for file in files]


def test_checkpoints_of_all_folders_are_listed_by_relative_name_in_natural_order(folders: Folders) -> None:
    first, own = folders.checkpoints[0], folders.checkpoints[-1]
    for name in ("v10.safetensors", "V9.safetensors", "动漫/中文 模型 🎨.safetensors", "a/b/deep.safetensors"):
        write_safetensors(first / name, making.SD1)
    write_safetensors(own / "starter.safetensors", making.SD1)
    files = ModelLibrary(folders).list(CHECKPOINT)
    assert names(files) == [
        "a/b/deep.safetensors",
        "V9.safetensors",
        "v10.safetensors",
        "动漫/中文 模型 🎨.safetensors",
        "starter.safetensors",
    ]
    assert {(file.family, file.problem) for file in files} == {("SD1", None)}
    assert files[3].stem == "中文 模型 🎨"
    assert files[3].title == "动漫/中文 模型 🎨.safetensors"


def test_a_second_start_opens_no_file_that_has_not_changed(folders: Folders, opened: list[str]) -> None:
    index = folders.state / "library.sqlite"
    metadata = {"ss_output_name": "pretty", "modelspec.thumbnail": "x" * 5000}
    for number in range(5):
        write_safetensors(folders.loras[0] / f"{number}.safetensors", lora(768), metadata=metadata)
    before = ModelLibrary(folders, index)
    listed = before.list(LORA)
    before.close()
    assert sorted(opened) == [f"{number}.safetensors" for number in range(5)]
    opened.clear()
    changed = write_safetensors(folders.loras[0] / "3.safetensors", lora(2048))
    again = ModelLibrary(folders, index)
    relisted = again.list(LORA)
    assert opened == ["3.safetensors"]
    assert [file for file in relisted if file.path != changed] == [file for file in listed if file.path != changed]
    assert again.find("3", LORA).family == "SDXL"
    assert again.find("4", LORA).alias == "pretty"
    assert "modelspec.thumbnail" not in again.find("4", LORA).metadata
    assert again.metadata(again.find("4", LORA)) == metadata


def test_a_file_put_there_after_the_scan_is_found(folders: Folders) -> None:
    library = ModelLibrary(folders)
    assert library.list(CHECKPOINT) == ()
    write_safetensors(folders.checkpoints[0] / "new.safetensors", making.SDXL)
    assert library.find("new").family == "SDXL"


def test_a_file_that_is_gone_is_not_found_any_more(folders: Folders) -> None:
    path = write_safetensors(folders.checkpoints[0] / "photo one.safetensors", making.SD1)
    write_safetensors(folders.checkpoints[0] / "photo two.safetensors", making.SD1)
    library = ModelLibrary(folders)
    library.list(CHECKPOINT)
    path.unlink()
    with pytest.raises(
        ModelNotFound, match=r"no checkpoint named 'photo one'. Similar: photo two\.safetensors"
    ) as caught:
        library.find("photo one")
    assert caught.value.field == "checkpoint"


def test_a_replaced_file_is_found_as_it_is_now(folders: Folders) -> None:
    path = write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders)
    assert library.find("a").family == "SD1"
    write_safetensors(path, making.SDXL)
    found = library.find("a")
    assert (found.family, found.size) == ("SDXL", path.stat().st_size)


def test_broken_and_misplaced_files_are_listed_with_their_reason(folders: Folders) -> None:
    place = folders.checkpoints[0]
    write_safetensors(place / "good.safetensors", making.SD1)
    half = write_safetensors(place / "half.safetensors", making.SD1)
    os.truncate(half, half.stat().st_size // 2)
    (place / "page.ckpt").write_bytes(b"<!DOCTYPE html><html></html>")
    (place / "empty.safetensors").touch()
    (place / "link.safetensors").symlink_to(place / "nowhere.safetensors")
    (place / "new.gguf").write_bytes(b"GGUF\x03\0\0\0")
    write_safetensors(place / "style.safetensors", lora(768))
    write_safetensors(place / "big.safetensors", {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (2, 2)})
    library = ModelLibrary(folders)
    reasons = {file.name: file.problem.text if file.problem else None for file in library.list(CHECKPOINT)}
    assert reasons.pop("good.safetensors") is None
    for name, words in {
        "half.safetensors": "It was copied or downloaded in part",
        "page.ckpt": "It is a web page, not a model",
        "empty.safetensors": "It is empty (zero bytes).",
        "link.safetensors": "the link leads nowhere",
        "new.gguf": "GGUF file, which is not supported",
        "style.safetensors": "It is a LoRA, not a checkpoint: it belongs in models/Lora.",
        "big.safetensors": "family Flux, which is not supported",
    }.items():
        assert words in (reasons.pop(name) or ""), name
    assert reasons == {}
    with pytest.raises(BrokenModelFile, match=r"half\.safetensors cannot be used: .*in part"):
        library.find("half")
    with pytest.raises(UnsupportedModel, match="it belongs in models/Lora"):
        library.find("style")


def test_content_decides_and_not_the_name(folders: Folders) -> None:
    (folders.checkpoints[0] / "a.safetensors").write_bytes((GOLDEN / "old.ckpt").read_bytes())
    (folders.checkpoints[0] / "b.safetensors").write_bytes((GOLDEN / "zip.ckpt").read_bytes())
    write_safetensors(folders.checkpoints[0] / "c.ckpt", making.SD2)
    files = ModelLibrary(folders).list(CHECKPOINT)
    assert [(file.summary.content, file.family, file.problem) for file in files] == [
        ("PICKLE", "SD1", None),
        ("ZIP", "SD1", None),
        ("SAFETENSORS", "SD2", None),
    ]


def test_vaes_beside_checkpoints_are_vaes(folders: Folders) -> None:
    place = folders.checkpoints[0]
    write_safetensors(place / "photo.safetensors", making.SD1)
    write_safetensors(place / "sub/photo.VAE.safetensors", making.VAE)
    write_safetensors(folders.vaes[0] / "photo-other.safetensors", making.VAE)
    library = ModelLibrary(folders)
    assert names(library.list(CHECKPOINT)) == ["photo.safetensors"]
    assert names(library.list(VAE)) == ["photo-other.safetensors", "sub/photo.VAE.safetensors"]
    beside = library.vae_beside(library.find("photo"))
    assert beside is not None
    assert beside.file_name == "photo.VAE.safetensors"
    assert library.find("photo.VAE.safetensors", VAE) == beside


def test_links_to_files_and_folders_are_followed_and_circles_end(folders: Folders, tmp_path: Path) -> None:
    elsewhere = tmp_path / "drive"
    target = write_safetensors(elsewhere / "deep/real.safetensors", making.SD1)
    place = folders.checkpoints[0]
    (place / "more").symlink_to(elsewhere)
    (place / "linked.safetensors").symlink_to(target)
    (elsewhere / "deep/circle").symlink_to(elsewhere)
    assert names(ModelLibrary(folders).list(CHECKPOINT)) == ["linked.safetensors", "more/deep/real.safetensors"]


def diffusers_model(place: Path, width: int = 1024, channels: int = 9) -> Path:
    write_safetensors(place / "unet/diffusion_pytorch_model.safetensors", {"conv_in.weight": (320, channels, 3, 3)})
    (place / "model_index.json").write_text(
        '{"unet": ["diffusers", "X"], "vae": ["diffusers", "Y"], "text_encoder": [null, null]}'
    )
    (place / "unet/config.json").write_text(f'{{"cross_attention_dim": {width}, "in_channels": {channels}}}')
    (place / "scheduler").mkdir()
    (place / "scheduler/scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    return place


def test_a_diffusers_folder_is_one_entry(folders: Folders) -> None:
    diffusers_model(folders.checkpoints[0] / "my model 模型")
    library = ModelLibrary(folders)
    (entry,) = library.list(CHECKPOINT)
    assert (entry.name, entry.folder, entry.problem) == ("my model 模型", True, None)
    assert (entry.family, entry.variant, entry.summary.prediction) == ("SD2", "inpaint", "v")
    assert (entry.summary.parts, entry.summary.dtype) == (("unet", "vae"), "F16")
    assert library.find("my model 模型") == entry


def test_a_diffusers_folder_without_weights_is_listed_with_its_reason(folders: Folders) -> None:
    half = diffusers_model(folders.checkpoints[0] / "half")
    os.truncate(half / "unet/diffusion_pytorch_model.safetensors", 100)
    empty = diffusers_model(folders.checkpoints[0] / "empty")
    (empty / "unet/diffusion_pytorch_model.safetensors").unlink()
    library = ModelLibrary(folders)
    reasons = {file.name: file.problem.text if file.problem else "" for file in library.list(CHECKPOINT)}
    assert "'unet' holds no weights" in reasons["empty"]
    assert reasons["half"].startswith("unet/diffusion_pytorch_model.safetensors: It was copied or downloaded in part")


def test_an_entry_that_cannot_be_used_is_told_about_all_the_same(folders: Folders) -> None:
    (folders.checkpoints[0] / "page.ckpt").write_bytes(b"<html>")
    entry = ModelLibrary(folders).entry("page")
    assert entry.problem is not None
    assert "web page" in entry.problem.text


def test_a_file_outside_the_folders_is_looked_at_by_its_path(folders: Folders, tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "elsewhere" / "a.safetensors", lora(2048))
    entry = ModelLibrary(folders).entry_at(path)
    assert (entry.kind, entry.family, entry.name, entry.path) == ("lora", "SDXL", "a.safetensors", path)
    with pytest.raises(ModelNotFound):
        ModelLibrary(folders).entry_at(tmp_path / "gone")


def test_a_file_that_could_not_be_read_once_is_looked_at_again(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    index = folders.state / "library.sqlite"
    with monkeypatch.context() as locked:
        locked.setattr(Path, "open", refuse_to_open)
        library = ModelLibrary(folders, index)
        (file,) = library.list(CHECKPOINT)
        assert file.problem is not None
        assert file.problem.text == "It cannot be read: Permission denied."
    library.refresh(CHECKPOINT)
    assert library.list(CHECKPOINT)[0].problem is None


def refuse_to_open(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def vaes_for(folders: Folders, *names: str) -> ModelLibrary:
    write_safetensors(folders.checkpoints[0] / "photo.safetensors", making.SD1)
    for name in names:
        write_safetensors(folders.vaes[0] / name, making.VAE)
    return ModelLibrary(folders)


def chosen_vae(library: ModelLibrary) -> str | None:
    vae = library.vae_of(library.find("photo"))
    return vae.file_name if vae else None


def test_the_automatic_vae_is_the_one_beside_the_checkpoint(folders: Folders) -> None:
    library = vaes_for(folders, "other.vae.pt", "photos.pt", "photo.vae.safetensors")
    assert chosen_vae(library) == "photo.vae.safetensors", "of the same stem, although another name is shorter"
    (folders.vaes[0] / "photo.vae.safetensors").unlink()
    library.refresh(VAE)
    assert chosen_vae(library) == "photos.pt", "any name that begins with the stem, as in A1111"
    (folders.vaes[0] / "photos.pt").unlink()
    library.refresh(VAE)
    assert chosen_vae(library) is None


def test_the_vae_that_is_noted_for_a_checkpoint_goes_before_the_one_beside(folders: Folders) -> None:
    library = vaes_for(folders, "photo.vae.pt", "bright.safetensors")
    note = folders.checkpoints[0] / "photo.json"
    for said, expected in (
        ("bright.safetensors", "bright.safetensors"),
        ("None", None),
        ("Automatic", "photo.vae.pt"),
        ("", "photo.vae.pt"),
        ("gone.pt", "photo.vae.pt"),
    ):
        note.write_text(json.dumps({"vae": said}))
        assert chosen_vae(library) == expected, said


def test_what_a_network_says_of_itself_is_remembered(folders: Folders, opened: list[str]) -> None:
    tags = {"10_cat": {"sks cat": 10, "sitting": 4}, "reg": {"sitting": 30}}
    write_safetensors(folders.loras[0] / "a.safetensors", lora(768), metadata={"ss_tag_frequency": json.dumps(tags)})
    (folders.embeddings[0] / "cat.pt").write_bytes((GOLDEN / "embedding.pt").read_bytes())
    (folders.hypernetworks[0] / "h.pt").write_bytes((GOLDEN / "hypernetwork.pt").read_bytes())
    told = []
    for _ in range(2):
        library = ModelLibrary(folders, folders.state / "library.sqlite")
        told.append([library.list(kind)[0].summary.network for kind in (LORA, EMBEDDING, HYPERNETWORK)])
        library.close()
    assert told[0] == told[1]
    assert told[0][0] == LoraFacts(
        "LoRA", False, (4,), ("unet", "text encoder"), 2, (("sitting", 34), ("sks cat", 10)), ()
    )
    assert told[0][1] == EmbeddingFacts(2, (768,), "500", "8ac1dfeb94")
    assert sorted(opened) == ["a.safetensors", "cat.pt", "h.pt"]


def test_other_files_are_no_models(folders: Folders) -> None:
    place = folders.loras[0]
    for name in ("a.png", "a.txt", "a.json", "a.preview.png", "._a.safetensors", "README.md", "a.safetensors.part"):
        (place / name).write_bytes(b"x")
    assert ModelLibrary(folders).list(LORA) == ()


def test_folders_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    library = ModelLibrary(Folders.of(data_dir=tmp_path / "gone", program_dir=tmp_path / "gone"))
    assert library.list(CHECKPOINT) == library.list(EMBEDDING) == ()


def test_a_damaged_memory_is_made_anew(folders: Folders, opened: list[str]) -> None:
    write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    index = folders.state / "library.sqlite"
    index.write_bytes(b"this is no database at all" * 100)
    for _ in range(2):
        library = ModelLibrary(folders, index)
        assert names(library.list(CHECKPOINT)) == ["a.safetensors"]
        library.close()
    assert opened == ["a.safetensors"]


def test_a_memory_that_cannot_be_written_stops_nothing(folders: Folders) -> None:
    write_safetensors(folders.checkpoints[0] / "a.safetensors", making.SD1)
    library = ModelLibrary(folders, folders.state / "no such folder" / "library.sqlite")
    assert names(library.list(CHECKPOINT)) == ["a.safetensors"]


def test_a_name_that_is_not_unicode_is_listed_and_remembered(folders: Folders, opened: list[str]) -> None:
    path = Path(os.fsdecode(os.fsencode(folders.checkpoints[0]) + b"/caf\xe9.safetensors"))
    write_safetensors(path, making.SD1)
    for _ in range(2):
        library = ModelLibrary(folders, folders.state / "library.sqlite")
        (entry,) = library.list(CHECKPOINT)
        assert entry.name == "caf?.safetensors"
        library.close()
    assert len(opened) == 1


def test_many_threads_may_ask_while_the_list_is_made_anew(folders: Folders) -> None:
    for number in range(20):
        write_safetensors(folders.loras[0] / f"{number}.safetensors", lora(768))
    library = ModelLibrary(folders, folders.state / "library.sqlite")
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(5):
            library.refresh(LORA)
            if library.find(str(number), LORA).stem != str(number) or len(library.list(LORA)) != 20:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
