"""Faces are cut out, drawn anew and put back; GFPGAN's own network is read from its file by our loader."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.models import Face, load_face_restorer, load_upscaler, with_faces_restored
from app.models.face_alignment import SIDE, TEMPLATE
from app.models.spandrel_import import spandrel
from app.schema.errors import BrokenModelFile, NotFiniteResult, UnsupportedModel

CPU = torch.device("cpu")
Array = np.ndarray


def at(x: float, y: float, scale: float) -> Face:
    """A face whose square has its middle there and is so many times 512 pixels wide."""
    points = (TEMPLATE - 256) * scale + (x, y)
    return Face(points, (x - 100 * scale, y - 100 * scale, 200 * scale, 200 * scale), 0.9)


def finding(*faces: Face) -> Callable[[Array], list[Face]]:
    return lambda picture: list(faces)


class White:
    """Draws every face white. seen: what it was given."""

    def __init__(self) -> None:
        self.seen: list[Array] = []

    def __call__(self, face: Array) -> Array:
        self.seen.append(face)
        return np.full_like(face, 255)


def grey(height: int = 300, width: int = 500, level: int = 100) -> Tensor:
    return torch.full((3, height, width), level, dtype=torch.uint8)


def test_each_face_is_restored_in_its_place_and_the_rest_stays() -> None:
    told: list[tuple[int, int]] = []
    restorer, before = White(), grey()
    faces = finding(at(120, 150, 0.2), at(380, 150, 0.1))
    result, count = with_faces_restored(before, faces, restorer, 1.0, lambda done, total: told.append((done, total)))
    assert count == 2
    assert [face.shape for face in restorer.seen] == [(SIDE, SIDE, 3)] * 2
    assert (result[:, 150, 120] == 255).all()
    assert (result[:, 150, 380] == 255).all()
    assert torch.equal(result[:, :, 180:340], before[:, :, 180:340])
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert (before == 100).all()


def test_visibility_is_how_much_of_the_new_face_shows() -> None:
    result, _ = with_faces_restored(grey(), finding(at(120, 150, 0.2)), White(), 0.4)
    assert result[:, 150, 120].tolist() == [162] * 3


@pytest.mark.parametrize(("faces", "visibility"), [((), 1.0), ((at(120, 150, 0.2),), 0.0)])
def test_without_a_face_or_unseen_the_pixels_are_the_same(faces: tuple[Face, ...], visibility: float) -> None:
    restorer, before = White(), grey()
    result, count = with_faces_restored(before, finding(*faces), restorer, visibility)
    assert result is before
    assert (count, restorer.seen) == (len(faces), [])


def test_faces_that_overlap_are_each_cut_from_the_picture_as_it_was() -> None:
    restorer = White()
    with_faces_restored(grey(), finding(at(200, 150, 0.2), at(240, 150, 0.2)), restorer, 1.0)
    assert all((face == 100).all() for face in restorer.seen)


# GFPGAN's sizes are fixed in spandrel and make 350 megabytes; its own class takes a smaller number of channels.
SMALL = {"narrow": 1 / 16, "num_style_feat": 32}


@pytest.fixture
def gfpgan(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A small one with random weights, of the size that spandrel then expects."""
    spandrel()
    module = importlib.import_module("spandrel.architectures.GFPGAN")
    whole = module.GFPGAN
    monkeypatch.setattr(module, "GFPGAN", lambda **sizes: whole(**{**sizes, **SMALL}))
    torch.manual_seed(5)
    network: torch.nn.Module = whole(**SMALL)
    for name, weight in network.named_parameters():
        if name.startswith("stylegan_decoder") and name.endswith("conv1.weight"):
            weight.data.fill_(0.5)  # noise counts: it has no weight at first
    return network.eval()


def pickled(network: torch.nn.Module, path: Path) -> Path:
    """As GFPGAN's own program writes it."""
    torch.save({"params_ema": network.state_dict()}, path)
    return path


def test_the_file_is_read_and_computes_what_the_network_itself_computes(
    gfpgan: torch.nn.Module, tmp_path: Path
) -> None:
    face = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with torch.inference_mode():
        inside = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1
        own = gfpgan(inside, return_rgb=False, randomize_noise=False)[0][0].clamp(-1, 1)
    expected = ((own + 1) / 2 * 255).permute(1, 2, 0).numpy()
    restorer = load_face_restorer(pickled(gfpgan, tmp_path / "GFPGANv1.4.pth"), CPU)
    drawn = restorer(face)
    assert (drawn.shape, drawn.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert np.abs(drawn - expected).max() <= 0.51
    assert expected.std() > 1
    assert np.array_equal(restorer(face), drawn)
    save_file(dict(gfpgan.state_dict()), tmp_path / "GFPGANv1.4.safetensors")
    assert np.array_equal(load_face_restorer(tmp_path / "GFPGANv1.4.safetensors", CPU)(face), drawn)


def test_a_network_that_gives_no_numbers_is_named(gfpgan: torch.nn.Module, tmp_path: Path) -> None:
    broken: Any = gfpgan
    broken.final_conv.bias.data.fill_(float("nan"))
    restorer = load_face_restorer(pickled(gfpgan, tmp_path / "GFPGANv1.4.pth"), CPU)
    with pytest.raises(NotFiniteResult, match=r"GFPGANv1\.4\.pth gave values that are not numbers"):
        restorer(np.zeros((SIDE, SIDE, 3), np.uint8))


def test_weights_of_other_sizes_are_refused(gfpgan: torch.nn.Module, tmp_path: Path) -> None:
    state = {name: value[:1] if value.dim() > 1 else value for name, value in gfpgan.state_dict().items()}
    torch.save({"params_ema": state}, tmp_path / "half.pth")
    with pytest.raises(BrokenModelFile, match=r"half\.pth looks like a GFPGAN model, but its weights do not fit"):
        load_face_restorer(tmp_path / "half.pth", CPU)


def test_gfpgan_enlarges_nothing_and_an_upscaler_restores_no_face(gfpgan: torch.nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="does not make whole pictures larger"):
        load_upscaler(pickled(gfpgan, tmp_path / "GFPGANv1.4.pth"), CPU)
    compact = importlib.import_module("spandrel.architectures.Compact.__arch.SRVGG").SRVGGNetCompact
    torch.save(compact(num_feat=8, num_conv=2, upscale=2).state_dict(), tmp_path / "compact.pth")
    torch.save({"anything": torch.zeros(2)}, tmp_path / "other.pth")
    for name in ("compact.pth", "other.pth"):
        with pytest.raises(UnsupportedModel, match=f"{name} is no GFPGAN model"):
            load_face_restorer(tmp_path / name, CPU)
