"""How one image is made: generators of effects."""

from app.recipes.effects import (
    ChangeModel,
    Decode,
    Effect,
    EncodeImage,
    EncodeText,
    Evaluate,
    ModelFacts,
    Picture,
    Recipe,
    Residuals,
    RestoreFaces,
    Skip,
    Tools,
    Upscale,
)
from app.recipes.generate import draw, generate
from app.recipes.guidance import Economy, Guidance, guided
from app.recipes.guides import Answered, Call, Guide, Guiding, MakeGuides, PlainGuide, Scene
from app.recipes.image_channels import channels_without_picture, inpainting_channels, reads_mask, reads_picture
from app.recipes.passes import Draw, Drawing, Drawn, Pass, Stage, Turn, decoded, with_stages
from app.recipes.repaint import Repaint
from app.recipes.rescale import Rescale
from app.recipes.source import flattened
from app.recipes.turning import require_same_latents

__all__ = [
    "Answered",
    "Call",
    "ChangeModel",
    "Decode",
    "Draw",
    "Drawing",
    "Drawn",
    "Economy",
    "Effect",
    "EncodeImage",
    "EncodeText",
    "Evaluate",
    "Guidance",
    "Guide",
    "Guiding",
    "MakeGuides",
    "ModelFacts",
    "Pass",
    "Picture",
    "PlainGuide",
    "Recipe",
    "Repaint",
    "Rescale",
    "Residuals",
    "RestoreFaces",
    "Scene",
    "Skip",
    "Stage",
    "Tools",
    "Turn",
    "Upscale",
    "channels_without_picture",
    "decoded",
    "draw",
    "flattened",
    "generate",
    "guided",
    "inpainting_channels",
    "reads_mask",
    "reads_picture",
    "require_same_latents",
    "with_stages",
]
