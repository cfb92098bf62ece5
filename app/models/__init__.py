"""Models on a device: families, loading and writing checkpoints, text encoders, VAE, previews.

Importing the package brings torch and nothing heavier; diffusers and transformers follow with the first load.
"""

from app.models.attention import choose_attention, seamless, use_attention
from app.models.captioner import Captioner
from app.models.checkpoint_file import OpenFiles, Source
from app.models.device import choose_device, host_memory, is_out_of_memory, memory_of
from app.models.eight_bit import computes_in, eight_bit_format, store_in_eight_bits
from app.models.face_detector import Face, FaceDetector, YuNet
from app.models.face_restorer import FaceRestorer, load_face_restorer, with_faces_restored
from app.models.families import FAMILIES, SD1, SD2, SDXL, SDXL_REFINER, Family, PredictionType, TextEncoderFacts
from app.models.file_facts import CONFIG_KEY, V_MARKER, ZERO_TERMINAL_SNR_MARKER, describe
from app.models.guidance_scale import USUAL_SCALE, guidance_embedding, takes_guidance_scale
from app.models.loader import load_checkpoint, load_vae
from app.models.memory import Taken, charged, move, stream, taken
from app.models.model import LoadedModel, Recommended, TokenVectors, alphas_cumprod, fingerprint
from app.models.outline import outline_checkpoint, outline_vae
from app.models.precision import Precision, choose_precision, higher_precision, precision_word
from app.models.previews import fit_preview, thumbnail
from app.models.progress import Progress
from app.models.shapes import VaeShape
from app.models.single_file import write_single_file
from app.models.skeletons import Skeletons
from app.models.survey import Survey, survey_checkpoint, survey_vae
from app.models.text_encoder import EncodedText, TextEncoder
from app.models.tiny_decoder import TinyDecoder, load_tiny_decoder, tiny_decoder_for
from app.models.token_merging import merged_tokens
from app.models.upscalers import PLAIN, FileUpscaler, Upscaler, enlarged, load_upscaler
from app.models.vae import Vae
from app.models.writer import Entry, write_checkpoint, write_tensors

__all__ = [
    "CONFIG_KEY",
    "FAMILIES",
    "PLAIN",
    "SD1",
    "SD2",
    "SDXL",
    "SDXL_REFINER",
    "USUAL_SCALE",
    "V_MARKER",
    "ZERO_TERMINAL_SNR_MARKER",
    "Captioner",
    "EncodedText",
    "Entry",
    "Face",
    "FaceDetector",
    "FaceRestorer",
    "Family",
    "FileUpscaler",
    "LoadedModel",
    "OpenFiles",
    "Precision",
    "PredictionType",
    "Progress",
    "Recommended",
    "Skeletons",
    "Source",
    "Survey",
    "Taken",
    "TextEncoder",
    "TextEncoderFacts",
    "TinyDecoder",
    "TokenVectors",
    "Upscaler",
    "Vae",
    "VaeShape",
    "YuNet",
    "alphas_cumprod",
    "charged",
    "choose_attention",
    "choose_device",
    "choose_precision",
    "computes_in",
    "describe",
    "eight_bit_format",
    "enlarged",
    "fingerprint",
    "fit_preview",
    "guidance_embedding",
    "higher_precision",
    "host_memory",
    "is_out_of_memory",
    "load_checkpoint",
    "load_face_restorer",
    "load_tiny_decoder",
    "load_upscaler",
    "load_vae",
    "memory_of",
    "merged_tokens",
    "move",
    "outline_checkpoint",
    "outline_vae",
    "precision_word",
    "seamless",
    "store_in_eight_bits",
    "stream",
    "survey_checkpoint",
    "survey_vae",
    "taken",
    "takes_guidance_scale",
    "thumbnail",
    "tiny_decoder_for",
    "use_attention",
    "with_faces_restored",
    "write_checkpoint",
    "write_single_file",
    "write_tensors",
]
