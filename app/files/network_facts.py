"""Network facts: what a LoRA, embedding or hypernetwork says of itself in its header.

From the header alone, so that thousands can be shown without reading weights. Applies nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from app.files.folders import EMBEDDING, HYPERNETWORK, LORA
from app.files.pickle_values import Stub
from app.files.recognise import Tensors

UNET_PART, TEXT_PART, SECOND_TEXT_PART = "unet", "text encoder", "text encoder 2"
_MOST_TAGS = 40
_LONGEST_TAG = 100
_LARGEST_TAGS = 8_000_000
_BUNDLED = "bundle_emb."


class LoraFacts(NamedTuple):
    """What a LoRA file holds.

    type: 'LoRA', 'LoCon', 'LoHa', 'LoKr', 'IA3', 'GLoRA', 'OFT', 'BOFT', 'Full' or 'Norm', of most of its modules.
    dora: with magnitudes of its own. ranks: those that occur, ascending; empty where the type has none. parts: 'unet',
    'text encoder', 'text encoder 2'. modules: how many layers it changes. tags: of its training captions with their
    counts, most frequent first, at most 40. embeddings: names of those bundled in it.
    """

    type: str
    dora: bool
    ranks: tuple[int, ...]
    parts: tuple[str, ...]
    modules: int
    tags: tuple[tuple[str, int], ...] = ()
    embeddings: tuple[str, ...] = ()


class EmbeddingFacts(NamedTuple):
    """vectors: tokens that it takes. widths: of its vectors, two for SDXL. step, checkpoint: of its training, or "".

    name: the word that stands for it where the file itself says so (a picture's does), else "": the file's name does.
    """

    vectors: int
    widths: tuple[int, ...]
    step: str = ""
    checkpoint: str = ""
    name: str = ""


class HypernetworkFacts(NamedTuple):
    """widths: of the contexts that it changes. layers: multiples of the width. The rest as A1111 names it."""

    widths: tuple[int, ...]
    layers: tuple[float, ...] = ()
    activation: str = ""
    layer_norm: bool = False
    dropout: bool = False
    step: str = ""
    checkpoint: str = ""


NetworkFacts = LoraFacts | EmbeddingFacts | HypernetworkFacts


def network_facts(kind: str, tensors: Tensors, metadata: Mapping[str, str], tree: Any = None) -> NetworkFacts | None:
    """Facts of a file of one of three kinds, None for others. tree: of a pickle. metadata: all of it. Never raises."""
    if kind == LORA:
        return _lora(tensors, metadata)
    if kind == EMBEDDING:
        return _embedding(tensors, metadata, tree)
    if kind == HYPERNETWORK:
        return _hypernetwork(tensors, metadata, tree)
    return None


def restored(kind: str, values: Iterable[Any] | None) -> NetworkFacts | None:
    """Facts from the lists that JSON made of them. Raises TypeError when they are of another version."""
    if values is None:
        return None
    kinds = {LORA: LoraFacts, EMBEDDING: EmbeddingFacts, HYPERNETWORK: HypernetworkFacts}
    made: NetworkFacts = kinds[kind](*(_tuples(value) for value in values))
    return made


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


# What a module's tensors are called in the types that A1111 reads (a1111-facts 6.4).
_TYPE_OF_PART: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("lora_up.weight", "lora_down.weight", "lora_mid.weight"), "LoRA"),
        **dict.fromkeys(("lora_A.weight", "lora_B.weight"), "LoRA"),
        **dict.fromkeys(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"), "LoHa"),
        "on_input": "IA3",
        **dict.fromkeys(("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"), "LoKr"),
        **dict.fromkeys(("diff", "diff_b"), "Full"),
        **dict.fromkeys(("w_norm", "b_norm"), "Norm"),
        **dict.fromkeys(("a1.weight", "a2.weight", "b1.weight", "b2.weight"), "GLoRA"),
        **dict.fromkeys(("oft_blocks", "oft_diag"), "OFT"),
    }
)
_RANK_PARTS = frozenset(("lora_down.weight", "lora_A.weight", "hada_w1_b", "lokr_w1_b", "lokr_w2_b", "b1.weight"))
_MAGNITUDES = frozenset(("dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight"))
# diffusers' older names, as `to_k_lora.down.weight` and `to_k.lora_linear_layer.up.weight`.
_OLD_ENDS = ("_lora", ".lora_linear_layer", ".lora")
_PART_PREFIXES = (
    (("lora_te2_", "oft_te2_", "text_encoder_2.", "te2_"), SECOND_TEXT_PART),
    (("lora_te", "oft_te", "text_encoder.", "te_", "te1_", "text_model."), TEXT_PART),
    (("lora_unet_", "oft_unet_", "unet.", "unet_", "diffusion_model.", "lycoris_", "lora_"), UNET_PART),
)


def _lora(tensors: Tensors, metadata: Mapping[str, str]) -> LoraFacts:
    types: dict[str, str] = {}
    ranks: set[int] = set()
    bundled: set[str] = set()
    dora = convolutions = blocks = False
    for name, tensor in tensors.items():
        if name.startswith(_BUNDLED):
            bundled.add(name.removeprefix(_BUNDLED).partition(".")[0])
            continue
        module, part = _split(name)
        dora = dora or part in _MAGNITUDES
        kind = _TYPE_OF_PART.get(part)
        if kind is None:
            continue
        types.setdefault(module, kind)
        blocks = blocks or (kind == "OFT" and len(tensor.shape) == 4)
        if part in _RANK_PARTS and tensor.shape:
            ranks.add(tensor.shape[0])
            # A kernel of 1 x 1 is a linear layer to kohya, one of 3 x 3 only LoCon trains.
            convolutions = convolutions or any(size > 1 for size in tensor.shape[2:])
        convolutions = convolutions or part == "lora_mid.weight"
    most = Counter(types.values()).most_common(1)[0][0] if types else ""
    parts = {_part(module) for module in types}
    return LoraFacts(
        {"LoRA": "LoCon" if convolutions else "LoRA", "OFT": "BOFT" if blocks else "OFT"}.get(most, most),
        dora,
        tuple(sorted(ranks)),
        tuple(part for part in (UNET_PART, TEXT_PART, SECOND_TEXT_PART) if part in parts),
        len(types),
        training_tags(metadata),
        tuple(sorted(bundled)),
    )


def _split(name: str) -> tuple[str, str]:
    """A tensor's module and the part that it is of it, in kohya's and PEFT's words whoever wrote it."""
    module, _, part = name.rpartition(".")
    if part != "weight":
        return module, part
    module, _, part = module.rpartition(".")
    if part == "default":
        module, _, part = module.rpartition(".")
    if part in ("up", "down"):
        for end in _OLD_ENDS:
            if module.endswith(end):
                return module.removesuffix(end), f"lora_{part}.weight"
    return module, f"{part}.weight"


def _part(module: str) -> str:
    return next((part for prefixes, part in _PART_PREFIXES if module.startswith(prefixes)), "")


def training_tags(metadata: Mapping[str, str], most: int = _MOST_TAGS) -> tuple[tuple[str, int], ...]:
    """Tags of kohya's `ss_tag_frequency` over all folders of a training, most frequent first; () without any."""
    text = metadata.get("ss_tag_frequency", "")
    if not text or len(text) > _LARGEST_TAGS:
        return ()
    try:
        folders = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    counts: Counter[str] = Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if type(count) is int and 0 < count < 2**53:
                counts[str(tag).strip()[:_LONGEST_TAG]] += count
    counts.pop("", None)
    return tuple(counts.most_common(most))


def _embedding(tensors: Tensors, metadata: Mapping[str, str], tree: Any) -> EmbeddingFacts:
    pair = [tensors[name].shape for name in ("clip_l", "clip_g") if name in tensors]
    named = [tensor.shape for name, tensor in tensors.items() if name.startswith("string_to_param.")]
    shapes = [shape for shape in (pair or named or [tensor.shape for tensor in tensors.values()]) if shape]
    vectors = shapes[0][0] if shapes and len(shapes[0]) > 1 else 1
    checkpoint = _said(tree, metadata, "sd_checkpoint_name") or _said(tree, metadata, "sd_checkpoint")
    widths = tuple(shape[-1] for shape in (shapes if pair else shapes[:1]))
    return EmbeddingFacts(vectors, widths, _said(tree, metadata, "step"), checkpoint)


def _hypernetwork(tensors: Tensors, metadata: Mapping[str, str], tree: Any) -> HypernetworkFacts:
    widths = {int(name.partition(".")[0]) for name in tensors if name.partition(".")[0].isdecimal()}
    values = tree if isinstance(tree, dict) else {}
    layers = values.get("layer_structure") or (1, 2, 1)
    activation = values.get("activation_func")
    return HypernetworkFacts(
        tuple(sorted(widths)),
        tuple(float(size) for size in layers if isinstance(size, int | float))
        if isinstance(layers, list | tuple)
        else (),
        activation if isinstance(activation, str) else "linear",
        values.get("is_layer_norm") is True,
        values.get("use_dropout") is True,
        _said(tree, metadata, "step"),
        _said(tree, metadata, "sd_checkpoint_name") or _said(tree, metadata, "sd_checkpoint"),
    )


def _said(tree: Any, metadata: Mapping[str, str], key: str) -> str:
    """A short text or number under a key, from a pickle's tree or a header's metadata."""
    value = tree.get(key) if isinstance(tree, dict) else metadata.get(key)
    if isinstance(value, Stub) or not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    return str(value)[:_LONGEST_TAG]
