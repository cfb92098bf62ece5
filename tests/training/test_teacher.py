"""The teacher: it draws ordinary ones as the engine would, once for a run, as if nothing had been learnt."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.models import LoadedModel
from app.schema.infotext import read_infotext_text, request_from_infotext
from app.schema.request import GenerationRequest
from app.schema.training import TrainingRequest
from app.training.data import Bucket
from app.training.drawing import draw_latent, draw_picture
from app.training.latents import LatentStore
from app.training.lesson import Pictures
from app.training.targets import LoraSettings, LoraTarget, Target
from app.training.teacher import drawn_by_teacher, lessons_of
from tests.training.making import asked, stir, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


def drawn(model: LoadedModel, learnt: Target, folder: Path, **fields: object) -> Pictures:
    request = asked(folder, "lora", class_pictures=3, **fields)
    store = LatentStore(folder / "latents", "the VAE")
    return drawn_by_teacher(("", "a dog"), request, model, learnt, Bucket(64, 32), store)


def test_a_latent_is_what_the_picture_is_decoded_from(model: LoadedModel) -> None:
    request = GenerationRequest(prompt="a dog", width=64, height=32, steps=2, seed=3, variation_seed=0)
    latent = draw_latent(model, request)
    assert latent.shape == (4, 4, 8)
    with torch.no_grad():
        pixels = model.vae.decode(latent[None])[0]
    picture = np.array(Image.open(io.BytesIO(draw_picture(model, request))), dtype=np.float32)
    decoded = ((pixels.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    assert float(np.abs(decoded - picture).max()) <= 1


def test_captions_take_turns_and_are_drawn_once_for_a_run(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = LoraTarget(model, LoraSettings(rank=2, alpha=2.0))
    first = drawn(model, learnt, tmp_path)
    assert first.captions == ["", "a dog", ""]
    latents = [forms[0].latent for forms in first.cached]
    assert {latent.shape for latent in latents} == {(4, 4, 8)}
    assert not any(torch.equal(latents[0], latent) for latent in latents[1:])
    assert first.cached[0][0].numbers == {
        "height": 32, "width": 64, "crop_top": 0, "crop_left": 0, "target_height": 32, "target_width": 64,
    }  # fmt: skip
    monkeypatch.setattr("app.training.teacher.draw_latent", None)
    again = drawn(model, learnt, tmp_path)
    assert all(torch.equal(forms[0].latent, latent) for forms, latent in zip(again.cached, latents, strict=True))
    learnt.detach()


def test_what_was_learnt_does_not_show(model: LoadedModel, tmp_path: Path) -> None:
    learnt = LoraTarget(model, LoraSettings(rank=2, alpha=2.0))
    before = drawn(model, learnt, tmp_path / "before")
    stir(learnt)
    after = drawn(model, learnt, tmp_path / "after")
    for one, other in zip(before.cached, after.cached, strict=True):
        assert torch.equal(one[0].latent, other[0].latent)
    learnt.detach()


def test_a_few_are_enough() -> None:
    request = TrainingRequest(method="dreambooth")
    assert (request.prior, lessons_of(request)) == ("prediction", 24)
    changed = ({"class_pictures": 4}, {"prior": "none"}, {"prior_weight": 0}, {"method": "textual_inversion"})
    assert [lessons_of(request.model_copy(update=fields)) for fields in changed] == [4, 0, 0, 0]


def test_a_samples_infotext_gives_its_request_back(model: LoadedModel) -> None:
    wanted = {"prompt": "a dog", "negative_prompt": "fog", "width": 64, "height": 32, "seed": 3, "clip_skip": 2}
    request = GenerationRequest.model_validate({**wanted, "steps": 2})
    text = Image.open(io.BytesIO(draw_picture(model, request))).info["parameters"]
    assert text.startswith("a dog\nNegative prompt: fog\nSteps: 2, Sampler: ")
    assert f"Model: {Path(model.file.path if model.file else '').stem}" in text
    assert wanted.items() <= request_from_infotext(read_infotext_text(text)).fields.items()
