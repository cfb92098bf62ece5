"""Models on a device: families, loading and writing checkpoints, text encoders, VAE, previews.

Importing the package is cheap; `loader` imports diffusers and transformers when a file is first loaded.
"""

from app.models.families import FAMILIES, SD1, SD2, SDXL, SDXL_REFINER, Family, PredictionType, TextEncoderFacts
from app.models.model import LoadedModel, Recommended, TokenVectors, alphas_cumprod, fingerprint
from app.models.text_encoder import EncodedText, TextEncoder
from app.models.vae import Vae

__all__ = [
    "FAMILIES",
    "SD1",
    "SD2",
    "SDXL",
    "SDXL_REFINER",
    "EncodedText",
    "Family",
    "LoadedModel",
    "PredictionType",
    "Recommended",
    "TextEncoder",
    "TextEncoderFacts",
    "TokenVectors",
    "Vae",
    "alphas_cumprod",
    "fingerprint",
]
