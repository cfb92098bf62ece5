"""`models download` brings a model into its folder, also after `kill -9`, and says by its status how it went."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.download import bar
from app.files import Download
from tests.cli.places import Places
from tests.files.file_server import FileServer, Route, serving
from tests.files.making import lora, write_safetensors

Typed = Callable[..., int]
START = "import sys; from app.launch import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as found:
        yield found


def test_the_place_is_printed(
    easel: Typed, places: Places, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.routes["/ink.safetensors"] = Route(write_safetensors(tmp_path / "a", lora(768)).read_bytes())
    assert easel("models", "download", f"{server.address}/ink.safetensors") == 0
    path = places.folders.loras[0] / "ink.safetensors"
    assert capsys.readouterr().out == f"{path} (lora)\n"
    assert path.is_file()


def test_programs_get_json_and_a_status(easel: Typed, server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "download", f"{server.address}/gone.safetensors", "--json") == 1
    told = capsys.readouterr()
    assert (json.loads(told.out)["state"], json.loads(told.out)["code"]) == ("failed", "download_failed")
    assert "has no such file" in told.err


@pytest.mark.parametrize("arguments", [["poem"], ["a/b", "--kind", "poem"], ["a/b", "--sha256", "12"], []])
def test_what_is_not_understood_has_the_status_two(easel: Typed, arguments: list[str]) -> None:
    assert easel("models", "download", *arguments) == 2


def test_the_bar_says_how_far_how_fast_and_how_long() -> None:
    download = Download("0" * 16, "a/b", name="ink.pt", received=25_000_000, total=100_000_000, speed=1e6)
    assert bar(download) == "ink.pt  [#######.......................]  25.0 of 100.0 MB  1.0 MB/s  1:15 left"
    assert bar(replace(download, total=None)) == "ink.pt  25.0 MB  1.0 MB/s"


@pytest.mark.kill
def test_after_kill_9_the_same_command_goes_on(server: FileServer, tmp_path: Path) -> None:
    shapes = {**lora(768), "lora_unet_more.lora_down.weight": (40, 2**20)}
    made = write_safetensors(tmp_path / "made.safetensors", shapes).read_bytes()
    server.routes["/ink.safetensors"] = Route(made, headers={"ETag": '"one"'}, gate=threading.Event())
    folder = tmp_path / "data"
    command = [sys.executable, "-c", START, "models", "download", f"{server.address}/ink.safetensors"]
    command += ["--data-dir", str(folder)]
    records = folder / "data" / "downloads"
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while killed.poll() is None and not any(
            json.loads(path.read_text())["received"] > 32 * 2**20 for path in records.glob("*.json")
        ):
            threading.Event().wait(0.01)
    finally:
        killed.kill()
        killed.wait()
    assert list((folder / "models" / "Lora").iterdir()) == []
    server.routes["/ink.safetensors"].gate = None
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0
    assert (folder / "models" / "Lora" / "ink.safetensors").read_bytes() == made
    begin = int(server.asked[1][1]["range"].removeprefix("bytes=").rstrip("-"))
    assert begin > 32 * 2**20
