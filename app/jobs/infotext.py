"""Infotext entries of one picture, in AUTOMATIC1111's order of keys (a1111-facts 4.2).

Only chooses and orders; `app.schema.infotext` knows how the text is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from app.schema.choices import SAMPLER_NAMES
from app.schema.infotext import PROGRAM, Entry, write_infotext
from app.schema.request import ImagePlan

ORDER: tuple[str, ...] = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Image CFG scale",
    "Seed",
    "Face restoration",
    "Size",
    "Model hash",
    "Model",
    "FP8 weight",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Denoising strength",
    "Conditional mask weight",
    "Clip skip",
    "ENSD",
    "Token merging ratio",
    "Token merging ratio hr",
    "Init image hash",
    "RNG",
    "Tiling",
)
"""Keys that stand first and in this order; the others follow as they come, Version last."""


def infotext_entries(plan: ImagePlan, facts: Iterable[tuple[str, str]] = ()) -> list[Entry]:
    """All entries of a picture. facts: what only the run knows (hashes, precision); they win over the request's."""
    resolved = plan.resolved
    request = resolved.request
    varied = request.variation_strength > 0
    resized = request.seed_resize_width > 0 and request.seed_resize_height > 0
    entries: dict[str, str | int | float | None] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": resolved.schedule_label,
        "CFG scale": request.cfg_scale,
        "Seed": plan.seed,
        "Size": f"{request.width}x{request.height}",
        "Model hash": _short(resolved.checkpoint.sha256),
        "Model": resolved.checkpoint_name,
        "VAE hash": _short(resolved.vae.sha256) if resolved.vae else None,
        "VAE": PurePath(resolved.vae.path).name if resolved.vae else None,
        "Variation seed": plan.variation_seed if varied else None,
        "Variation seed strength": request.variation_strength if varied else None,
        "Seed resize from": f"{request.seed_resize_width}x{request.seed_resize_height}" if resized else None,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "ENSD": request.noise_seed_delta if request.noise_seed_delta and _reads_noise_seed_delta(plan) else None,
        "RNG": request.noise_source if request.noise_source != "GPU" else None,
        "Tiling": "True" if request.tiling else None,
        "Eta": request.eta,
        "Sigma churn": request.s_churn or None,
        "Sigma tmin": request.s_tmin or None,
        "Sigma tmax": request.s_tmax or None,
        "Sigma noise": request.s_noise if request.s_noise != 1 else None,
        "Emphasis": request.emphasis if request.emphasis != "Original" else None,
        "Precision": request.precision if request.precision not in ("auto", "fp32") else None,
    }
    entries.update(facts)
    first = [(key, entries.pop(key)) for key in ORDER if key in entries]
    return [*first, *entries.items(), ("Version", PROGRAM)]


def picture_infotext(plan: ImagePlan, facts: Iterable[tuple[str, str]] = ()) -> str:
    """The 'parameters' text of one picture."""
    request = plan.resolved.request
    return write_infotext(request.prompt, request.negative_prompt, infotext_entries(plan, facts))


def _short(sha256: str | None) -> str | None:
    return sha256[:10] if sha256 else None


def _reads_noise_seed_delta(plan: ImagePlan) -> bool:
    ancestral = {sampler.name for sampler in SAMPLER_NAMES if sampler.ancestral}
    return plan.resolved.request.sampler in ancestral and plan.resolved.request.eta != 0
