"""A1111's lists of networks in its shapes, and the models in memory: unloaded, reloaded, pinned."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.access import Access
from app.jobs.engine import BeforeGroup
from app.schema.memory import MemoryTier, ModelInMemory, ModelMemory
from app.schema.request import GenerationRequest
from tests.api.conftest import client_of
from tests.api.serving import Server
from tests.files.making import SDXL, lora, write_safetensors
from tests.jobs.fake_engine import FakeEngine

GOLDEN = Path(__file__).parents[1] / "golden"


def recorded(name: str) -> Any:
    return json.loads((GOLDEN / "api" / f"{name}.json").read_text("utf-8"))["body"]


def shape_of(value: Any) -> Any:
    """Names and JSON types; null fits every type."""
    if isinstance(value, dict):
        return {key: shape_of(inner) for key, inner in value.items()}
    return type(value).__name__ if value is not None else None


def test_loras_are_listed_as_a1111_lists_them(server: Server, client: TestClient) -> None:
    folder = server.folders.loras[0]
    tags = {"10_x": {"ann": 3}}
    write_safetensors(
        folder / "people" / "ann-10.safetensors",
        lora(768),
        metadata={"ss_output_name": "ann", "ss_tag_frequency": json.dumps(tags), "ssmd_cover_images": "x" * 9000},
    )
    (folder / "torn.safetensors").write_bytes(b"torn")
    (item,) = client.get("/sdapi/v1/loras").json()
    assert item.keys() == recorded("loras")[0].keys()
    assert (item["name"], item["alias"]) == ("ann-10", "ann")
    assert item["path"] == str(folder / "people" / "ann-10.safetensors")
    assert item["metadata"] == {"ss_output_name": "ann", "ss_tag_frequency": tags}


def test_embeddings_are_loaded_or_skipped_by_the_chosen_checkpoint(server: Server, client: TestClient) -> None:
    folder = server.folders.embeddings[0]
    write_safetensors(folder / "parity-ti.safetensors", {"emb_params": (3, 768)})
    write_safetensors(folder / "parity-xl-ti.safetensors", {"clip_l": (2, 768), "clip_g": (2, 1280)})
    assert client.get("/sdapi/v1/embeddings").json() == recorded("embeddings")
    write_safetensors(server.folders.checkpoints[0] / "xl.safetensors", SDXL)
    client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "xl.safetensors"})
    body = client.get("/sdapi/v1/embeddings").json()
    assert (list(body["loaded"]), list(body["skipped"])) == (["parity-xl-ti"], ["parity-ti"])


def test_hypernetworks_are_listed_as_a1111_lists_them(server: Server, client: TestClient) -> None:
    (server.folders.hypernetworks[0] / "ink.pt").write_bytes((GOLDEN / "pickles" / "hypernetwork.pt").read_bytes())
    (item,) = client.get("/sdapi/v1/hypernetworks").json()
    assert shape_of(item) == shape_of(recorded("hypernetworks")[0])
    assert item == {"name": "ink", "path": str(server.folders.hypernetworks[0] / "ink.pt")}
    (card,) = client.get("/api/models/hypernetwork").json()["models"]
    assert card["prompt_name"] == "ink"


def test_new_files_show_up_after_a_refresh(server: Server, client: TestClient) -> None:
    assert client.get("/sdapi/v1/loras").json() == []
    write_safetensors(server.folders.loras[0] / "ink.safetensors", lora(768))
    assert client.post("/sdapi/v1/refresh-loras").json() is None
    assert [item["name"] for item in client.get("/sdapi/v1/loras").json()] == ["ink"]
    write_safetensors(server.folders.embeddings[0] / "bad.safetensors", {"emb_params": (3, 768)})
    assert client.post("/sdapi/v1/refresh-embeddings").json() is None
    assert list(client.get("/sdapi/v1/embeddings").json()["loaded"]) == ["bad"]


class Holding(FakeEngine):
    """An engine that has one checkpoint in memory."""

    def __init__(self, path: str, before_group: BeforeGroup) -> None:
        super().__init__(before_group)
        self.path = path
        self.paths = [path]

    def memory(self) -> ModelMemory:
        models = tuple(
            ModelInMemory(path, Path(path).name, "checkpoint", 5, 7, 2, path in self.pinned, True, "fp16")
            for path in self.paths
        )
        return ModelMemory(models, (MemoryTier("host", "cpu", 7, 50, 100),))

    def reload(self) -> None:
        self.paths = [self.path]


def holding(servers: Callable[..., Server], **options: object) -> Server:
    server: list[Server] = []

    def make(before_group: BeforeGroup) -> Holding:
        return Holding(str(server[0].folders.checkpoints[0] / "formula.safetensors"), before_group)

    server.append(servers(make_engine=make, **options))
    job = server[0].jobs.submit(_small(), "local")
    server[0].jobs.wait(job.id, 20)
    return server[0]


def _small() -> Any:

    return GenerationRequest(prompt="a cat", width=64, height=64, steps=1)


def wait_for(client: TestClient, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The models in memory once they are as wanted; an order is obeyed between two groups of work."""
    give_up = time.monotonic() + 10
    while True:
        models: list[dict[str, Any]] = client.get("/api/memory").json()["models"]
        if wanted(models) or time.monotonic() > give_up:
            return models
        time.sleep(0.005)


def test_the_models_in_memory_are_told_with_their_tiers(servers: Callable[..., Server]) -> None:
    server = holding(servers)
    client = client_of(server)
    body = client.get("/api/memory").json()
    assert body["tiers"] == [{"name": "host", "device": "cpu", "used": 7, "budget": 50, "total": 100}]
    (model,) = body["models"]
    card = client.get("/api/models/checkpoint").json()["models"][0]
    assert (model["id"], model["file_kind"], model["name"]) == (card["id"], "checkpoint", "formula.safetensors")
    assert (model["device_bytes"], model["host_bytes"], model["mapped_bytes"], model["tier"]) == (5, 7, 2, "host")
    assert body["may_change"]
    assert str(server.folders.data) not in json.dumps(body)


def test_a1111s_unload_and_reload(servers: Callable[..., Server]) -> None:
    client = client_of(holding(servers))
    assert client.post("/sdapi/v1/unload-checkpoint").json() == {}
    assert wait_for(client, lambda models: not models) == []
    assert client.post("/sdapi/v1/reload-checkpoint").json() == {}
    assert len(wait_for(client, bool)) == 1


def test_a_pinned_model_stays_until_it_is_unloaded_by_name(servers: Callable[..., Server]) -> None:
    client = client_of(holding(servers))
    id = client.get("/api/memory").json()["models"][0]["id"]
    assert client.post(f"/api/memory/checkpoint/{id}/pin").status_code == 202
    assert wait_for(client, lambda models: models[0]["pinned"])[0]["pinned"]
    client.post("/api/memory/unload")
    client.post(f"/api/memory/checkpoint/{id}/unpin")
    assert not wait_for(client, lambda models: not models[0]["pinned"])[0]["pinned"]
    client.post(f"/api/memory/checkpoint/{id}/unload")
    assert wait_for(client, lambda models: not models) == []
    assert client.post("/api/memory/reload").status_code == 202
    assert len(wait_for(client, bool)) == 1
    assert client.post(f"/api/memory/checkpoint/{'0' * 24}/pin").status_code == 404
    assert client.post(f"/api/memory/checkpoint/{id}/forget").status_code == 422


def test_only_the_administrator_changes_what_is_in_memory(servers: Callable[..., Server]) -> None:
    server = holding(servers, access=Access(page_logins={"ann": "a", "bob": "b"}))
    ann, bob = (client_of(server, Authorization=f"Basic {b64encode(login).decode()}") for login in (b"ann:a", b"bob:b"))
    assert [client.get("/api/memory").json()["may_change"] for client in (ann, bob)] == [True, False]
    assert bob.post("/api/memory/unload").status_code == 403
    assert len(bob.get("/api/memory").json()["models"]) == 1
    assert ann.post("/api/memory/unload").status_code == 202
