"""Fill: the tensors of a file into a module, mapped where nothing changes, else in one pass.

Knows where a parameter lies (`keys.Source`), not why; takes meta modules as well as ones that hold old weights.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from app.models.keys import Source, text_dialect, text_sources
from app.models.memory import is_mapped, mark_mapped, walk
from app.models.progress import Meter
from app.models.skeletons import Skeletons
from app.models.text_encoder import TextEncoder
from app.models.weights import Weights
from app.schema.errors import BrokenModelFile

_SCALES = ("scale_weight", "weight_scale")
"""How ComfyUI names what a weight in eight bits is to be multiplied by."""


def fill_text_encoder(
    file: Weights,
    encoder: TextEncoder,
    dtype: torch.dtype,
    device: torch.device,
    meter: Meter,
    skeletons: Skeletons,
) -> set[str]:
    """Give a text encoder its tensors. Returns the names of the tensors used."""
    slots = slots_of(encoder.module)
    dialect = text_dialect(encoder.facts, file.shapes)
    turned = f"{encoder.facts.prefix}text_projection.weight" in file.shapes

    def find() -> dict[str, Source]:
        names = [encoder.name_on_disk(name) for name in slots]
        sources = text_sources(names, encoder.facts, file.shapes)
        return {name: sources[on_disk] for name, on_disk in zip(slots, names, strict=True)}

    sources = skeletons.known(("text", tuple(slots), encoder.facts.prefix, dialect, turned), find)
    used = fill(file, slots, sources, dtype, device, "text encoder", meter)
    # The only buffer of the module; it is counted, not stored.
    encoder.transformer.embeddings.position_ids = torch.arange(encoder.facts.length, device=device).expand((1, -1))
    return used


class Slot(NamedTuple):
    """A place for a parameter: module.name, which holds `parameter` now."""

    module: nn.Module
    name: str
    parameter: nn.Parameter


def slots_of(module: nn.Module) -> dict[str, Slot]:
    """The places of all parameters by their full names."""
    return {
        f"{path}{name}": Slot(part, name, parameter)
        for path, part in walk(module)
        for name, parameter in part._parameters.items()
        if parameter is not None
    }


def fill(
    file: Weights,
    slots: Mapping[str, Slot],
    sources: Mapping[str, Source],
    dtype: torch.dtype,
    device: torch.device,
    part: str,
    meter: Meter,
) -> set[str]:
    """Give every parameter its tensor, in the file's order. Returns the names of the tensors used."""
    used = {source.key for source in sources.values()}
    missing = sorted(used - file.shapes.keys())
    if missing:
        raise BrokenModelFile(
            f"{file.path.name} lacks {len(missing)} of {len(sources)} tensors of its {part}: {some(missing)}.",
            hint="Copy or download it again.",
        )
    meter.begin(part)
    scales = {name for name in file.shapes if name.endswith(_SCALES)}
    scaled = {key: scale for key in used if (scale := scale_name(key, scales))} if scales else {}
    for name in sorted(sources, key=lambda name: file.position(sources[name].key)):
        slot, source = slots[name], sources[name]
        parameter, tensor = slot.parameter, _taken(file, source, scaled.get(source.key))
        meter.add(tensor.numel() * file.dtypes[source.key].itemsize)
        if tensor.shape != parameter.shape:
            # Linear layers of today are 1x1 convolutions in the original, and the other way round.
            if tensor.squeeze().shape != parameter.squeeze().shape:
                raise BrokenModelFile(
                    f"{file.path.name}: tensor {source.key} has shape {list(tensor.shape)}; "
                    f"the {part} needs {list(parameter.shape)}."
                )
            tensor = tensor.reshape(parameter.shape)
        keeps = parameter.device == device and parameter.dtype == dtype
        # Written over, another file's pages would become private copies one by one, each after a read of the old.
        if keeps and (tensor.dtype != dtype or device.type != "cpu") and not is_mapped(parameter):
            parameter.data.copy_(tensor)
            continue
        shared = device.type == "cpu" and tensor.dtype == dtype and tensor.is_contiguous()
        value = tensor if shared else tensor.to(device).to(dtype).contiguous()
        if keeps:
            parameter.data = value
        else:
            parameter = nn.Parameter(value, requires_grad=False)
            slot.module.register_parameter(slot.name, parameter)
        if shared and source.key not in scaled:
            mark_mapped(parameter)
    meter.end()
    return used.union(scaled.values())


def take(file: Weights, source: Source) -> Tensor:
    """The tensor of a parameter as the file has it, sharing its pages; its shape may still want dimensions of one.

    Weights in eight bits with a scale are multiplied by it, which makes them float32.
    """
    return _taken(file, source, scale_name(source.key, file.shapes))


def _taken(file: Weights, source: Source, scale: str | None) -> Tensor:
    tensor = file.tensor(source.key)
    if scale is not None:
        tensor = _scaled(file, source.key, tensor, file.tensor(scale))
    wrong = source.third is not None and (tensor.dim() == 0 or tensor.shape[0] % 3)
    if wrong or (source.transposed and tensor.dim() != 2):
        raise BrokenModelFile(f"{file.path.name}: tensor {source.key} has the impossible shape {list(tensor.shape)}.")
    if source.third is not None:
        rows = tensor.shape[0] // 3
        tensor = tensor[rows * source.third : rows * (source.third + 1)]
    return tensor.t() if source.transposed else tensor


def scale_name(key: str, names: Container[str]) -> str | None:
    """The tensor that a weight in eight bits is to be multiplied by, or None."""
    if not key.endswith(".weight"):
        return None
    module = key.removesuffix("weight")
    return next((f"{module}{end}" for end in _SCALES if f"{module}{end}" in names), None)


def _scaled(file: Weights, key: str, tensor: Tensor, scale: Tensor) -> Tensor:
    """float32. One scale for all, or one for each row."""
    if not tensor.is_floating_point() or scale.numel() not in (1, tensor.shape[0] if tensor.dim() else 1):
        raise BrokenModelFile(
            f"{file.path.name}: tensor {key} ({str(tensor.dtype).removeprefix('torch.')}) has a scale of the shape "
            f"{list(scale.shape)}, which is not known."
        )
    factor = scale.float().reshape(-1, *[1] * (tensor.dim() - 1)) if scale.numel() > 1 else scale.float().reshape(())
    return tensor.float() * factor


def some(names: list[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
