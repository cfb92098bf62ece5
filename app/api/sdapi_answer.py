"""What /sdapi/v1/txt2img and img2img answer: pictures in base64, the fields as taken, A1111's `info` text."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from app.jobs import Job, Jobs
from app.jobs.expand import expand
from app.schema.control import controls_of
from app.schema.events import ImageReady
from app.schema.infotext import NO_MODELS, PROGRAM, Models, read_infotext_text


def pictures_answer(jobs: Jobs, job: Job, fields: dict[str, Any], models: Models) -> dict[str, Any]:
    """Of a job that is over; fields: as taken. models: of the extensions.

    Reads the picture files, which are sent byte for byte.
    """
    indices = sorted(image.index for image in job.images)
    files = [jobs.image_file(job.id, index) for index in indices] if fields["send_images"] else []
    return {
        "images": [base64.b64encode(file.read_bytes()).decode() for file in files],
        "parameters": fields,
        "info": json.dumps(info(job, models)),
    }


def info(job: Job, models: Models = NO_MODELS) -> dict[str, Any]:
    """A1111's description of a finished job, with all its keys in its order."""
    resolved, request = job.resolved, job.resolved.request
    plans = expand(job.id, job.owner, resolved)
    images = sorted(job.images, key=lambda image: image.index)
    further = _further(job, images, models)
    faces = next(iter(resolved.face_restorers), None)
    varied = request.seed_resize_width > 0 and request.seed_resize_height > 0
    return {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * len(plans),
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * len(plans),
        "seed": plans[0].seed,
        "all_seeds": [plan.seed for plan in plans],
        "subseed": plans[0].variation_seed,
        "all_subseeds": [plan.variation_seed for plan in plans],
        "subseed_strength": request.variation_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "cfg_scale": request.cfg_scale,
        "steps": request.steps,
        "batch_size": request.batch_size,
        "restore_faces": faces is not None,
        "face_restoration_model": faces,
        "sd_model_name": resolved.checkpoint_name,
        "sd_model_hash": (resolved.checkpoint.sha256 or "")[:10],
        "sd_vae_name": PurePath(resolved.vae.path).name if resolved.vae else None,
        "sd_vae_hash": (resolved.vae.sha256 or "")[:10] or None if resolved.vae else None,
        "seed_resize_from_w": request.seed_resize_width if varied else -1,
        "seed_resize_from_h": request.seed_resize_height if varied else -1,
        "denoising_strength": further.get("Denoising strength"),
        "extra_generation_params": further,
        "index_of_first_image": 0,
        "infotexts": [image.infotext for image in images],
        "styles": list(job.request.styles),
        "job_timestamp": timestamp(job.started or job.submitted),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": PROGRAM,
    }


def _further(job: Job, images: Sequence[ImageReady], models: Models) -> dict[str, Any]:
    """A1111's extra parameters: what redrawing, hires fix, the refiner and scripts say in the infotext."""
    request = job.resolved.request
    found: dict[str, Any] = {"Denoising strength": request.denoising_strength} if request.init_images else {}
    named = [models[name] for name in request.extensions if name in models]
    own = {control.infotext for model in named for control in controls_of(model).values()}
    if images and named:
        said = read_infotext_text(images[0].infotext).fields
        keys = [key for key in said if key in own or key.startswith(("Hires ", "Refiner"))]
        found |= {key: _number(said[key]) for key in keys}
    return found


def _number(text: str) -> str | int | float:
    """The text as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def timestamp(moment: float) -> str:
    """Local time as A1111 writes it: 20261120224103."""
    return datetime.fromtimestamp(moment).strftime("%Y%m%d%H%M%S")
