"""A server for each test, and clients that speak to it without a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.jobs import BeforeGroup
from tests.api.serving import Server, build_server
from tests.jobs.fake_engine import FakeEngine
from tests.jobs.workplace import Gate


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


@dataclass(frozen=True)
class Gated:
    """A server whose engine takes a step only when the test lets it, and a client of it."""

    server: Server
    client: TestClient
    engines: list[Gate]

    def engine(self) -> Gate:
        """The engine, once there is one."""
        while not self.engines:
            time.sleep(0.001)
        return self.engines[0]


@pytest.fixture
def gates(servers: Callable[..., Server]) -> Iterator[Callable[..., Gated]]:
    """Builds such servers; all gates open in the end."""
    open_for_good = threading.Event()

    def build(**options: object) -> Gated:
        engines: list[Gate] = []

        def make(before_group: BeforeGroup) -> Gate:
            engines.append(Gate(before_group, open_for_good))
            return engines[-1]

        server = servers(make_engine=make, **options)
        return Gated(server, client_of(server), engines)

    yield build
    open_for_good.set()


@pytest.fixture
def gate(gates: Callable[..., Gated]) -> Gated:
    return gates()
