"""Keys: which layer of a model, and which part of its change, a tensor name in a network's file means.

Knows the dialects of kohya, LyCORIS, LDM, diffusers (old and new) and PEFT; knows no arithmetic and no shapes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from app.models.keys import names_of, text_sources, unet_sources
from app.models.model import LoadedModel
from app.models.text_encoder import TextEncoder


class Target(NamedTuple):
    """A layer. path: as `LoadedModel.weights()` has it, without '.weight'. third: of a change that holds query, key
    and value stacked, as OpenCLIP does, the one for this layer."""

    path: str
    third: int | None = None


Targets = tuple[Target, ...]


class Layers(NamedTuple):
    """A model's layers. named: by each name that a file may have for one, what it may mean, the likeliest first.

    shapes: of every weight, by path.
    """

    named: Mapping[str, tuple[Targets, ...]]
    shapes: Mapping[str, tuple[int, ...]]


# What follows a layer's name -> part. Spellings of one part by different programs share a name here.
_SUFFIXES: Final = (
    (r"\.lora_up\.weight|\.lora_B(\.\w+)?\.weight|[._]lora(_linear_layer)?\.up\.weight", "up"),
    (r"\.lora_down\.weight|\.lora_A(\.\w+)?\.weight|[._]lora(_linear_layer)?\.down\.weight", "down"),
    (r"\.lora_mid\.weight", "mid"),
    (r"\.lora_B(\.\w+)?\.bias", "up_bias"),
    (r"\.dora_scale", "dora"),
    (r"\.lora_magnitude_vector(\.(?!weight$)\w+)?(\.weight)?", "magnitude"),
    (r"\.oft_R(\.\w+)?\.weight", "oft_R"),
    (
        r"\.(hada_w1_a|hada_w1_b|hada_w2_a|hada_w2_b|hada_t1|hada_t2|lokr_w1|lokr_w1_a|lokr_w1_b|lokr_w2|lokr_w2_a"
        r"|lokr_w2_b|lokr_t1|lokr_t2|oft_blocks|oft_diag|rescale|on_input|weight|diff|diff_b|w_norm|b_norm"
        r"|alpha|scale|bias|a1\.weight|a2\.weight|b1\.weight|b2\.weight|bm\.weight)",
        "",
    ),
)
_PART: Final = re.compile(
    "(?:" + "|".join(f"(?P<p{number}>{pattern})" for number, (pattern, _) in enumerate(_SUFFIXES)) + r")\Z"
)
# Nearly all keys of nearly all files, told without the search.
_USUAL: Final = ((".lora_down.weight", "down"), (".lora_up.weight", "up"), (".alpha", "alpha"))
_KOHYA_UNET: Final = ("lora_unet_", "oft_unet_", "lycoris_unet_", "lycoris_")
_DOTTED_UNET: Final = ("unet.", "", "base_model.model.", "base_model.model.unet.")
_LDM_UNET: Final = ("model.diffusion_model.", "diffusion_model.")


def split_key(key: str) -> tuple[str, str] | None:
    """Layer and part of a tensor name; None when no known part ends it."""
    for ending, part in _USUAL:
        if key.endswith(ending):
            return key[: -len(ending)], part
    match = _PART.search(key)
    if match is None or not match.start():
        return None
    number = next(n for n in range(len(_SUFFIXES)) if match[f"p{n}"] is not None)
    return key[: match.start()], _SUFFIXES[number][1] or match[0][1:]


def layers_of(model: LoadedModel) -> Layers:
    """The layers of a model under every name."""
    layers: dict[str, list[Targets]] = defaultdict(list)
    for name, targets in _names(model):
        if targets not in layers[name]:
            layers[name].append(targets)
    named = {name: tuple(meanings) for name, meanings in layers.items()}
    return Layers(named, {path: tuple(weight.shape) for path, weight in model.weights()})


def _names(model: LoadedModel) -> Iterator[tuple[str, Targets]]:
    for name, source in unet_sources(names_of(model.unet), prefix="").items():
        own, original = _layer(name), _layer(source.key)
        target = (Target(f"unet.{own}"),)
        for prefix in _KOHYA_UNET:
            yield prefix + own.replace(".", "_"), target
            yield prefix + original.replace(".", "_"), target
        for prefix in _DOTTED_UNET:
            yield prefix + own, target
            if ".attn" in own:
                yield prefix + _processor(own), target
        for prefix in _LDM_UNET:
            yield prefix + original, target
    for number, encoder in enumerate(model.text_encoders):
        yield from _text_names(number, encoder)


def _processor(name: str) -> str:
    """As diffusers' attention processors of old named it: 'attn1.to_out.0' -> 'attn1.processor.to_out'."""
    block, _, layer = name.rpartition(".attn")
    number, _, rest = layer.partition(".")
    return f"{block}.attn{number}.processor.{rest.removesuffix('.0')}"


def _text_names(number: int, encoder: TextEncoder) -> Iterator[tuple[str, Targets]]:
    count = str(number + 1)
    numbers: tuple[str, ...] = ("", count) if number == 0 else (count,)
    if encoder.facts.name == "clip_g" and number == 0:
        numbers = ("", "1", "2")  # SDXL's refiner has only what is the second encoder of SDXL itself
    kohya = tuple(f"{kind}_te{n}_" for kind in ("lora", "oft", "lycoris") for n in numbers)
    dotted = ("text_encoder.", "base_model.model.") if number == 0 else (f"text_encoder_{count}.", "base_model.model.")
    names = [name for name, _ in encoder.named_parameters()]
    fused: dict[str, list[Target]] = defaultdict(list)
    for name, source in text_sources(names, encoder.facts).items():
        own = _layer(name)
        target = (Target(f"text_encoders.{number}.{own}"),)
        for spelling in {own, own.removeprefix("text_model.")}:
            for prefix in kohya:
                yield prefix + spelling.replace(".", "_"), target
            for prefix in dotted:
                yield prefix + spelling, target
                for old in _text_processor(spelling):
                    yield prefix + old, target
        original = _layer(source.key)
        if source.third is not None:
            fused[original].append(Target(target[0].path, source.third))
        elif not source.transposed:
            for spelling in _originals(original, encoder, kohya):
                yield spelling, target
    for original, thirds in fused.items():
        whole = tuple(sorted(set(thirds), key=lambda target: target.third or 0))
        for spelling in _originals(original, encoder, kohya):
            yield spelling, whole


def _text_processor(name: str) -> Iterator[str]:
    """As diffusers named them at first: 'self_attn.to_q', 'self_attn.to_out'."""
    block, found, layer = name.rpartition(".self_attn.")
    if found:
        yield f"{block}.self_attn.to_{layer.removesuffix('_proj')}"


def _originals(original: str, encoder: TextEncoder, kohya: tuple[str, ...]) -> Iterator[str]:
    """The layer's name in a single file, whole and as kohya flattens names."""
    yield original
    inner = original.removeprefix(encoder.facts.prefix)
    for prefix in kohya:
        yield prefix + inner.replace(".", "_")


def _layer(parameter: str) -> str:
    """The layer of a parameter; OpenCLIP's stacked one is called 'in_proj_weight'."""
    return re.sub(r"[._](weight|bias)$", "", parameter)
