"""What a loaded model tells: noise levels, paths of weights, parts, fingerprints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.models import FAMILIES, SD1, LoadedModel, Precision, alphas_cumprod, load_checkpoint
from tests.models.checkpoints import write_tiny_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "sdxl.safetensors", "SDXL"))


def test_the_noise_levels_are_stable_diffusions(model: LoadedModel) -> None:
    """Values of A1111's table for SD 1.5, to the last bit of float32."""
    assert model.sigmas.shape == (1000,)
    assert [float(model.sigmas[i]) for i in (0, 1, 250, 500, 750, 998, 999)] == [
        0.02916753478348255,
        0.04131447896361351,
        0.6957989931106567,
        1.6182788610458374,
        4.099164009094238,
        14.526275634765625,
        14.614642143249512,
    ]


def test_zero_terminal_snr_starts_where_the_plain_curve_starts_and_ends_in_noise() -> None:
    plain, rescaled = alphas_cumprod(SD1), alphas_cumprod(SD1, zero_terminal_snr=True)
    assert float(rescaled[0]) == pytest.approx(float(plain[0]), rel=1e-6)
    assert float(rescaled[-1]) == pytest.approx(4.8973e-08, rel=1e-4)
    roots, expected = rescaled.double().sqrt()[:-1], plain.double().sqrt()[:-1]
    slope = (roots[0] - roots[500]) / (expected[0] - expected[500])
    assert torch.allclose(roots[0] - roots, (expected[0] - expected) * slope, atol=1e-6)
    assert bool((rescaled.diff() < 0).all())


def test_weights_of_every_text_encoder_are_named_alike_whatever_transformers_calls_them(model: LoadedModel) -> None:
    names = [name for name, _ in model.weights()]
    assert "text_encoders.0.text_model.encoder.layers.0.self_attn.q_proj.weight" in names
    assert "text_encoders.1.text_model.encoder.layers.0.self_attn.q_proj.weight" in names
    assert "text_encoders.1.text_projection.weight" in names
    assert "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight" in names
    assert not any(name.startswith("vae") for name in names)
    assert len(names) == len(set(names))


def test_it_knows_its_parts_and_its_size(model: LoadedModel) -> None:
    assert [name for name, _ in model.parts()] == ["unet", "vae", "text_encoders.0", "text_encoders.1"]
    parameters = sum(p.numel() for _, part in model.parts() for p in part.parameters())
    assert 4 * parameters <= model.bytes() <= 4 * parameters + 2 * 77 * 8
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)


def test_nothing_in_it_asks_for_gradients_or_stays_empty(model: LoadedModel) -> None:
    tensors = [t for _, part in model.parts() for t in (*part.parameters(), *part.buffers())]
    assert not any(t.requires_grad or t.is_meta for t in tensors)
    assert not any(module.training for _, part in model.parts() for module in part.modules())


def test_the_fingerprint_changes_with_file_precision_and_vae(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "a.safetensors")
    first, again = load_checkpoint(path), load_checkpoint(path)
    half = load_checkpoint(path, precision=Precision(torch.bfloat16, torch.float32, torch.float32))
    other = load_checkpoint(write_tiny_checkpoint(tmp_path / "b.safetensors"))
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, half.fingerprint, other.fingerprint}) == 3


def test_families_differ_in_the_published_facts() -> None:
    assert {name: family.scaling_factor for name, family in FAMILIES.items()} == {
        "SD1": 0.18215,
        "SD2": 0.18215,
        "SDXL": 0.13025,
        "SDXL refiner": 0.13025,
    }
    assert [FAMILIES["SDXL"].pooled_width + 256 * 6, FAMILIES["SDXL refiner"].pooled_width + 256 * 5] == [2816, 2560]
    for family in FAMILIES.values():
        assert family.context_width == sum(encoder.width for encoder in family.text_encoders)
        assert len(family.size_numbers) == {"SDXL": 6, "SDXL refiner": 5}.get(family.name, 0)
