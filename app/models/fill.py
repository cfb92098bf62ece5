"""Fill: the tensors of a file into a module, mapped where nothing changes, else in one pass.

Knows where a parameter lies (`keys.Source`), not why; takes meta modules as well as ones that hold old weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.models.keys import Source, text_sources
from app.models.progress import Meter
from app.models.text_encoder import TextEncoder
from app.models.weights import WeightFile
from app.schema.errors import BrokenModelFile


def fill_text_encoder(
    file: WeightFile, encoder: TextEncoder, dtype: torch.dtype, device: torch.device, meter: Meter
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
    file: WeightFile,
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
    for name in sorted(sources, key=lambda name: file.position(sources[name].key)):
        parameter, source = parameters[name], sources[name]
        tensor = _take(file, source)
        meter.add(tensor.nbytes)
        if tensor.shape != parameter.shape:
            # Linear layers of today are 1x1 convolutions in the original, and the other way round.
            if tensor.squeeze().shape != parameter.squeeze().shape:
                raise BrokenModelFile(
                    f"{file.path.name}: tensor {source.key} has shape {list(tensor.shape)}; "
                    f"the {part} needs {list(parameter.shape)}."
                )
            tensor = tensor.reshape(parameter.shape)
        keeps = not parameter.is_meta and parameter.dtype == dtype and parameter.device == device
        if keeps and (tensor.dtype != dtype or device.type != "cpu"):
            parameter.data.copy_(tensor)
        else:
            state[name] = tensor.to(device).to(dtype).contiguous()
    module.load_state_dict(state, strict=False, assign=True)
    module.requires_grad_(False)
    meter.end()
    return {source.key for source in sources.values()}


def _take(file: WeightFile, source: Source) -> Tensor:
    tensor = file.tensor(source.key)
    wrong = source.third is not None and (tensor.dim() == 0 or tensor.shape[0] % 3)
    if wrong or (source.transposed and tensor.dim() != 2):
        raise BrokenModelFile(f"{file.path.name}: tensor {source.key} has the impossible shape {list(tensor.shape)}.")
    if source.third is not None:
        rows = tensor.shape[0] // 3
        tensor = tensor[rows * source.third : rows * (source.third + 1)]
    return tensor.t() if source.transposed else tensor


def some(names: list[str]) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
