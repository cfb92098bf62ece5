"""GFPGAN's files are known by what they hold; what is lacking or refused is said by name and place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.files import (
    FACE_RESTORER,
    Folders,
    ModelLibrary,
    face_restoration_lacks,
    face_restorers,
    find_face_detector,
    find_face_restorer,
)
from app.schema.errors import ModelNotFound, NotServedYet, UnknownChoice
from app.schema.faces import NO_CODEFORMER
from tests.files.making import GFPGAN, lora, put_face_files, write_safetensors

CODEFORMER = {"position_emb": (256, 512), "quantize.embedding.weight": (1024, 256), "ft_layers.0.norm1.weight": (512,)}
FIRST = dict.fromkeys(("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight", "conv_body_first.0.weight"), (3, 8))


def library(folder: Path) -> ModelLibrary:
    return ModelLibrary(Folders.of(data_dir=folder))


def place(folder: Path) -> Path:
    return folder / "models" / "GFPGAN"


def names(folder: Path) -> dict[str, str]:
    return {one.name: one.file.file_name for one in face_restorers(library(folder))}


def test_the_newest_file_is_called_gfpgan_and_the_others_by_their_stems(tmp_path: Path) -> None:
    assert names(tmp_path) == {}
    for version in ("GFPGANv1.3", "GFPGANv1.4", "GFPGANCleanv1-NoCE-C2"):
        write_safetensors(place(tmp_path) / f"{version}.safetensors", GFPGAN)
    assert names(tmp_path) == {
        "GFPGAN": "GFPGANv1.4.safetensors",
        "GFPGANv1.3": "GFPGANv1.3.safetensors",
        "GFPGANCleanv1-NoCE-C2": "GFPGANCleanv1-NoCE-C2.safetensors",
    }


def test_a_restorer_is_found_by_name_stem_and_file_whatever_the_capitals(tmp_path: Path) -> None:
    put_face_files(tmp_path)
    known = library(tmp_path)
    for name in ("GFPGAN", "gfpgan ", "GFPGANv1.4", "gfpganv1.4.safetensors"):
        assert find_face_restorer(known, name, "model").name == "GFPGAN"
    with pytest.raises(UnknownChoice, match=r"no face restorer called 'Else'.*There is GFPGAN"):
        find_face_restorer(known, "Else", "model")


def test_files_as_gfpgans_program_writes_them_are_known(tmp_path: Path) -> None:
    place(tmp_path).mkdir(parents=True)
    state = {name: torch.zeros(3) for name in GFPGAN}
    torch.save({"params_ema": state}, place(tmp_path) / "GFPGANv1.4.pth")
    assert names(tmp_path) == {"GFPGAN": "GFPGANv1.4.pth"}


def test_what_restores_no_face_is_listed_in_grey_with_the_reason(tmp_path: Path) -> None:
    write_safetensors(place(tmp_path) / "GFPGANv1.safetensors", FIRST)
    write_safetensors(place(tmp_path) / "parsing_parsenet.safetensors", {"encoder.0.weight": (8, 3, 3, 3)})
    write_safetensors(place(tmp_path) / "lora.safetensors", lora(768))
    (place(tmp_path) / "half.pth").write_bytes(b"")
    write_safetensors(tmp_path / "models" / "Codeformer" / "codeformer.safetensors", CODEFORMER)
    listed = {file.file_name: file.problem.text for file in library(tmp_path).list(FACE_RESTORER) if file.problem}
    assert listed == {
        "GFPGANv1.safetensors": "It is GFPGAN's first version, which is not read; versions 1.2, 1.3 and 1.4 are.",
        "parsing_parsenet.safetensors": "It holds nothing that is known of a face restorer.",
        "lora.safetensors": "It is a LoRA, not a face restorer: it belongs in models/Lora.",
        "half.pth": "It is empty (zero bytes).",
        "codeformer.safetensors": NO_CODEFORMER,
    }
    assert names(tmp_path) == {}


def test_codeformers_reason_names_its_licence_and_what_does_its_work() -> None:
    assert "S-Lab License 1.0" in NO_CODEFORMER
    assert "GFPGAN does the same work" in NO_CODEFORMER


def test_codeformer_is_refused_with_its_licence_and_what_to_choose(tmp_path: Path) -> None:
    put_face_files(tmp_path)
    with pytest.raises(NotServedYet, match=r"S-Lab License.*no commercial use.*Choose GFPGAN") as refused:
        find_face_restorer(library(tmp_path), "codeformer.pth", "model")
    assert refused.value.field == "model"


def test_what_is_lacking_is_said_with_file_and_folder(tmp_path: Path) -> None:
    lacks = face_restoration_lacks(library(tmp_path))
    assert f"Put GFPGANv1.4.pth into {place(tmp_path)}." in lacks
    assert (
        f"Put face_detection_yunet_2026may.onnx (of OpenCV's model zoo, MIT licence) into {place(tmp_path)}." in lacks
    )
    known = library(tmp_path)
    known.refresh()
    put_face_files(tmp_path)
    assert face_restoration_lacks(known) == ""  # put there while the program ran
    (place(tmp_path) / "GFPGANv1.4.safetensors").write_bytes(b"")
    assert (
        "and none of the files can be used: GFPGANv1.4.safetensors: It is empty (zero bytes)."
        in face_restoration_lacks(library(tmp_path))
    )


def test_of_several_detectors_the_newest_in_full_numbers_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"face_detection_yunet_2026may\.onnx"):
        find_face_detector([tmp_path / "none"], "faces")
    named = ("2023mar_int8", "2022dec", "2026may", "2026jan", "2026may_int8bq", "2023mar")
    for name in named:
        (tmp_path / f"face_detection_yunet_{name}.onnx").write_bytes(b"")
    (tmp_path / "other.onnx").write_bytes(b"")
    assert find_face_detector([tmp_path], "faces").name == "face_detection_yunet_2026may.onnx"


def test_the_folder_may_be_another(tmp_path: Path) -> None:
    folders = Folders.of(data_dir=tmp_path / "data", gfpgan_dir=tmp_path / "faces")
    write_safetensors(tmp_path / "faces" / "GFPGANv1.4.safetensors", GFPGAN)
    assert [one.name for one in face_restorers(ModelLibrary(folders))] == ["GFPGAN"]
    folders.create()
    assert Folders.of(data_dir=tmp_path).face_restorers[0] == place(tmp_path)
