"""Skeletons: what is copied from one is a model of its own, equal to one built anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from app.models import LoadedModel, Skeletons, load_checkpoint
from tests.models.checkpoints import LAYOUTS, write_tiny_checkpoint


def held(value: Any) -> Iterable[int]:
    """The modules and the collections that a value holds, by their place in memory."""
    if isinstance(value, nn.Module):
        yield id(value)
        for inner in vars(value).values():
            yield from held(inner)
    elif type(value) in (dict, list, set, tuple):
        if not isinstance(value, tuple):
            yield id(value)
        for inner in value.values() if isinstance(value, dict) else value:
            yield from held(inner)


@pytest.mark.parametrize("family", LAYOUTS)
def test_models_of_one_skeleton_share_no_module_hook_or_weight(family: str, tmp_path: Path) -> None:
    files = [write_tiny_checkpoint(tmp_path / f"{seed}.safetensors", family, seed) for seed in (0, 1)]
    skeletons = Skeletons()
    models = [load_checkpoint(file, skeletons=skeletons) for file in files]
    for (name, one), (_, other) in zip(models[0].parts(), models[1].parts(), strict=True):
        assert set(held(one)).isdisjoint(held(other)), name
        assert {w.data_ptr() for w in one.parameters()}.isdisjoint(w.data_ptr() for w in other.parameters()), name
    plain = load_checkpoint(files[1])
    for (name, one), (_, other) in zip(models[1].parts(), plain.parts(), strict=True):
        assert [(type(m), m.training) for m in one.modules()] == [(type(m), m.training) for m in other.modules()], name
        weights, wanted = dict(one.named_parameters()), dict(other.named_parameters())
        assert list(weights) == list(wanted)
        assert all(torch.equal(weights[key], wanted[key]) for key in wanted), name
        assert not any(weight.requires_grad for weight in weights.values())


def test_what_is_done_to_a_model_is_not_done_to_the_next_of_its_skeleton(tmp_path: Path) -> None:
    file, skeletons = write_tiny_checkpoint(tmp_path / "a.safetensors"), Skeletons()

    def called(model: LoadedModel) -> list[bool]:
        heard: list[bool] = []
        model.unet.conv_in.register_forward_hook(lambda *_: heard.append(True))
        return heard

    models = [load_checkpoint(file, skeletons=skeletons) for _ in range(2)]
    first, second = (called(model) for model in models)
    models[0].unet.conv_in(torch.zeros(1, 4, 8, 8))
    assert (first, second) == ([True], [])
    models[0].unet.half()
    assert models[1].unet.dtype == torch.float32


def test_the_oldest_of_many_skeletons_go() -> None:
    skeletons, found = Skeletons(knows=2), []

    def find(key: str) -> dict[str, Any]:
        return skeletons.known(key, lambda: found.append(key) or {})  # type: ignore[func-returns-value]

    for key in ("a", "b", "b", "c", "a"):
        find(key)
    assert found == ["a", "b", "c", "a"]
