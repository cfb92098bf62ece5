"""The whole path in processes of its own: a prompt becomes a file without a network, and the same one each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.setup.environment import PROGRAM
from tests.models.checkpoints import write_tiny_checkpoint

# Everything that reaches beyond this machine fails in the child, from its first import on.
START = """
from tests.network_guard import GUARD
with GUARD as tried:
    import sys
    from app.launch import main
    status = main(sys.argv[1:])
print("tried:", tried)
sys.exit(status)
"""
SMALL = ("--width", "64", "--height", "64", "--steps", "3", "--seed", "7")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a name that many programs stumble over, and one tiny checkpoint."""
    folder = tmp_path_factory.mktemp("数据 мой 🎨 folder")
    models = folder / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    write_tiny_checkpoint(models / "细小 model 🐈.safetensors", "SD1")
    return folder


def easel(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", START, *arguments, "--data-dir", str(data)],
        cwd=PROGRAM,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_same_request_in_two_processes_gives_the_same_bytes_without_a_network(data: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one.png", "two.png"):
        run = easel(data, "generate", "a red (house:1.2)", *SMALL, "-o", str(tmp_path / name))
        assert run.returncode == 0, run.stderr
        assert "tried: []" in run.stdout
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    picture = Image.open(tmp_path / "one.png")
    assert picture.size == (64, 64)
    first, last = picture.info["parameters"].splitlines()
    assert first == "a red (house:1.2)"
    assert last.startswith("Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 7, Size: 64x64, ")
    assert "Model: 细小 model 🐈, RNG: CPU, Version: Easel" in last


def test_a_batch_gives_the_pictures_of_their_seeds(data: Path, tmp_path: Path) -> None:
    run = easel(data, "generate", "a boat", *SMALL, "--batch-count", "2", "-o", str(tmp_path / "batch.png"))
    assert run.returncode == 0, run.stderr
    alone = easel(data, "generate", "a boat", *SMALL[:-1], "8", "-o", str(tmp_path / "alone.png"))
    assert alone.returncode == 0, alone.stderr
    second = sorted(tmp_path.glob("batch*.png"))[-1]
    assert Image.open(second).tobytes() == Image.open(tmp_path / "alone.png").tobytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a cat", "--sampler", "Nope"), "no sampler called 'Nope'"),
        (("a cat", "--width", "0"), "--width"),
        (("a cat", "--steps", "1000000000"), "--steps"),
        (("a cat", "--checkpoint", "missing"), "'missing'"),
        (("(cat:1.2.3)",), "1.2.3"),
    ],
)
def test_bad_input_is_answered_in_words(data: Path, arguments: tuple[str, ...], words: str) -> None:
    run = easel(data, "generate", *arguments)
    assert run.returncode != 0
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_broken_checkpoint_is_named_and_the_next_job_runs(data: Path, tmp_path: Path) -> None:
    whole = next((data / "models" / "Stable-diffusion").glob("*.safetensors"))
    broken = whole.with_name("half.safetensors")
    broken.write_bytes(whole.read_bytes()[:100_000])
    try:
        run = easel(data, "generate", "a cat", *SMALL, "--checkpoint", "half.safetensors")
        assert run.returncode == 1
        assert "half.safetensors" in run.stderr
        assert "Traceback" not in run.stderr
    finally:
        broken.unlink()
    after = easel(data, "generate", "a cat", *SMALL, "-o", str(tmp_path / "after.png"))
    assert after.returncode == 0, after.stderr
