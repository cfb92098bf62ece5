"""Live previews: the linear map, or a TAESD decoder where one is wanted and works; only a small share of the time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file

from app.engine import PreviewShelf
from app.engine.engine import PREVIEW_SHARE
from app.models import SD1, SDXL, load_tiny_decoder, thumbnail
from app.schema.events import RowAdvanced, RowPreviewed
from tests.engine.formula import formula_engine, image_plans, run_to_end

CPU = torch.device("cpu")
ROWS = ((0.3, 0.2, 0.2), (0.2, 0.3, 0.2), (-0.1, 0.2, 0.3), (-0.2, -0.3, -0.5), (0.0, 0.0, 0.0))


def model(family: Any = SD1) -> Any:
    return SimpleNamespace(family=family, preview=ROWS)


@pytest.fixture
def decoder_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tiny = AutoencoderTiny(decoder_block_out_channels=(8,) * 4, encoder_block_out_channels=(8,) * 4)
    path = tmp_path / "taesd_decoder.safetensors"
    save_file(dict(tiny.state_dict()), path)
    return path


def test_without_a_decoder_a_preview_has_one_pixel_for_each_cell() -> None:
    latent = torch.randn(1, 4, 6, 9)
    assert PreviewShelf(CPU).picture(latent, model()).tobytes() == thumbnail(latent, ROWS).tobytes()


def test_with_a_decoder_of_the_family_it_is_the_decoded_picture(decoder_file: Path) -> None:
    shelf = PreviewShelf(CPU, lambda: [decoder_file])
    latent = torch.randn(1, 4, 6, 9)
    shown = shelf.picture(latent, model())
    assert shown.size == (72, 48)
    assert shown.tobytes() == load_tiny_decoder(decoder_file).picture(latent).tobytes()
    assert shelf.picture(latent, model(SDXL)).size == (9, 6)


def test_a_large_latent_is_decoded_at_a_previews_size(decoder_file: Path) -> None:
    shown = PreviewShelf(CPU, lambda: [decoder_file]).picture(torch.randn(1, 4, 32, 128), model())
    assert shown.size == (512, 128)


def test_what_is_wanted_is_asked_each_time(decoder_file: Path) -> None:
    files: list[Path] = []
    shelf = PreviewShelf(CPU, lambda: files)
    latent = torch.randn(1, 4, 6, 9)
    sizes = [shelf.picture(latent, model()).size]
    files.append(decoder_file)
    sizes.append(shelf.picture(latent, model()).size)
    files.clear()
    sizes.append(shelf.picture(latent, model()).size)
    assert sizes == [(9, 6), (72, 48), (9, 6)]


def test_a_decoder_that_cannot_be_read_is_said_once_and_left_out(tmp_path: Path, caplog: Any) -> None:
    broken = tmp_path / "taesd_decoder.safetensors"
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    shelf = PreviewShelf(CPU, lambda: [broken])
    for _ in range(3):
        assert shelf.picture(torch.randn(1, 4, 6, 9), model()).size == (9, 6)
    assert caplog.text.count("Previews do without taesd_decoder.safetensors") == 1


def test_dear_previews_come_less_often_so_that_they_take_a_small_share_of_the_time() -> None:
    now = [0.0]

    class Dear(PreviewShelf):
        def picture(self, latent: Any, model: Any) -> Image.Image:
            now[0] += 3.0
            return Image.new("RGB", (8, 8))

    engine, runner, _ = formula_engine()
    engine._clock = lambda: now[0]
    engine._previews = Dear(CPU)
    engine.watch({"j"})
    run = runner.run

    def slow(*arguments: Any) -> Any:
        now[0] += 1.0
        return run(*arguments)

    runner.run = slow  # type: ignore[method-assign]
    for plan in image_plans("j", steps=140):
        engine.submit(plan)
    events = run_to_end(engine)
    shown = sum(isinstance(event, RowPreviewed) for event in events)
    assert sum(isinstance(event, RowAdvanced) for event in events) == 140
    assert shown == 3
    assert 3.0 * (shown - 1) <= PREVIEW_SHARE * now[0]
