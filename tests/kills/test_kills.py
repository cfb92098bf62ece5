"""`kill -9` at any moment: every job that was accepted ends, every picture is whole and saved once."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.jobs import read_holder
from tests.jobs.fake_engine import picture

pytestmark = pytest.mark.kill

KILLS = 10
JOBS = 10
PICTURES = 3
JOB = {"prompt": "a cat", "width": 64, "height": 32, "steps": 12, "batch_count": PICTURES}


class Killable:
    """A server process over one data folder, started again as often as it is killed."""

    def __init__(self, command: Callable[[Path], list[str]], folder: Path) -> None:
        self._command = command
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Returns once it answers, or has died again."""
        self.process = subprocess.Popen([*self._command(self.folder), *more], stderr=subprocess.DEVNULL)
        while self.process.poll() is None:
            try:
                self.ask("GET", "/api/queue")
                return
            except OSError:
                time.sleep(0.005)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def wait_for_death(self) -> int:
        assert self.process is not None
        return self.process.wait(30)

    def ask(self, method: str, path: str, body: object = None, session: str = "") -> Any:
        holder = read_holder(self.folder / "data")
        if holder is None or not holder.address or self.process is None or holder.pid != self.process.pid:
            raise ConnectionError("not there yet")
        headers = {"Content-Type": "application/json"}
        if session:
            headers["Cookie"] = f"easel-session={session * 20}"
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(holder.address.rstrip("/") + path, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())

    def finish(self) -> None:
        """Waits until nothing is queued or running."""
        while self.ask("GET", "/api/queue")["queue"]:
            time.sleep(0.01)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) in (0, -signal.SIGINT)


def with_fake_engine(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.kills.server", str(folder)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Killable]:
    server = Killable(with_fake_engine, tmp_path)
    yield server
    if server.process is not None and server.process.poll() is None:
        server.kill()


def assert_each_picture_is_whole_and_there_once(server: Killable, ids: list[str], pictures: int) -> None:
    paths = []
    for id in ids:
        job = server.ask("GET", f"/api/jobs/{id}")
        assert (job["state"], job["error"]) == ("done", None)
        assert [image["index"] for image in job["images"]] == list(range(pictures))
        for image in job["images"]:
            paths.append(server.folder / image["path"])
            with Image.open(io.BytesIO(paths[-1].read_bytes())) as opened:
                assert opened.tobytes() == picture(image["seed"], opened.width, opened.height)
                assert opened.info["parameters"] == image["infotext"]
            assert image["seed"] == job["resolved"]["request"]["seed"] + image["index"]
    assert len(paths) == len(ids) * pictures
    there = [file for file in (server.folder / "outputs").rglob("*") if file.is_file()]
    assert sorted(there) == sorted(paths)


def test_ten_kills_at_random_moments_lose_nothing_and_double_nothing(server: Killable) -> None:
    moments = random.Random(7)
    server.start()
    ids = [
        server.ask("POST", "/api/jobs", {**JOB, "seed": 100 * number}, session="abc"[number % 3])["id"]
        for number in range(JOBS)
    ]
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.0, 0.3))
        server.kill()
        server.start()
    server.finish()
    assert_each_picture_is_whole_and_there_once(server, ids, PICTURES)
    server.stop()


def test_a_job_that_was_accepted_survives_a_kill_in_the_same_moment(server: Killable) -> None:
    ids = []
    for number in range(3):
        server.start()
        ids.append(server.ask("POST", "/api/jobs", {**JOB, "seed": 100 * number})["id"])
        server.kill()
    server.start()
    server.finish()
    assert_each_picture_is_whole_and_there_once(server, ids, PICTURES)


@pytest.mark.parametrize("stage", ["reserved", "half", "written"])
def test_death_in_the_middle_of_saving(server: Killable, stage: str) -> None:
    server.start(stage)
    id = server.ask("POST", "/api/jobs", {**JOB, "seed": 5})["id"]
    assert server.wait_for_death() == -signal.SIGKILL
    server.start()
    server.finish()
    assert_each_picture_is_whole_and_there_once(server, [id], PICTURES)


def test_a_job_that_kills_the_process_is_put_away_and_the_others_run(server: Killable) -> None:
    server.start()
    good = server.ask("POST", "/api/jobs", {**JOB, "steps": 40, "seed": 1}, session="a")["id"]
    bad = server.ask("POST", "/api/jobs", {**JOB, "prompt": "die"}, session="b")["id"]
    deaths = 0
    while True:
        try:
            server.finish()
            break
        except (OSError, urllib.error.URLError):
            assert server.wait_for_death() == 9
            deaths += 1
            server.start()
    assert deaths == 3
    job = server.ask("GET", f"/api/jobs/{bad}")
    assert (job["state"], job["error"]["code"]) == ("failed", "quarantined")
    assert "3 times in a row" in job["error"]["message"]
    assert server.ask("GET", f"/api/jobs/{good}")["state"] == "done"


def test_two_servers_do_not_share_a_folder(server: Killable) -> None:
    server.start()
    second = subprocess.run(with_fake_engine(server.folder), capture_output=True, text=True, timeout=30)
    assert second.returncode != 0
    assert server.process is not None
    assert f"process {server.process.pid} at http://127.0.0.1:" in second.stderr
    assert os.getpid() != server.process.pid
