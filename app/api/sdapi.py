"""/sdapi/v1: AUTOMATIC1111's HTTP interface over Easel's jobs (a1111-facts 5).

Its routes carry no ids: they mean the caller's oldest running job. Deviations are refusals in words where A1111 goes on
with something else: an unknown sampler, schedule, checkpoint or VAE, an option of the wrong type.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from app.access import Caller, caller_of
from app.api.errors import error_of
from app.api.sdapi_answer import pictures_answer, timestamp
from app.api.sdapi_img2img import Img2ImgFields, echoed, img2img_request
from app.api.sdapi_infotext import infotext_router, with_infotext
from app.api.sdapi_request import Fields, Txt2ImgFields, generation_request
from app.files import CHECKPOINT, VAE, Blobs, ModelLibrary
from app.jobs import Jobs, Resolver
from app.jobs.resolve import OWN_VAE
from app.schema.choices import AUTOMATIC
from app.schema.errors import EaselError, Forbidden, NotServedYet
from app.schema.request import GenerationRequest
from app.schema.settings import Settings, SettingValues

TheCaller = Annotated[Caller, Depends(caller_of)]

NOT_SERVED = ("POST /interrogate",)
"""A1111's routes that are refused in words until they are served."""

_CODE = frozenset({"disabled_extensions", "disable_all_extensions"})
_FOLDERS = frozenset({"outdir_txt2img_samples", "outdir_img2img_samples"})


def sdapi_router(jobs: Jobs, library: ModelLibrary, settings: Settings, resolver: Resolver, blobs: Blobs) -> APIRouter:
    """The routes that make pictures and settings; `sdapi_lists` has the others."""
    router = APIRouter(prefix="/sdapi/v1", tags=["sdapi"])

    @router.post("/txt2img")
    async def txt2img(fields: Txt2ImgFields, caller: TheCaller) -> dict[str, Any]:
        """Makes pictures and answers when they are done; a client that goes away loses nothing."""
        return await made(fields, caller, partial(generation_request, keep=blobs.put, models=resolver.extensions))

    @router.post("/img2img")
    async def img2img(fields: Img2ImgFields, caller: TheCaller) -> dict[str, Any]:
        """Redraws pictures, all of each or what a mask covers, and answers when they are done."""
        return await made(fields, caller, partial(img2img_request, keep=blobs.put, models=resolver.extensions))

    async def made(fields: Fields, caller: Caller, read: Callable[[Fields, SettingValues], GenerationRequest]) -> Any:
        values = settings.values(caller.user)
        if caller.user is None:
            # The site's own choice is the resolver's to make, which knows what to do when that file is gone.
            values = values.model_copy(update={"sd_model_checkpoint": ""})
        fields = await run_in_threadpool(with_infotext, fields, values, resolver)
        request = await run_in_threadpool(read, fields, values)
        if fields.override_settings and not fields.override_settings_restore_afterwards:
            await run_in_threadpool(settings.change, fields.override_settings, caller.user)
        job = await run_in_threadpool(jobs.submit, request, caller.owner)
        job = await jobs.wait_async(job.id)
        if job.error is not None:
            raise error_of(job.error)
        told = echoed(fields) if isinstance(fields, Img2ImgFields) else fields.model_dump()
        return await run_in_threadpool(pictures_answer, jobs, job, told, resolver.extensions)

    @router.get("/progress")
    def progress(caller: TheCaller, skip_current_image: bool = False) -> dict[str, Any]:
        return progress_answer(jobs, caller, skip_current_image)

    @router.post("/interrupt")
    def interrupt(caller: TheCaller) -> dict[str, Any]:
        job = jobs.oldest_running(caller.scope)
        if job is not None:
            jobs.interrupt(job)
        return {}

    @router.post("/skip")
    def skip(caller: TheCaller) -> None:
        job = jobs.oldest_running(caller.scope)
        if job is not None:
            jobs.skip(job)

    @router.get("/options")
    def options(caller: TheCaller) -> dict[str, Any]:
        values = settings.values(caller.user).model_dump()
        try:
            checkpoint = resolver.checkpoint(values["sd_model_checkpoint"] if caller.user else "")
        except EaselError:
            return {**values, "sd_checkpoint_hash": ""}
        return {**values, "sd_model_checkpoint": checkpoint.title, "sd_checkpoint_hash": checkpoint.sha256 or ""}

    @router.post("/options")
    def set_options(changes: dict[str, Any], caller: TheCaller) -> None:
        if not caller.sees_all and _FOLDERS & changes.keys():
            raise Forbidden("Folders are set by whoever sits at this machine.", field=min(_FOLDERS & changes.keys()))
        if not caller.admin and _CODE & changes.keys():
            raise Forbidden("Extensions are chosen by the administrator.", field=min(_CODE & changes.keys()))
        settings.change({name: _found(library, name, value) for name, value in changes.items()}, caller.user)

    router.include_router(infotext_router(resolver, settings))
    for entry in NOT_SERVED:
        method, path = entry.split()
        router.add_api_route(path, _refusal(path), methods=[method], include_in_schema=False)
    return router


def progress_answer(jobs: Jobs, caller: Caller, skip_current_image: bool = False) -> dict[str, Any]:
    """How far the caller's oldest running job is, in A1111's shape; zeros when there is none."""
    mine = [entry for entry in jobs.queue() if caller.scope in (None, entry.owner)]
    if not mine:
        return _progress_shape(0.0, 0.0, timestamp(time.time()))
    entry = next((entry for entry in mine if entry.state == "running"), mine[0])
    job = jobs.get(entry.id)
    request = job.resolved.request
    progress, preview = (jobs.progress(job.id), None) if skip_current_image else jobs.latest(job.id)
    started = timestamp(job.started or job.submitted)
    stopping = jobs.stopping(job.id)
    # A script's pictures count one by one, as A1111's do.
    count, size = (len(job.resolved.parts), 1) if job.resolved.parts else (request.batch_count, request.batch_size)
    if progress is None:
        return _progress_shape(
            0.01,
            0.0,
            started,
            stopping=stopping,
            job=job.id,
            job_count=count,
            steps=request.steps,
            text="Waiting",
        )
    return _progress_shape(
        max(progress.progress, 0.01),
        progress.eta or 0.0,
        started,
        stopping=stopping,
        job=job.id,
        job_count=count,
        job_no=progress.image // size,
        step=progress.step,
        steps=progress.steps,
        picture=preview.data.partition(",")[2] if preview else None,
        text=progress.phase,
    )


def _progress_shape(
    progress: float,
    eta: float,
    started: str,
    *,
    stopping: bool = False,
    job: str = "",
    job_count: int = 0,
    job_no: int = 0,
    step: int = 0,
    steps: int = 0,
    picture: str | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    return {
        "progress": progress,
        "eta_relative": eta,
        "state": {
            "skipped": False,
            "interrupted": stopping,
            "stopping_generation": stopping,
            "job": job,
            "job_count": job_count,
            "job_timestamp": started,
            "job_no": job_no,
            "sampling_step": step,
            "sampling_steps": steps,
        },
        "current_image": picture,
        "textinfo": text,
    }


def _found(library: ModelLibrary, name: str, value: Any) -> Any:
    """A model's setting as the name of a file that is there; anything else as it is."""
    if name == "sd_model_checkpoint" and value:
        return library.find(str(value), CHECKPOINT).name
    if name == "sd_vae" and value not in (AUTOMATIC, *OWN_VAE):
        return library.find(str(value), VAE).name
    return value


def _refusal(path: str) -> Any:
    def refuse() -> None:
        raise NotServedYet(f"/sdapi/v1{path} is not served yet.")

    return refuse
