"""Outline: a checkpoint as empty modules of its true shapes, from its header alone, to count and to judge it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from app.models.architecture import architecture_of, as_in_file, family_of, within
from app.models.checkpoint_file import Source, open_checkpoint, open_vae, vae_prefix
from app.models.file_facts import read_facts
from app.models.model import LoadedModel, Recommended, alphas_cumprod
from app.models.shapes import VaeShape, below, vae_shape
from app.models.text_encoder import TextEncoder
from app.models.text_parts import text_parts
from app.models.vae import Vae


def outline_checkpoint(
    source: Source, *, needs_vae: bool = True, text_encoders_from: Sequence[Source] = ()
) -> LoadedModel:
    """A model on the meta device: every layer with its shape, no weight read. needs_vae: as its own is to be used.

    What only weights can tell is the family's usual: whether an SD2 answers with v. Raises as load_checkpoint does.
    """
    file = open_checkpoint(source)
    family = family_of(file)
    facts = read_facts(file.path, file.shapes, file.metadata)
    parts = text_parts(file, family, facts, [open_checkpoint(lender) for lender in text_encoders_from])
    architecture = architecture_of(file, family, facts, parts, needs_vae)
    family = as_in_file(family, architecture)
    # Importing diffusers and transformers takes seconds; the page must answer before.
    from app.models.build import build_text_encoder, build_unet, build_vae  # noqa: PLC0415

    vae = nn.Module()
    if architecture.vae is not None:
        vae = build_vae(architecture.vae, architecture.vae_groups, family.scaling_factor)
    side = family.native_size
    return LoadedModel(
        family=family,
        unet=build_unet(architecture.unet, architecture.heads, architecture.unet_groups),
        text_encoders=tuple(TextEncoder(text, build_text_encoder(shape, text)) for shape, text in architecture.texts),
        vae=Vae(vae, family.scaling_factor, family.pixels_per_latent),
        prediction_type=facts.prediction_type or family.prediction_type,
        alphas_cumprod=alphas_cumprod(family, facts.zero_terminal_snr),
        recommended=Recommended(facts.width or side, facts.height or side, facts.steps, facts.cfg_scale, facts.sampler),
        preview=facts.preview or family.preview,
        fingerprint="",
        file=file.identity,
        metadata=dict(file.metadata),
        architecture=architecture,
    )


def outline_vae(source: Source) -> VaeShape:
    """The architecture of a VAE's file, or of a checkpoint's VAE, from its header alone. Raises as load_vae does."""
    file = open_vae(source)
    return within(file, "VAE", lambda: vae_shape(below(file.shapes, vae_prefix(file))))
