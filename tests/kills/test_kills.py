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
from tests.models.checkpoints import write_tiny_checkpoint

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

    def wait_until_it_draws(self) -> None:
        """Waits for the first model call of this process, or for the end of all jobs."""
        while ids := [entry["id"] for entry in self.ask("GET", "/api/queue")["queue"] if entry["state"] == "running"]:
            told = [self.ask("GET", f"/api/jobs/{id}")["progress"] for id in ids]
            if any(progress and progress["step"] > 0 for progress in told):
                return
            time.sleep(0.01)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) in (0, 130, -signal.SIGINT)


def with_fake_engine(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.kills.server", str(folder)]


def with_real_engine(folder: Path) -> list[str]:
    flags = ["--nowebui", "--skip-install", "--no-browser", "--use-cpu", "all", "--data-dir", str(folder)]
    return [sys.executable, "webui.py", *flags]


@pytest.fixture
def start_over(tmp_path: Path) -> Iterator[Callable[..., Killable]]:
    """Makes the server of a command; whatever runs in the end is killed."""
    made: list[Killable] = []

    def make(command: Callable[[Path], list[str]] = with_fake_engine) -> Killable:
        made.append(Killable(command, tmp_path))
        return made[-1]

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(start_over: Callable[..., Killable]) -> Killable:
    return start_over()


Pixels = Callable[[dict[str, Any], Image.Image], bytes]


def of_the_formula(image: dict[str, Any], opened: Image.Image) -> bytes:
    """What the fake engine draws for a seed."""
    return picture(image["seed"], opened.width, opened.height)


def assert_each_picture_is_whole_and_there_once(
    server: Killable, ids: list[str], pictures: int, expected: Pixels = of_the_formula
) -> None:
    paths = []
    for id in ids:
        job = server.ask("GET", f"/api/jobs/{id}")
        assert (job["state"], job["error"]) == ("done", None)
        assert [image["index"] for image in job["images"]] == list(range(pictures))
        for image in job["images"]:
            paths.append(server.folder / image["path"])
            with Image.open(io.BytesIO(paths[-1].read_bytes())) as opened:
                assert opened.tobytes() == expected(image, opened)
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


def test_ten_kills_of_the_real_engine_give_the_pictures_of_an_undisturbed_run(
    start_over: Callable[..., Killable], tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    write_tiny_checkpoint(folder / "tiny.safetensors")
    server = start_over(with_real_engine)
    server.start()
    jobs = [
        {"prompt": f"{number} cats", "width": 64, "height": 64, "steps": 12, "seed": 50 * number, "batch_count": 2}
        for number in range(JOBS)
    ]
    ids = [server.ask("POST", "/api/jobs", job, session="ab"[number % 2])["id"] for number, job in enumerate(jobs)]
    moments = random.Random(3)
    for number in range(KILLS):
        if number % 2:
            server.wait_until_it_draws()
        time.sleep(moments.uniform(0.0, 0.4 if number % 2 else 3.0))
        server.kill()
        server.start()
    server.finish()

    undisturbed: dict[int, bytes] = {}
    for job in jobs:
        id = server.ask("POST", "/api/jobs", {**job, "save_images": False})["id"]
        server.finish()
        for image in server.ask("GET", f"/api/jobs/{id}")["images"]:
            with Image.open(server.folder / image["path"]) as opened:
                undisturbed[image["seed"]] = opened.tobytes()
    assert len(set(undisturbed.values())) == JOBS * 2
    assert_each_picture_is_whole_and_there_once(server, ids, 2, lambda image, _: undisturbed[image["seed"]])
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
