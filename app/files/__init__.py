"""What is on disk: folders, model files, hashes, pictures and blobs, without torch."""

from app.files.blobs import Blobs
from app.files.captioners import captioner_of
from app.files.civitai import CivitaiInfo
from app.files.download_records import Download
from app.files.downloads import Downloads
from app.files.encoding import FORMATS, Encoding, encode
from app.files.face_restorers import (
    NamedFaceRestorer,
    face_restoration_lacks,
    face_restorers,
    find_face_detector,
    find_face_restorer,
)
from app.files.folders import (
    CHECKPOINT,
    CONTROLNET,
    EMBEDDING,
    FACE_RESTORER,
    HYPERNETWORK,
    KINDS,
    LORA,
    TEXT_ENCODER,
    UPSCALER,
    VAE,
    VAE_APPROXIMATION,
    Folders,
)
from app.files.headers import Header, TensorPlace, read_header
from app.files.images import Images, Naming
from app.files.library import ModelLibrary
from app.files.model_file import Identity, ModelFile, Problem, Summary
from app.files.network_facts import EmbeddingFacts, HypernetworkFacts, LoraFacts, NetworkFacts, training_tags
from app.files.open_picture import open_picture
from app.files.pickle_values import PickledTensor, Storage, Stub
from app.files.pickles import PickledFile, children_of, read_pickle
from app.files.picture_info import PictureInfo, read_infotext, read_picture_info
from app.files.picture_recipe import PictureRecipe, read_picture_recipe
from app.files.prediction import CONFIG_KEY, V_MARKER, told_prediction
from app.files.prompt_names import prompt_names
from app.files.recognise import Recognised, recognise
from app.files.recommended import recommended
from app.files.rewrite import Plan, Written, conversion, pruning, rewrite, size_of
from app.files.sidecars import (
    PREVIEW_ENDINGS,
    Sidecars,
    config_of,
    preview_of,
    sidecars,
    trigger_words_of,
    write_preview,
    write_user_metadata,
)
from app.files.steps import Steps
from app.files.thumbnails import Thumbnails
from app.files.upscaler_names import NamedUpscaler, find_upscaler, upscalers
from app.files.verify import Verified, verify
from app.files.weights import Stored, Weights
from app.files.whole_file import write_whole

__all__ = [
    "CHECKPOINT",
    "CONFIG_KEY",
    "CONTROLNET",
    "EMBEDDING",
    "FACE_RESTORER",
    "FORMATS",
    "HYPERNETWORK",
    "KINDS",
    "LORA",
    "PREVIEW_ENDINGS",
    "TEXT_ENCODER",
    "UPSCALER",
    "VAE",
    "VAE_APPROXIMATION",
    "V_MARKER",
    "Blobs",
    "CivitaiInfo",
    "Download",
    "Downloads",
    "EmbeddingFacts",
    "Encoding",
    "Folders",
    "Header",
    "HypernetworkFacts",
    "Identity",
    "Images",
    "LoraFacts",
    "ModelFile",
    "ModelLibrary",
    "NamedFaceRestorer",
    "NamedUpscaler",
    "Naming",
    "NetworkFacts",
    "PickledFile",
    "PickledTensor",
    "PictureInfo",
    "PictureRecipe",
    "Plan",
    "Problem",
    "Recognised",
    "Sidecars",
    "Steps",
    "Storage",
    "Stored",
    "Stub",
    "Summary",
    "TensorPlace",
    "Thumbnails",
    "Verified",
    "Weights",
    "Written",
    "captioner_of",
    "children_of",
    "config_of",
    "conversion",
    "encode",
    "face_restoration_lacks",
    "face_restorers",
    "find_face_detector",
    "find_face_restorer",
    "find_upscaler",
    "open_picture",
    "preview_of",
    "prompt_names",
    "pruning",
    "read_header",
    "read_infotext",
    "read_pickle",
    "read_picture_info",
    "read_picture_recipe",
    "recognise",
    "recommended",
    "rewrite",
    "sidecars",
    "size_of",
    "told_prediction",
    "training_tags",
    "trigger_words_of",
    "upscalers",
    "verify",
    "write_preview",
    "write_user_metadata",
    "write_whole",
]
