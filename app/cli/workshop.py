"""Where `generate` has its pictures made: at the server that owns the data folder, or by this process's own engine."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from app.cli.factories import Factories
from app.files import Folders
from app.jobs import Jobs, read_holder
from app.schema.errors import DataFolderInUse, EaselError, InvalidField
from app.schema.events import Event, ImageReady, LiveEvent, StateEvent
from app.schema.flags import LaunchOptions, read_logins
from app.schema.request import GenerationRequest

OWNER = "local"
"""As the server calls whoever asks from this machine without a login."""
ANSWER_LIMIT = 30.0
SILENCE_LIMIT = 90.0
PATIENCE = 60
"""Seconds for which a server that went away is waited for: a restarted one takes its jobs up again."""

_EVENT: TypeAdapter[StateEvent | LiveEvent] = TypeAdapter(StateEvent | LiveEvent)


class Workshop(Protocol):
    """What `generate` asks of either."""

    def submit(self, request: GenerationRequest) -> str:
        """Store a job; its id. Raises what submission raises (EaselError)."""
        ...

    def events(self, job: str) -> Iterator[Event]:
        """What happens to a job from its beginning until it has finished or failed."""
        ...

    def cancel(self, job: str) -> None:
        """Drop what is left of a job."""
        ...

    def path(self, image: ImageReady) -> Path:
        """Where a finished picture lies."""
        ...


@contextmanager
def open_workshop(options: LaunchOptions, folders: Folders, factories: Factories) -> Iterator[Workshop]:
    """The server that holds the data folder, or this process's own jobs. Raises DataFolderInUse for other holders."""
    holder = read_holder(folders.state)
    if holder is None:
        with factories.jobs(options) as jobs:
            yield OwnJobs(jobs, folders)
    elif holder.address:
        yield ServerJobs(holder.address, folders, login_of(options))
    else:
        raise DataFolderInUse(
            f"Another Easel (process {holder.pid}) works with the data folder {folders.data} and serves no page yet.",
            hint="Wait until it has started or ended, or give another --data-dir.",
        )


class OwnJobs:
    """Jobs of this process."""

    def __init__(self, jobs: Jobs, folders: Folders) -> None:
        self._jobs = jobs
        self._folders = folders

    def submit(self, request: GenerationRequest) -> str:
        return self._jobs.submit(request, OWNER).id

    def events(self, job: str) -> Iterator[Event]:
        with self._jobs.watch(job, previews=False) as watch:
            while not watch.over:
                # A limit, so that Ctrl+C is noticed on Windows too, where a wait without one cannot be interrupted.
                for told in watch.take(1.0):
                    yield told.event

    def cancel(self, job: str) -> None:
        self._jobs.cancel(job)

    def path(self, image: ImageReady) -> Path:
        return self._folders.data / image.path


class ServerJobs:
    """Jobs of a running server of this machine, over its own HTTP interface."""

    def __init__(
        self, address: str, folders: Folders, login: str | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._address = urlsplit(address)
        self._pause = pause
        self._folders = folders
        self._headers = {"Content-Type": "application/json"}
        if login is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()

    def submit(self, request: GenerationRequest) -> str:
        answer = self.ask("POST", "/api/jobs", request.model_dump_json().encode())
        return str(answer["id"])

    def events(self, job: str) -> Iterator[Event]:
        return self.told(f"/api/jobs/{job}/events?previews=false", f"Job {job}")

    def told(self, path: str, what: str) -> Iterator[Event]:
        """The events of a stream to its last one, also across restarts of the server. what: whose, for people."""
        last, patience = "", PATIENCE
        while True:
            try:
                for number, event in self._stream(path, last):
                    last, patience = number or last, PATIENCE
                    yield event
                    if event.kind in ("finished", "failed"):
                        return
            except (OSError, http.client.HTTPException) as error:
                if patience <= 0:
                    raise EaselError(
                        f"The server at {self._address.geturl()} went away ({error}).",
                        hint=f"{what} is stored and goes on when it is started again.",
                    ) from error
            patience -= 1
            self._pause(1.0)

    def cancel(self, job: str) -> None:
        self.ask("DELETE", f"/api/jobs/{job}")

    def path(self, image: ImageReady) -> Path:
        return self._folders.data / image.path

    def ask(self, method: str, path: str, body: bytes | None = None) -> Mapping[str, Any]:
        """The JSON that a route answers. Raises EaselError with the server's words."""
        try:
            answer = self._send(method, path, body, {}, ANSWER_LIMIT)
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EaselError(
                f"The server at {self._address.geturl()} does not answer ({error}).",
                hint="It holds the data folder; stop it, or give another --data-dir.",
            ) from error
        if answer.status >= 400:
            raise _problem(answer.status, text)
        found = json.loads(text) if text else {}
        return found if isinstance(found, dict) else {}

    def _stream(self, path: str, after: str) -> Iterator[tuple[str, Event]]:
        """Server-sent events: id ("" for live ones) and event; ends with the connection."""
        answer = self._send("GET", path, None, {"Last-Event-ID": after} if after else {}, SILENCE_LIMIT)
        if answer.status >= 400:
            raise _problem(answer.status, answer.read())
        number, data = "", ""
        while line := answer.readline().decode("utf-8"):
            name, _, value = line.rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                number = value
            elif name == "data":
                data += value
            elif not line.strip():
                if data:
                    yield number, _EVENT.validate_json(data)
                number, data = "", ""

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._address.hostname or "127.0.0.1", self._address.port, timeout)
        connection.request(method, self._address.path.rstrip("/") + path, body, {**self._headers, **headers})
        return connection.getresponse()


def login_of(options: LaunchOptions) -> str | None:
    """The first login of the server's own flags, known here too when they stand in COMMANDLINE_ARGS."""
    texts = [secret.get_secret_value() for secret in (options.gradio_auth, options.api_auth) if secret is not None]
    if options.gradio_auth_path is not None and options.gradio_auth_path.is_file():
        texts.append(options.gradio_auth_path.read_text("utf-8"))
    for text in texts:
        if logins := read_logins(text):
            return f"{logins[0].user}:{logins[0].password}"
    return None


def _problem(status: int, text: bytes) -> EaselError:
    """The server's answer as the error that it stands for."""
    try:
        error = json.loads(text)["error"]
        message, field, hint = str(error["message"]), error["field"], str(error["hint"])
    except (ValueError, LookupError, TypeError):
        return EaselError(f"The server answered with status {status}: {text[:200].decode('utf-8', 'replace')}")
    if status == 401:
        hint = "Give the login that the server was started with: --gradio-auth USER:PASSWORD."
    return (InvalidField if status == 422 else EaselError)(message, field=field, hint=hint)
