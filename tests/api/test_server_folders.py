"""Folders on the server's machine: its administrator may take pictures from them and have results put there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app.access import Access
from app.files import encode
from tests.api.conftest import client_of
from tests.api.serving import Server

TEXT = "a boat\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "scans"
    (place / "below").mkdir(parents=True)
    (place / "b.png").write_bytes(encode(Image.new("RGB", (64, 64), "navy"), TEXT))
    (place / "a.JPG").write_bytes(b"no picture")
    (place / "notes.txt").write_text("secret")
    return place


def test_the_pictures_of_a_folder_are_listed_and_taken(server: Server, folder: Path) -> None:
    client = client_of(server)
    listed = client.post("/api/server-folders", json={"folder": str(folder)})
    assert listed.json() == {"pictures": ["a.JPG", "b.png"]}
    taken = client.post("/api/server-folders/pictures", json={"folder": str(folder), "name": "b.png"}).json()
    data = (folder / "b.png").read_bytes()
    assert taken == {"hash": hashlib.sha256(data).hexdigest(), "infotext": TEXT}
    assert client.get(f"/api/pictures/{taken['hash']}").content == data


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"folder": "scans", "name": "b.png"}, "whole path"),
        ({"name": "notes.txt"}, "no name of a picture"),
        ({"name": "../scans/b.png"}, "no name of a picture"),
        ({"name": "missing.png"}, "cannot be read"),
        ({"name": "a.JPG"}, "not a picture"),
    ],
)
def test_anything_else_is_refused_in_words(server: Server, folder: Path, asked: dict[str, str], words: str) -> None:
    answer = client_of(server).post("/api/server-folders/pictures", json={"folder": str(folder), **asked})
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/api/server-folders", {"folder": "/"}),
        ("/api/server-folders/pictures", {"folder": "/", "name": "a.png"}),
        ("/api/jobs", {"prompt": "a cat", "output_directory": "/tmp"}),
    ],
)
def test_only_the_administrator_may_ask(servers: Callable[..., Server], route: str, body: dict[str, str]) -> None:
    answer = client_of(servers(access=Access(personal=False))).post(route, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_results_go_where_the_administrator_says(server: Server, tmp_path: Path) -> None:
    wished = {"steps": 1, "width": 64, "height": 64, "output_directory": str(tmp_path / "done"), "output_folder": "sea"}
    id = client_of(server).post("/api/jobs", json=wished).json()["id"]
    [image] = server.jobs.wait(id, 20).images
    assert Path(image.path).parent == tmp_path / "done" / "sea"
    assert client_of(server).get(f"/api/jobs/{id}/images/0").content == Path(image.path).read_bytes()
