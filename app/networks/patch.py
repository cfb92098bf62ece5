"""FilePatch: a LoRA or LyCORIS file as a Patch: which layers of a model it changes, and how.

Everything about fitting is told from names and shapes; weights are read when a layer is changed, and not kept.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from app.files import recognise
from app.models.model import LoadedModel, fingerprint
from app.models.weights import Weights
from app.networks.change import LARGEST_RANK, MAGNITUDES, Change, Kind, Parts, Shape, Shapes, dora_fits
from app.networks.keys import Layers, Targets, layers_of, split_key
from app.networks.lora import LORA
from app.networks.lycoris import FULL, FULL_BIAS, GLORA, IA3, LOHA, LOKR, LORA_BIAS, NORM, NORM_BIAS
from app.networks.network import Report
from app.networks.numbers import Numbers, Scratch
from app.networks.orthogonal import BOFT, OFT, PEFT_OFT
from app.schema.errors import UnsupportedModel

BUNDLED = "bundle_emb."
# In the order in which A1111 asks (a1111-facts 6.4): the parts that must be there -> the type.
_KINDS: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("up", "down"), LORA),
    (("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), LOHA),
    (("weight", "on_input"), IA3),
    (("lokr_w1", "lokr_w2"), LOKR),
    (("lokr_w1", "lokr_w2_a", "lokr_w2_b"), LOKR),
    (("lokr_w1_a", "lokr_w1_b", "lokr_w2"), LOKR),
    (("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"), LOKR),
    (("diff",), FULL),
    (("w_norm",), NORM),
    (("a1.weight", "a2.weight", "b1.weight", "b2.weight"), GLORA),
    (("oft_blocks",), OFT),
    (("oft_diag",), OFT),
    (("oft_R",), PEFT_OFT),
)
_BIAS_KINDS: tuple[tuple[str, Kind], ...] = (("diff_b", FULL_BIAS), ("b_norm", NORM_BIAS), ("up_bias", LORA_BIAS))
_SCALARS = ("alpha", "scale")
_NOT_OF_WEIGHTS = ("scale", "diff_b", "b_norm", "up_bias")


class _Shaped(NamedTuple):
    shape: Shape


class _Layer(NamedTuple):
    """One layer of the file. keys: tensor names by part. shapes: by part. kind, bias: of its weight, of its bias."""

    name: str
    keys: Mapping[str, str]
    shapes: Shapes
    kind: Kind | None
    bias: tuple[str, Kind] | None


class _Fit(NamedTuple):
    """changes: by path of a weight. unmatched: names of layers and tensors that are not used."""

    changes: Mapping[str, tuple[Change, ...]]
    unmatched: tuple[str, ...]


class FilePatch:
    """A Patch from a file.

    name: as in the prompt tag. layers: who knows the names of a model's layers. scratch: memory to convert matrices in.
    """

    kind = "lora"

    def __init__(
        self,
        file: Weights,
        name: str,
        layers: Callable[[LoadedModel], Layers] = layers_of,
        scratch: Scratch | None = None,
    ) -> None:
        """Reads names and shapes. Raises UnsupportedModel for a rank beyond all reason."""
        self.name = name
        self._numbers = Numbers(file)
        self._names = layers
        self._scratch = scratch or Scratch()
        self.fingerprint = fingerprint("lora", file.identity)
        shaped = {key: _Shaped(shape) for key, shape in file.shapes.items()}
        self.family = recognise(shaped, file.metadata).family
        self._scales = _scales_said(file.metadata)
        self._layers, self._strange = _layers(file)
        self._fits: WeakKeyDictionary[LoadedModel, _Fit] = WeakKeyDictionary()
        self.rank = max((rank for layer in self._layers if (rank := _rank(layer)) is not None), default=None)
        if self.rank is not None and self.rank > LARGEST_RANK:
            raise UnsupportedModel(
                f"{Path(file.identity.path).name} has a rank of {self.rank:,}; the limit is {LARGEST_RANK:,}.",
                hint="Choose another file.",
            )

    @property
    def type(self) -> str:
        """'LoRA', 'LoCon' (LoRA with 3x3 convolutions), 'LoHa' ...; with 'DoRA' in front where it is one."""
        kinds = Counter(kind.name for layer in self._layers if (kind := layer.kind or (layer.bias or (0, None))[1]))
        name = kinds.most_common(1)[0][0] if kinds else "unknown"
        if name == "LoRA" and any(_spatial(layer.shapes) for layer in self._layers):
            name = "LoCon"
        decomposed = any(part in layer.shapes for layer in self._layers for part in MAGNITUDES)
        return f"DoRA {name}" if decomposed else name

    def report(self, model: LoadedModel) -> Report:
        """See `Network`."""
        total = len(self._layers) + len(self._strange)
        unmatched = self._fit(model).unmatched
        return Report(self.name, self.type, self.rank, total - len(unmatched), total, unmatched)

    def targets(self, model: LoadedModel) -> Iterable[str]:
        """See `Patch`."""
        return self._fit(model).changes.keys()

    def changed(
        self, model: LoadedModel, path: str, weight: Tensor, strength: float, rank: int | None = None
    ) -> Tensor:
        """See `Patch`."""
        for change in self._fit(model).changes[path]:
            weight = change.applied(weight, strength, rank, self._scratch)
        return weight

    def changes(self, model: LoadedModel, path: str) -> tuple[Change, ...]:
        """The changes of one weight, for those who do not want to merge them."""
        return self._fit(model).changes[path]

    def _fit(self, model: LoadedModel) -> _Fit:
        fit = self._fits.get(model)
        if fit is None:
            fit = self._fits[model] = self._fitted(model)
        return fit

    def _fitted(self, model: LoadedModel) -> _Fit:
        named, shapes = self._names(model)
        changes: dict[str, list[Change]] = defaultdict(list)
        unmatched = []
        for layer in self._layers:
            for targets in named.get(layer.name, ()):
                found = self._changes_of(layer, targets, shapes, model.family.latent_channels)
                if found:
                    for path, change in found.items():
                        changes[path].append(change)
                    break
            else:
                unmatched.append(layer.name)
        fixed = {path: tuple(each) for path, each in changes.items()}
        return _Fit(MappingProxyType(fixed), (*unmatched, *self._strange))

    def _changes_of(
        self, layer: _Layer, targets: Targets, shapes: Mapping[str, Shape], channels: int
    ) -> dict[str, Change]:
        """Changes by path of weight; empty unless every part of the layer fits."""
        found: dict[str, Change] = {}
        scale = self._scale(layer)
        for path, third in targets:
            weight, bias = shapes.get(f"{path}.weight"), shapes.get(f"{path}.bias")
            if layer.kind is not None:
                if weight is None or scale is None:
                    return {}
                whole = weight if third is None else (3 * weight[0], *weight[1:])
                inputs = None
                if not _fits(layer, whole) and path == "unet.conv_in" and weight[1] > channels:
                    inputs, whole = channels, (weight[0], channels, *weight[2:])
                if not _fits(layer, whole) or (third is not None and not _stackable(layer)):
                    return {}
                parts = partial(self._parts, layer)
                found[f"{path}.weight"] = Change(layer.kind, parts, scale, inputs, third, frozenset(layer.keys))
            if layer.bias is not None:
                part, kind = layer.bias
                if bias is None or not kind.fits(layer.shapes, bias) or third is not None:
                    return {}
                # A bias that a LoRA brings is scaled with it; differences are given whole.
                whole_scale = (scale or 1.0) if part == "up_bias" else 1.0
                found[f"{path}.bias"] = Change(kind, partial(self._only, layer, part), whole_scale)
        return found

    def _scale(self, layer: _Layer) -> float | None:
        """Factor of the change: what the file says, else alpha / rank, else 1; None for a number that is none."""
        values = {part: self._numbers.number(layer.keys[part]) for part in _SCALARS if part in layer.keys}
        if "scale" in values:
            return values["scale"]
        rank = _rank(layer)
        if rank is None:
            return 1.0
        if rank == 0:
            return None
        if "alpha" in values:
            alpha = values["alpha"]
            return None if alpha is None else alpha / rank
        return _said_scale(self._scales, layer.name, rank)

    def _parts(self, layer: _Layer, device: torch.device, scratch: Scratch | None = None) -> Parts:
        left_out = _NOT_OF_WEIGHTS if layer.kind in (OFT, BOFT) else (*_NOT_OF_WEIGHTS, "alpha")
        return {part: self._read(key, device, scratch) for part, key in layer.keys.items() if part not in left_out}

    def _only(self, layer: _Layer, part: str, device: torch.device, scratch: Scratch | None = None) -> Parts:
        return {part: self._read(layer.keys[part], device, scratch)}

    def _read(self, key: str, device: torch.device, scratch: Scratch | None) -> Tensor:
        found = self._numbers.tensor(key, device)
        return found.float() if scratch is None else scratch.float32(found)


def _layers(file: Weights) -> tuple[tuple[_Layer, ...], tuple[str, ...]]:
    """The layers of a file in its order, and the names of tensors that belong to none."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    strange = []
    for key in file.shapes:
        if key.startswith(BUNDLED):
            continue
        split = split_key(key)
        if split is None:
            strange.append(key)
        else:
            parts[split[0]][split[1]] = key
    layers = []
    for name, keys in parts.items():
        shapes = {part: tuple(file.shapes[key]) for part, key in keys.items()}
        kind = next((kind for needed, kind in _KINDS if all(part in keys for part in needed)), None)
        if kind is OFT and len(shapes.get("oft_blocks", ())) == 4:
            kind = BOFT
        bias = next(((part, each) for part, each in _BIAS_KINDS if part in keys), None)
        if kind is None and bias is None:
            strange.extend(keys.values())
        else:
            layers.append(_Layer(name, keys, shapes, kind, bias))
    return tuple(layers), tuple(strange)


def _rank(layer: _Layer) -> int | None:
    try:
        return layer.kind.rank(layer.shapes) if layer.kind is not None else None
    except (IndexError, ValueError):  # a factor without dimensions: such a layer fits nothing
        return None


def _fits(layer: _Layer, shape: Shape) -> bool:
    assert layer.kind is not None
    try:
        fits = layer.kind.fits(layer.shapes, shape)
    except (IndexError, ValueError, ZeroDivisionError):
        return False
    if "dora" in layer.shapes:
        fits = fits and bool(layer.shapes["dora"]) and dora_fits(layer.shapes["dora"], shape)
    if "magnitude" in layer.shapes:
        fits = fits and math.prod(layer.shapes["magnitude"]) == shape[0]
    if "bias" in layer.shapes:
        fits = fits and math.prod(layer.shapes["bias"]) == math.prod(shape)
    if "on_input" in layer.shapes:
        fits = fits and math.prod(layer.shapes["on_input"]) == 1
    return fits


def _stackable(layer: _Layer) -> bool:
    """Whether its change depends on nothing but itself, so that a third of it can be taken."""
    return layer.kind in (LORA, LOHA, LOKR, FULL) and not {"bias", *MAGNITUDES} & layer.shapes.keys()


def _spatial(shapes: Shapes) -> bool:
    down = shapes.get("down", ())
    return "mid" in shapes or (len(down) == 4 and down[2:] != (1, 1))


def _scales_said(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What diffusers writes of PEFT's configuration beside files without alphas; empty when there is nothing."""
    try:
        said = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _said_scale(said: Mapping[str, Any], layer: str, rank: int) -> float:
    part = next((part for part in ("unet", "text_encoder_2", "text_encoder") if layer.startswith(f"{part}.")), "")
    patterns = said.get(f"{part}.alpha_pattern")
    alpha = said.get(f"{part}.lora_alpha")
    if isinstance(patterns, dict):
        alpha = next((value for end, value in patterns.items() if layer.endswith(f".{end}")), alpha)
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha):
        return 1.0
    return alpha / (math.sqrt(rank) if said.get(f"{part}.use_rslora") is True else rank)
