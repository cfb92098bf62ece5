"""Memory: what a training takes at the least, counted before it starts; activations come on top of it."""

from __future__ import annotations

import torch

from app.models import LoadedModel, host_memory
from app.schema.training import TrainingRequest
from app.training.optimizers import STATE_BYTES
from app.training.precision import precision_to_load

_FLOAT = 4


def memory_there(device: torch.device) -> int | None:
    """Bytes that the device has in all; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return host_memory() if device.type == "cpu" else None


def memory_of(request: TrainingRequest, model: LoadedModel, parameters: int, device: torch.device) -> int:
    """Bytes on the device: the model as it is loaded, what is trained, its gradients, the optimiser's state.

    parameters: numbers trained. A checkpoint that teaches itself what to keep lies there twice.
    """
    loaded = precision_to_load(request, device)
    dtypes = {"unet": loaded.unet, "vae": loaded.vae}
    held = sum(
        sum(tensor.numel() for tensor in part.parameters()) * dtypes.get(name, loaded.text).itemsize
        for name, part in model.parts()
    )
    whole = request.method == "dreambooth"
    teaches = whole and request.prior_used == "prediction"
    copies = (not whole) + teaches + bool(request.average)
    return held + parameters * (_FLOAT * (1 + copies) + STATE_BYTES[request.optimizer][0])
