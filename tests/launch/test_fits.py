"""What a checkpoint would use of a network is told from both files' headers, as it is when the network is put on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, Folders, ModelFile, ModelLibrary
from app.language import Tokenizer
from app.launch.fits import NetworkFits
from app.schema.errors import UnsupportedModel
from tests.models.checkpoints import write_tiny_checkpoint
from tests.networks.making import network_set, tiny_model, wanted
from tests.networks.test_hypernetwork import chain, file_of

USED = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
STRANGE = "lora_unet_mid_block_attentions_7_proj_in"


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    return ModelLibrary(folders)


def folder_of(library: ModelLibrary, kind: str) -> Path:
    return library.folders.of_kind(kind)[0]


def only(library: ModelLibrary, kind: str) -> ModelFile:
    library.refresh(kind)
    (file,) = library.list(kind)
    return file


def write_lora(path: Path, width: int, *layers: str) -> Path:
    tensors = {}
    for layer in layers:
        tensors[f"{layer}.lora_down.weight"] = torch.ones(4, width)
        tensors[f"{layer}.lora_up.weight"] = torch.ones(width, 4)
    save_file(tensors, path)
    return path


def test_a_lora_is_matched_as_when_it_is_put_on_and_no_weight_is_read(library: ModelLibrary) -> None:
    model = tiny_model(folder_of(library, CHECKPOINT))
    width = model.unet.config.block_out_channels[-1]
    path = write_lora(folder_of(library, LORA) / "ink.safetensors", width, USED, STRANGE)
    (report,) = network_set().apply(model, [wanted(path)])
    fits = NetworkFits(Tokenizer())
    found = fits(only(library, LORA), only(library, CHECKPOINT))
    assert found == {"matched": 1, "total": 2, "parts": "layers", "unmatched": [STRANGE]}
    assert (report.matched, report.total, list(report.unmatched)) == (1, 2, [STRANGE])


def test_embeddings_and_hypernetworks_are_told_too(library: ModelLibrary) -> None:
    write_tiny_checkpoint(folder_of(library, CHECKPOINT) / "one.safetensors", vocabulary=512)
    save_file({"emb_params": torch.ones(3, 32)}, folder_of(library, EMBEDDING) / "word.safetensors")
    pairs = {width: (chain(width, [2, 1]), chain(width, [2, 1])) for width in (32, 320)}
    file_of(folder_of(library, HYPERNETWORK) / "style.pt", pairs, layer_structure=[1, 2, 1], activation_func="linear")
    fits, checkpoint = NetworkFits(Tokenizer()), only(library, CHECKPOINT)
    word = fits(only(library, EMBEDDING), checkpoint)
    assert word == {"matched": 3, "total": 3, "parts": "vectors", "unmatched": []}
    style = fits(only(library, HYPERNETWORK), checkpoint)
    assert style == {"matched": 1, "total": 2, "parts": "widths", "unmatched": ["320"]}


def test_files_of_different_families_are_refused_in_words(library: ModelLibrary) -> None:
    write_tiny_checkpoint(folder_of(library, CHECKPOINT) / "one.safetensors", vocabulary=512)
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file(
        {f"{layer}.lora_down.weight": torch.ones(4, 2048), f"{layer}.lora_up.weight": torch.ones(640, 4)},
        folder_of(library, LORA) / "large.safetensors",
    )
    with pytest.raises(UnsupportedModel, match="large was made for SDXL"):
        NetworkFits(Tokenizer())(only(library, LORA), only(library, CHECKPOINT))
