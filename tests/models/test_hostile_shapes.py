"""Whatever names and shapes a file claims, the answer is a model or an error for people, never a crash."""

from __future__ import annotations

import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.models.architecture import Architecture, architecture_of, family_of
from app.models.build import build_text_encoder, build_unet, build_vae
from app.models.file_facts import read_facts
from app.models.original_names import original_names
from app.models.text_parts import text_parts
from app.schema.errors import EaselError
from tests.models.checkpoints import LAYOUTS, original_weights, write_tiny_checkpoint
from tests.models.folders import parts_of


def file_with(shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]) -> Any:
    """As much of a file as the architecture is read from."""
    return SimpleNamespace(path=Path("hostile.safetensors"), shapes=shapes, metadata=metadata, family="")


def build_all(file: Any) -> None:
    """Everything that happens before the first tensor is read."""
    architecture = read_all(file)
    build_unet(architecture.unet, architecture.heads, architecture.unet_groups)
    assert architecture.vae is not None
    build_vae(architecture.vae, architecture.vae_groups, architecture.scaling_factor)
    for shape, facts in architecture.texts:
        build_text_encoder(shape, facts)


def read_all(file: Any) -> Architecture:
    """Everything that is told by names and shapes."""
    family = family_of(file)
    facts = read_facts(file.path, file.shapes, file.metadata)
    parts = text_parts(file, family, facts, ())
    return architecture_of(file, family, facts, parts, needs_vae=True)


# What the architecture is read from; a lie about any other tensor is found when that tensor is read.
TELLING = re.compile(
    r"(input_blocks\.0\.0|time_embed\.0|in_layers\.2|label_emb\.0\.0|out\.2|attn2\.to_k|\.op|decoder\.conv_in"
    r"|down\.\d\.block\.0\.conv1|token_embedding|position_embedding|layers\.0\.mlp\.fc1|resblocks\.0\.mlp\.c_fc)\.weight$"
    r"|positional_embedding$|text_projection$"
)


@pytest.mark.parametrize("family", list(LAYOUTS))
def test_a_file_with_one_lie_is_refused_in_words_or_built(family: str) -> None:
    honest = dict(original_weights(LAYOUTS[family]).shapes)
    build_all(file_with(honest, {}))
    telling = [name for name in honest if TELLING.search(name)]
    chance = random.Random(family)
    messages = []
    for _ in range(20):
        shapes, name = dict(honest), chance.choice(telling)
        lie = chance.choice(["gone", "flat", "deep", "odd", "empty", "renamed"])
        shape = shapes.pop(name)
        if lie == "renamed":
            shapes[name.replace(".0.", ".nought.", 1).replace(".1.", ".99.", 1)] = shape
        elif lie != "gone":
            odd = tuple(chance.choice((1, 3, 7, 33, 1000)) for _ in shape)
            shapes[name] = {"flat": shape[:1], "deep": (*shape, 1), "odd": odd, "empty": ()}[lie]
        try:
            build_all(file_with(shapes, {}))
        except EaselError as error:
            messages.append(error.message)
    assert len(messages) > 5
    assert [message for message in messages if "hostile.safetensors" not in message] == []


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
def test_a_lie_in_diffusers_naming_is_refused_in_words_or_read(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Names are told apart from the names themselves, so that a missing or absurd one must not lead astray."""
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("honest") / "a.safetensors", family)
    parts = parts_of(path, LAYOUTS[family])
    honest = {
        f"{part}.{name}": tuple(t.shape) for part, module in parts.items() for name, t in module.named_parameters()
    }
    chance = random.Random(family)
    outcomes = []
    for _ in range(30):
        shapes, name = dict(honest), chance.choice(list(honest))
        shape = shapes.pop(name)
        if chance.random() < 0.7:
            number = chance.choice(("9", "99999999999999999999", "-1", "x", ""))
            shapes[re.sub(r"\d+", number, name, count=1)] = chance.choice((shape, shape[:1], (), (7, 7, 7)))
        names = original_names(shapes)
        renamed = shapes if names is None else {new: shapes[old] for new, old in names[0].items()}
        file = file_with(renamed, {})
        file.family = names[1] if names else ""
        try:
            read_all(file)
            outcomes.append("read")
        except EaselError as error:
            outcomes.append(error.message)
    assert "read" in outcomes
    assert [told for told in outcomes if told != "read" and "hostile.safetensors" not in told] == []
    assert len(set(outcomes)) > 3


@pytest.mark.parametrize(
    "config",
    [
        '{"unet": {"num_attention_heads": [0, 1, 1, 1]}}',
        '{"unet": {"num_attention_heads": [4, 4]}}',
        '{"unet": {"num_attention_heads": 7}}',
        '{"unet": {"attention_head_dim": 1000}}',
        '{"unet": {"norm_num_groups": 5}}',
        '{"vae": {"norm_num_groups": 64}}',
        '{"text": {"num_attention_heads": 5}}',
        '{"text": {"hidden_act": "__import__"}}',
        '{"preview_factors": "rainbow"}',
    ],
)
def test_metadata_that_cannot_be_true_are_refused_in_words(config: str) -> None:
    shapes = dict(original_weights(LAYOUTS["SD1"]).shapes)
    if "1000" in config:
        build_all(file_with(shapes, {"easel.config": config}))  # a head wider than the level is one head
        return
    with pytest.raises(EaselError, match=r"hostile\.safetensors"):
        build_all(file_with(shapes, {"easel.config": config}))
