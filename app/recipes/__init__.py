"""How one image is made: generators of effects."""

from app.recipes.effects import (
    Decode,
    Effect,
    EncodeImage,
    EncodeText,
    Evaluate,
    ModelFacts,
    Picture,
    Recipe,
    Skip,
    Tools,
)
from app.recipes.generate import generate
from app.recipes.guidance import Economy, Guidance, guided
from app.recipes.image_channels import channels_without_picture, inpainting_channels, reads_mask, reads_picture

__all__ = [
    "Decode",
    "Economy",
    "Effect",
    "EncodeImage",
    "EncodeText",
    "Evaluate",
    "Guidance",
    "ModelFacts",
    "Picture",
    "Recipe",
    "Skip",
    "Tools",
    "channels_without_picture",
    "generate",
    "guided",
    "inpainting_channels",
    "reads_mask",
    "reads_picture",
]
