"""A1111's routes for Extras, against what A1111 itself answered."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.files import Encoding, encode, read_picture_info
from tests.files.making import put_face_files

GOLDEN = Path(__file__).parents[1] / "golden" / "extras"
RECORDED: list[dict[str, Any]] = json.loads((GOLDEN / "a1111.json").read_text())
INIT = (GOLDEN / "init.png").read_bytes()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def asked(client: TestClient, **fields: object) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/extra-single-image", json=fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_answer_is_a1111s(client: TestClient, case: Mapping[str, Any]) -> None:
    answer = asked(client, **{**case["request"], "image": base64_of(INIT)})
    assert list(answer) == case["keys"]
    assert answer["html_info"] == case["html_info"]
    picture = opened(answer["image"])
    assert list(picture.size) == case["size"]
    assert {"postprocessing": picture.info["postprocessing"]} == case["png_text"]
    same = sha256(np.asarray(picture.convert("RGB")).tobytes()).hexdigest() == case["rgb_sha256"]
    # A1111 leaves black borders where the size is no multiple of 8; ours covers it.
    assert same == (case["name"] != "extras_to_300x200_crop")


def test_a_cut_size_has_no_black_border(client: TestClient) -> None:
    wish = {"resize_mode": 1, "upscaling_resize_w": 300, "upscaling_resize_h": 200, "upscaler_1": "Lanczos"}
    white = encode(Image.new("RGB", (256, 256), "white"))
    assert np.asarray(opened(asked(client, image=base64_of(white), **wish)["image"])).min() == 255


def test_only_a_picture_is_needed_and_null_means_the_default(client: TestClient) -> None:
    fields = dict.fromkeys(("resize_mode", "upscaler_1", "upscaler_2", "gfpgan_visibility", "upscaling_resize"))
    answer = asked(client, image=f"data:image/png;base64,{base64_of(INIT)}", unknown=1, **fields)
    assert opened(answer["image"]).tobytes() == Image.open(io.BytesIO(INIT)).tobytes()
    assert answer["html_info"] == "<p></p>"


def test_the_infotext_of_the_picture_is_kept(client: TestClient) -> None:
    text = "a cat\nSteps: 3, Sampler: Euler, Seed: 1"
    data = encode(Image.new("RGB", (16, 16)), text, texts={"workflow": "{}"})
    answer = asked(client, image=base64_of(data), upscaler_1="Lanczos")
    info = read_picture_info(base64.b64decode(answer["image"]))
    assert info.infotext == text
    assert info.items == {
        "workflow": "{}",
        "postprocessing": "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos",
    }
    jpeg = encode(Image.new("RGB", (16, 16)), text, Encoding("jpg"))
    answer = asked(client, image=base64_of(jpeg), upscaler_1="Lanczos")
    assert read_picture_info(base64.b64decode(answer["image"])).infotext == text


def test_a_batch_is_answered_in_its_order(client: TestClient) -> None:
    pictures = [
        {"data": base64_of(encode(Image.new("RGB", (8 * number, 8)))), "name": f"{number}.png"} for number in (3, 1, 2)
    ]
    answer = client.post("/sdapi/v1/extra-batch-images", json={"imageList": pictures, "upscaler_1": "Nearest"}).json()
    assert [opened(image).size for image in answer["images"]] == [(48, 16), (16, 16), (32, 16)]
    assert answer["html_info"] == "<p>Postprocess upscale by: 2.0, Postprocess upscaler: Nearest</p>"


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"gfpgan_visibility": 1}, 404, "Put GFPGANv1.4.pth into"),
        ({"gfpgan_visibility": 1.5}, 422, "less than or equal to 1"),
        ({"codeformer_visibility": 0.5}, 501, "no commercial use"),
        ({"upscaler_1": "No such"}, 422, "There is no upscaler called 'No such'"),
        ({"upscaling_resize": 9, "upscaler_1": "Lanczos"}, 422, "less than or equal to 8"),
        ({"upscaling_resize": float("1e400"), "upscaler_1": "Lanczos"}, 422, "finite"),
        ({"resize_mode": 2}, 422, "resize_mode is 0"),
        ({"image": "no base64!"}, 422, "Invalid encoded image"),
        ({"image": base64_of(b"no picture")}, 422, "damaged or of a kind"),
        ({"image": base64_of(INIT[:1000])}, 422, "damaged or of a kind"),
        ({"image": ""}, 422, "damaged or of a kind"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    client: TestClient, fields: dict[str, object], status: int, words: str
) -> None:
    body = json.dumps({"image": base64_of(INIT), **fields})
    answer = client.post("/sdapi/v1/extra-single-image", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"] or words in str(answer.json())


def with_faces(client: TestClient, tmp_path: Path) -> TestClient:
    """The same, with what restores faces in the server's folder."""
    put_face_files(tmp_path / "0")
    return client


def test_faces_are_restored_after_the_enlargement(client: TestClient, tmp_path: Path) -> None:
    grey = base64_of(encode(Image.new("RGBA", (16, 8), (100, 100, 100, 80))))
    wish = {"gfpgan_visibility": 0.5, "upscaler_1": "Nearest", "upscaling_resize": 2}
    answer = asked(with_faces(client, tmp_path), image=grey, **wish)
    said = "Postprocess upscale by: 2.0, Postprocess upscaler: Nearest, GFPGAN visibility: 0.5"
    assert answer["html_info"] == f"<p>{said}</p>"
    picture = opened(answer["image"])
    assert picture.info["postprocessing"] == said
    assert picture.size == (32, 16)
    assert picture.getpixel((5, 5)) == (177, 177, 177, 80)  # half way to white, as the fake engine restores


def test_a_picture_without_a_face_comes_back_with_a_word_on_it(client: TestClient, tmp_path: Path) -> None:
    black = encode(Image.new("RGB", (16, 8)))
    answer = asked(with_faces(client, tmp_path), image=base64_of(black), gfpgan_visibility=1)
    assert "<p>No face was found; the picture stays as it is.</p>" in answer["html_info"]
    assert opened(answer["image"]).getbbox() is None


def test_the_detector_that_is_lacking_is_named(client: TestClient, tmp_path: Path) -> None:
    with_faces(client, tmp_path)
    [detector] = (tmp_path / "0" / "models" / "GFPGAN").glob("*.onnx")
    detector.unlink()
    answer = client.post("/sdapi/v1/extra-single-image", json={"image": base64_of(INIT), "gfpgan_visibility": 1})
    assert answer.status_code == 404
    assert "Put face_detection_yunet_2026may.onnx" in answer.json()["detail"]


def test_face_restorers_are_listed_as_a1111_lists_them(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/sdapi/v1/face-restorers").json() == []
    with_faces(client, tmp_path)
    asked(client, image=base64_of(INIT), gfpgan_visibility=1)  # looks again
    folder = str(tmp_path / "0" / "models" / "GFPGAN")
    assert client.get("/sdapi/v1/face-restorers").json() == [{"name": "GFPGAN", "cmd_dir": folder}]


def test_nothing_is_saved(client: TestClient, tmp_path: Path) -> None:
    asked(client, image=base64_of(INIT), upscaler_1="Lanczos")
    assert [*tmp_path.rglob("extras-images")] == []
