"""img2img over A1111's interface and pictures over our own: kept once, resolved at submission, refused in words."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.api.serving import Server

GOLDEN = Path(__file__).parents[1] / "golden"
PICTURE = base64.b64encode((GOLDEN / "pictures" / "init.png").read_bytes()).decode()
MASK = base64.b64encode((GOLDEN / "pictures" / "mask.png").read_bytes()).decode()
SMALL = {"prompt": "a cat", "steps": 1, "width": 64, "height": 64, "seed": 1, "init_images": [PICTURE]}


def answered(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/img2img", json={**SMALL, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def stored(server: Server) -> Any:
    return server.jobs.history(None, 1)[0].resolved.request


def test_an_answer_has_a1111s_keys_in_its_order(client: TestClient) -> None:
    expected = json.loads((GOLDEN / "api" / "img2img-answer.json").read_text(encoding="utf-8"))
    answer = answered(client, **{**expected["request"], "init_images": [PICTURE]})
    assert list(answer["parameters"].items()) == list(expected["parameters"].items())
    found, wanted = json.loads(answer["info"]), expected["info"]
    assert list(found) == list(wanted)
    assert found["denoising_strength"] == wanted["denoising_strength"]
    assert found["extra_generation_params"] == wanted["extra_generation_params"]
    ours, theirs = found["infotexts"][0].splitlines()[2], wanted["infotexts"][0].splitlines()[2]
    assert [entry.split(":")[0] for entry in ours.split(", ")] == [entry.split(":")[0] for entry in theirs.split(", ")]


def test_the_fields_mean_what_they_mean_in_a1111(client: TestClient, server: Server) -> None:
    answered(client, mask=MASK, mask_blur=7, inpainting_fill=2, inpainting_mask_invert=1, resize_mode=2)
    request = stored(server)
    assert (request.mask_blur_x, request.mask_blur_y) == (7, 7)
    assert request.masked_content == "latent noise"
    assert request.mask_mode == "Inpaint not masked"
    assert request.resize_mode == "Resize and fill"
    assert (request.inpaint_area, request.masked_padding) == ("Only masked", 0)
    assert request.image_cfg_scale == 1.0


def test_as_many_pictures_make_a_batch_of_as_many(client: TestClient, server: Server) -> None:
    other = io.BytesIO()
    Image.new("RGB", (64, 64)).save(other, "PNG")
    answer = answered(
        client, init_images=[PICTURE, "data:image/png;base64," + base64.b64encode(other.getvalue()).decode()]
    )
    assert len(answer["images"]) == 2
    assert len(set(stored(server).init_images)) == 2


def test_pictures_are_given_back_only_where_that_is_asked_for(client: TestClient) -> None:
    assert answered(client)["parameters"]["init_images"] is None
    assert answered(client, include_init_images=True)["parameters"]["init_images"] == [PICTURE]


@pytest.mark.parametrize(
    ("fields", "status", "code", "field"),
    [
        ({"init_images": None}, 404, "image_missing", "init_images"),
        ({"init_images": []}, 404, "image_missing", "init_images"),
        ({"init_images": ["not base64 at all!"]}, 422, "invalid_image", "init_images"),
        ({"init_images": ["aGVsbG8="]}, 422, "invalid_image", "init_images"),
        ({"init_images": ["http://127.0.0.1:1/x.png"]}, 422, "invalid_image", "init_images"),
        ({"mask": "???"}, 422, "invalid_image", "mask"),
        ({"resize_mode": 9}, 422, "invalid_field", "resize_mode"),
        ({"denoising_strength": -1}, 422, "invalid_field", "denoising_strength"),
    ],
)
def test_what_cannot_be_redrawn_is_refused_in_words(
    client: TestClient, fields: dict[str, Any], status: int, code: str, field: str
) -> None:
    answer = client.post("/sdapi/v1/img2img", json={**SMALL, **fields})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (status, code, field)


def test_more_than_all_denoising_is_all_as_in_a1111(client: TestClient, server: Server) -> None:
    answered(client, denoising_strength=1.5)
    assert stored(server).denoising_strength == 1.0


def test_a_picture_is_sent_once_and_named_in_jobs(client: TestClient, server: Server) -> None:
    data = (GOLDEN / "pictures" / "init.png").read_bytes()
    digest = client.post("/api/pictures", content=data).json()["hash"]
    got = client.get(f"/api/pictures/{digest}")
    assert (got.content, got.headers["content-type"]) == (data, "image/png")
    body = {"prompt": "a cat", "width": 64, "height": 64, "steps": 1, "init_images": [digest]}
    job = client.post("/api/jobs", json=body).json()["id"]
    assert server.jobs.wait(job, 30).state == "done"
    assert server.store.hashes() >= {digest}


def test_unknown_and_broken_pictures_are_refused_at_once(client: TestClient) -> None:
    answer = client.post("/api/jobs", json={"prompt": "x", "init_images": ["0" * 64]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (404, "blob_not_found", "init_images")
    assert client.post("/api/pictures", content=b"no picture").status_code == 422
    assert client.get("/api/pictures/" + "0" * 64).status_code == 404
