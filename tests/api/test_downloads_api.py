"""/api/downloads is the administrator's alone, and shows neither secrets nor paths."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.access import Access
from app.api import create_application, downloads_router
from app.files import Downloads, Folders, ModelLibrary
from app.files.patience import Patience
from tests.files.file_server import FileServer, Route, serving
from tests.files.making import lora, write_safetensors

Clients = Callable[..., TestClient]


@pytest.fixture
def downloads(tmp_path: Path) -> Iterator[Downloads]:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    library = ModelLibrary(folders)
    service = Downloads(folders, library, environ={}, patience=Patience(tries=1))
    yield service
    service.close()
    library.close()


@pytest.fixture
def clients(downloads: Downloads) -> Clients:
    def client(access: Access | None = None, login: str = "") -> TestClient:
        app = create_application(access or Access())
        app.include_router(downloads_router(downloads))
        headers = {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
        return TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 5), headers=headers)

    return client


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as found:
        yield found


def test_a_download_is_begun_followed_and_taken_from_the_list(
    clients: Clients, downloads: Downloads, server: FileServer, tmp_path: Path
) -> None:
    file = write_safetensors(tmp_path / "a", lora(768)).read_bytes()
    server.routes["/ink.safetensors"] = Route(file)
    client = clients()
    answer = client.post("/api/downloads", json={"source": f"{server.address}/ink.safetensors", "token": "secret"})
    id = answer.json()["id"]
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/downloads/{id}")
    while not downloads.wait(id, 5).over:
        pass
    told = client.get(f"/api/downloads/{id}")
    assert told.json() | {"begun": 0, "ended": 0, "sha256": ""} == {
        "id": id,
        "state": "done",
        "source": f"{server.address}/ink.safetensors",
        "file": "",
        "kind": "lora",
        "name": "ink.safetensors",
        "sha256": "",
        "received": len(file),
        "total": len(file),
        "speed": 0,
        "eta": None,
        "remark": "",
        "error": None,
        "begun": 0,
        "ended": 0,
    }
    assert "secret" not in told.text
    assert str(tmp_path) not in told.text
    assert [one["id"] for one in client.get("/api/downloads").json()["downloads"]] == [id]
    assert client.delete(f"/api/downloads/{id}").status_code == 200
    assert client.get(f"/api/downloads/{id}").json()["error"]["code"] == "download_not_found"


def test_a_failure_says_what_to_do(clients: Clients, downloads: Downloads, server: FileServer) -> None:
    server.routes["/a.ckpt"] = Route(b"no", 401)
    client = clients()
    id = client.post("/api/downloads", json={"source": f"{server.address}/a.ckpt"}).json()["id"]
    while not downloads.wait(id, 5).over:
        pass
    error = client.get(f"/api/downloads/{id}").json()["error"]
    assert (error["code"], "token" in error["hint"]) == ("download_failed", True)


@pytest.mark.parametrize("body", [{"source": "poem"}, {"source": "a/b", "kind": "poem"}, {}, {"source": "a/b", "x": 1}])
def test_what_is_no_wish_is_refused(clients: Clients, body: dict[str, object]) -> None:
    assert clients().post("/api/downloads", json=body).status_code == 422


PAGE = {"anna": "one", "berta": "two"}


@pytest.mark.parametrize(
    ("access", "login", "status"),
    [
        (Access(), "", 200),
        (Access(personal=False), "", 403),
        (Access(page_logins=PAGE), "anna:one", 200),
        (Access(page_logins=PAGE), "berta:two", 403),
        (Access(page_logins=PAGE), "", 401),
        (Access(page_logins=PAGE, personal=False), "anna:one", 200),
        (Access(page_logins={"anna": "one"}, api_logins={"carl": "three"}), "carl:three", 403),
        (Access(api_logins=PAGE), "anna:one", 200),
        (Access(api_logins=PAGE), "berta:two", 403),
        (Access(api_logins=PAGE), "", 403),
    ],
)
def test_only_the_administrator_may(clients: Clients, access: Access, login: str, status: int) -> None:
    client = clients(access, login)
    assert client.get("/api/downloads").status_code == status
    refused = client.post("/api/downloads", json={"source": "file:///etc/passwd"}).status_code
    assert refused == (422 if status == 200 else status)
    assert client.delete("/api/downloads/0123456789abcdef").status_code == (404 if status == 200 else status)


def test_another_page_cannot_begin_one(clients: Clients) -> None:
    answer = clients().post("/api/downloads", json={"source": "a/b"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
