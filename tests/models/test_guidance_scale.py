"""A distilled U-Net is told its guidance scale as LCM's authors do, and the usual one where nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import (
    LatentConsistencyModelPipeline,
)

from app.models import load_checkpoint
from app.models.guidance_scale import USUAL_SCALE, guidance_embedding
from tests.models.checkpoints import LAYOUTS, write_tiny_checkpoint
from tests.models.oracles import unet_inputs


@pytest.mark.parametrize("width", [256, 17])
def test_scales_become_the_sines_and_cosines_of_the_authors(width: int) -> None:
    scales = torch.tensor([1.0, 7.5, 8.0])
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, scales - 1, embedding_dim=width)
    # Angles go up to 7000, where a rounding of float32 is 5e-4.
    assert torch.allclose(guidance_embedding(scales, width), theirs, atol=2e-3)


@torch.inference_mode()
def test_without_a_word_the_scale_is_the_usual_one(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "lcm.safetensors", guidance_width=16, dtype=torch.float32)
    unet = load_checkpoint(path).unet
    arguments, _ = unet_inputs(LAYOUTS["SD1"], side=8)
    usual, other = (guidance_embedding(torch.full((2,), scale), 16) for scale in (USUAL_SCALE, 1.5))
    unsaid = unet(*arguments, return_dict=False)[0]
    assert torch.equal(unsaid, unet(*arguments, timestep_cond=usual, return_dict=False)[0])
    assert not torch.allclose(unsaid, unet(*arguments, timestep_cond=other, return_dict=False)[0], atol=1e-3)
