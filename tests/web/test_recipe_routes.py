"""The routes behind PNG Info, the comparison and the style editor, without a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from app.files import CHECKPOINT, LORA
from app.language import Style
from app.schema.infotext import PROGRAM
from app.schema.request import GenerationRequest
from app.schema.settings import Settings
from app.web import recipe_routes
from app.web.pasting import Pasting, infotext_of
from app.web.recipe_routes import add_recipe_routes
from tests.api.conftest import client_of
from tests.api.serving import Server, build_server
from tests.files.making import write_safetensors
from tests.jobs.fake_engine import FakeEngine

LINE = "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x512"

REQUEST = GenerationRequest(prompt="a (cat:1.2)", negative_prompt="dog", seed=7, width=64, height=64, steps=3)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = build_server(tmp_path, FakeEngine)
    add_recipe_routes(server.app, Pasting(server.jobs, server.resolver), server.settings, server.styles)
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> TestClient:
    return client_of(server)


def why(client: TestClient, text: str, **values: object) -> dict[str, dict[str, object]]:
    answer = client.post("/easel/why", json={"text": text, "values": values})
    assert answer.status_code == 200, answer.text
    return {one["label"]: one for one in answer.json()["differences"]}


def test_a_recipe_is_told_in_full(client: TestClient) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", f"a <b>cat</b> 猫\nNegative prompt: dog\n{LINE}, Unheard of: yes")
    info.add_text("Title", "mine")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    told = client.post("/easel/recipe", content=file.getvalue(), headers={"Content-Type": "image/png"}).json()
    assert (told["prompt"], told["negative_prompt"], told["program"]) == ("a <b>cat</b> 猫", "dog", "")
    assert told["entries"][-1] == ["Unheard of", "yes"]
    assert told["items"] == {"Title": "mine"}


def test_another_programs_picture_says_whose_it_is(client: TestClient) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "NovelAI")
    info.add_text("Description", "a cat")
    info.add_text("Comment", json.dumps({"steps": 28, "sampler": "k_euler", "seed": 5, "scale": 11.0, "uc": "lowres"}))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    told = client.post("/easel/recipe", content=file.getvalue()).json()
    assert told["program"] == "NovelAI"
    found = client.post("/easel/why", json={"text": told["text"], "program": told["program"]}).json()["differences"]
    assert "Program" in {one["label"] for one in found}


def test_a_text_file_is_a_recipe_and_other_bytes_are_refused(client: TestClient) -> None:
    plain = client.post("/easel/recipe", content=f"a cat\n{LINE}".encode(), headers={"Content-Type": "text/plain"})
    assert plain.json()["prompt"] == "a cat"
    broken = client.post("/easel/recipe", content=b"no picture", headers={"Content-Type": "image/png"})
    assert (broken.status_code, broken.json()["error"]["code"]) == (422, "invalid_image")


def test_a_file_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_routes, "LARGEST", 1000)
    assert client.post("/easel/recipe", content=b"x" * 1001).status_code == 422


def test_a_file_of_the_same_name_with_another_hash_is_told(client: TestClient, server: Server) -> None:
    server.library.hash(server.library.find("formula", CHECKPOINT))
    text = f"\n{LINE}, Model hash: 0123456789, Model: formula, RNG: CPU, Version: {PROGRAM}"
    assert list(why(client, text, seed="5")) == ["Checkpoint"]
    found = why(client, text, seed="5")["Checkpoint"]
    assert "of the same name" in str(found["words"])


def test_the_forms_own_picture_does_not_differ(client: TestClient, server: Server) -> None:
    job = server.jobs.submit(REQUEST, "me")
    infotext = server.jobs.wait(job.id, 10).images[0].infotext
    values = {"prompt": "a (cat:1.2)", "negative_prompt": "dog", "seed": "7", "width": 64, "height": 64, "steps": 3}
    assert why(client, infotext, **values) == {}
    assert list(why(client, infotext, **values, overrides=["Clip skip: 2"])) == ["Clip skip"]
    server.settings.change({"randn_source": "NV"})
    assert list(why(client, infotext, **values)) == ["Random number source"]


def test_loras_are_compared_by_hash(client: TestClient, server: Server) -> None:
    shapes = {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)}
    folder = server.folders.loras[0]
    write_safetensors(folder / "ink.safetensors", shapes, metadata={"sshs_model_hash": "ab" * 32})
    server.library.refresh(LORA)
    same = f'\n{LINE}, Model: formula, Lora hashes: "ink: {"ab" * 6}", RNG: CPU, Version: {PROGRAM}'
    assert "LoRA ink" not in why(client, same, seed="5")
    other = same.replace("ab" * 6, "cd" * 6)
    assert "of the same name" in str(why(client, other, seed="5")["LoRA ink"]["words"])


def test_a_form_that_cannot_run_is_told_in_words(client: TestClient) -> None:
    answer = client.post("/easel/why", json={"text": f"a\n{LINE}", "values": {"checkpoint": "gone"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_styles_are_listed_saved_and_deleted(client: TestClient, server: Server) -> None:
    assert client.get("/easel/styles").json() == {"styles": []}
    saved = client.post("/easel/styles", json={"name": "oil", "prompt": "oil"}).json()
    assert saved == {"styles": [{"name": "oil", "prompt": "oil", "negative_prompt": ""}]}
    assert client.post("/easel/styles", json={"name": "#x"}).json()["error"]["code"] == "invalid_field"
    assert client.delete("/easel/styles", params={"name": "oil"}).json() == {"styles": []}
    assert client.delete("/easel/styles", params={"name": "oil"}).status_code == 422


def test_the_option_for_styles_in_pasted_texts(server: Server) -> None:
    server.styles.save(Style("oil", "oil on canvas"))
    pasting = Pasting(server.jobs, server.resolver)
    infotext = infotext_of(f"a cat, oil on canvas\n{LINE}")

    def read(settings: Settings, option: str) -> tuple[object, object]:
        fields = pasting.read(infotext, settings.change({"infotext_styles": option})).fields
        return fields["prompt"], fields.get("styles")

    assert read(server.settings, "Apply if any") == ("a cat", ("oil",))
    assert read(server.settings, "Ignore") == ("a cat, oil on canvas", None)
    assert read(server.settings, "Discard") == ("a cat", None)
    assert read(server.settings, "Apply") == ("a cat", ("oil",))


def test_the_last_generation_is_the_callers_newest_job(server: Server) -> None:
    pasting = Pasting(server.jobs, server.resolver)
    assert pasting.last("me") == ""
    job = server.jobs.submit(REQUEST, "me")
    server.jobs.wait(job.id, 10)
    assert pasting.last("me").startswith("a (cat:1.2)\nNegative prompt: dog\nSteps: 3")
    assert pasting.last("someone else") == ""
