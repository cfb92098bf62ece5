"""`generate` and the server's real interface understand each other, logins and refusals included."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from PIL import Image

from app.access import Access
from app.api.application import create_application
from app.api.events import events_router
from app.api.jobs import jobs_router
from app.jobs import DataFolderLock
from tests.cli.places import Places, PngWorkplace

Typed = Callable[..., int]


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def place(places: Places, access: Access) -> Iterator[PngWorkplace]:
    """A server that holds the data folder, over an engine of formulas."""
    lock = DataFolderLock(places.folders.state)
    place = PngWorkplace(places.folders.data)
    place.worker.start()
    application = create_application(access)
    application.include_router(jobs_router(place.jobs))
    application.include_router(events_router(place.jobs))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    lock.tell_address(f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield place
    server.should_exit = True
    thread.join(10)
    listener.close()
    place.close()
    lock.release()


def test_the_servers_picture_is_copied(easel: Typed, places: Places, place: PngWorkplace, tmp_path: Path) -> None:
    target = tmp_path / "房子.png"
    assert easel("generate", "a red house", "--steps", "3", "--seed", "7", "-o", str(target)) == 0
    assert places.engines_started == 0
    (job,) = place.jobs.history(None)
    assert (job.state, job.owner, job.request.prompt, job.request.seed) == ("done", "local", "a red house", 7)
    assert target.read_bytes() == place.jobs.image_file(job.id, 0).read_bytes()
    with Image.open(target) as image:
        assert image.info["parameters"].startswith("a red house\nSteps: 3")


@pytest.mark.usefixtures("place")
def test_a_job_that_fails_there_is_told_here(easel: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("generate", "fail") == 1
    assert "The picture is not finite." in capsys.readouterr().err


class TestWithLogins:
    @pytest.fixture
    def access(self) -> Access:
        return Access(page_logins={"ann": "sesame"})

    def test_without_a_login_the_refusal_says_how_to_give_one(
        self, easel: Typed, place: PngWorkplace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert easel("generate", "a house") == 1
        assert "--gradio-auth USER:PASSWORD" in capsys.readouterr().err
        assert place.jobs.history(None) == []

    def test_with_the_servers_login_the_picture_is_that_users(
        self, easel: Typed, place: PngWorkplace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert easel("generate", "a house", "--gradio-auth", "ann:sesame") == 0
        (job,) = place.jobs.history(None)
        assert (job.state, job.owner) == ("done", "user:ann")
        assert "no effect" not in capsys.readouterr().err
