"""`models` lists the model folders and tells what a file is, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.files import ModelLibrary
from tests.cli.places import Places
from tests.files.making import SD1, SD2, SDXL, VAE, Shapes, lora, write_safetensors

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
Typed = Callable[..., int]
TAGS = {"10_cat": {"sks cat": 20, "sitting": 3}}


@pytest.fixture(autouse=True)
def files(places: Places) -> None:
    write_safetensors(places.folders.checkpoints[0] / "houses.safetensors", SD1)
    metadata = {"ss_tag_frequency": json.dumps(TAGS), "long": "x" * 5000}
    write_safetensors(places.folders.loras[0] / "deep" / "trees.safetensors", lora(768), metadata=metadata)
    (places.folders.checkpoints[0] / "broken.safetensors").write_bytes(b"<html>not found</html>")


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    (file,) = json.loads(capsys.readouterr().out)
    assert isinstance(file, dict)
    return file


def test_everything_is_listed_with_what_is_broken_marked(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["checkpoint", "checkpoint", "lora", "3"]
    assert "houses.safetensors" in lines[1]
    assert lines[0].endswith(")"), "the broken file says why"
    assert "deep/trees.safetensors" in lines[2]
    assert lines[3] == "3 files, 1 of them cannot be used."


def test_a_kind_narrows_the_list(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "list", "lora", "--json") == 0
    file = told(capsys)
    assert (file["kind"], file["name"], file["problem"]) == ("lora", "deep/trees.safetensors", None)
    assert easel("models", "list", "loras") == 1
    assert "There is no kind of model named 'loras'." in capsys.readouterr().err


def test_an_action_that_is_none_is_told_what_comes_near(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "verfy") == 2
    assert capsys.readouterr().err == "`models` has no action 'verfy'. Did you mean verify?\n"


def test_a_file_is_found_whatever_its_kind(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "info", "trees") == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert (lines["kind"], lines["name"], lines["type"]) == ("lora", "deep/trees.safetensors", "LoRA")
    assert (lines["ranks"], lines["parts"]) == ("4", "unet, text encoder")
    assert lines["tags"] == "sks cat (20), sitting (3)"


def test_a_path_is_told_about_wherever_it_lies(
    easel: Typed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_safetensors(tmp_path / "some where" / "中文 🎨.safetensors", lora(2048))
    assert easel("models", "info", str(path), "--json") == 0
    file = told(capsys)
    assert (file["kind"], file["family"], file["path"]) == ("lora", "SDXL", str(path))
    assert easel("models", "info", str(tmp_path / "gone.safetensors")) == 1
    assert "There is no checkpoint named" in capsys.readouterr().err


def test_a_broken_file_is_told_about_with_its_reason(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "info", "broken", "--json") == 0
    assert "It is a web page" in str(told(capsys)["problem"])


def test_hashes_and_long_metadata_are_read_when_asked_for(
    easel: Typed, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("models", "info", "trees", "--json") == 0
    file = told(capsys)
    assert (file["sha256"], file["AutoV2"], file["AutoV3"]) == (None, None, None)
    assert "long" not in dict(file["metadata"])  # type: ignore[call-overload]
    assert easel("models", "info", "trees", "--json", "--hash", "--full") == 0
    file = told(capsys)
    library = ModelLibrary(places.folders)
    assert file["sha256"] == library.hash(library.find("trees", "lora"))
    assert file["AutoV2"] == str(file["sha256"])[:10]
    assert len(str(file["AutoV3"])) == 12
    assert len(dict(file["metadata"])["long"]) == 5000  # type: ignore[call-overload]


def test_what_lies_beside_a_checkpoint_is_told(
    easel: Typed, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    place = places.folders.checkpoints[0]
    write_safetensors(place / "houses.vae.safetensors", VAE)
    (place / "houses.json").write_text('{"description": "Houses.", "activation text": "house"}')
    (place / "houses.yaml").write_text('model: {params: {parameterization: "v"}}')
    assert easel("models", "info", "houses", "--json") == 0
    file = told(capsys)
    assert (file["vae"], file["description"]) == ("houses.vae.safetensors", "Houses.")
    assert file["configuration"] == str(place / "houses.yaml")
    assert file["trigger_words"] == ["house"]


@pytest.mark.parametrize(
    ("tensors", "metadata", "yaml", "prediction", "known_from"),
    [
        (SD2, {}, "v", "v", "the .yaml beside it"),
        (SD2, {"modelspec.prediction_type": "v"}, "eps", "epsilon", "the .yaml beside it"),
        (SD2, {"easel.config": '{"prediction_type": "v"}'}, "", "v", "its metadata easel.config"),
        (SD2, {"modelspec.predict_key": "v"}, "", "v", "its metadata modelspec.predict_key"),
        (
            SDXL | {"v_pred": (1,)},
            {"modelspec.prediction_type": "epsilon"},
            "",
            "epsilon",
            "its metadata modelspec.prediction_type",
        ),
        (SDXL | {"v_pred": (1,)}, {}, "", "v", "its tensor v_pred"),
        (SD2, {}, "", "", "found out when it is loaded, by a test of its U-Net"),
        (SD1, {}, "", "epsilon", "what its family does unless a file says otherwise"),
    ],
)
def test_what_a_checkpoint_predicts_is_told_with_where_it_stands(
    easel: Typed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tensors: Shapes,
    metadata: dict[str, str],
    yaml: str,
    prediction: str,
    known_from: str,
) -> None:
    path = write_safetensors(tmp_path / "some.safetensors", tensors, metadata=metadata)
    if yaml:
        path.with_suffix(".yaml").write_text(f"model:\n  params:\n    parameterization: {yaml}\n")
    assert easel("models", "info", str(path), "--json") == 0
    file = told(capsys)
    assert (file["prediction"], file["prediction_from"]) == (prediction, known_from)


def test_an_embeddings_measures_are_told(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "info", str(GOLDEN / "embedding.pt"), "--json") == 0
    file = told(capsys)
    assert (file["kind"], file["vectors"], file["widths"], file["step"]) == ("embedding", 2, [768], "500")
