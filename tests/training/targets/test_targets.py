"""What every target promises: gradients where they belong, a model that is as it was, a lesson that is learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.language import Tokenizer
from app.models import LoadedModel
from app.training.targets import (
    EmbeddingSettings,
    EmbeddingTarget,
    HypernetworkSettings,
    HypernetworkTarget,
    LoraSettings,
    LoraTarget,
    Target,
    WeightsSettings,
    WeightsTarget,
)
from tests.training.making import answer_of, lesson_of, state_hash, stir, tiny

CAPTIONS = ("thing on grass", "a thing at night")
WIDTHS = (32, 64, 128)


def lora(**settings: Any) -> Callable[[LoadedModel], Target]:
    return lambda model: LoraTarget(model, LoraSettings(**{"rank": 2, "alpha": 2.0, **settings}))


TARGETS: dict[str, Callable[[LoadedModel], Target]] = {
    "weights": lambda model: WeightsTarget(model, WeightsSettings(keep_first=True)),
    "weights and text": lambda model: WeightsTarget(model, WeightsSettings(text_factor=0.5, keep_first=True)),
    "LoRA": lora(),
    "LoRA with text and convolutions": lora(text_factor=0.5, conv_rank=2, dropout=0.2),
    "DoRA": lora(kind="DoRA", conv_rank=1),
    "LoHa": lora(kind="LoHa", conv_rank=1),
    "LoKr": lora(kind="LoKr", rank=1, factor=4, conv_rank=1),
    "embedding": lambda model: EmbeddingTarget(model, EmbeddingSettings("thing", 2, "purple circle"), Tokenizer()),
    "hypernetwork": lambda model: HypernetworkTarget(
        model, HypernetworkSettings("h", WIDTHS, (1, 2, 1), "swish", "KaimingNormal", True, (0, 0.2, 0))
    ),
}
NO_CHANGE = ["LoRA", "LoRA with text and convolutions", "LoHa", "LoKr"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=TARGETS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_gradients_reach_every_trained_tensor_and_no_other(model: LoadedModel, name: str) -> None:
    learnt = TARGETS[name](model)
    try:
        stir(learnt, by=0.01)
        lesson = lesson_of(model, learnt, captions=CAPTIONS)
        lesson.loss(0).backward()
        parameters = learnt.parameters()
        own = {id(tensor) for tensor in parameters.values()}
        assert not {key for key, tensor in parameters.items() if tensor.grad is None}
        assert all(part.dtype == torch.float32 for part in parameters.values())
        others = [tensor for _, tensor in model.weights() if id(tensor) not in own]
        others += list(model.vae.module.parameters())
        assert all(tensor.grad is None and not tensor.requires_grad for tensor in others)
    finally:
        learnt.detach()


def test_gradients_are_right(model: LoadedModel, name: str) -> None:
    learnt = TARGETS[name](model)
    try:
        stir(learnt, by=0.02)
        lesson = lesson_of(model, learnt, captions=CAPTIONS)
        lesson.loss(0).backward()
        tensors = [tensor for tensor in learnt.parameters().values() if tensor.grad is not None]
        slopes = [tensor.grad.clone() for tensor in tensors if tensor.grad is not None]
        length = torch.stack([slope.pow(2).sum() for slope in slopes]).sum().sqrt().item()
        step = 1e-3

        def moved(by: float) -> float:
            with torch.no_grad():
                for tensor, slope in zip(tensors, slopes, strict=True):
                    tensor += by * slope / length
                return lesson.loss(0).item()

        higher = moved(step)
        lower = moved(-2 * step)
        assert (higher - lower) / (2 * step) == pytest.approx(length, rel=0.03)
    finally:
        learnt.detach()


def test_the_model_is_as_it_was_beneath_and_after(model: LoadedModel, name: str) -> None:
    before, first = state_hash(model), answer_of(model)
    learnt = TARGETS[name](model)
    if name in NO_CHANGE:
        assert torch.equal(answer_of(model), first)
    stir(learnt)
    model.vocabularies = learnt.vocabularies()
    assert not torch.allclose(answer_of(model), first, atol=1e-3)
    with learnt.untouched():
        model.vocabularies = learnt.vocabularies()
        assert torch.equal(answer_of(model), first)
    model.vocabularies = learnt.vocabularies()
    assert not torch.allclose(answer_of(model), first, atol=1e-3)
    learnt.detach()
    model.vocabularies = ()
    assert torch.equal(answer_of(model), first)
    assert state_hash(model) == before


@pytest.mark.parametrize(("name", "prediction"), [("weights", "epsilon"), ("weights", "v"), ("LoRA", "v")])
def test_one_latent_is_learnt_by_heart(model: LoadedModel, name: str, prediction: Any) -> None:
    model.prediction_type = prediction
    learnt = TARGETS[name](model)
    try:
        lesson = lesson_of(model, learnt, pictures=1, batch=1)
        optimizer = torch.optim.Adam(list(learnt.parameters().values()), lr=2e-3 if name == "weights" else 2e-2)
        losses = []
        for _ in range(24):
            optimizer.zero_grad()
            loss = lesson.loss(0)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.2 * losses[0], losses[::10]
    finally:
        learnt.detach()
        model.prediction_type = "epsilon"


def test_rates_name_the_text_encoders_parameters(model: LoadedModel) -> None:
    for name in ("weights and text", "LoRA with text and convolutions"):
        learnt = TARGETS[name](model)
        rates, parameters = learnt.rates(), learnt.parameters()
        learnt.detach()
        assert set(rates.values()) == {0.5}
        assert set(rates) == {key for key in parameters if key.startswith(("lora_te", "text_encoders."))} != set()


def test_dropout_follows_from_the_step_alone(model: LoadedModel) -> None:
    for name in ("LoRA with text and convolutions", "hypernetwork"):
        learnt = TARGETS[name](model)
        stir(learnt)
        answers = {}
        for part in (1, 2, 1, None):
            learnt.begin(part)
            answer = answer_of(model)
            assert torch.equal(answers.setdefault(part, answer), answer)
        learnt.detach()
        assert not torch.allclose(answers[1], answers[2])
        assert not torch.allclose(answers[1], answers[None])


@pytest.mark.parametrize("family", ["SD2", "SDXL"])
def test_other_families_learn_too(family: str, tmp_path: Path) -> None:
    model = tiny(tmp_path, family)
    for name, make in TARGETS.items():
        if name in ("DoRA", "LoHa", "LoKr", "weights", "LoRA"):
            continue
        learnt = make(model)
        stir(learnt, by=0.01)
        lesson = lesson_of(model, learnt, captions=CAPTIONS)
        lesson.loss(0).backward()
        assert any(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in learnt.parameters().values())
        if name == "embedding":
            assert all(tensor.grad is not None for tensor in learnt.parameters().values())
        learnt.detach()
