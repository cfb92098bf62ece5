"""A server for each test, and clients that speak to it without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.access import Access
from tests.api.serving import Server, build_server
from tests.jobs.fake_engine import FakeEngine
from tests.jobs.workplace import Gate

MakeClient = Callable[..., TestClient]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Builds servers with rules of their own, and closes them."""
    built: list[Server] = []

    def build(**options: object) -> Server:
        server = build_server(tmp_path / str(len(built)), **{"make_engine": FakeEngine, **options})  # type: ignore[arg-type]
        built.append(server)
        return server

    yield build
    for server in built:
        server.close()


@pytest.fixture
def server(servers: Callable[..., Server]) -> Server:
    return servers()


def client_of(server: Server, address: str = "127.0.0.1", **headers: str) -> TestClient:
    """Somebody at an address, with headers of their own; errors of the server come as answers."""
    return TestClient(
        server.app,
        base_url="http://127.0.0.1:7860",
        client=(address, 50000),
        headers=headers,
        raise_server_exceptions=False,
    )


@pytest.fixture
def client(server: Server) -> TestClient:
    return client_of(server)


@pytest.fixture
def gate(servers: Callable[..., Server]) -> Iterator[tuple[Server, TestClient, Callable[[], Gate]]]:
    """A server whose engine takes a step only when the test lets it."""
    made: list[Gate] = []

    def make(before_group: object) -> Gate:
        made.append(Gate(before_group))  # type: ignore[arg-type]
        return made[-1]

    server = servers(make_engine=make, access=Access())

    def engine() -> Gate:
        while not made:
            time.sleep(0.001)
        return made[0]

    yield server, client_of(server), engine
    for one in made:
        one.open_for_good.set()
