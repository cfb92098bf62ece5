"""Installing over HTTP: the administrator alone, who proves it once more, and never where the server forbids it."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.access import Access
from app.launch.serving import refusal_to_install
from app.schema.flags import LaunchOptions
from tests.api.conftest import client_of
from tests.api.serving import Server
from tests.installing.making import archive, repository

LOGINS = Access(page_logins={"ann": "tabby cat", "bob": "dog"}, personal=False)


def as_user(server: Server, user: str, password: str, address: str = "192.168.0.7") -> TestClient:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    return client_of(server, address, authorization=f"Basic {login}")


def confirmed(client: TestClient, password: str = "") -> str:
    answer = client.post("/api/extensions/confirmations", json={"password": password})
    assert answer.status_code == 201, answer.text
    word: str = answer.json()["confirmation"]
    return word


def ended(client: TestClient) -> dict[str, Any]:
    limit = time.monotonic() + 60
    while True:
        told: dict[str, Any] = client.get("/api/extensions/installing").json()
        if told["now"]["state"] != "running" or time.monotonic() > limit:
            return told
        threading.Event().wait(0.02)


def test_a_repository_is_installed_and_waits_for_the_next_start(tmp_path: Path, server: Server) -> None:
    client = client_of(server)
    word = confirmed(client)
    body = {"confirmation": word, "address": repository(tmp_path / "cats")}
    answer = client.post("/api/extensions/install", json=body)
    assert (answer.status_code, answer.json()) == (202, {"name": "cats"})
    told = ended(client)
    assert told["now"] == {
        "name": "cats",
        "change": "install",
        "state": "done",
        "text": "It is loaded at the next start.",
    }
    assert told["waiting"] == {"cats": "install"}
    assert client.post("/api/extensions/cats/undo", json={"confirmation": word}).status_code == 202
    assert client.get("/api/extensions/installing").json()["waiting"] == {}


def test_an_archive_is_taken_from_the_body(tmp_path: Path, server: Server) -> None:
    client = client_of(server)
    asked = {"name": "cats", "confirmation": confirmed(client)}
    data = archive(tmp_path / "a.zip").read_bytes()
    assert client.post("/api/extensions/archive", params=asked, content=data).json() == {"name": "cats"}
    assert ended(client)["waiting"] == {"cats": "install"}
    assert list((server.folders.data / "extensions" / ".incoming").iterdir()) == []


def test_an_archive_that_is_too_large_leaves_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.extension_installing.LARGEST_ARCHIVE", 100)
    client = client_of(server)
    asked = {"name": "cats", "confirmation": confirmed(client)}
    answer = client.post("/api/extensions/archive", params=asked, content=b"0" * 101)
    assert answer.status_code == 422
    assert list((server.folders.data / "extensions" / ".incoming").iterdir()) == []


def every_change(client: TestClient, word: str) -> list[int]:
    """The statuses of all that changes something."""
    sent = {"confirmation": word}
    return [
        client.post("/api/extensions/install", json={**sent, "address": "https://example.org/cats"}).status_code,
        client.post("/api/extensions/archive", params={**sent, "name": "cats"}, content=b"").status_code,
        *(client.post(f"/api/extensions/cats/{act}", json=sent).status_code for act in ("update", "remove", "undo")),
    ]


def test_without_a_fresh_confirmation_nothing_is_changed(server: Server) -> None:
    assert every_change(client_of(server), "guessed") == [403] * 5


def test_a_confirmation_counts_for_a_while_and_for_its_owner(
    servers: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(page_logins={"ann": "tabby cat"}, api_logins={"ann": "tabby cat"}, personal=False)
    server = servers(access=access)
    ann = as_user(server, "ann", "tabby cat")
    word = confirmed(ann, "tabby cat")
    assert ann.post("/api/extensions/nothing/remove", json={"confirmation": word}).status_code == 422
    monkeypatch.setattr("app.api.extension_installing.CONFIRMED_SECONDS", -1.0)
    stale = confirmed(ann, "tabby cat")
    assert ann.post("/api/extensions/nothing/remove", json={"confirmation": stale}).status_code == 403


def test_the_administrator_proves_it_with_the_password(servers: Callable[..., Server]) -> None:
    server = servers(access=LOGINS)
    ann, bob = as_user(server, "ann", "tabby cat"), as_user(server, "bob", "dog")
    wrong = ann.post("/api/extensions/confirmations", json={"password": "dog"})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (403, "password")
    assert bob.post("/api/extensions/confirmations", json={"password": "dog"}).status_code == 403
    word = confirmed(ann, "tabby cat")
    assert every_change(bob, word) == [403] * 5
    assert bob.get("/api/extensions/installing").status_code == 403
    assert bob.post("/api/extensions/installing/stop").status_code == 403


def test_without_logins_it_is_only_done_at_the_machine_itself(servers: Callable[..., Server]) -> None:
    server = servers(access=Access(personal=True))
    answer = client_of(server, "192.168.0.7").post("/api/extensions/confirmations", json={})
    assert (answer.status_code, "at the machine itself" in answer.json()["error"]["message"]) == (403, True)
    assert confirmed(client_of(server, "::1"))
    shared = servers(access=Access(personal=False))
    assert client_of(shared).post("/api/extensions/confirmations", json={}).status_code == 403


def test_where_the_server_forbids_it_the_words_say_so(server: Server) -> None:
    client = client_of(server)
    word = confirmed(client)
    server.installer.refusal = "Not over --share."
    assert every_change(client, word) == [403] * 5
    answer = client.post("/api/extensions/confirmations", json={})
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "Not over --share.")
    assert client.get("/api/extensions/installing").json()["refusal"] == "Not over --share."


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, ""),
        ({"share": True}, "--share"),
        ({"share": True, "enable_insecure_extension_access": True}, "--share"),
        ({"listen": True}, "--enable-insecure-extension-access"),
        ({"server_name": "192.168.0.2"}, "--enable-insecure-extension-access"),
        ({"server_name": "localhost"}, ""),
        ({"listen": True, "enable_insecure_extension_access": True}, ""),
    ],
)
def test_a_server_that_others_reach_installs_nothing_unless_it_is_told_to(flags: dict[str, Any], words: str) -> None:
    refusal = refusal_to_install(LaunchOptions(**flags))
    assert words in refusal
    assert bool(refusal) == bool(words)


def test_where_one_is_from_is_shown_to_the_administrator(tmp_path: Path, servers: Callable[..., Server]) -> None:
    server = servers(access=LOGINS)
    ann = as_user(server, "ann", "tabby cat")
    shown = ann.get("/api/extensions").json()
    assert shown["login"]
    assert {one["address"] for one in shown["extensions"]} == {""}
