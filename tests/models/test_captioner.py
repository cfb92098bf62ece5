"""A captioner is read from a folder in transformers' layout; a tiny one of random weights stands for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import BlipConfig, BlipForConditionalGeneration

from app.files import captioner_of
from app.models import Captioner
from app.schema.errors import BrokenModelFile, ModelNotFound

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "house", "at", "night")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    folder = models / "BLIP" / "tiny"
    torch.manual_seed(1)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    text = {**layers, **marks, "vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 64}
    vision = {**layers, "image_size": 32, "patch_size": 16}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return models


def test_a_picture_is_told_in_the_models_words_the_same_each_time(models: Path) -> None:
    folder = captioner_of(models)
    assert folder == models / "BLIP" / "tiny"
    captioner = Captioner(folder, torch.device("cpu"))
    picture = Image.linear_gradient("L").resize((50, 30))
    told = captioner(picture)
    assert told == captioner(picture)
    assert set(told.split()) <= set(WORDS[5:])


def test_a_broken_folder_is_refused_in_words(models: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in captioner_of(models).iterdir():
        data = file.read_bytes()
        (broken / file.name).write_bytes(data[:100] if file.suffix == ".safetensors" else data)
    with pytest.raises(BrokenModelFile, match="broken is no BLIP model"):
        Captioner(broken, torch.device("cpu"))


def test_without_one_it_is_said_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "BLIP").mkdir()
    (tmp_path / "BLIP" / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound) as refused:
        captioner_of(tmp_path)
    assert str(tmp_path / "BLIP") in str(refused.value)
