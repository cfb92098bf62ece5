"""From a request to a target: which settings each method reads, and what it makes of 'auto'."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from app.language import Tokenizer
from app.models import LoadedModel
from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest
from app.training.targets.embedding import EmbeddingSettings, EmbeddingTarget
from app.training.targets.hypernetwork import HypernetworkSettings, HypernetworkTarget
from app.training.targets.lora import LoraSettings, LoraTarget
from app.training.targets.target import Target
from app.training.targets.weights import WeightsSettings, WeightsTarget

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


MakeTarget = Callable[[TrainingRequest, LoadedModel, Tokenizer], Target]
Targets = Mapping[str, MakeTarget]
"""Of extensions, by method."""
NO_TARGETS: Targets = {}


def make_target(
    request: TrainingRequest, model: LoadedModel, tokenizer: Tokenizer, targets: Targets = NO_TARGETS
) -> Target:
    """The target of the request's method, attached to the model. Raises TrainingProblem where the two do not fit, and
    for a method of an extension that is not among `targets`."""
    if request.method in targets:
        return targets[request.method](request, model, tokenizer)
    if "/" in request.method:
        raise TrainingProblem(
            f"There is no extension here that teaches '{request.method}'.",
            field="method",
            hint="Install or enable it, and go on.",
        )
    dtype = _DTYPES.get(request.save_precision)
    text_factor = request.text_encoder_rate or 0.0
    if request.method == "dreambooth":
        return WeightsTarget(model, WeightsSettings(text_factor, dtype, keep_first=request.prior_used == "prediction"))
    if request.method == "lora":
        return LoraTarget(model, _lora(request, text_factor, dtype or torch.float16))
    if request.method == "textual_inversion":
        pickled = request.save_format == "auto"
        settings = EmbeddingSettings(request.name, request.vectors, request.initial_text, pickled)
        return EmbeddingTarget(model, settings, tokenizer)
    return HypernetworkTarget(
        model,
        HypernetworkSettings(
            request.name,
            request.widths,
            request.layer_structure,
            request.activation,
            request.weight_init,
            request.layer_norm,
            request.dropout_structure,
            request.seed,
        ),
    )


def _lora(request: TrainingRequest, text_factor: float, dtype: torch.dtype) -> LoraSettings:
    conv_rank, conv_alpha = request.conv_rank, request.conv_alpha
    if request.lora_kind == "LoCon" and not conv_rank:
        conv_rank, conv_alpha = request.rank, request.alpha
    return LoraSettings(
        kind=request.lora_kind,
        rank=request.rank,
        alpha=request.alpha,
        conv_rank=conv_rank,
        conv_alpha=conv_alpha,
        factor=request.lokr_factor,
        text_factor=text_factor,
        dropout=request.network_dropout,
        dtype=dtype,
        seed=request.seed,
    )
