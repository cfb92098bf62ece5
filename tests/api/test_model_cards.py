"""/api/models: pages of cards, details of one file, thumbnails; hostile names and missing files."""

from __future__ import annotations

import io
import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.access import Access
from app.schema.errors import UnsupportedModel
from tests.api.conftest import client_of
from tests.api.serving import SHAPES, Server
from tests.files.making import SDXL, lora, write_safetensors

HOSTILE = "<img src=x onerror=alert(1)>"


def add_lora(server: Server, name: str, width: int = 768, **metadata: str) -> Path:
    path = server.folders.loras[0] / f"{name}.safetensors"
    return write_safetensors(path, lora(width), metadata={"n": name, **metadata})


def cards(client: TestClient, kind: str = "lora", **query: object) -> dict[str, Any]:
    answer = client.get(f"/api/models/{kind}", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def labels(client: TestClient, **query: object) -> list[str]:
    return [card["label"] for card in cards(client, **query)["models"]]


def test_a_page_holds_the_cards_wanted_and_says_how_many_there_are(server: Server, client: TestClient) -> None:
    for number in range(25):
        add_lora(server, f"style-{number}")
    assert labels(client, size=10, page=2) == [f"style-{number}" for number in range(20, 25)]
    body = cards(client, size=10, search="STYLE-1")
    assert (body["total"], body["all"], len(body["models"])) == (11, 25, 10)
    assert body["models"][0]["label"] == "style-1"


def test_search_finds_names_families_and_trainers_names(server: Server, client: TestClient) -> None:
    add_lora(server, "people/ann-10", ss_output_name="Ann Portrait")
    add_lora(server, "people/bob", 2048)
    assert labels(client, search="portrait") == ["ann-10"]
    assert labels(client, search="sdxl people") == ["bob"]
    assert labels(client, search="sdxl ann") == []


def test_folders_are_counted_and_narrow_the_list(server: Server, client: TestClient) -> None:
    for name in ("a/b/one", "a/two", "three", ".old/four"):
        add_lora(server, name)
    assert cards(client)["folders"] == [{"path": "a", "count": 2}, {"path": "a/b", "count": 1}]
    assert labels(client, folder="a") == ["one", "two"]
    assert labels(client, folder="a/b") == ["one"]
    assert labels(client, folder="../..") == []


def test_hidden_folders_show_up_in_a_search_of_four_letters(server: Server, client: TestClient) -> None:
    add_lora(server, ".old/four")
    assert labels(client) == []
    assert labels(client, search="fou") == []
    assert labels(client, search="four") == ["four"]


def test_the_order_is_by_path_name_or_time_and_can_be_turned(server: Server, client: TestClient) -> None:
    for name, seconds in (("b/alpha", 300), ("a/beta", 100), ("c/Gamma", 200)):
        os.utime(add_lora(server, name), (seconds, seconds))
    assert labels(client) == ["beta", "alpha", "Gamma"]
    assert labels(client, sort="name") == ["alpha", "beta", "Gamma"]
    assert labels(client, sort="modified") == ["beta", "Gamma", "alpha"]
    assert labels(client, sort="modified", descending=True) == ["alpha", "Gamma", "beta"]
    assert labels(client, sort="created") == ["alpha", "beta", "Gamma"]
    assert client.get("/api/models/lora?sort=size").status_code == 422


def test_cards_of_another_family_say_why_they_do_not_fit(server: Server, client: TestClient) -> None:
    add_lora(server, "small")
    add_lora(server, "large", 2048)
    write_safetensors(server.folders.checkpoints[0] / "xl.safetensors", SDXL)
    fitting = {card["label"]: card["unfitting"] for card in cards(client, checkpoint="formula.safetensors")["models"]}
    assert fitting == {
        "small": None,
        "large": "It is made for SDXL; the chosen checkpoint is of the family SD1.",
    }
    fitting = {card["label"]: card["unfitting"] for card in cards(client, checkpoint="xl.safetensors")["models"]}
    assert fitting["large"] is None
    assert fitting["small"] is not None
    assert all(card["unfitting"] is None for card in cards(client, checkpoint="gone")["models"])


def test_a_broken_file_has_a_card_with_its_reason(server: Server, client: TestClient) -> None:
    server.folders.loras[0].mkdir(exist_ok=True, parents=True)
    (server.folders.loras[0] / "torn.safetensors").write_bytes(b"\x10\x27\0\0\0\0\0\0{")
    (card,) = cards(client)["models"]
    assert card["problem"]["code"] == "broken_model_file"
    assert client.get(f"/api/models/lora/{card['id']}").json()["rank"] is None


def test_sidecars_fill_the_card(server: Server, client: TestClient) -> None:
    path = add_lora(server, "ann", ss_output_name="ann")
    beside = {"description": "<b>A person</b>", "activation text": "ann, woman", "preferred weight": 0.8}
    path.with_suffix(".json").write_text(json.dumps({**beside, "negative text": "blurry", "notes": "n"}))
    (card,) = cards(client)["models"]
    assert card["description"] == "<b>A person</b>"
    assert (card["activation_text"], card["negative_text"], card["preferred_weight"]) == ("ann, woman", "blurry", 0.8)
    assert card["prompt_name"] == "ann"
    path.with_suffix(".json").write_text(json.dumps({"activation text": ["x"], "preferred weight": "NaN"}))
    (card,) = cards(client)["models"]
    assert (card["activation_text"], card["preferred_weight"]) == ("", None)


def test_details_tell_metadata_rank_hashes_and_trigger_words(server: Server, client: TestClient) -> None:
    tags = {"10_ann": {"ann": 12, "woman ": 10, " ": 3}, "2_ann": {"ann": 2, "hat": 1, "bad": None}, "x": 5}
    add_lora(server, "ann", ss_tag_frequency=json.dumps(tags), ss_network_dim="16", ssmd_cover_images="x" * 5000)
    (card,) = cards(client)["models"]
    details = client.get(f"/api/models/lora/{card['id']}").json()
    assert details["tags"] == [["ann", 14], ["woman", 10], ["hat", 1]]
    assert (details["rank"], details["network"]["type"], details["network"]["modules"]) == ("4", "LoRA", 2)
    assert details["metadata"]["ss_tag_frequency"] == json.dumps(tags)
    assert "ssmd_cover_images" not in details["metadata"]
    assert details["contents"]["dtype"] == "F16"
    (file,) = server.library.list("lora")
    digest = server.library.hash(file)
    hashes = client.get(f"/api/models/lora/{card['id']}").json()["hashes"]
    assert (hashes["sha256"], hashes["AutoV2"]) == (digest, digest[:10])


def test_how_much_of_a_network_a_checkpoint_uses_is_told_with_the_names_of_the_rest(
    server: Server, client: TestClient
) -> None:
    for name in ("half", "other", "whole"):
        add_lora(server, name)
    half, other, whole = (f"/api/models/lora/{card['id']}/fit" for card in cards(client)["models"])
    found = client.get(half, params={"checkpoint": "formula.safetensors"}).json()
    assert found == {
        "matched": 1, "total": 2, "parts": "layers", "unmatched": ["lora_unet_<b>far</b>"],
        "checkpoint": "formula.safetensors",
    }  # fmt: skip
    assert client.get(whole, params={"checkpoint": "formula"}).json()["unmatched"] == []
    refused = client.get(other, params={"checkpoint": "formula"})
    assert (refused.status_code, "was made for SDXL" in refused.text) == (UnsupportedModel.status, True)
    assert client.get(half, params={"checkpoint": "gone"}).status_code == 404
    assert client.get(half).status_code == 422
    assert client.get(f"/api/models/lora/{'0' * 24}/fit?checkpoint=formula").status_code == 404


def test_the_rank_is_read_from_the_tensors_where_nobody_says_it(server: Server, client: TestClient) -> None:
    add_lora(server, "plain")
    (card,) = cards(client)["models"]
    assert client.get(f"/api/models/lora/{card['id']}").json()["rank"] == "4"


def test_a_thumbnail_is_a_small_webp_that_may_be_kept(server: Server, client: TestClient) -> None:
    path = add_lora(server, "ann")
    Image.new("RGB", (640, 960), "red").save(path.with_suffix(".png"))
    (card,) = cards(client)["models"]
    answer = client.get("/" + card["thumbnail"])
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (320, 480)
    add_lora(server, "bare")
    server.library.refresh("lora")
    bare = cards(client)["models"][1]
    assert client.get("/" + bare["thumbnail"]).status_code == 204


@pytest.mark.parametrize("id", ["../../config.json", "%2e%2e%2fconfig.json", "0" * 24, "style.safetensors"])
def test_nothing_outside_the_list_is_served(server: Server, client: TestClient, id: str) -> None:
    add_lora(server, "style")
    for rest in ("", "/thumbnail"):
        answer = client.get(f"/api/models/lora/{id}{rest}")
        assert answer.status_code == 404
        assert str(server.folders.data) not in answer.text


def test_hostile_names_travel_as_data(server: Server, client: TestClient) -> None:
    add_lora(server, HOSTILE, ss_output_name=HOSTILE)
    (card,) = cards(client)["models"]
    assert card["label"] == HOSTILE
    assert card["prompt_name"] is None
    answer = client.get("/api/models/lora")
    assert answer.headers["content-type"] == "application/json"
    assert str(server.folders.data) not in answer.text


def test_checkpoints_have_cards_too(server: Server, client: TestClient) -> None:
    assert SHAPES
    body = cards(client, kind="checkpoint")
    assert [card["label"] for card in body["models"]] == ["formula", "other"]
    assert body["models"][0]["prompt_name"] is None
    assert body["models"][0]["family"] == "SD1"


def test_notes_go_into_the_sidecar_and_leave_other_programs_fields(server: Server, client: TestClient) -> None:
    path = add_lora(server, "ann")
    path.with_suffix(".json").write_text(json.dumps({"civitai id": 7, "notes": "old"}))
    (card,) = cards(client)["models"]
    address = f"/api/models/lora/{card['id']}/user-metadata"
    answer = client.put(address, json={"activation text": "ann, woman", "preferred weight": 0.7})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["activation_text"], answer.json()["preferred_weight"]) == ("ann, woman", 0.7)
    kept = {"civitai id": 7, "notes": "old", "activation text": "ann, woman", "preferred weight": 0.7}
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == kept
    for wrong in ({"preferred weight": 99}, {"other": 1}, {"sd version": "SD9"}, {"notes": ["x"]}):
        assert client.put(address, json=wrong).status_code == 422
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == kept
    assert client.put(f"/api/models/lora/{'0' * 24}/user-metadata", json={"notes": "x"}).status_code == 404


def test_a_picture_of_ones_own_becomes_a_preview(server: Server, client: TestClient) -> None:
    path = add_lora(server, "ann")
    write_safetensors(server.folders.embeddings[0] / "bad.safetensors", {"emb_params": (2, 768)})
    job = client.post("/api/jobs", json={"prompt": "a cat", "width": 64, "height": 64, "steps": 1}).json()["id"]
    server.jobs.wait(job, 20)
    for kind, place in (
        ("lora", path.with_suffix(".png")),
        ("embedding", server.folders.embeddings[0] / "bad.preview.png"),
    ):
        (card,) = cards(client, kind=kind)["models"]
        answer = client.put(f"/api/models/{kind}/{card['id']}/preview", json={"job": job, "index": 0})
        assert answer.status_code == 200, answer.text
        assert answer.json()["thumbnail"] != card["thumbnail"]
        assert place.read_bytes() == server.jobs.image_file(job, 0).read_bytes()
    answer = client.put(f"/api/models/lora/{cards(client)['models'][0]['id']}/preview", json={"job": job, "index": 5})
    assert answer.status_code == 404


def test_somebody_elses_picture_does_not_become_a_preview(servers: Callable[..., Server]) -> None:
    server = servers(access=Access(page_logins={"ann": "a", "bob": "b"}))
    add_lora(server, "ann")
    mine, other = (
        client_of(server, Authorization=f"Basic {b64encode(login).decode()}") for login in (b"ann:a", b"bob:b")
    )
    job = mine.post("/api/jobs", json={"prompt": "a cat", "width": 64, "height": 64, "steps": 1}).json()["id"]
    server.jobs.wait(job, 20)
    (card,) = cards(other)["models"]
    body = {"job": job, "index": 0}
    assert other.put(f"/api/models/lora/{card['id']}/preview", json=body).status_code == 404
    assert mine.put(f"/api/models/lora/{card['id']}/preview", json=body).status_code == 200


def test_strangers_on_an_open_server_change_no_files(servers: Callable[..., Server]) -> None:
    server = servers(access=Access(personal=False))
    path = add_lora(server, "ann")
    client = client_of(server, "10.0.0.1")
    (card,) = cards(client)["models"]
    for rest, body in (("user-metadata", {"notes": "x"}), ("preview", {"job": "x", "index": 0})):
        assert client.put(f"/api/models/lora/{card['id']}/{rest}", json=body).status_code == 403
    assert not path.with_suffix(".json").exists()
