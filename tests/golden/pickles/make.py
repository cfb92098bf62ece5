"""Makes the pickled model files beside it, with PyTorch itself: `python tests/golden/pickles/make.py`."""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import pathlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy
import torch

HERE = Path(__file__).parent


def numbers(*shape: int, dtype: torch.dtype = torch.float32, start: int = 0) -> torch.Tensor:
    count = int(numpy.prod(shape)) if shape else 1
    return (torch.arange(count) + start).reshape(shape).to(dtype)


def made(module: str, name: str) -> Any:
    """A class that is not there when the file is read."""
    kind = type(name, (), {"__module__": module})
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:length]), types.ModuleType(".".join(parts[:length])))
    setattr(sys.modules[module], name, kind)
    return kind


def state_dict() -> dict[str, torch.Tensor]:
    both = numbers(4, 3, dtype=torch.float16)
    return collections.OrderedDict(
        {
            "model.diffusion_model.input_blocks.0.0.weight": numbers(2, 4, 3, 3, dtype=torch.float16),
            "half": numbers(5, dtype=torch.float16, start=1),
            "brain": numbers(5, dtype=torch.bfloat16),
            "double": numbers(2, 2, dtype=torch.float64),
            "count": numbers(3, dtype=torch.int64, start=7),
            "flags": torch.tensor([True, False]),
            "scalar": torch.tensor(2.5),
            "none": torch.zeros(0, 4),
            "parameter": torch.nn.Parameter(numbers(2, 3)),
            "transposed": numbers(2, 3).t(),
            "shared": both,
            "second half": both[2:],
        }
    )


def described(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {
        name: {"shape": list(tensor.shape), "values": tensor.detach().to(torch.float64).reshape(-1).tolist()}
        for name, tensor in tensors.items()
    }


def main() -> None:
    tensors = state_dict()
    whole = {"epoch": 3, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "state_dict": tensors}
    torch.save(whole, HERE / "zip.ckpt")
    torch.save(whole, HERE / "old.ckpt", _use_new_zipfile_serialization=False)
    for protocol in (3, 4, 5):
        torch.save(whole, HERE / f"protocol{protocol}.ckpt", pickle_protocol=protocol)
    torch.save(torch.nn.Linear(3, 2).state_dict(), HERE / "linear.pt")
    torch.save(
        {"a": numbers(4, dtype=torch.float8_e4m3fn), "b": numbers(4, dtype=torch.uint16)}, HERE / "eight_bits.pt"
    )
    embedding = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": torch.nn.Parameter(numbers(2, 768))},
        "name": "cat",
        "step": 500,
        "sd_checkpoint": "8ac1dfeb94",
        "sd_checkpoint_name": None,
    }
    torch.save(embedding, HERE / "embedding.pt")
    old = torch.nn.ParameterDict({"*": torch.nn.Parameter(numbers(2, 768))})
    torch.save(
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": old},
        HERE / "old_embedding.pt",
        _use_new_zipfile_serialization=False,
    )
    layers = {"linear.0.weight": numbers(8, 4), "linear.0.bias": numbers(8)}
    torch.save({768: (layers, layers), 320: (layers, layers), "step": 10, "name": "h"}, HERE / "hypernetwork.pt")
    checkpoint = made("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    config = made("omegaconf.dictconfig", "DictConfig")()
    config.__dict__["_content"] = {"lr": 1e-4, "sizes": [1, 2]}
    lightning = {
        **whole,
        "callbacks": {checkpoint: {"best_model_score": numpy.float32(0.25), "dirpath": pathlib.PosixPath("a/b")}},
        "hyper_parameters": argparse.Namespace(config=config, when=datetime.datetime(2022, 8, 1)),
        "lr_schedulers": [collections.defaultdict(list, {"base_lrs": [1e-4]})],
        "numpy": {"f8": numpy.float64(1.5), "i8": numpy.int64(7), "array": numpy.arange(3)},
        "names": {"a", "b"},
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
    }
    torch.save(lightning, HERE / "lightning.ckpt")
    torch.save(torch.nn.Linear(3, 2), HERE / "whole_module.pt")
    (HERE / "tensors.json").write_text(json.dumps(described(tensors)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
