"""/api/jobs: Easel's own interface: submit, look, stop, and fetch pictures, by id."""

from __future__ import annotations

import mimetypes
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import FileResponse, JSONResponse

from app.access import Caller, caller_of
from app.jobs import Job, Jobs
from app.schema.request import GenerationRequest, parse_request

TheCaller = Annotated[Caller, Depends(caller_of)]

_REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": GenerationRequest.model_json_schema()}},
    }
}


def jobs_router(jobs: Jobs) -> APIRouter:
    """The routes; a caller meets only their own jobs."""
    router = APIRouter(prefix="/api", tags=["jobs"])

    @router.post("/jobs", status_code=202, openapi_extra=_REQUEST_BODY)
    def submit(caller: TheCaller, body: Annotated[dict[str, Any], Body()]) -> JSONResponse:
        """Stores a job; it is on the disk when the answer comes."""
        request = parse_request(body)
        if request.output_directory:
            caller.require_admin()
        job = jobs.submit(request, caller.owner)
        return JSONResponse({"id": job.id, "state": job.state}, 202, {"Location": f"/api/jobs/{job.id}"})

    @router.get("/jobs")
    def history(caller: TheCaller, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
        """The caller's newest jobs first."""
        return {"jobs": [job_answer(job) for job in jobs.history(caller.owner, limit)]}

    @router.get("/jobs/{id}")
    def one(id: str, caller: TheCaller) -> dict[str, Any]:
        """A job with its pictures, its progress while it runs, and its error if it failed."""
        job = jobs.get(id, caller.scope)
        progress = None if job.over else jobs.progress(id)
        return {**job_answer(job), "progress": progress.model_dump() if progress else None}

    @router.delete("/jobs/{id}")
    def cancel(id: str, caller: TheCaller) -> dict[str, Any]:
        """Cancels a job; saved pictures stay. The state may still be 'running' for the length of one model call."""
        jobs.cancel(id, caller.scope)
        return {"id": id, "state": jobs.get(id, caller.scope).state}

    @router.post("/jobs/{id}/interrupt")
    def interrupt(id: str, caller: TheCaller) -> dict[str, Any]:
        """Ends a job with the pictures in work as they are."""
        jobs.interrupt(id, caller.scope)
        return {"id": id, "state": jobs.get(id, caller.scope).state}

    @router.post("/jobs/{id}/skip")
    def skip(id: str, caller: TheCaller) -> dict[str, Any]:
        """Ends the pictures in work as they are and goes on with the next."""
        jobs.skip(id, caller.scope)
        return {"id": id, "state": jobs.get(id, caller.scope).state}

    @router.get("/jobs/{id}/images/{index}")
    def image(id: str, index: int, caller: TheCaller) -> FileResponse:
        """A picture's file, byte for byte as saved."""
        path = jobs.image_file(id, index, caller.scope)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(
            path, media_type=kind, filename=path.name, content_disposition_type="inline", headers=headers
        )

    @router.get("/queue")
    def queue(caller: TheCaller) -> dict[str, Any]:
        """Everybody's jobs in work and waiting; other people's without their ids."""
        entries = jobs.queue()
        return {
            "queue": [
                {"state": entry.state, "id": entry.id if caller.scope in (None, entry.owner) else None}
                for entry in entries
            ]
        }

    return router


def job_answer(job: Job) -> dict[str, Any]:
    """A job as JSON. Times are seconds since 1970 (UTC)."""
    return {
        "id": job.id,
        "state": job.state,
        "request": job.request.model_dump(mode="json"),
        "resolved": job.resolved.model_dump(mode="json"),
        "images": [
            {
                **image.model_dump(mode="json", exclude={"kind", "job"}),
                "url": f"/api/jobs/{job.id}/images/{image.index}",
            }
            for image in sorted(job.images, key=lambda image: image.index)
        ],
        "error": job.error.model_dump(mode="json", include={"code", "message", "field"}) if job.error else None,
        "submitted": job.submitted,
        "started": job.started,
        "ended": job.ended,
        "seconds": job.seconds,
    }
