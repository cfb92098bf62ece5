"""Over a real socket: an outside client of A1111's interface, a client that goes away, and our own command line."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uvicorn
import webuiapi

from app.cli.workshop import ServerJobs
from app.schema.request import GenerationRequest
from tests.api.serving import Server


@pytest.fixture
def address(server: Server) -> Iterator[tuple[str, int]]:
    """Where the server listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    web = uvicorn.Server(uvicorn.Config(server.app, log_level="warning"))
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not web.started:
        time.sleep(0.001)
    yield "127.0.0.1", listener.getsockname()[1]
    web.should_exit = True
    thread.join()


def test_webuiapi_draws_and_asks(address: tuple[str, int]) -> None:
    api = webuiapi.WebUIApi(host=address[0], port=address[1], sampler="Euler a", steps=2)
    result = api.txt2img(prompt="a cat", seed=5, width=64, height=32, batch_size=2)
    assert [image.size for image in result.images] == [(64, 32), (64, 32)]
    assert result.info["all_seeds"] == [5, 6]
    assert result.parameters["steps"] == 2
    assert "Euler a" in [sampler["name"] for sampler in api.get_samplers()]
    assert [model["model_name"] for model in api.get_sd_models()] == ["formula", "other"]
    assert api.get_progress()["state"]["job_count"] == 0
    api.set_options({"sd_model_checkpoint": "other.safetensors"})
    assert api.util_get_current_model() == "other.safetensors"
    assert api.interrupt() == {}


def test_a_client_that_goes_away_loses_nothing(address: tuple[str, int], server: Server) -> None:
    body = json.dumps({"prompt": "a cat", "steps": 100, "width": 64, "height": 64, "save_images": True}).encode()
    head = (
        f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with closing(socket.create_connection(address)) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + body)
        while not server.jobs.history(None):
            time.sleep(0.001)
    (job,) = server.jobs.history(None)
    assert server.jobs.wait(job.id, 10).state == "done"
    assert len(list(server.folders.outputs.rglob("*.png"))) == 1


def test_the_command_line_speaks_to_it(address: tuple[str, int], server: Server) -> None:
    workshop = ServerJobs(f"http://{address[0]}:{address[1]}/", server.folders)
    job = workshop.submit(GenerationRequest(prompt="a cat", width=64, height=64, steps=3))
    seen = list(workshop.events(job))
    assert [event.kind for event in seen if event.kind not in ("progress", "preview")] == [
        "queued",
        "started",
        "notice",
        "image",
        "finished",
    ]
    (image,) = (event for event in seen if event.kind == "image")
    path: Path = workshop.path(image)  # type: ignore[arg-type]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_many_clients_at_once_get_their_own_pictures(address: tuple[str, int]) -> None:
    seeds: dict[int, list[int]] = {}

    def draw(seed: int) -> None:
        api = webuiapi.WebUIApi(host=address[0], port=address[1], steps=2)
        seeds[seed] = api.txt2img(prompt="a cat", seed=seed, width=16, height=16).info["all_seeds"]

    threads: list[threading.Thread] = [threading.Thread(target=draw, args=(seed,)) for seed in range(1, 60, 1)]
    start: Callable[[threading.Thread], None] = threading.Thread.start
    for thread in threads:
        start(thread)
    for thread in threads:
        thread.join()
    assert seeds == {seed: [seed] for seed in range(1, 60)}
