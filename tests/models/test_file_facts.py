"""What a file says about itself: sidecar before own metadata before modelspec before marker tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.models import load_checkpoint
from app.models.file_facts import describe, read_facts
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.models.checkpoints import write_tiny_checkpoint

SDXL_YAML = """model:
  params:
    denoiser_config:
      params:
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling.%s
"""
V_YAML = 'model:\n  params:\n    parameterization: "v"\n    linear_start: 0.00085\n'


@pytest.mark.parametrize(
    ("yaml", "config", "modelspec", "marker", "expected"),
    [
        ("", "", "", False, None),
        ("", "", "", True, "v"),
        ("", "", "epsilon", True, "epsilon"),
        ("", "", "v_prediction", False, "v"),
        ("", "epsilon", "v", True, "epsilon"),
        ("", "v", "epsilon", False, "v"),
        (V_YAML, "epsilon", "epsilon", False, "v"),
        ("model:\n  params:\n    linear_start: 0.00085\n", "v", "v", True, "epsilon"),
        ("    parameterization: v # velocity\n", "", "", False, "v"),
        (SDXL_YAML % "VScaling", "", "epsilon", False, "v"),
        (SDXL_YAML % "EpsScaling", "", "v", True, "epsilon"),
    ],
)
def test_the_prediction_type_has_an_order_of_witnesses(
    yaml: str, config: str, modelspec: str, marker: bool, expected: str | None, tmp_path: Path
) -> None:
    if yaml:
        (tmp_path / "model.yaml").write_text(yaml)
    metadata = {"modelspec.prediction_type": modelspec, "easel.config": json.dumps({"prediction_type": config})}
    facts = read_facts(tmp_path / "model.safetensors", ["v_pred"] if marker else [], metadata)
    assert facts.prediction_type == expected


def test_modelspecs_older_word_for_the_prediction_is_known(tmp_path: Path) -> None:
    assert read_facts(tmp_path / "m.safetensors", (), {"modelspec.predict_key": "v"}).prediction_type == "v"


@pytest.mark.parametrize(
    ("names", "metadata", "expected"),
    [
        ((), {}, False),
        (["ztsnr"], {}, True),
        ((), {"ss_zero_terminal_snr": "True"}, True),
        ((), {"ss_zero_terminal_snr": "False"}, False),
        ((), {"easel.config": '{"zero_terminal_snr": true}'}, True),
    ],
)
def test_a_zero_terminal_snr_has_its_witnesses_too(
    names: list[str], metadata: dict[str, str], expected: bool, tmp_path: Path
) -> None:
    assert read_facts(tmp_path / "m.safetensors", names, metadata).zero_terminal_snr is expected


def test_an_edm_schedule_is_refused_and_not_drawn_wrongly(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "m.safetensors", "SDXL", markers=("edm_mean",))
    with pytest.raises(UnsupportedModel, match="EDM noise schedule"):
        load_checkpoint(path)


def test_modelspec_tells_the_native_size(tmp_path: Path) -> None:
    facts = read_facts(tmp_path / "m.safetensors", (), {"modelspec.resolution": "640x448"})
    assert (facts.width, facts.height) == (640, 448)
    assert read_facts(tmp_path / "m.safetensors", (), {"modelspec.resolution": "large"}).width is None


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"unet": 3}',
        '{"unet": {"norm_num_groups": 0}}',
        '{"unet": {"norm_num_groups": true}}',
        '{"width": 12.5}',
        '{"cfg_scale": "much"}',
        '{"preview_factors": [[1, 2]]}',
    ],
)
def test_metadata_that_are_no_use_are_refused_by_the_name_of_the_file(config: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenModelFile, match=r"'easel\.config' of m\.safetensors cannot be used"):
        read_facts(tmp_path / "m.safetensors", (), {"easel.config": config})


def test_what_is_described_is_read_back(tmp_path: Path) -> None:
    model = load_checkpoint(write_tiny_checkpoint(tmp_path / "m.safetensors", heads=4, groups=16, text_heads=2))
    modules = [encoder.module for encoder in model.text_encoders]
    text = describe(model.unet, model.vae.module, modules, prediction_type="v", width=128, height=64, steps=None)
    facts = read_facts(tmp_path / "n.safetensors", (), {"easel.config": text})
    assert (facts.unet_norm_groups, facts.vae_norm_groups, facts.unet_heads) == (16, 16, (4, 4, 4, 4))
    assert (facts.text_heads, facts.text_activations) == ((2,), ("quick_gelu",))
    assert (facts.prediction_type, facts.width, facts.height, facts.steps) == ("v", 128, 64, None)


@torch.inference_mode()
def test_an_sd2_file_that_says_nothing_is_asked_by_a_forward_call(tmp_path: Path) -> None:
    """A1111's test: a v-prediction U-Net answers a constant at the last step with its negative, about."""
    tensors = load_file(write_tiny_checkpoint(tmp_path / "m.safetensors", "SD2"))
    assert load_checkpoint(tmp_path / "m.safetensors").prediction_type == "epsilon"
    tensors["model.diffusion_model.out.2.bias"] -= 2
    save_file(tensors, tmp_path / "v.safetensors", metadata={"format": "pt"})
    model = load_checkpoint(tmp_path / "v.safetensors")
    assert (model.prediction_type, model.recommended.width) == ("v", 768)
