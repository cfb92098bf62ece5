"""Hypernetwork: A1111's .pt files as a Hook: small networks in front of the keys and values of attention.

Every structure, activation, layer norm and dropout flag (a1111-facts 6.3). Nothing in a file is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation as activations

from app.files import PickledTensor, read_pickle
from app.models.model import LoadedModel, fingerprint
from app.models.pickled_weights import PickledWeights
from app.networks.network import Report
from app.schema.errors import BrokenModelFile, UnsupportedModel

_OWN_NAMES: Mapping[str, type[nn.Module]] = MappingProxyType({"linear": nn.Identity, "swish": nn.Hardswish})
_LINEAR = (None, "linear")
_MOST_LAYERS = 64
_WIDEST = 1 << 20


class Hypernetwork:
    """Networks by width of what attention reads: one for keys, one for values.

    Output for an input x: x + strength * network(x). Several hypernetworks act one after the other.
    """

    kind = "hypernet"
    family = ""

    def __init__(self, path: str | Path, name: str) -> None:
        """Raises what `read_pickle` raises, BrokenModelFile when its parts contradict each other, UnsupportedModel for
        an activation that is not known."""
        file = PickledWeights(path)
        self.name = name
        self.fingerprint = fingerprint("hypernet", file.identity)
        tree = read_pickle(path).tree
        if not isinstance(tree, dict):
            raise BrokenModelFile(f"{file.path.name} is no hypernetwork.")
        self._pairs: dict[int, tuple[nn.Sequential, nn.Sequential]] = {}
        for width, pair in tree.items():
            if type(width) is int and 0 < width < _WIDEST:
                if not isinstance(pair, list | tuple) or len(pair) < 2:
                    raise BrokenModelFile(f"{file.path.name}: the networks for width {width} are not a pair.")
                self._pairs[width] = (
                    _network(file, tree, width, pair[0], f"{width}.0"),
                    _network(file, tree, width, pair[1], f"{width}.1"),
                )
        if not self._pairs:
            raise BrokenModelFile(f"{file.path.name} is no hypernetwork: it has no networks by width.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths that it has networks for."""
        return tuple(self._pairs)

    def report(self, model: LoadedModel) -> Report:
        """See `Network`. Counts widths."""
        present = {layer.in_features for _, layer in _keys_and_values(model)}
        missing = tuple(str(width) for width in self._pairs if width not in present)
        return Report(
            self.name, "Hypernetwork", None, len(self._pairs) - len(missing), len(self._pairs), missing, "widths"
        )

    def attach(self, model: LoadedModel, strength: float) -> Callable[[], None]:
        """See `Hook`. The networks compute in the model's precision."""
        device, dtype = model.device, model.dtype
        moved = {
            width: tuple(deepcopy(network).to(device, dtype) for network in pair) for width, pair in self._pairs.items()
        }
        handles = [
            layer.register_forward_pre_hook(partial(_before, moved[layer.in_features][part], strength))
            for part, layer in _keys_and_values(model)
            if layer.in_features in moved
        ]

        def undo() -> None:
            for handle in handles:
                handle.remove()

        return undo


def _before(network: nn.Module, strength: float, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    x: Tensor = inputs[0]
    weight = next(network.parameters())
    if weight.device != x.device:  # the U-Net has moved, or is run block by block
        network.to(x.device)
    return (x + network(x.to(weight.dtype)).to(x.dtype) * strength, *inputs[1:])


def _keys_and_values(model: LoadedModel) -> list[tuple[int, nn.Linear]]:
    """0 and every to_k, 1 and every to_v of the U-Net's attention."""
    named = model.unet.named_modules()
    parts = {"to_k": 0, "to_v": 1}
    return [(parts[end], layer) for name, layer in named if (end := name.rpartition(".")[2]) in parts]


def _network(file: PickledWeights, tree: Mapping[Any, Any], width: int, state: Any, where: str) -> nn.Sequential:
    if not isinstance(state, dict):
        raise BrokenModelFile(f"{file.path.name}: the network {where} has no weights.")
    network = nn.Sequential()
    try:
        with torch.device("meta"):
            for layer in network_layers(tree, width):
                network.append(layer)
            answer = network.eval()(torch.empty(1, 1, width))
    except (ValueError, TypeError, RuntimeError, OverflowError, IndexError) as error:
        raise BrokenModelFile(f"{file.path.name}: the network {where} cannot be built ({error}).") from error
    if answer.shape != (1, 1, width):
        raise BrokenModelFile(f"{file.path.name}: the network {where} gives {answer.shape[-1]} numbers for {width}.")
    tensors = {
        _name(key): file.tensor(f"{where}.{key}").float() for key in state if isinstance(state[key], PickledTensor)
    }
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(wanted.items() ^ found.items())[0][0]
        raise BrokenModelFile(f"{file.path.name}: the network {where} does not fit its description at linear.{wrong}.")
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def _name(key: str) -> str:
    """'linear.0.weight' -> '0.weight'; first-generation files say 'linear1.weight'."""
    for old, new in (("linear1.", "0."), ("linear2.", "1."), ("linear.", "")):
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def network_layers(tree: Mapping[Any, Any], width: int) -> list[nn.Module]:
    """The modules of one network as a file's description numbers them: 'layer_structure', 'activation_func' ...

    Raises ValueError, TypeError or IndexError for a description that makes none, UnsupportedModel for an activation.
    """
    structure = tree.get("layer_structure") or [1, 2, 1]
    dropout = _dropout(tree, structure)
    if not 2 <= len(structure) <= _MOST_LAYERS:
        raise ValueError(f"a structure of {len(structure)} layers")
    name = tree.get("activation_func")
    activate_output = tree.get("activate_output", True)
    layers: list[nn.Module] = []
    last = len(structure) - 2
    for number in range(len(structure) - 1):
        inward, outward = (int(width * structure[place]) for place in (number, number + 1))
        if not (0 < inward < _WIDEST and 0 < outward < _WIDEST):
            raise ValueError(f"a layer of {inward} to {outward} numbers")
        layers.append(nn.Linear(inward, outward))
        if name not in _LINEAR and (number < last or activate_output):
            layers.append(_activation(str(name)))
        if tree.get("is_layer_norm"):
            layers.append(nn.LayerNorm(outward))
        if dropout[number + 1] > 0:
            layers.append(nn.Dropout(dropout[number + 1]))
    return layers


def _dropout(tree: Mapping[Any, Any], structure: Sequence[float]) -> list[float]:
    """Shares by place in the structure; they do nothing here but count as layers."""
    given = tree.get("dropout_structure")
    if not tree.get("use_dropout"):
        # Files that name shares without the flag have the layers all the same.
        return [float(share) for share in given] if given else [0.0] * len(structure)
    if given:
        return [float(share) for share in given]
    inner = [0.3] * (len(structure) - 3)
    return [0.0, *inner, 0.3 if tree.get("last_layer_dropout") else 0.0, 0.0]


def _activation(name: str) -> nn.Module:
    if name in _OWN_NAMES:
        return _OWN_NAMES[name]()
    for spelling, kind in inspect.getmembers(activations, inspect.isclass):
        if spelling.lower() == name and kind.__module__ == activations.__name__ and issubclass(kind, nn.Module):
            parameters = inspect.signature(kind).parameters.values()
            needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
            if not needed:
                made: nn.Module = kind()
                return made
    raise UnsupportedModel(f"The hypernetwork's activation '{name[:40]}' is not known.")
