"""Full-size random checkpoints of every family give what diffusers' own classes give, to 1e-5, part by part."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from app.models import FAMILIES, Precision, load_checkpoint, write_checkpoint
from app.models.checkpoint_file import open_weights
from tests.models.checkpoints import SCHEDULE, tiny_layout, write_tiny_checkpoint
from tests.models.oracles import (
    near,
    oracle_clip,
    oracle_sd2_text,
    oracle_sdxl_text,
    oracle_unet,
    oracle_vae,
    unet_inputs,
)

pytestmark = pytest.mark.slow

VAE: dict[str, Any] = {"vae_channels": (128, 256, 512, 512), "vae_layers": 2}
SD1: dict[str, Any] = {
    "channels": (320, 640, 1280, 1280),
    "text_width": 768,
    "text_layers": 12,
    "schedule": True,
    **VAE,
}
METADATA: dict[str, dict[str, str]] = {"SD2.1-v": {"modelspec.prediction_type": "v"}}
FULL: dict[str, tuple[str, dict[str, Any]]] = {
    "SD1.5": ("SD1", SD1),
    "SD1.5-inpainting": ("SD1", {**SD1, "in_channels": 9}),
    "SD2.1-v": ("SD2", {**SD1, "text_width": 1024, "text_layers": 24}),
    "SDXL": (
        "SDXL",
        {
            "channels": (320, 640, 1280),
            "depths": (0, 2, 10),
            "middle_depth": 10,
            "text_width": 768,
            "text_layers": 12,
            "second_width": 1280,
            "second_layers": 32,
            **VAE,
        },
    ),
}
TOKENS = torch.tensor([[49406, 320, 1125, 539, 49407] + [49407] * 72])
HALF = Precision(torch.float16, torch.float16, torch.float16)
FULL_PRECISION = Precision(torch.float32, torch.float32, torch.float32)


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a socket is made, whatever a library would ask for."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture(scope="module", params=list(FULL))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    family, widths = FULL[request.param]
    path = tmp_path_factory.mktemp("full") / f"{request.param}.safetensors"
    metadata = METADATA.get(request.param)
    yield write_tiny_checkpoint(path, family, metadata=metadata, **widths), tiny_layout(family, **widths)
    path.unlink()


def test_the_key_list_is_the_published_models(case: tuple[Path, Any]) -> None:
    """Tensors and sizes of the released files: weights, position_ids, and LDM's twelve tables of the schedule."""
    path, layout = case
    file = open_weights(path)
    count = len(file.shapes)
    unet = sum(name.startswith("model.diffusion_model.") for name in file.shapes)
    expected = {"SD1": (1143, 686), "SD2": (1240, 686), "SDXL": (2515, 1680)}
    assert (count, unet) == expected[layout.family]


@torch.inference_mode()
def test_the_unet_answers_as_diffusers_does(case: tuple[Path, Any]) -> None:
    path, layout = case
    arguments, added = unet_inputs(layout)
    # The other parts stay pages of the file: SDXL does not fit twice, nor with all its parts, into a small machine.
    model = load_checkpoint(path, precision=HALF._replace(unet=torch.float32))
    assert model.prediction_type == ("v" if "-v" in path.name else "epsilon")
    ours = model.unet(*arguments, **added, return_dict=False)[0]
    del model
    assert near(ours, oracle_unet(path, layout)(*arguments, **added, return_dict=False)[0])


@torch.inference_mode()
def test_vae_and_text_encoders_answer_as_diffusers_do(case: tuple[Path, Any]) -> None:
    path, layout = case
    model = load_checkpoint(path, precision=FULL_PRECISION._replace(unet=torch.float16))
    picture, latent = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 4, 8, 8)
    encoded, decoded = model.vae.encode(picture), model.vae.decode(latent)
    texts = [e.encode(e.token_embedding(TOKENS), torch.tensor([4])) for e in model.text_encoders]
    factor = model.vae.scaling_factor
    del model
    vae = oracle_vae(path, layout)
    assert near(encoded, vae.encode(picture).latent_dist.mean * factor)
    assert near(decoded, vae.decode(latent / factor).sample)
    if layout.family == "SD1":
        assert near(texts[0].hidden, oracle_clip(path, layout)(TOKENS).last_hidden_state)
    elif layout.family == "SD2":
        assert near(texts[0].hidden, oracle_sd2_text(path, layout)(TOKENS).last_hidden_state)
    else:
        clip = oracle_clip(path, layout)(TOKENS, output_hidden_states=True)
        assert near(texts[0].hidden, clip.hidden_states[-2])
        open_clip = oracle_sdxl_text(path, layout, "conditioner.embedders.1.model.")(TOKENS, output_hidden_states=True)
        assert near(texts[1].hidden, open_clip.hidden_states[-2])
        assert texts[1].pooled is not None
        assert near(texts[1].pooled, open_clip.text_embeds)


def test_file_to_model_to_file_keeps_every_tensor_bit_for_bit(case: tuple[Path, Any], tmp_path: Path) -> None:
    path, layout = case
    model = load_checkpoint(path, precision=HALF)  # half precision is not computed with here, only carried
    again = tmp_path / "again.safetensors"
    first = open_weights(path)
    needless = {name for name in first.shapes if name in SCHEDULE or name.endswith("position_ids")}
    for base in (None, path):
        write_checkpoint(
            again,
            family=FAMILIES[layout.family], unet=model.unet, text_encoders=model.text_encoders, vae=model.vae,
            dtype=torch.float16, base=base,
        )  # fmt: skip
        second = open_weights(again)
        assert second.shapes.keys() == first.shapes.keys() - (set() if base else needless)
        assert [name for name in second.shapes if not torch.equal(first.tensor(name), second.tensor(name))] == []
        del second
        again.unlink()
