"""Attention falls back in words, and seamless tiling wraps every convolution and lets go of it exactly."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from app.models import LoadedModel, choose_attention, load_checkpoint, seamless, use_attention
from tests.models.checkpoints import tiny_layout, write_tiny_checkpoint
from tests.models.oracles import near, unet_inputs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "sd1.safetensors"))


def test_xformers_is_not_used_where_a_call_of_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_attention("xformers", CPU, torch.float32) == "sdpa"
    assert "xformers does not work here, PyTorch's own attention is used" in caplog.text
    assert choose_attention("", CPU, torch.float32) == "sdpa"


def test_setting_pytorchs_attention_changes_nothing_in_a_fresh_model(model: LoadedModel) -> None:
    arguments, _ = unet_inputs(tiny_layout())
    with torch.inference_mode():
        before = model.unet(*arguments, return_dict=False)[0]
        use_attention(model.unet, "sdpa")
        assert torch.equal(model.unet(*arguments, return_dict=False)[0], before)


def test_seamless_a_shifted_latent_gives_the_shifted_picture(model: LoadedModel) -> None:
    """The decoder has only convolutions, norms and attention without positions: wrapped, it knows no edges."""
    latent = torch.randn(1, 4, 6, 8)
    undo = seamless([model.unet, model.vae.module])
    with torch.inference_mode():
        wrapped = model.vae.decode(latent)
        shifted = model.vae.decode(latent.roll((2, 3), (-2, -1)))
    undo()
    assert near(shifted, wrapped.roll((16, 24), (-2, -1)))


def test_undone_the_model_is_the_same_to_the_last_bit(model: LoadedModel) -> None:
    arguments, _ = unet_inputs(tiny_layout())
    with torch.inference_mode():
        before = model.unet(*arguments, return_dict=False)[0]
        undo = seamless([model.unet])
        between = model.unet(*arguments, return_dict=False)[0]
        undo()
        after = model.unet(*arguments, return_dict=False)[0]
    assert torch.equal(before, after)
    assert not near(between, before)


def test_a_convolution_that_wrapped_before_still_wraps_after(tmp_path: Path) -> None:
    layers = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), nn.Conv2d(1, 1, 3, padding=1))
    seamless([layers])()
    assert [layer.padding_mode for layer in layers] == ["circular", "zeros"]
