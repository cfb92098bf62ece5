"""Weights stored in any number format are read as the numbers that they stand for, in the format asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.models import Precision, load_checkpoint
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.models.checkpoints import write_tiny_checkpoint

KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"
UNET = "model.diffusion_model."


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("plain") / "a.safetensors", dtype=torch.float32)
    return load_file(path)


@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "stored",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2],
)  # fmt: skip
def test_every_format_becomes_every_other(
    stored: torch.dtype, computed: torch.dtype, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    written = {name: tensor.to(stored) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(written, tmp_path / "a.safetensors")
    model = load_checkpoint(tmp_path / "a.safetensors", precision=Precision(computed, computed, computed))
    assert {weight.dtype for _, module in model.parts() for weight in module.parameters()} == {computed}
    weight = model.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q.weight
    assert torch.equal(weight, written[f"{KEY}.weight"].to(computed))


@pytest.mark.parametrize("naming", ["scale_weight", "weight_scale"])
def test_eight_bits_are_multiplied_by_their_scales(
    naming: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """ComfyUI's scaled fp8: weight = stored * scale, one scale for each tensor or for each row."""
    written, wanted = {}, {}
    for number, (name, tensor) in enumerate(tensors.items()):
        written[name] = tensor
        if name.startswith(UNET) and tensor.dim() == 2 and name.endswith(".weight"):
            rows = number % 2 == 0
            scale = (tensor.abs().amax(dim=1) if rows else tensor.abs().amax()) / 448
            factor = scale[:, None] if rows else scale
            written[name] = (tensor / factor).to(torch.float8_e4m3fn)
            wanted[name] = written[name].float() * factor
            module = name.removesuffix("weight")
            written[module + naming] = scale
            written[module + naming.replace("weight", "input")] = torch.tensor(1.0)
    written[f"{UNET}scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file(written, tmp_path / "scaled.safetensors")
    model = load_checkpoint(tmp_path / "scaled.safetensors")
    block = model.unet.down_blocks[0].attentions[0].transformer_blocks[0]
    assert torch.equal(block.attn1.to_q.weight, wanted[f"{KEY}.weight"])
    assert torch.equal(model.unet.time_embedding.linear_1.weight, wanted[f"{UNET}time_embed.0.weight"])
    assert torch.allclose(block.attn1.to_q.weight, tensors[f"{KEY}.weight"], rtol=0.07, atol=1e-3)
    assert model.report == ()


def test_a_scale_that_fits_nothing_and_weights_in_four_bits_are_refused(
    tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    eight = {f"{KEY}.weight": tensors[f"{KEY}.weight"].to(torch.float8_e4m3fn)}
    odd = {f"{KEY}.scale_weight": torch.ones(5)}
    save_file({**tensors, **eight, **odd}, tmp_path / "odd.safetensors")
    with pytest.raises(BrokenModelFile, match=r"has a scale of the shape \[5\]"):
        load_checkpoint(tmp_path / "odd.safetensors")
    packed = {f"{KEY}.weight.quant_state.bitsandbytes__nf4": torch.zeros(8, dtype=torch.uint8)}
    save_file({**tensors, **packed}, tmp_path / "nf4.safetensors")
    with pytest.raises(UnsupportedModel, match="packed in four bits"):
        load_checkpoint(tmp_path / "nf4.safetensors")
