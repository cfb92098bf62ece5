"""Embeddings of every format give the same vectors, and stand for their name in a text."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from app.conditioning import encode_unit
from app.language import Reading, Timing, Tokenizer, plan_text
from app.models import LoadedModel
from app.networks import Embedding, read_vectors
from app.schema.errors import BrokenModelFile
from tests.networks.making import kohya, layers, low_rank, network_set, saved, tiny_model, wanted

VECTORS = torch.arange(3 * 8, dtype=torch.float32).reshape(3, 8) / 7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny_model(tmp_path_factory.mktemp("embeddings"), vocabulary=49408)


def of_a1111(vectors: Tensor) -> dict[str, Any]:
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors},
        "name": "word",
        "step": 500,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }


def test_files_of_every_program(tmp_path: Path) -> None:
    torch.save(of_a1111(VECTORS), tmp_path / "a1111.pt")
    old = of_a1111(VECTORS) | {"string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)})}
    torch.save(old, tmp_path / "old.pt")
    torch.save({"<word>": VECTORS}, tmp_path / "concept.bin")
    saved(tmp_path / "kohya.safetensors", {"emb_params": VECTORS})
    saved(tmp_path / "onetrainer.safetensors", {"emp_params": VECTORS.half()})
    for name in ("a1111.pt", "old.pt", "concept.bin", "kohya.safetensors"):
        (vectors,) = read_vectors(tmp_path / name)
        assert torch.equal(vectors, VECTORS), name
    (half,) = read_vectors(tmp_path / "onetrainer.safetensors")
    assert torch.equal(half, VECTORS.half().float())


def test_one_vector_may_come_without_its_list(tmp_path: Path) -> None:
    torch.save({"<word>": VECTORS[0]}, tmp_path / "concept.bin")
    (vectors,) = read_vectors(tmp_path / "concept.bin")
    assert torch.equal(vectors, VECTORS[:1])


def test_sdxl_has_a_pair_the_first_encoders_first(tmp_path: Path) -> None:
    pair = {"clip_g": torch.ones(2, 1280), "clip_l": torch.zeros(2, 768)}
    found = read_vectors(saved(tmp_path / "xl.safetensors", pair))
    assert [tuple(vector.shape) for vector in found] == [(2, 768), (2, 1280)]
    assert Embedding("xl", [1], found, None).family == "SDXL"


def as_json(vectors: Tensor) -> bytes:
    content = of_a1111(vectors) | {"string_to_param": {"*": {"TORCHTENSOR": vectors.tolist()}}}
    return json.dumps(content).encode()


def test_a_picture_with_the_numbers_in_a_text(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("sd-ti-embedding", base64.b64encode(as_json(VECTORS)).decode())
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "word.png", pnginfo=info)
    (vectors,) = read_vectors(tmp_path / "word.png")
    assert torch.allclose(vectors, VECTORS)


def sequence(count: int) -> np.ndarray:
    """The low four bits of A1111's sequence: 1664525 x + 1013904223 modulo 2^32, then modulo 255."""
    numbers, x = [], 0
    for _ in range(count):
        x = (1664525 * x + 1013904223) % 2**32
        numbers.append(x % 255 % 16)
    return np.array(numbers, dtype=np.uint8)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_a_picture_with_the_numbers_in_its_pixels(ending: str, tmp_path: Path) -> None:
    """A bar left and right of the picture, each beyond a black column; high bits are mere decoration."""
    height = 64
    packed = np.frombuffer(zlib.compress(as_json(VECTORS), 9), dtype=np.uint8)
    packed = np.concatenate([packed, np.zeros(-len(packed) % (3 * height), dtype=np.uint8)])
    bars = []
    for half in (packed & 0x0F, packed >> 4):
        hidden = (half ^ sequence(len(half))).reshape(height, -1, 3)
        bars.append(hidden | 0x50)
    black, middle = np.zeros((height, 1, 3), np.uint8), np.full((height, 40, 3), 0x5A, np.uint8)
    pixels = np.concatenate([bars[0], black, middle, black, bars[1]], axis=1)
    Image.fromarray(pixels).save(tmp_path / f"word.{ending}", lossless=True)
    (vectors,) = read_vectors(tmp_path / f"word.{ending}")
    assert torch.allclose(vectors, VECTORS)


def test_pictures_without_numbers_and_files_with_too_many_tensors_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "plain.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    for name in ("plain.png", "black.png"):
        with pytest.raises(BrokenModelFile, match="holds no embedding that can be read"):
            read_vectors(tmp_path / name)
    with pytest.raises(BrokenModelFile, match="holds 2 tensors; an embedding is one, or clip_l and clip_g"):
        read_vectors(saved(tmp_path / "two.safetensors", {"a": VECTORS, "b": VECTORS + 1}))
    with pytest.raises(BrokenModelFile, match="has 20,000 vectors"):
        read_vectors(saved(tmp_path / "long.safetensors", {"emb_params": torch.zeros(20_000, 2)}))


def test_a_word_is_known_by_its_token_ids() -> None:
    tokenizer = Tokenizer()
    word = Embedding("easynegative", tokenizer.encode("easynegative"), (VECTORS,), None)
    found = word.tokens(tokenizer.encode("EasyNegative, blurry"))
    assert found is not None
    assert found.length == len(tokenizer.encode("easynegative"))
    assert word.tokens(tokenizer.encode("easy")) is None


def test_a_text_reads_the_vectors_in_the_place_of_the_name(model: LoadedModel, tmp_path: Path) -> None:
    """The same as if the vocabulary's table held them."""
    tokenizer, width = Tokenizer(), model.text_encoders[0].facts.width
    vectors = torch.randn(2, width)
    file = saved(tmp_path / "qzxv.safetensors", {"emb_params": vectors})
    networks = network_set()
    (report,) = networks.apply(model, [wanted(file, "embedding")])
    assert str(report) == "qzxv: Embedding, 2 of 2 vectors used"
    ((unit, _),) = plan_text("a photo of qzxv, outdoors", Reading(Timing(1)))
    with torch.inference_mode():
        ours = encode_unit(model.text_encoders, unit, tokenizer, vocabularies=model.vocabularies)
    networks.clear(model)
    assert model.vocabularies == ()
    table = model.text_encoders[0].token_embedding.weight
    ids = tokenizer.encode("a photo of")
    ids = [49406, *ids, 5, 6, *tokenizer.encode(", outdoors"), 49407]
    ids += [49407] * (77 - len(ids))
    rows = table[torch.tensor(ids)].clone().detach().float()
    place = ids.index(5)
    rows[place : place + 2] = vectors
    with torch.inference_mode():
        theirs = model.text_encoders[0].encode(rows[None]).hidden
    assert torch.allclose(ours.conditionings[0].context, theirs.float(), atol=1e-3)


def test_embeddings_bundled_in_a_lora_are_words_while_it_is_on(model: LoadedModel, tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = low_rank(layers(model)[path], 4, 1)
    width = model.text_encoders[0].facts.width
    tensors = {
        f"{kohya(path)}.lora_down.weight": down,
        f"{kohya(path)}.lora_up.weight": up,
        "bundle_emb.my word.string_to_param.*": torch.ones(2, width),
    }
    networks = network_set()
    (report,) = networks.apply(model, [wanted(saved(tmp_path / "with-word.safetensors", tensors))])
    assert report.unmatched == ()
    (word,) = model.vocabularies
    found = word.tokens(Tokenizer().encode("my word and more"))
    assert found is not None
    assert (found.name, found.vectors[0].shape) == ("my word", (2, width))
    networks.clear(model)
