"""Every method learns from pictures, shortly: its file, put on an untouched starter, draws more like what was shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.language import Tokenizer
from app.models import LoadedModel, load_checkpoint
from app.networks import NetworkSet, Wanted
from app.schema.request import GenerationRequest
from app.schema.training import TrainingRequest
from app.starter import Scene, draw_scene
from app.training import train
from app.training.drawing import draw_picture

STARTER = Path(__file__).resolve().parents[2] / "models" / "Stable-diffusion" / "starter.safetensors"
SIDE = 64
WORD = "sks"
METHODS: dict[str, dict[str, Any]] = {
    "dreambooth": {"steps": 12, "learning_rate": "5e-4", "prior": "none"},
    "lora": {"steps": 24, "learning_rate": "1e-2", "rank": 4, "alpha": 4.0, "prior": "none"},
    "textual_inversion": {"steps": 40, "learning_rate": "1e-1", "vectors": 4},
    "hypernetwork": {"steps": 16, "learning_rate": "3e-3", "widths": (96,), "prior": "none"},
}
KINDS = {"lora": "lora", "textual_inversion": "embedding", "hypernetwork": "hypernet"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of a night at sea."""
    folder = tmp_path_factory.mktemp("shown")
    for number, subject in enumerate(("boat", "star")):
        picture = draw_scene(Scene(subject, "blue", "sea", "night"), number, SIDE, SIDE)  # type: ignore[arg-type]
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(WORD)
    return folder


def colour(picture: Image.Image) -> np.ndarray:
    """[3]: the mean of all pixels."""
    return np.asarray(picture.convert("RGB"), dtype=np.float64).mean((0, 1))


def drawn(model: LoadedModel) -> np.ndarray:
    """[3]: the mean colour of two pictures of the word."""
    pictures = []
    for seed in (1, 2):
        request = GenerationRequest(
            prompt=WORD,
            width=SIDE,
            height=SIDE,
            steps=6,
            cfg_scale=3.0,
            sampler="DPM++ 2M",
            seed=seed,
            variation_seed=0,
        )
        pictures.append(Image.open(io.BytesIO(draw_picture(model, request))))
    return np.mean([colour(picture) for picture in pictures], axis=0)


def with_file(method: str, path: Path) -> np.ndarray:
    """What a fresh model draws with the file."""
    if method == "dreambooth":
        return drawn(load_checkpoint(path))
    model, status = load_checkpoint(STARTER), path.stat()
    wanted = Wanted(KINDS[method], path.stem, str(path), status.st_size, status.st_mtime_ns, 1.0, 1.0)
    NetworkSet(Tokenizer().encode).apply(model, [wanted])
    return drawn(model)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("learning", [True, False])
def test_a_brief_training_shows_in_pictures_and_one_at_rate_0_does_not(
    method: str, learning: bool, shown: Path, tmp_path: Path
) -> None:
    usual = {"name": WORD, "trigger": WORD, "width": SIDE, "height": SIDE, "batch_size": 2, "sample_every": 0}
    fields = {**usual, **METHODS[method], "session": "a test", "created": 1, "snapshot_seconds": 3600}
    if not learning:
        fields |= {"steps": 1, "learning_rate": "0"}
    request = TrainingRequest.model_validate({**fields, "method": method, "data": str(shown)})
    path = train(request, load_checkpoint(STARTER), tmp_path)
    assert path is not None
    goal = np.mean([colour(Image.open(one)) for one in shown.glob("*.png")], axis=0)
    before, after = drawn(load_checkpoint(STARTER)), with_file(method, path)
    nearer = 1 - np.linalg.norm(after - goal) / np.linalg.norm(before - goal)
    assert (nearer > 0.3) == learning
