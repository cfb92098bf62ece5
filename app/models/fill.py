"""Fill: the tensors of a file into a module, mapped where nothing changes, else in one pass.

Knows where a parameter lies (`keys.Source`), not why; takes meta modules as well as ones that hold old weights.
"""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import Tensor, nn

from app.models.keys import Source, text_sources
from app.models.memory import is_mapped, mark_mapped
from app.models.progress import Meter
from app.models.text_encoder import TextEncoder
from app.models.weights import Weights
from app.schema.errors import BrokenModelFile


def fill_text_encoder(
    file: Weights, encoder: TextEncoder, dtype: torch.dtype, device: torch.device, meter: Meter
) -> set[str]:
    """Give a text encoder its tensors. Returns the names of the tensors used."""
    names = [name for name, _ in encoder.named_parameters()]
    sources = text_sources(names, encoder.facts, file.shapes)
    own_names = [name for name, _ in encoder.module.named_parameters()]
    own = {own_name: sources[name] for own_name, name in zip(own_names, names, strict=True)}
    used = fill(file, encoder.module, own, dtype, device, "text encoder", meter)
    # The only buffer of the module; it is counted, not stored.
    encoder.transformer.embeddings.position_ids = torch.arange(encoder.facts.length, device=device).expand((1, -1))
    return used


def fill(
    file: Weights,
    module: nn.Module,
    sources: dict[str, Source],
    dtype: torch.dtype,
    device: torch.device,
    part: str,
    meter: Meter,
) -> set[str]:
    """Give every parameter its tensor, in the file's order. Returns the names of the tensors used."""
    missing = sorted({source.key for source in sources.values()} - file.shapes.keys())
    if missing:
        raise BrokenModelFile(
            f"{file.path.name} lacks {len(missing)} of {len(sources)} tensors of its {part}: {some(missing)}.",
            hint="Copy or download it again.",
        )
    meter.begin(part)
    parameters = dict(module.named_parameters())
    state: dict[str, Tensor] = {}
    mapped: list[str] = []
    for name in sorted(sources, key=lambda name: file.position(sources[name].key)):
        parameter, source = parameters[name], sources[name]
        tensor = take(file, source)
        meter.add(tensor.numel() * file.dtypes[source.key].itemsize)
        if tensor.shape != parameter.shape:
            # Linear layers of today are 1x1 convolutions in the original, and the other way round.
            if tensor.squeeze().shape != parameter.squeeze().shape:
                raise BrokenModelFile(
                    f"{file.path.name}: tensor {source.key} has shape {list(tensor.shape)}; "
                    f"the {part} needs {list(parameter.shape)}."
                )
            tensor = tensor.reshape(parameter.shape)
        keeps = not parameter.is_meta and parameter.dtype == dtype and parameter.device == device
        # Written over, another file's pages would become private copies one by one, each after a read of the old.
        if keeps and (tensor.dtype != dtype or device.type != "cpu") and not is_mapped(parameter):
            parameter.data.copy_(tensor)
            continue
        value = tensor.to(device).to(dtype).contiguous()
        if value.data_ptr() == tensor.data_ptr() and scale_name(source.key, file.shapes) is None:
            mapped.append(name)
        if keeps:
            parameter.data = value
        else:
            state[name] = value
    if state:  # walking through the modules takes a tenth of a swap that has no need of it
        module.load_state_dict(state, strict=False, assign=True)
        module.requires_grad_(False)
        parameters = dict(module.named_parameters())
    for name in mapped:
        mark_mapped(parameters[name])
    meter.end()
    used = {source.key for source in sources.values()}
    return used.union(filter(None, (scale_name(key, file.shapes) for key in used)))


def take(file: Weights, source: Source) -> Tensor:
    """The tensor of a parameter as the file has it, sharing its pages; its shape may still want dimensions of one.

    Weights in eight bits with a scale are multiplied by it, which makes them float32.
    """
    tensor = file.tensor(source.key)
    scale = scale_name(source.key, file.shapes)
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
    """The tensor that a weight in eight bits is to be multiplied by, in either of ComfyUI's two namings, or None."""
    if not key.endswith(".weight"):
        return None
    module = key.removesuffix("weight")
    return next((name for name in (f"{module}scale_weight", f"{module}weight_scale") if name in names), None)


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
