"""A1111's scripts by name and arguments: they become values of extensions, and their pictures are all answered."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.serving import Server

GOLDEN = Path(__file__).parents[1] / "golden"
PICTURE = base64.b64encode((GOLDEN / "pictures" / "init.png").read_bytes()).decode()
SMALL = {"prompt": "a cat", "steps": 1, "width": 64, "height": 64, "seed": 1, "init_images": [PICTURE]}


OWN = {
    ("sd upscale", "Upscaler"),  # its choices are the files that are there
    ("poor man's outpainting", "Mask blur"),  # both scripts are one here, whose defaults are the other's
    ("poor man's outpainting", "Masked content"),
}


def posted(client: TestClient, route: str = "img2img", **fields: Any) -> Any:
    return client.post(f"/sdapi/v1/{route}", json={**SMALL, **fields})


def stored(server: Server) -> Any:
    return server.jobs.history(None, 1)[0]


def test_a_scripts_arguments_are_read_in_their_order(client: TestClient, server: Server) -> None:
    answer = posted(client, script_name="LoopBack", script_args=[3, 0.25, "Lazy", "None"], denoising_strength=0.75)
    assert answer.status_code == 200, answer.text
    info = json.loads(answer.json()["info"])
    assert len(answer.json()["images"]) == 3
    assert info["all_seeds"] == [1, 2, 3]
    assert info["extra_generation_params"]["Final denoising strength"] == 0.25
    assert info["extra_generation_params"]["Denoising curve"] == "Lazy"
    assert stored(server).request.extensions["loopback"] == {
        "loops": 3,
        "final_denoising_strength": 0.25,
        "curve": "Lazy",
        "interrogation": "None",
    }
    said = [text.partition("Denoising strength: ")[2].split(",")[0] for text in info["infotexts"]]
    assert [round(float(one), 4) for one in said] == [0.75, 0.6036, 0.25]


def test_each_round_redraws_the_pixels_of_the_one_before(client: TestClient, server: Server) -> None:
    assert posted(client, script_name="loopback", script_args=[2]).status_code == 200
    kept = server.store._database.read("SELECT image, result FROM pictures ORDER BY image")
    assert [(row["image"], bool(row["result"])) for row in kept] == [(0, True), (1, False)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"script_name": "no such script"}, "Script 'no such script' not found"),
        ({"alwayson_scripts": {"loopback": {"args": []}}}, "Script 'loopback' not found"),
        ({"script_name": "loopback", "script_args": [2, 0.5, "Linear", "CLIP"]}, "captioner"),
        ({"script_name": "loopback", "script_args": [2, 0.5, "Steep"]}, "curve"),
        ({"script_name": "loopback", "script_args": [1, 1, "Lazy", "None", 5]}, "5 arguments were sent; it has 4"),
    ],
)
def test_what_a_script_cannot_do_is_refused_in_words(client: TestClient, fields: dict[str, Any], words: str) -> None:
    answer = posted(client, **fields)
    assert answer.status_code == 422
    assert words in answer.text


def test_a_script_of_the_other_tab_is_not_found(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={"prompt": "a cat", "steps": 1, "script_name": "loopback"})
    assert (answer.status_code, "Script 'loopback' not found" in answer.text) == (422, True)


def test_the_lists_name_the_scripts_and_their_arguments_as_a1111_does(client: TestClient) -> None:
    recorded = json.loads((GOLDEN / "api" / "script-info.json").read_text(encoding="utf-8"))["body"]
    theirs = {(one["name"], one["is_img2img"]): one for one in recorded}
    info = [one for one in client.get("/sdapi/v1/script-info").json() if not one["is_alwayson"]]
    for one in info:
        for ours, known in zip(one["args"], theirs[one["name"], one["is_img2img"]]["args"], strict=True):
            assert (ours["minimum"], ours["maximum"]) == (known["minimum"], known["maximum"]), one["name"]
            if known["label"] and (one["name"], known["label"]) not in OWN:
                assert (ours["value"], ours["choices"]) == (known["value"], known["choices"]), one["name"]
    listed = client.get("/sdapi/v1/scripts").json()
    assert "loopback" in listed["img2img"]
    assert "loopback" not in listed["txt2img"]
