"""What is on disk: folders, model files, hashes, pictures and blobs, without torch."""

from app.files.blobs import Blobs
from app.files.encoding import FORMATS, Encoding, encode
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
from app.files.images import Images, Naming
from app.files.library import ModelLibrary
from app.files.model_file import Identity, ModelFile, Problem, Summary
from app.files.pickle_values import PickledTensor, Storage, Stub
from app.files.pickles import PickledFile, children_of, read_pickle
from app.files.picture_info import PictureInfo, read_infotext, read_picture_info
from app.files.picture_recipe import PictureRecipe, read_picture_recipe
from app.files.prompt_names import prompt_names
from app.files.recognise import Recognised, recognise
from app.files.recommended import recommended
from app.files.sidecars import Sidecars, config_of, preview_of, sidecars
from app.files.thumbnails import Thumbnails
from app.files.whole_file import write_whole

__all__ = [
    "CHECKPOINT",
    "CONTROLNET",
    "EMBEDDING",
    "FACE_RESTORER",
    "FORMATS",
    "HYPERNETWORK",
    "KINDS",
    "LORA",
    "UPSCALER",
    "VAE",
    "VAE_APPROXIMATION",
    "Blobs",
    "Encoding",
    "Folders",
    "Header",
    "Identity",
    "Images",
    "ModelFile",
    "ModelLibrary",
    "Naming",
    "PickledFile",
    "PickledTensor",
    "PictureInfo",
    "PictureRecipe",
    "Problem",
    "Recognised",
    "Sidecars",
    "Storage",
    "Stub",
    "Summary",
    "TensorPlace",
    "Thumbnails",
    "children_of",
    "config_of",
    "encode",
    "preview_of",
    "prompt_names",
    "read_header",
    "read_infotext",
    "read_pickle",
    "read_picture_info",
    "read_picture_recipe",
    "recognise",
    "recommended",
    "sidecars",
    "write_whole",
]
