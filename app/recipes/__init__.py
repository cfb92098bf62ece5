"""How one image is made: generators of effects."""

from app.recipes.effects import Decode, Effect, EncodeText, Evaluate, ModelFacts, Picture, Recipe, Skip, Tools
from app.recipes.generate import generate
from app.recipes.guidance import Guidance, guided

__all__ = [
    "Decode",
    "Effect",
    "EncodeText",
    "Evaluate",
    "Guidance",
    "ModelFacts",
    "Picture",
    "Recipe",
    "Skip",
    "Tools",
    "generate",
    "guided",
]
