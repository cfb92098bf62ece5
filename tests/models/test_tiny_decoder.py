"""A TAESD decoder's file becomes a decoder that gives what diffusers' own class gives, whoever named its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from safetensors.torch import save_file

from app.models import FAMILIES, load_tiny_decoder, tiny_decoder_for
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.models.checkpoints import write_tiny_checkpoint


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    return AutoencoderTiny(decoder_block_out_channels=(16,) * 4, encoder_block_out_channels=(16,) * 4).eval()


def authors_names(model: Any) -> dict[str, torch.Tensor]:
    """As in taesd_decoder.safetensors: a plain sequence whose first member is the clamp."""
    found = {}
    for name, tensor in model.decoder.state_dict().items():
        number, _, rest = name.removeprefix("layers.").partition(".")
        found[f"{int(number) + 1}.{rest}"] = tensor.contiguous()
    return found


def test_the_authors_file_has_the_published_names(theirs: Any) -> None:
    names = authors_names(theirs)
    assert {"1.weight", "3.conv.0.weight", "5.conv.4.bias", "7.weight", "12.weight", "17.weight", "18.conv.2.bias"} < (
        names.keys()
    )
    assert {"19.weight", "19.bias"} < names.keys()
    assert "7.bias" not in names


@pytest.mark.parametrize("layout", ["author", "author, pickled", "ComfyUI's prefix", "diffusers"])
def test_every_naming_decodes_as_diffusers_does(layout: str, theirs: Any, tmp_path: Path) -> None:
    path = tmp_path / "taesd_decoder.safetensors"
    tensors = authors_names(theirs)
    if layout == "diffusers":
        tensors = dict(theirs.state_dict())
    elif layout == "ComfyUI's prefix":
        tensors = {f"taesd_decoder.{name}": tensor for name, tensor in tensors.items()}
    if layout == "author, pickled":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    decoder = load_tiny_decoder(path)
    latent = torch.randn(2, 4, 8, 12)
    with torch.inference_mode():
        assert torch.equal(decoder.decode(latent), theirs.decode(latent).sample.clamp(-1, 1))
    assert decoder.pixels_per_latent == 8


def test_a_picture_has_eight_pixels_for_each_cell_and_shows_broken_latents_in_grey(theirs: Any, tmp_path: Path) -> None:
    save_file(authors_names(theirs), tmp_path / "taesd_decoder.safetensors")
    decoder = load_tiny_decoder(tmp_path / "taesd_decoder.safetensors", dtype=torch.bfloat16)
    assert decoder.picture(torch.randn(4, 8, 12)).size == (96, 64)
    grey = np.asarray(decoder.picture(torch.full((1, 4, 2, 2), torch.nan)))
    assert (grey == 128).all()


def test_another_file_and_a_damaged_one_are_refused(theirs: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"a\.safetensors is no TAESD decoder"):
        load_tiny_decoder(write_tiny_checkpoint(tmp_path / "a.safetensors"))
    tensors = authors_names(theirs)
    save_file({**tensors, "999999999999.weight": torch.zeros(1)}, tmp_path / "long.safetensors")
    with pytest.raises(BrokenModelFile, match=r"long\.safetensors lacks tensors"):
        load_tiny_decoder(tmp_path / "long.safetensors")
    del tensors["8.conv.2.weight"]
    save_file(tensors, tmp_path / "hole.safetensors")
    with pytest.raises(BrokenModelFile, match=r"hole\.safetensors lacks tensors .*layers\.7\.conv\.2\.weight"):
        load_tiny_decoder(tmp_path / "hole.safetensors")


def test_the_file_for_a_family_is_known_by_its_name() -> None:
    files = [
        Path(name)
        for name in ("taesdxl_encoder.pth", "taesd3_decoder.pth", "taesdxl_decoder.pth", "TAESD_decoder.safetensors")
    ]
    chosen = {name: tiny_decoder_for(family, files) for name, family in FAMILIES.items()}
    assert chosen == {"SD1": files[3], "SD2": files[3], "SDXL": files[2], "SDXL refiner": files[2]}
    assert tiny_decoder_for(FAMILIES["SD1"], files[:3]) is None
