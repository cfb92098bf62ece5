"""A checkpoint without text encoder is lent one at submission: from the folder, by name, or it is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engine import ModelChoice
from app.files import CHECKPOINT, Folders, ModelLibrary
from app.jobs.resolve import Resolver
from app.schema.errors import ModelNotFound, UnsupportedModel
from app.schema.request import GenerationRequest
from tests.files.making import SD1, SD1_UNET, SD1_VAE, SDXL, write_safetensors

CLIP_L = {"text_model.embeddings.token_embedding.weight": (49408, 768)}
OPEN_CLIP_G = {"text_model.embeddings.token_embedding.weight": (49408, 1280)}
UNET_ALONE = {
    "conv_in.weight": (320, 4, 3, 3),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    folders.text_encoders[0].mkdir(parents=True)
    write_safetensors(folders.checkpoints[0] / "mute.safetensors", {**SD1_UNET, **SD1_VAE})
    write_safetensors(folders.checkpoints[0] / "whole.safetensors", SD1)
    return folders


@pytest.fixture
def resolver(folders: Folders) -> Resolver:
    return Resolver(ModelLibrary(folders), precision=lambda wanted: "fp32")


def lent(resolver: Resolver, checkpoint: str, text_encoder: str = "Automatic") -> list[str]:
    resolved = resolver(GenerationRequest(checkpoint=checkpoint, text_encoder=text_encoder))
    assert ModelChoice.of(resolved).text_encoders == resolved.text_encoders
    assert resolver(resolved.request) == resolved
    return [Path(file.path).name for file in resolved.text_encoders]


def test_a_whole_checkpoint_takes_none(resolver: Resolver) -> None:
    assert lent(resolver, "whole", "no such file") == []


def test_without_any_to_take_it_is_refused_at_submission(resolver: Resolver) -> None:
    with pytest.raises(UnsupportedModel, match=r"mute\.safetensors holds no text encoder.*CLIP-L") as caught:
        resolver(GenerationRequest(checkpoint="mute"))
    assert (caught.value.field, "models/text_encoder" in str(caught.value.hint)) == ("text_encoder", True)


def test_the_folders_file_of_the_right_kind_is_taken(resolver: Resolver, folders: Folders) -> None:
    write_safetensors(folders.text_encoders[0] / "a_clip_g.safetensors", OPEN_CLIP_G)
    write_safetensors(folders.text_encoders[0] / "clip_l.safetensors", CLIP_L)
    assert lent(resolver, "mute") == ["clip_l.safetensors"]


def test_sdxl_takes_both_of_its_own(resolver: Resolver, folders: Folders) -> None:
    unet = {name: shape for name, shape in SDXL.items() if not name.startswith("conditioner.")}
    write_safetensors(folders.checkpoints[0] / "mute xl.safetensors", unet)
    write_safetensors(folders.text_encoders[0] / "clip_g.safetensors", OPEN_CLIP_G)
    write_safetensors(folders.text_encoders[0] / "clip_l.safetensors", CLIP_L)
    assert lent(resolver, "mute xl") == ["clip_l.safetensors", "clip_g.safetensors"]


def test_another_checkpoint_lends_its_own_when_it_is_named(resolver: Resolver) -> None:
    assert lent(resolver, "mute", "whole") == ["whole.safetensors"]
    with pytest.raises(ModelNotFound, match="nobody"):
        resolver(GenerationRequest(checkpoint="mute", text_encoder="nobody"))


def test_a_u_net_alone_in_diffusers_naming_is_a_checkpoint_that_lacks_the_rest(
    resolver: Resolver, folders: Folders
) -> None:
    write_safetensors(folders.checkpoints[0] / "unet.safetensors", UNET_ALONE)
    file = resolver.library.find("unet", CHECKPOINT)
    assert (file.problem, file.family, file.summary.parts) == (None, "SD1", ("unet",))
    assert lent(resolver, "unet", "whole") == ["whole.safetensors"]
