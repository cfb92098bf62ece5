"""Spandrel file: a network of any kind that spandrel knows, read from its file by our own readers of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.files import read_pickle
from app.models.checkpoint_file import open_weights
from app.models.pickled_weights import PickledWeights
from app.models.spandrel_import import spandrel
from app.schema.errors import BrokenModelFile, UnsupportedModel

_WRAPPINGS = ("model_state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Under which key training programs put the weights, the best first (spandrel looks in this order, too)."""
_PREFIXES = ("module.", "netG.")


def spandrel_network(path: Path, device: torch.device, what: str, unknown: UnsupportedModel) -> Any:
    """spandrel's descriptor of the network in a file, on the device, in float32, for use alone.

    what: for people, as 'an upscaler'. Raises `unknown` for a kind that spandrel does not know, ModelNotFound,
    BrokenModelFile, UnsafeModelFile; NotServedYet where spandrel is not installed.
    """
    library = spandrel()
    state = _state(path)
    try:
        descriptor = library.ModelLoader(device).load_from_state_dict(state)
    except library.UnsupportedModelError as error:
        raise unknown from error
    except (RuntimeError, KeyError, ValueError, IndexError, AssertionError) as error:
        raise BrokenModelFile(
            f"{path.name} looks like {what}, but its weights do not fit together.", hint="Fetch it again."
        ) from error
    descriptor.model.requires_grad_(False)
    return descriptor.eval().float()


def _state(path: Path) -> dict[str, Tensor]:
    """The weights as their network names them, without what training programs put around them."""
    weights = open_weights(path)
    names = {name: name for name in weights.shapes}
    tree = read_pickle(path).tree if isinstance(weights, PickledWeights) else {}
    if isinstance(tree, dict) and "state_dict" not in tree:
        wrapping = next((key for key in _WRAPPINGS if isinstance(tree.get(key), dict)), None)
        if wrapping is not None:
            start = f"{wrapping}."
            names = {name.removeprefix(start): name for name in names if name.startswith(start)}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): stored for name, stored in names.items()}
    return {name: weights.tensor(stored).clone() for name, stored in names.items()}
