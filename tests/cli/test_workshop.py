"""The command line works at the server that owns the data folder, and takes its events up again after a break."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.cli.workshop import OwnJobs, ServerJobs, open_workshop
from app.jobs import DataFolderLock
from app.schema.errors import DataFolderInUse, EaselError, InvalidField
from app.schema.events import Finished, ImageReady, Progress, Queued, Started
from app.schema.flags import LaunchOptions
from app.schema.request import GenerationRequest
from tests.cli.places import Places

QUEUED = Queued(job="j1", position=0)
STARTED = Started(job="j1")
HALF = Progress(job="j1", progress=0.5, image=0, images=1, step=1, steps=2, eta=None, phase="Drawing")
DONE = Finished(job="j1", state="done", seconds=1.0)


class Server(ThreadingHTTPServer):
    """Answers as our own /api does. streams: what each request for events gets before its connection ends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.streams: list[str] = []
        self.refusal: tuple[int, dict[str, object]] | None = None
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers.items()), body))
        if self.server.refusal is not None:
            status, answer = self.server.refusal
            self.reply(status, json.dumps(answer))
        elif "/events" in self.path:
            self.reply(200, self.server.streams.pop(0))
        else:
            self.reply(202, json.dumps({"id": "j1", "state": "queued"}))

    do_GET = do_POST = do_DELETE = handle_any

    def reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def stream(*events: tuple[int | None, object]) -> str:
    """Server-sent events; live ones carry no id."""
    text = ": greeting\n\n"
    for number, event in events:
        text += "" if number is None else f"id: {number}\n"
        text += f"event: {event.kind}\ndata: {event.model_dump_json()}\n\n"  # type: ignore[attr-defined]
    return text


def test_a_free_data_folder_means_an_engine_of_our_own(places: Places) -> None:
    options = LaunchOptions(data_dir=places.folders.data)
    with open_workshop(options, places.folders, places) as workshop:
        assert isinstance(workshop, OwnJobs)
        job = workshop.submit(GenerationRequest(prompt="a house", steps=2, width=64, height=64))
        kinds = [event.kind for event in workshop.events(job)]
        workshop.cancel(job)
    assert kinds[0] == "queued"
    assert kinds[-1] == "finished"


def test_the_server_that_holds_the_data_folder_is_asked(places: Places, server: Server) -> None:
    lock = DataFolderLock(places.folders.state)
    lock.tell_address(server.address)
    request = GenerationRequest(prompt="红色", steps=2)
    server.streams = [stream((1, QUEUED), (2, STARTED), (None, HALF), (3, DONE))]
    with open_workshop(LaunchOptions(), places.folders, places) as workshop:
        assert isinstance(workshop, ServerJobs)
        assert workshop.submit(request) == "j1"
        assert list(workshop.events("j1")) == [QUEUED, STARTED, HALF, DONE]
        workshop.cancel("j1")
    lock.release()
    assert places.engines_started == 0
    assert [(method, path) for method, path, *_ in server.asked] == [
        ("POST", "/api/jobs"),
        ("GET", "/api/jobs/j1/events?previews=false"),
        ("DELETE", "/api/jobs/j1"),
    ]
    assert GenerationRequest.model_validate_json(server.asked[0][3]) == request


def test_a_holder_without_an_address_is_waited_for_in_words(places: Places) -> None:
    lock = DataFolderLock(places.folders.state)
    with (
        pytest.raises(DataFolderInUse, match="serves no page yet"),
        open_workshop(LaunchOptions(), places.folders, places),
    ):
        pass
    lock.release()


def test_a_broken_connection_goes_on_after_the_last_event(places: Places, server: Server) -> None:
    server.streams = [stream((1, QUEUED), (None, HALF)), "", stream((2, STARTED), (3, DONE))]
    waits: list[float] = []
    jobs = ServerJobs(server.address, places.folders, pause=waits.append)
    assert list(jobs.events("j1")) == [QUEUED, HALF, STARTED, DONE]
    assert [headers.get("Last-Event-ID") for *_, headers, _ in server.asked] == [None, "1", "1"]
    assert len(waits) == 2


def test_a_server_that_stays_away_is_told_with_the_job_that_waits(places: Places, server: Server) -> None:
    address = server.address
    server.shutdown()
    server.server_close()
    jobs = ServerJobs(address, places.folders, pause=lambda seconds: None)
    with pytest.raises(EaselError, match="does not answer"):
        jobs.submit(GenerationRequest())
    with pytest.raises(EaselError, match="went away") as problem:
        list(jobs.events("j1"))
    assert problem.value.hint == "Job j1 is stored and goes on when it is started again."


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (
            422,
            {"error": {"code": "x", "message": "There is no sampler 'x'.", "field": "sampler", "hint": "Try Euler."}},
            InvalidField,
            "There is no sampler 'x'. Try Euler.",
        ),
        (
            401,
            {"error": {"code": "x", "message": "This server asks for a login.", "field": None, "hint": "Basic."}},
            EaselError,
            "This server asks for a login. Give the login that the server was started with: "
            "--gradio-auth USER:PASSWORD.",
        ),
        (502, {"detail": "Bad gateway"}, EaselError, 'The server answered with status 502: {"detail": "Bad gateway"}'),
    ],
)
def test_the_servers_refusal_reads_as_if_it_were_ours(
    places: Places, server: Server, status: int, answer: dict[str, object], kind: type[EaselError], words: str
) -> None:
    server.refusal = (status, answer)
    with pytest.raises(kind) as problem:
        ServerJobs(server.address, places.folders).submit(GenerationRequest())
    assert str(problem.value) == words


@pytest.mark.parametrize("way", ["flag", "file"])
def test_the_login_of_the_servers_flags_is_used(places: Places, server: Server, tmp_path: Path, way: str) -> None:
    lock = DataFolderLock(places.folders.state)
    lock.tell_address(server.address)
    (tmp_path / "logins").write_text("ann:sesame\nbob:x\n")
    said = {"flag": {"gradio_auth": "ann:sesame,bob:x"}, "file": {"gradio_auth_path": tmp_path / "logins"}}
    options = LaunchOptions.model_validate(said[way])
    with open_workshop(options, places.folders, places) as workshop:
        workshop.submit(GenerationRequest())
    lock.release()
    word = base64.b64encode(b"ann:sesame").decode()
    assert server.asked[0][2]["Authorization"] == f"Basic {word}"


def test_a_flag_that_the_running_server_does_not_hear_is_told(
    easel: Callable[..., int], places: Places, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = DataFolderLock(places.folders.state)
    lock.tell_address(server.address)
    image = ImageReady(
        job="j1", index=0, path="outputs/a.png", seed=7, variation_seed=0, width=8, height=8, infotext="x\nSteps: 2"
    )
    server.streams = [stream((1, QUEUED), (2, image), (3, DONE))]
    assert easel("generate", "x", "--use-cpu", "all") == 0
    lock.release()
    told = capsys.readouterr()
    assert "where --use-cpu of this command has no effect" in told.err
    assert told.out == f"{places.folders.data / 'outputs' / 'a.png'}\n"
