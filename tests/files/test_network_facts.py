"""A LoRA's type, ranks, parts and tags, an embedding's and a hypernetwork's measures are told from the header alone."""

from __future__ import annotations

import json

import pytest

from app.files import EMBEDDING, HYPERNETWORK, LORA, VAE, TensorPlace
from app.files.network_facts import (
    EmbeddingFacts,
    HypernetworkFacts,
    LoraFacts,
    network_facts,
    restored,
    training_tags,
)
from tests.files.making import Shapes, lora

UNET = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


def told(shapes: Shapes, metadata: dict[str, str] | None = None) -> LoraFacts:
    places = {name: TensorPlace("F16", shape, 0, 0) for name, shape in shapes.items()}
    facts = network_facts(LORA, places, metadata or {})
    assert isinstance(facts, LoraFacts)
    return facts


@pytest.mark.parametrize(
    ("shapes", "expected", "ranks"),
    [
        ({f"{UNET}.lora_down.weight": (8, 768), f"{UNET}.lora_up.weight": (320, 8)}, "LoRA", (8,)),
        ({f"{CONV}.lora_down.weight": (8, 320, 1, 1)}, "LoRA", (8,)),
        ({f"{CONV}.lora_down.weight": (8, 320, 3, 3)}, "LoCon", (8,)),
        ({f"{CONV}.lora_down.weight": (4, 8, 1, 1), f"{CONV}.lora_mid.weight": (4, 4, 3, 3)}, "LoCon", (4,)),
        ({"unet.mid_block.attn2.to_k.lora_A.weight": (16, 768)}, "LoRA", (16,)),
        ({"unet.mid_block.attn2.processor.to_k_lora.down.weight": (2, 768)}, "LoRA", (2,)),
        ({f"{UNET}.hada_w1_a": (320, 4), f"{UNET}.hada_w1_b": (4, 768), f"{UNET}.hada_w2_a": (320, 4)}, "LoHa", (4,)),
        ({f"{UNET}.lokr_w1": (4, 4), f"{UNET}.lokr_w2_a": (80, 3), f"{UNET}.lokr_w2_b": (3, 192)}, "LoKr", (3,)),
        ({f"{UNET}.lokr_w1": (4, 4), f"{UNET}.lokr_w2": (80, 192)}, "LoKr", ()),
        ({f"{UNET}.weight": (768,), f"{UNET}.on_input": ()}, "IA3", ()),
        ({f"{UNET}.diff": (320, 768), f"{UNET}.diff_b": (320,)}, "Full", ()),
        ({f"{UNET}.w_norm": (320,), f"{UNET}.b_norm": (320,)}, "Norm", ()),
        ({f"{UNET}.a1.weight": (5, 768), f"{UNET}.b1.weight": (5, 768), f"{UNET}.b2.weight": (320, 5)}, "GLoRA", (5,)),
        ({f"{UNET}.oft_blocks": (4, 80, 80)}, "OFT", ()),
        ({f"{UNET}.oft_diag": (4, 80, 80)}, "OFT", ()),
        ({f"{UNET}.oft_blocks": (2, 4, 80, 80)}, "BOFT", ()),
    ],
)
def test_a_loras_type_and_ranks(shapes: Shapes, expected: str, ranks: tuple[int, ...]) -> None:
    facts = told(shapes)
    assert (facts.type, facts.ranks, facts.modules, facts.dora) == (expected, ranks, 1, False)


def test_magnitudes_make_it_a_dora() -> None:
    assert told({**lora(768), f"{UNET}.dora_scale": (1, 768)}).dora


def test_all_ranks_that_occur_and_the_type_of_most_modules() -> None:
    mixed = {f"{UNET}_{number}.lora_down.weight": (number, 768) for number in (16, 4, 8)}
    facts = told({**mixed, f"{UNET}.diff": (320, 768)})
    assert (facts.type, facts.ranks, facts.modules) == ("LoRA", (4, 8, 16), 4)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("lora_unet_x",), ("unet",)),
        (("lora_te_x", "lora_unet_x"), ("unet", "text encoder")),
        (("lora_te1_x", "lora_te2_x"), ("text encoder", "text encoder 2")),
        (("unet.x", "text_encoder.x", "text_encoder_2.x"), ("unet", "text encoder", "text encoder 2")),
        (("diffusion_model.x",), ("unet",)),
    ],
)
def test_the_parts_that_it_changes(names: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert told({f"{name}.lora_down.weight": (4, 8) for name in names}).parts == parts


def test_embeddings_bundled_in_it_are_named() -> None:
    facts = told({**lora(768), "bundle_emb.cat.string_to_param.*": (2, 768), "bundle_emb.a dog.clip_l": (1, 768)})
    assert facts.embeddings == ("a dog", "cat")
    assert facts.modules == 2


def test_tags_of_all_folders_are_added_up_most_frequent_first() -> None:
    folders = {"10_cat": {"sks cat": 20, " sitting ": 3, "": 9}, "1_reg": {"sitting": 5, "sleeping": "many"}}
    metadata = {"ss_tag_frequency": json.dumps(folders)}
    assert training_tags(metadata) == (("sks cat", 20), ("sitting", 8))
    assert training_tags(metadata, most=1) == (("sks cat", 20),)
    assert told(lora(768), metadata).tags == (("sks cat", 20), ("sitting", 8))


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"a": []}', '{"a": {"b": null}}', "[" * 99_999, '{"a": {"b": -1}}']
)
def test_strange_tags_are_none(text: str) -> None:
    assert training_tags({"ss_tag_frequency": text}) == ()


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"emb_params": (3, 768)}, EmbeddingFacts(3, (768,))),
        ({"<cat>": (1024,)}, EmbeddingFacts(1, (1024,))),
        ({"clip_g": (4, 1280), "clip_l": (4, 768)}, EmbeddingFacts(4, (768, 1280))),
        ({"string_to_token.*": (), "string_to_param.*": (2, 768)}, EmbeddingFacts(2, (768,))),
    ],
)
def test_an_embeddings_vectors_and_widths(shapes: Shapes, expected: EmbeddingFacts) -> None:
    places = {name: TensorPlace("F32", shape, 0, 0) for name, shape in shapes.items()}
    assert network_facts(EMBEDDING, places, {}) == expected


def test_a_hypernetworks_settings() -> None:
    places = {
        f"{width}.{side}.linear.0.weight": TensorPlace("F32", (1, 1), 0, 0) for width in (768, 320) for side in "01"
    }
    tree = {"layer_structure": [1, 1.5, 1], "activation_func": "relu", "is_layer_norm": True, "step": 100}
    assert network_facts(HYPERNETWORK, places, {}, tree) == HypernetworkFacts(
        (320, 768), (1.0, 1.5, 1.0), "relu", True, False, "100"
    )
    assert network_facts(HYPERNETWORK, places, {}) == HypernetworkFacts((320, 768), (1.0, 2.0, 1.0), "linear")


@pytest.mark.parametrize("kind", [LORA, EMBEDDING, HYPERNETWORK])
def test_facts_survive_being_written_as_json(kind: str) -> None:
    places = {"768.0.linear.0.weight": TensorPlace("F32", (2, 768), 0, 0)}
    facts = network_facts(kind, places, {})
    assert facts is not None
    assert restored(kind, json.loads(json.dumps(facts))) == facts


def test_other_kinds_have_none() -> None:
    assert network_facts(VAE, {}, {}) is None
    assert restored(VAE, None) is None
