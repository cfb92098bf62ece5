"""Loader: a checkpoint or VAE, whatever it comes as -> modules on a device, offline.

Same dtype on a CPU: the modules share the file's pages. Else one sequential pass converts tensor by tensor.
Knows files, families and maps; which model is in memory, and when, is PipelineManager's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from app.models.architecture import architecture_of, as_in_file, family_of, norm_groups, within
from app.models.checkpoint_file import Source, open_checkpoint, open_vae, vae_prefix
from app.models.families import Family, PredictionType
from app.models.file_facts import read_facts
from app.models.fill import fill, fill_text_encoder, slots_of, some
from app.models.keys import unet_sources, vae_sources
from app.models.model import LoadedModel, Recommended, alphas_cumprod, fingerprint
from app.models.precision import Precision
from app.models.progress import Meter, Progress
from app.models.shapes import VaeShape, below, vae_shape
from app.models.skeletons import Skeletons
from app.models.text_encoder import TextEncoder
from app.models.text_parts import text_parts
from app.models.vae import Vae
from app.models.weights import Weights, bytes_below

logger = logging.getLogger(__name__)

FULL = Precision(torch.float32, torch.float32, torch.float32)

# What training programs leave in checkpoints and no picture needs.
_NEEDLESS = ("model_ema.", "loss.", "optimizer", "lr_schedulers.", "callbacks.", "denoiser.", "control_model.")
_NEEDLESS_ENDS = ("position_ids", "logit_scale", "attn_mask", "v_pred", "ztsnr", "log_one_minus_alphas_cumprod")
# What ComfyUI's eight-bit files say about computing in eight bits, which is not done here.
_OF_EIGHT_BITS = ("scaled_fp8", ".scale_input", ".input_scale", ".comfy_quant")
_SCHEDULE_BUFFERS = ("alphas", "betas", "sqrt_", "posterior_", "log_one", "lvlb_weights", "logvar", "scale_factor")


@torch.inference_mode(mode=False)  # weights made inside inference mode could never be trained
def load_checkpoint(
    source: Source,
    *,
    device: str | torch.device = "cpu",
    precision: Precision = FULL,
    vae: Vae | None = None,
    text_encoders_from: Sequence[Source] = (),
    into: LoadedModel | None = None,
    progress: Progress | None = None,
    skeletons: Skeletons | None = None,
) -> LoadedModel:
    """Load a checkpoint of SD1, SD2, SDXL, its refiner, for inpainting or pix2pix, pruned or distilled.

    source: a safetensors or pickled file in the original layout or diffusers' naming, told by content, or a folder of
    diffusers. vae: used instead of the file's own, which may then be absent. text_encoders_from: files that lend the
    text encoders which the file lacks: checkpoints, or encoders alone. into: a model nobody uses any more; where the
    architecture is equal its memory is written over (a CPU pays more for fresh pages than for the conversion) and
    the old object must be dropped. Networks must be off it. progress: called with (part, bytes done, bytes in all).
    skeletons: of the loads before, which save building anew.
    Raises ModelNotFound, BrokenModelFile (tensor names included), UnsupportedModel, UnsafeModelFile.
    """
    file = open_checkpoint(source)
    target = torch.device(device)
    skeletons = skeletons or Skeletons()
    family = skeletons.known(("family", file.identity), lambda: family_of(file))
    # Not remembered: what lies beside a file may change while the file does not.
    facts = read_facts(file.path, file.shapes, file.metadata)
    lenders = [open_checkpoint(lender) for lender in text_encoders_from]
    parts = text_parts(file, family, facts, lenders)
    whole, own = (file.identity, *(lender.identity for lender in lenders)), vae is None
    architecture = skeletons.known(
        ("architecture", whole, facts, own), lambda: architecture_of(file, family, facts, parts, needs_vae=own)
    )
    family = as_in_file(family, architecture)
    reused = into if into is not None and into.architecture == architecture else None
    places = [(part.file, text.prefix) for part, text in zip(parts, family.text_encoders, strict=True)]
    places += [(file, family.unet_prefix), *([(file, family.vae_prefix)] if architecture.vae else [])]
    meter = Meter(progress, sum(bytes_below(lying, prefix) for lying, prefix in places))
    used: set[str] = set()
    unet = reused.unet if reused else skeletons.unet(architecture.unet, architecture.heads, architecture.unet_groups)
    slots = slots_of(unet)
    sources = skeletons.known((architecture.unet, family.unet_prefix), lambda: unet_sources(slots, family.unet_prefix))
    used |= fill(file, slots, sources, precision.unet, target, "U-Net", meter)
    encoders = []
    for number, (shape, text_facts) in enumerate(architecture.texts):
        module = reused.text_encoders[number].module if reused else skeletons.text_encoder(shape, text_facts)
        encoder = TextEncoder(text_facts, module)
        used |= fill_text_encoder(parts[number].file, encoder, precision.text, target, meter, skeletons)
        encoders.append(encoder)
    if architecture.vae is not None:
        standing = reused.vae.module if reused and reused.vae.file is None else None
        module = standing or skeletons.vae(architecture.vae, architecture.vae_groups, family.scaling_factor)
        used |= _fill_vae(file, module, family.vae_prefix, architecture.vae, precision.vae, target, meter, skeletons)
        vae = Vae(module, family.scaling_factor, family.pixels_per_latent, name=f"of {file.path.name}")
    assert vae is not None
    prediction = facts.prediction_type or _tested_prediction(family, unet)
    side = 768 if family.name == "SD2" and prediction == "v" else family.native_size
    lent = [part.file.identity for part in parts if part.file is not file]
    return LoadedModel(
        family=family,
        unet=unet,
        text_encoders=tuple(encoders),
        vae=vae,
        prediction_type=prediction,
        alphas_cumprod=alphas_cumprod(family, facts.zero_terminal_snr),
        recommended=Recommended(facts.width or side, facts.height or side, facts.steps, facts.cfg_scale, facts.sampler),
        preview=facts.preview or family.preview,
        fingerprint=fingerprint(file.identity, precision, vae.file, *lent),
        file=file.identity,
        metadata=dict(file.metadata),
        architecture=architecture,
        report=(
            *_report(file, used, family, vae),
            *(f"Its text encoder comes from {Path(i.path).name}." for i in lent),
        ),
    )


@torch.inference_mode(mode=False)
def load_vae(
    source: Source,
    *,
    scaling_factor: float,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    into: Vae | None = None,
    progress: Progress | None = None,
    skeletons: Skeletons | None = None,
) -> Vae:
    """Load a VAE file in LDM's or diffusers' naming, safetensors or pickled, or the VAE inside a checkpoint or folder.

    scaling_factor: of the family it is used with; nothing in the file says it. into: a VAE nobody uses any more, to be
    written over where its architecture is equal. progress, skeletons, errors: as load_checkpoint.
    """
    skeletons = skeletons or Skeletons()
    file = open_vae(source)
    prefix = vae_prefix(file)
    facts = read_facts(file.path, file.shapes, file.metadata)
    shape = skeletons.known(
        ("vae", file.identity, prefix), lambda: within(file, "VAE", lambda: vae_shape(below(file.shapes, prefix)))
    )
    architecture = (shape, norm_groups(file, "VAE", shape.channels, facts.vae_norm_groups, 32))
    reused = into if into is not None and into.architecture == architecture else None
    module = reused.module if reused is not None else skeletons.vae(*architecture, scaling_factor)
    meter = Meter(progress, bytes_below(file, prefix))
    _fill_vae(file, module, prefix, shape, dtype, torch.device(device), meter, skeletons)
    return Vae(module, scaling_factor, 2 ** (len(shape.channels) - 1), file.identity, file.path.name, architecture)


def _fill_vae(
    file: Weights,
    module: Any,
    prefix: str,
    shape: VaeShape,
    dtype: torch.dtype,
    device: torch.device,
    meter: Meter,
    skeletons: Skeletons,
) -> set[str]:
    slots = slots_of(module)
    sources = skeletons.known((shape, prefix), lambda: vae_sources(slots, prefix))
    return fill(file, slots, sources, dtype, device, "VAE", meter)


def _tested_prediction(family: Family, unet: Any) -> PredictionType:
    """SD2's files do not say what they predict: A1111's test asks the U-Net (constant input at the last step)."""
    if family.name != "SD2" or unet.config.in_channels != 4:
        return family.prediction_type
    weight = unet.conv_in.weight
    latent = torch.full((1, 4, 8, 8), 0.5, device=weight.device, dtype=weight.dtype)
    context = torch.full((1, 2, family.context_width), 0.5, device=weight.device, dtype=weight.dtype)
    with torch.inference_mode():
        answer = unet(latent, torch.tensor([999], device=weight.device), context, return_dict=False)[0]
    return "v" if float((answer.float() - latent.float()).mean()) < -1 else "epsilon"


def _report(file: Weights, used: Iterable[str], family: Family, vae: Vae) -> tuple[str, ...]:
    left = sorted(name for name in file.shapes.keys() - set(used) if not _needless(name))
    own_vae = any(name.startswith(family.vae_prefix) for name in left)
    left = [name for name in left if not name.startswith(family.vae_prefix)]
    lines = []
    if own_vae and vae.file is not None:
        lines.append("Its own VAE is not used.")
    if left:
        lines.append(f"{len(left)} tensors are not used: {some(left)}.")
        logger.info("%s: %s", file.path.name, lines[-1])
    return tuple(lines)


def _needless(name: str) -> bool:
    return name.startswith((*_NEEDLESS, *_SCHEDULE_BUFFERS)) or name.endswith((*_NEEDLESS_ENDS, *_OF_EIGHT_BITS))
