"""Runs of Extras over /api/extras: stored first, worked on one by one, and never lost or doubled by a kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.access import Access
from app.extras import Extras, ExtrasRecords, ExtrasRun, Source
from app.extras.records import Made
from app.files import Blobs, encode, read_picture_info
from app.schema.extras import ExtrasRequest
from tests.api.conftest import client_of
from tests.api.serving import Server
from tests.jobs.fake_engine import FakeEngine

TEXT = "a cat\nSteps: 3, Seed: 1"


def sent(client: TestClient, width: int = 16, name: str = "cat.png") -> dict[str, str]:
    data = encode(Image.new("RGB", (width, 16), "red"), TEXT)
    return {"hash": client.post("/api/pictures", content=data).json()["hash"], "name": name}


def submitted(client: TestClient, **body: object) -> dict[str, Any]:
    answer = client.post("/api/extras", json=body)
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()
    return run


def ended(client: TestClient, run: dict[str, Any]) -> dict[str, Any]:
    give_up = time.monotonic() + 10
    while run["state"] in ("waiting", "running"):
        assert time.monotonic() < give_up, run
        time.sleep(0.01)
        run = client.get(f"/api/extras/{run['id']}").json()
    return run


def test_results_get_numbers_and_keep_the_infotext(client: TestClient, server: Server) -> None:
    wish = {"factor": 2, "upscaler_1": "Lanczos", "flips": ["Horizontal"]}
    run = ended(client, submitted(client, pictures=[sent(client), sent(client, 24)], request=wish))
    assert run["state"] == "done"
    assert run["progress"] == 1
    assert [(made["name"], made["width"], made["source"]) for made in run["pictures"]] == [
        ("00000.png", 32, "cat.png"),
        ("00001.png", 32, "cat.png"),
        ("00002.png", 48, "cat.png"),
        ("00003.png", 48, "cat.png"),
    ]
    file = server.folders.data / "outputs" / "extras-images" / "00003.png"
    info = read_picture_info(file)
    assert info.infotext == TEXT
    assert info.items == {"postprocessing": "Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos"}
    assert client.get(run["pictures"][3]["url"]).content == file.read_bytes()
    assert client.get("/api/extras").json()[0] == run


def test_the_settings_say_the_format(client: TestClient, server: Server) -> None:
    server.settings.change({"samples_format": "webp"})
    run = ended(client, submitted(client, pictures=[sent(client)], request={"upscaler_1": "Nearest"}))
    path = server.folders.data / run["pictures"][0]["path"]
    assert path.name == "00000.webp"
    assert Image.open(path).size == (64, 64)


def test_a_picture_that_fails_leaves_the_others(client: TestClient, tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "fine.png").write_bytes(encode(Image.new("RGB", (8, 8))))
    (folder / "notes.txt").write_text("not listed")
    run = ended(client, submitted(client, folder=str(folder), output_folder=str(output)))
    assert run["state"] == "done"
    assert [failure["name"] for failure in run["failures"]] == ["broken.png"]
    assert [path.name for path in output.iterdir()] == ["fine.png"]
    again = ended(client, submitted(client, folder=str(folder), output_folder=str(output)))
    assert sorted(path.name for path in output.iterdir()) == ["fine-1.png", "fine.png"]
    assert again["pictures"][0]["path"] == str(output / "fine-1.png")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "no picture to work on"),
        ({"folder": "pictures"}, 422, "the whole path"),
        ({"folder": "/no/such/folder"}, 422, "cannot be read"),
        ({"pictures": [{"hash": "0" * 64}]}, 404, "not stored here"),
        ({"pictures": [{"hash": "0" * 64}], "request": {"upscaler_1": "Nothing"}}, 422, "no upscaler called"),
        ({"request": {"factor": 100}}, 422, "less than or equal to 8"),
        ({"request": {"colour": "red"}}, 422, "colour"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    client: TestClient, body: dict[str, object], status: int, words: str
) -> None:
    answer = client.post("/api/extras", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_folders_of_the_machine_are_the_administrators(servers: Callable[..., Server], tmp_path: Path) -> None:
    client = client_of(servers(access=Access(personal=False)))
    for body in ({"folder": str(tmp_path)}, {"pictures": [sent(client)], "output_folder": str(tmp_path)}):
        assert client.post("/api/extras", json=body).status_code == 403


def test_a_run_is_its_owners(servers: Callable[..., Server]) -> None:
    server = servers(access=Access(personal=False))
    mine, other = client_of(server), client_of(server, "192.0.2.7")
    run = ended(mine, submitted(mine, pictures=[sent(mine)]))
    for path in (run["id"], f"{run['id']}/pictures/0"):
        assert mine.get(f"/api/extras/{path}").status_code == 200
        assert other.get(f"/api/extras/{path}").status_code == 404
    assert other.post(f"/api/extras/{run['id']}/cancel").status_code == 404
    assert other.get("/api/extras").json() == []


def test_a_run_is_cancelled_between_two_tiles(servers: Callable[..., Server]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(FakeEngine):
        def enlarged(self, *arguments: Any) -> Any:
            arguments[-1](0, 4)
            begun.set()
            go_on.wait(10)
            return super().enlarged(*arguments)

    client = client_of(servers(make_engine=Slow))
    run = submitted(client, pictures=[sent(client)], request={"upscaler_1": "Lanczos"})
    assert begun.wait(10)
    during = client.get(f"/api/extras/{run['id']}").json()
    assert (during["state"], during["words"]) == ("running", "Upscaling: 0 of 4 tiles")
    client.post(f"/api/extras/{run['id']}/cancel")
    go_on.set()
    run = ended(client, run)
    assert (run["state"], run["pictures"]) == ("cancelled", [])


def left_behind(server: Server, digest: str, **changes: object) -> ExtrasRun:
    """A run as a killed process leaves it."""
    run = ExtrasRun(
        id="0123456789abcdef",
        owner="local",
        request=ExtrasRequest(),
        sources=(Source(name="a.png", hash=digest), Source(name="b.png", hash=digest)),
        state="running",
    ).model_copy(update=changes)
    ExtrasRecords(server.folders.state / "extras").keep(run)
    return run


def taken_up(server: Server) -> ExtrasRun:
    """The run once another process has finished it."""
    records = ExtrasRecords(server.folders.state / "extras")
    blobs = Blobs(server.folders.state / "pictures")
    extras = Extras(server.jobs, server.library, blobs, server.folders, server.settings, records)
    extras.start()
    give_up = time.monotonic() + 10
    while not records.get("0123456789abcdef").over:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    extras.close()
    return ExtrasRecords(server.folders.state / "extras").get("0123456789abcdef")


def test_after_a_kill_the_run_goes_on_where_it_was(client: TestClient, server: Server) -> None:
    digest = sent(client)["hash"]
    left_behind(server, digest, deaths=1)
    run = taken_up(server)
    assert (run.state, run.next, [made.source for made in run.made]) == ("done", 2, [0, 1])


def test_a_picture_written_before_the_kill_is_not_made_again(client: TestClient, server: Server) -> None:
    digest = sent(client)["hash"]
    file = server.folders.data / "outputs" / "extras-images" / "00000.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"whole")
    reserved = Made(path="outputs/extras-images/00000.png", source=0, width=1, height=1)
    left_behind(server, digest, reserved=(reserved,), deaths=1)
    run = taken_up(server)
    assert [made.path[-9:] for made in run.made] == ["00000.png", "00001.png"]
    assert file.read_bytes() == b"whole"


def test_a_picture_that_kills_the_program_is_left_out_in_the_end(client: TestClient, server: Server) -> None:
    left_behind(server, sent(client)["hash"], deaths=3)
    run = taken_up(server)
    assert (run.state, [made.source for made in run.made]) == ("done", [1])
    assert "ended 3 times" in run.failures[0].message


def test_input_pictures_live_as_long_as_they_are_needed(client: TestClient, server: Server) -> None:
    digest = sent(client)["hash"]
    left_behind(server, digest)
    assert ExtrasRecords(server.folders.state / "extras").hashes() == {digest}
    taken_up(server)
    assert ExtrasRecords(server.folders.state / "extras").hashes() == set()


def test_a_record_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef.json").write_text('{"version": 2}')
    assert ExtrasRecords(tmp_path).all() == []
    assert (tmp_path / "0123456789abcdef.json").exists()


def test_captions_stand_beside_the_results(client: TestClient, server: Server) -> None:
    place = server.folders.models / "BLIP"
    place.mkdir(parents=True)
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        (place / name).touch()
    wish = {"captions": ["BLIP"], "flips": ["Vertical"]}
    run = ended(client, submitted(client, pictures=[sent(client, 24)], request=wish))
    assert [made["name"] for made in run["pictures"]] == ["00000.png", "00001.png"]
    folder = server.folders.data / "outputs" / "extras-images"
    assert [(folder / f"0000{number}.txt").read_text() for number in (0, 1)] == ["a picture of 24 by 16\n"] * 2


@pytest.mark.parametrize(("captioner", "words"), [("BLIP", "No captioner is installed"), ("Deepbooru", "not built in")])
def test_a_caption_without_a_captioner_is_refused_before_the_run(
    client: TestClient, captioner: str, words: str
) -> None:
    body = {"pictures": [sent(client)], "request": {"captions": [captioner]}}
    answer = client.post("/api/extras", json=body)
    assert answer.status_code >= 400
    assert words in answer.json()["error"]["message"]
    assert client.get("/api/extras").json() == []
