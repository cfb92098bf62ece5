"""While a model loads, a listener hears of its parts in turn and of bytes that only grow, up to the whole."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

from app.models import load_checkpoint, load_vae
from app.models.progress import STEP, Meter
from tests.models.checkpoints import write_tiny_checkpoint


def test_parts_follow_one_another_and_their_bytes_add_up_to_the_file(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "a.safetensors", "SDXL")
    told: list[tuple[str, int, int]] = []
    load_checkpoint(path, progress=lambda part, done, total: told.append((part, done, total)))
    assert [part for part, _ in groupby(told, key=lambda line: line[0])] == ["U-Net", "text encoder", "VAE"]
    assert all(first[1] <= second[1] for first, second in pairwise(told))
    total = told[0][2]
    assert all(line[2] == total for line in told)
    assert 0.95 * path.stat().st_size < total < path.stat().st_size
    # A counter (position_ids) and a scale (logit_scale) are in the file and in no module.
    assert total - 1000 < told[-1][1] <= total


def test_a_vae_of_ones_own_choice_reports_its_bytes_too(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "a.safetensors")
    told: list[tuple[str, int, int]] = []
    load_vae(path, scaling_factor=1.0, progress=lambda part, done, total: told.append((part, done, total)))
    assert [told[0][:2], told[-1][0]] == [("VAE", 0), "VAE"]
    assert told[-1][1] == told[-1][2]


def test_small_tensors_are_told_together() -> None:
    told: list[tuple[str, int, int]] = []
    meter = Meter(lambda part, done, total: told.append((part, done, total)), 3 * STEP)
    meter.begin("U-Net")
    for _ in range(30):
        meter.add(STEP // 10)
    meter.end()
    assert told == [("U-Net", done, 3 * STEP) for done in (0, STEP, 2 * STEP, 3 * STEP, 3 * STEP)]
