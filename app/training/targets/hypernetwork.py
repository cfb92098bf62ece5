"""Hypernetwork as a target: small networks before attention's keys and values, as A1111's .pt.

x becomes x + network(x) at full strength while it is trained (a1111-facts 6.3). The model stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.conditioning import Vocabulary
from app.models import LoadedModel
from app.networks import network_layers
from app.schema.errors import TrainingProblem, UnsupportedModel
from app.training.randomness import generator
from app.training.targets.pickled import write_pickled

_DEVIATION = 0.01


@dataclass(frozen=True)
class HypernetworkSettings:
    """name: of the file. widths: of what attention reads; those that the model lacks are left out.

    structure: multiples of the width, from 1 to 1. weight_init: 'Zero' begins as no change at all, 'Normal' near to
    it; the others begin in noise. dropout: share of each place of the structure, () for none.
    """

    name: str
    widths: tuple[int, ...] = (768, 320, 640, 1280)
    structure: tuple[float, ...] = (1, 2, 1)
    activation: str = "linear"
    weight_init: str = "Normal"
    layer_norm: bool = False
    dropout: tuple[float, ...] = ()
    seed: int = 0


class HypernetworkTarget:
    """See `Target`. Parameters: 'width.0.linear.2.weight', 0 for keys and 1 for values."""

    suffix = ".pt"
    trains_text = False

    def __init__(self, model: LoadedModel, settings: HypernetworkSettings) -> None:
        """Raises TrainingProblem for widths that the model has none of, or a structure that cannot be built."""
        self._settings = settings
        layers = _keys_and_values(model)
        present = {layer.in_features for _, layer in layers}
        widths = [width for width in settings.widths if width in present]
        if not widths:
            there = ", ".join(str(width) for width in sorted(present))
            raise TrainingProblem(
                f"No attention of this checkpoint reads {', '.join(map(str, settings.widths))} numbers.",
                field="widths",
                hint=f"Take some of {there}.",
            )
        if settings.dropout and len(settings.dropout) != len(settings.structure):
            raise TrainingProblem("Dropout has one share for each layer of the structure.", field="dropout_structure")
        self._networks = {width: tuple(self._network(width, part, model.device) for part in (0, 1)) for width in widths}
        self._on = True
        self._part: int | None = None
        self._handles = [
            layer.register_forward_pre_hook(partial(self._before, layer.in_features, part))
            for part, layer in layers
            if layer.in_features in self._networks
        ]

    @property
    def description(self) -> dict[str, Any]:
        """What the file says of its networks, in A1111's words."""
        settings = self._settings
        return {
            "layer_structure": [int(part) if part == int(part) else part for part in settings.structure],
            "activation_func": settings.activation,
            "is_layer_norm": settings.layer_norm,
            "weight_initialization": settings.weight_init,
            "activate_output": False,
            "use_dropout": any(settings.dropout),
            "dropout_structure": list(settings.dropout) if any(settings.dropout) else None,
            "last_layer_dropout": False,
        }

    def _network(self, width: int, part: int, device: torch.device) -> list[nn.Module]:
        try:
            layers = network_layers(self.description, width)
        except (ValueError, TypeError, IndexError) as error:
            raise TrainingProblem(f"This hypernetwork cannot be built: {error}.", field="layer_structure") from error
        except UnsupportedModel as error:
            raise TrainingProblem(error.message, field="activation") from error
        weighted = [layer for layer in layers if isinstance(layer, nn.Linear | nn.LayerNorm)]
        draws = generator(self._settings.seed, f"first weights/{width}.{part}")
        with torch.no_grad():
            for layer in weighted:
                _fill(layer, self._settings, draws)
            if self._settings.weight_init == "Zero":
                weighted[-1].weight.zero_()
        return [layer.to(device).requires_grad_(True) for layer in layers]

    def parameters(self) -> Mapping[str, Tensor]:
        """See `Target`."""
        return {
            f"{width}.{part}.linear.{number}.{name}": tensor
            for width, pair in self._networks.items()
            for part, layers in enumerate(pair)
            for number, layer in enumerate(layers)
            for name, tensor in layer.named_parameters()
        }

    def rates(self) -> Mapping[str, float]:
        """See `Target`: one for all."""
        return {}

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """See `Target`: none."""
        return ()

    def begin(self, part: int | None) -> None:
        """See `Target`."""
        self._part = part

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See `Target`."""
        self._on = False
        try:
            with torch.no_grad():
                yield
        finally:
            self._on = True

    def file_bytes(self) -> int:
        """See `Target`."""
        return sum(tensor.nbytes for tensor in self.parameters().values())

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """See `Target`; float32."""
        parameters = self.parameters()
        pairs = {
            width: tuple(
                {
                    name.removeprefix(f"{width}.{part}."): tensor
                    for name, tensor in parameters.items()
                    if name.startswith(f"{width}.{part}.")
                }
                for part in (0, 1)
            )
            for width in self._networks
        }
        told = {
            "step": int(metadata.get("ss_steps", 0)),
            "name": self._settings.name,
            "sd_checkpoint": metadata.get("ss_new_sd_model_hash", "")[:10] or None,
            "sd_checkpoint_name": metadata.get("ss_sd_model_name") or None,
            "optional_info": None,
        }
        return write_pickled(path, {**pairs, **self.description, **told})

    def detach(self) -> None:
        """See `Target`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before(self, width: int, part: int, module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self._on:
            return inputs
        x: Tensor = inputs[0]
        return (x + self._through(width, part, x).to(x.dtype), *inputs[1:])

    def _through(self, width: int, part: int, x: Tensor) -> Tensor:
        x = x.float()
        for number, layer in enumerate(self._networks[width][part]):
            x = self._dropped(layer.p, f"{width}.{part}.{number}", x) if isinstance(layer, nn.Dropout) else layer(x)
        return x

    def _dropped(self, share: float, where: str, x: Tensor) -> Tensor:
        """The same mask for every layer that reads this network in one step; it follows from the step's number."""
        if self._part is None:
            return x
        draws = generator(self._settings.seed, f"dropout/{where}", self._part)
        kept = (torch.rand(x.shape, generator=draws) >= share).to(x.device, x.dtype)
        return x * kept / (1 - share)


def _keys_and_values(model: LoadedModel) -> list[tuple[int, nn.Linear]]:
    parts = {"to_k": 0, "to_v": 1}
    named = model.unet.named_modules()
    return [(parts[end], layer) for name, layer in named if (end := name.rpartition(".")[2]) in parts]


def _fill(layer: nn.Linear | nn.LayerNorm, settings: HypernetworkSettings, draws: torch.Generator) -> None:
    """First weights of one layer; biases are 0, a layer norm begins as one that changes no scale."""
    layer.bias.zero_()
    if isinstance(layer, nn.LayerNorm):
        layer.weight.fill_(1.0)
        return
    nonlinearity: Literal["leaky_relu", "relu"] = "leaky_relu" if settings.activation == "leakyrelu" else "relu"
    fills: Mapping[str, Callable[[Tensor], object]] = {
        "Zero": lambda weight: weight.normal_(0, _DEVIATION, generator=draws),
        "Normal": lambda weight: weight.normal_(0, _DEVIATION, generator=draws),
        "XavierUniform": lambda weight: nn.init.xavier_uniform_(weight, generator=draws),
        "XavierNormal": lambda weight: nn.init.xavier_normal_(weight, generator=draws),
        "KaimingUniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity=nonlinearity, generator=draws),
        "KaimingNormal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity=nonlinearity, generator=draws),
    }
    fills[settings.weight_init](layer.weight)
