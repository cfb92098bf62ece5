"""What can be trained: a model's weights, a LoRA, an embedding, a hypernetwork; each with its file."""

from app.training.targets.choose import NO_TARGETS, MakeTarget, Targets, make_target
from app.training.targets.embedding import EmbeddingSettings, EmbeddingTarget
from app.training.targets.hypernetwork import HypernetworkSettings, HypernetworkTarget
from app.training.targets.layers import lora_layers
from app.training.targets.lora import LoraSettings, LoraTarget
from app.training.targets.target import Target
from app.training.targets.weights import WeightsSettings, WeightsTarget

__all__ = [
    "NO_TARGETS",
    "EmbeddingSettings",
    "EmbeddingTarget",
    "HypernetworkSettings",
    "HypernetworkTarget",
    "LoraSettings",
    "LoraTarget",
    "MakeTarget",
    "Target",
    "Targets",
    "WeightsSettings",
    "WeightsTarget",
    "lora_layers",
    "make_target",
]
