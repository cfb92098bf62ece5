"""Side path: plain LoRAs beside the weights instead of in them: nothing is merged, nothing needs giving back.

For pictures of different LoRA sets that are to share a model call; the merged form stays the one that pictures are
made with unless this is asked for, since it rounds differently.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from app.models.model import LoadedModel
from app.networks.change import MAGNITUDES
from app.networks.lora import LORA
from app.networks.patch import FilePatch
from app.schema.errors import UnsupportedModel


@torch.inference_mode(mode=False)
@torch.no_grad()
def attach_side_path(
    patch: FilePatch, model: LoadedModel, *, text: float = 1.0, unet: float = 1.0, rank: int | None = None
) -> Callable[[], None]:
    """Adds strength * up(down(x)) to each layer's answer, in the model's precision; returns what undoes it exactly.

    Raises UnsupportedModel for a type whose change is not the product of two matrices.
    """
    paths = list(patch.targets(model))
    for path in paths:
        if any(
            change.kind is not LORA or change.third is not None or {"mid", "bias", *MAGNITUDES} & change.names
            for change in patch.changes(model, path)
        ):
            raise UnsupportedModel(f"{patch.name} is no plain LoRA ({patch.type}) and can only be merged.")
    handles = []
    for path in paths:
        layer = _layer(model, path)
        strength = text if path.startswith("text_encoders.") else unet
        for change in patch.changes(model, path):
            weight = layer.weight
            parts = change.parts(weight.device)
            up, down = parts["up"].flatten(1)[:, :rank], parts["down"][:rank]
            down = (down * (change.scale * strength)).to(weight.dtype)
            beside = _beside_convolution if isinstance(layer, nn.Conv2d) else _beside_linear
            if isinstance(layer, nn.Conv2d):
                down = down.reshape(down.shape[0], -1, *weight.shape[2:])
            else:
                down = down.flatten(1)
            handles.append(layer.register_forward_hook(partial(beside, up.to(weight.dtype), down, change.inputs)))

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


def _layer(model: LoadedModel, path: str) -> Any:
    part, _, name = path.removesuffix(".weight").partition(".")
    if part == "unet":
        return model.unet.get_submodule(name)
    number, _, name = name.partition(".")
    encoder = model.text_encoders[int(number)]
    wrapped = hasattr(encoder.module, "text_model")
    return encoder.module.get_submodule(name if wrapped else name.removeprefix("text_model."))


def _beside_linear(
    up: Tensor, down: Tensor, _: int | None, __: nn.Module, inputs: tuple[Tensor, ...], answer: Tensor
) -> Tensor:
    return answer + linear(linear(inputs[0], down), up)


def _beside_convolution(
    up: Tensor, down: Tensor, channels: int | None, layer: nn.Conv2d, inputs: tuple[Tensor, ...], answer: Tensor
) -> Tensor:
    x = inputs[0] if channels is None else inputs[0][:, :channels]
    assert not isinstance(layer.padding, str)
    inner = conv2d(x, down, None, layer.stride, layer.padding, layer.dilation)
    return answer + conv2d(inner, up[..., None, None])
