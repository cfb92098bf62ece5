"""A1111's lists in its shapes: samplers, schedules, checkpoints, VAEs, styles, flags, memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil
from fastapi import APIRouter

from app.files import CHECKPOINT, VAE, ModelFile, ModelLibrary, NamedUpscaler, upscalers
from app.language import Style
from app.schema.choices import BUILT_IN, LATENT_MODES, Choices, SamplerName, ScheduleName

_FACTOR = re.compile(r"(?:^|[^0-9a-z])(?:([1-8])x|x([1-8]))(?![0-9a-z])", re.IGNORECASE)
NO_DEVICE_MEMORY: Mapping[str, Any] = {"error": "unavailable"}


def lists_router(
    library: ModelLibrary,
    styles: Callable[[], Iterable[Style]],
    flags: Mapping[str, Any],
    device_memory: Callable[[], Mapping[str, Any]],
    choices: Choices = BUILT_IN,
) -> APIRouter:
    """The routes. flags: the start's flags by A1111's names. device_memory: bytes on the device, by kind. choices: what
    may be chosen by name."""
    router = APIRouter(prefix="/sdapi/v1", tags=["sdapi"])

    @router.get("/samplers")
    def samplers() -> list[dict[str, Any]]:
        return [sampler_item(sampler) for sampler in choices.samplers]

    @router.get("/schedulers")
    def schedulers() -> list[dict[str, Any]]:
        return [schedule_item(schedule) for schedule in choices.schedules]

    @router.get("/sd-models")
    def sd_models() -> list[dict[str, Any]]:
        return [checkpoint_item(file) for file in library.list(CHECKPOINT) if file.problem is None]

    @router.get("/sd-vae")
    def sd_vae() -> list[dict[str, Any]]:
        usable = (file for file in library.list(VAE) if file.problem is None)
        return [{"model_name": file.file_name, "filename": str(file.path)} for file in usable]

    @router.get("/upscalers")
    def known_upscalers() -> list[dict[str, Any]]:
        return [upscaler_item(one) for one in upscalers(library, choices.upscalers)]

    @router.get("/latent-upscale-modes")
    def latent_upscale_modes() -> list[dict[str, str]]:
        return [{"name": mode} for mode in LATENT_MODES]

    @router.get("/realesrgan-models")
    def realesrgan_models() -> list[dict[str, Any]]:
        found = (one for one in upscalers(library) if one.file is not None and one.name.startswith("R-ESRGAN"))
        return [
            {"name": one.name, "path": str(one.file.path), "scale": scale_of(one.name)} for one in found if one.file
        ]

    @router.post("/refresh-checkpoints")
    def refresh_checkpoints() -> None:
        library.refresh(CHECKPOINT)

    @router.post("/refresh-vae")
    def refresh_vae() -> None:
        library.refresh(VAE)

    @router.get("/prompt-styles")
    def prompt_styles() -> list[dict[str, Any]]:
        return [style._asdict() for style in styles()]

    @router.get("/cmd-flags")
    def cmd_flags() -> dict[str, Any]:
        return dict(flags)

    @router.get("/memory")
    def memory() -> dict[str, Any]:
        return {"ram": host_memory(), "cuda": dict(device_memory())}

    return router


def sampler_item(sampler: SamplerName) -> dict[str, Any]:
    """A sampler as A1111 lists it: what it is as strings, and only what it is."""
    options = {
        "scheduler": sampler.default_schedule.lower(),
        "discard_next_to_last_sigma": "True" if sampler.discard_next_to_last else "",
        "uses_ensd": "True" if sampler.ancestral else "",
        "second_order": "True" if sampler.second_order else "",
        "brownian_noise": "True" if sampler.brownian else "",
        "solver_type": "heun" if sampler.name == "DPM++ 2M SDE Heun" else "",
    }
    return {
        "name": sampler.name,
        "aliases": list(sampler.aliases),
        "options": {name: value for name, value in options.items() if value},
    }


def schedule_item(schedule: ScheduleName) -> dict[str, Any]:
    """A schedule as A1111 lists it."""
    return {
        "name": schedule.name,
        "label": schedule.label,
        "aliases": list(schedule.aliases) or None,
        "default_rho": schedule.default_rho,
        "need_inner_model": schedule.needs_model,
    }


def checkpoint_item(file: ModelFile) -> dict[str, Any]:
    """A checkpoint as A1111 lists it; hashes are null until they are known."""
    sidecar = file.path.with_suffix(".yaml")
    return {
        "title": file.title,
        "model_name": file.name.removesuffix(file.path.suffix).replace("/", "_"),
        "hash": file.short_hash,
        "sha256": file.sha256,
        "filename": str(file.path),
        "config": str(sidecar) if sidecar.is_file() else None,
    }


def upscaler_item(upscaler: NamedUpscaler) -> dict[str, Any]:
    """An upscaler as A1111 lists it."""
    file = upscaler.file
    return {
        "name": upscaler.name,
        "model_name": upscaler.name if file else None,
        "model_path": str(file.path) if file else None,
        "model_url": None,
        "scale": scale_of(upscaler.name),
    }


def scale_of(name: str) -> float:
    """The factor that an upscaler's name tells, 4 where it tells none, as A1111 says; the file is not read."""
    told = _FACTOR.search(name)
    return float(told[1] or told[2]) if told else 4.0


def host_memory() -> dict[str, float]:
    """Bytes: used by this process, free for it, and both together, as A1111 counts."""
    process = psutil.Process()
    used = process.memory_info().rss
    total = 100 * used / process.memory_percent()
    return {"free": total - used, "used": used, "total": total}
