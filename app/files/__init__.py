"""What is on disk: folders, model files, hashes, pictures and blobs, without torch."""

from app.files.folders import (
    CHECKPOINT,
    CONTROLNET,
    EMBEDDING,
    FACE_RESTORER,
    HYPERNETWORK,
    KINDS,
    LORA,
    UPSCALER,
    VAE,
    VAE_APPROXIMATION,
    Folders,
)
from app.files.headers import Header, TensorPlace, read_header
from app.files.library import ModelLibrary
from app.files.model_file import Identity, ModelFile, Problem
from app.files.recognise import Recognised, recognise
from app.files.sidecars import Sidecars, config_of, preview_of, sidecars

__all__ = [
    "CHECKPOINT",
    "CONTROLNET",
    "EMBEDDING",
    "FACE_RESTORER",
    "HYPERNETWORK",
    "KINDS",
    "LORA",
    "UPSCALER",
    "VAE",
    "VAE_APPROXIMATION",
    "Folders",
    "Header",
    "Identity",
    "ModelFile",
    "ModelLibrary",
    "Problem",
    "Recognised",
    "Sidecars",
    "TensorPlace",
    "config_of",
    "preview_of",
    "read_header",
    "recognise",
    "sidecars",
]
