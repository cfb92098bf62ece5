"""What a picture says of itself over HTTP, and an infotext in place of a request's fields."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from app.files import CHECKPOINT, FORMATS, Encoding, encode
from tests.api.serving import Server

GOLDEN = Path(__file__).parents[1] / "golden" / "api"
SMALL = {"width": 64, "height": 64, "steps": 1}
TEXT = (
    "a (red:1.2) house\nNegative prompt: blurry\n"
    "Steps: 7, Sampler: Euler a, Schedule type: Karras, CFG scale: 4.5, Seed: 99, Size: 64x72, Clip skip: 2, "
    "ENSD: 31337, Eta: 0.5, Version: v1.10.1"
)


def recorded(name: str) -> dict[str, Any]:
    """What A1111 answered."""
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def png_info(client: TestClient, picture: bytes, prefix: str = "") -> dict[str, Any]:
    answer = client.post("/sdapi/v1/png-info", json={"image": prefix + base64.b64encode(picture).decode()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def info(client: TestClient, **fields: object) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/txt2img", json=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.json()["info"])
    return found


@pytest.mark.parametrize("name", ["png-info", "png-info-plain"])
def test_png_info_answers_as_a1111_does(client: TestClient, name: str) -> None:
    expected = recorded(name)["body"]
    picture = png(parameters=expected["info"]) if expected["info"] else png()
    answer = png_info(client, picture, "data:image/png;base64,")
    assert list(answer) == list(expected)
    assert (answer["info"], answer["items"]) == (expected["info"], expected["items"])
    assert list(answer["parameters"].items()) == list(expected["parameters"].items())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_that_pictures_are_saved_in_is_read(client: TestClient, name: str) -> None:
    data = encode(Image.new("RGB", (16, 16)), TEXT + ", Note: äöü 猫", Encoding(name))
    answer = png_info(client, data)
    assert answer["info"] == TEXT + ", Note: äöü 猫"
    assert (answer["parameters"]["Seed"], answer["parameters"]["Note"]) == ("99", "äöü 猫")


def test_pictures_of_other_programs_are_told_in_a1111s_layout(client: TestClient) -> None:
    comment = {"steps": 28, "sampler": "k_euler_ancestral", "seed": 5, "scale": 11.0, "uc": "lowres"}
    novelai = png_info(client, png(Software="NovelAI", Description="a cat", Comment=json.dumps(comment)))
    assert novelai["info"].splitlines()[:2] == ["a cat", "Negative prompt: lowres"]
    told = novelai["parameters"]
    assert (told["Steps"], told["Sampler"], told["Seed"], told["ENSD"]) == ("28", "Euler a", "5", "31337")
    assert (told["Size-1"], told["Size-2"], told["Clip skip"]) == ("8", "8", "2")
    assert novelai["items"]["Software"] == "NovelAI"
    graph = {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["4", 1]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "cat", "clip": ["4", 1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 8,
                "steps": 12,
                "cfg": 6.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["1", 0],
                "negative": ["2", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "formula.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 72, "batch_size": 1}},
    }
    comfy = png_info(client, png(prompt=json.dumps(graph)))
    assert comfy["parameters"]["Prompt"] == "a dog"
    assert (comfy["parameters"]["Steps"], comfy["parameters"]["Seed"]) == ("12", "8")
    assert json.loads(comfy["items"]["prompt"]) == graph


@pytest.mark.parametrize(
    "image", ["not base64!", "aGVsbG8=", "data:image/png,xyz", "http://127.0.0.1/a.png", "iVBORw0KGgo"]
)
def test_what_is_no_picture_is_refused_in_words(client: TestClient, image: str) -> None:
    answer = client.post("/sdapi/v1/png-info", json={"image": image})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_image")


def test_a_png_that_breaks_off_still_tells_its_text(client: TestClient) -> None:
    picture = png(parameters=TEXT)
    assert png_info(client, picture[: picture.index(b"IDAT") - 4])["info"] == TEXT


def test_no_picture_has_no_text_as_in_a1111(client: TestClient) -> None:
    assert client.post("/sdapi/v1/png-info", json={"image": ""}).json()["info"] == ""


def test_an_infotext_fills_what_the_request_leaves_out(client: TestClient, server: Server) -> None:
    described = info(client, infotext=TEXT)
    sent = server.jobs.history(None)[0].request
    assert (described["prompt"], described["negative_prompt"]) == ("a (red:1.2) house", "blurry")
    assert (sent.steps, sent.sampler, sent.schedule, sent.cfg_scale, sent.seed) == (7, "Euler a", "Karras", 4.5, 99)
    assert (sent.width, sent.height, sent.eta) == (64, 72, 0.5)
    # Its RNG is not said, which means the GPU's.
    assert (sent.clip_skip, sent.noise_seed_delta, sent.noise_source) == (2, 31337, "GPU")
    assert (sent.variation_seed, sent.variation_strength, sent.save_images) == (-1, 0.0, False)
    assert server.settings.values().CLIP_stop_at_last_layers == 1


def test_what_the_request_names_stays(client: TestClient, server: Server) -> None:
    named = {"prompt": "", "steps": 50, "sampler_name": "Euler", "scheduler": "Exponential", "seed": 3, "eta": 1.0}
    overrides = {"CLIP_stop_at_last_layers": 3}
    answer = client.post("/sdapi/v1/txt2img", json={"infotext": TEXT, **named, "override_settings": overrides}).json()
    sent = server.jobs.history(None)[0].request
    assert (sent.prompt, sent.steps, sent.sampler, sent.schedule, sent.seed) == ("", 50, "Euler", "Exponential", 3)
    assert (sent.clip_skip, sent.noise_seed_delta, sent.eta) == (3, 31337, 1.0)
    assert sent.negative_prompt == "blurry"
    assert answer["parameters"]["cfg_scale"] == 4.5
    assert answer["parameters"]["override_settings"] == {
        "CLIP_stop_at_last_layers": 3,
        "eta_noise_seed_delta": 31337,
        "randn_source": "GPU",
    }


def test_an_infotexts_model_is_found_by_its_hash_then_by_its_name(client: TestClient, server: Server) -> None:
    other = server.library.find("other", CHECKPOINT)
    sha256 = server.library.hash(other)
    line = f"a cat\nSteps: 1, Sampler: Euler, Size: 64x64, Model hash: {sha256[:10]}, Model: renamed"
    assert info(client, infotext=line)["sd_model_name"] == "other"
    assert info(client, infotext=line.replace(sha256[:10], "0123456789"))["sd_model_name"] == "formula"
    unknown = line.replace(sha256[:10], "0123456789").replace("renamed", "other")
    assert info(client, infotext=unknown)["sd_model_name"] == "other"
    server.settings.change({"disable_weights_auto_swap": True})
    assert info(client, infotext=line)["sd_model_name"] == "formula"


@pytest.mark.parametrize(
    ("setting", "prompt", "styles"),
    [
        ("Apply if any", "a cat, oil on canvas", ("oil",)),
        ("Ignore", "a cat, oil on canvas", ()),
        ("Discard", "a cat", ()),
    ],
)
def test_styles_in_an_infotext(
    client: TestClient, server: Server, setting: str, prompt: str, styles: tuple[str, ...]
) -> None:
    (server.folders.data / "styles.csv").write_text("name,prompt,negative_prompt\noil,oil on canvas,\n")
    server.settings.change({"infotext_styles": setting})
    described = info(client, infotext="a cat, oil on canvas\nSteps: 1, Sampler: Euler, Size: 64x64")
    assert described["prompt"] == prompt
    assert server.jobs.history(None)[0].request.styles == styles


def test_a_text_that_says_nothing_changes_nothing(client: TestClient) -> None:
    assert info(client, infotext="", prompt="a cat", **SMALL)["prompt"] == "a cat"
    described = info(client, infotext="only a prompt", **SMALL)
    assert (described["prompt"], described["steps"]) == ("only a prompt", 1)
