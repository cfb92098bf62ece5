"""/api/training: trainings planned, submitted, watched, paused and stopped, by whoever may change this machine.

A training reads folders of this machine and writes into its model folders: for the administrator alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from app.access import Caller, caller_of
from app.api.downloads import administrator
from app.api.events import HEARTBEAT, LARGEST_ID, event_stream
from app.files.best_step import best_step, measured_in
from app.files.run_log import loss_curve
from app.files.training_toml import read_training_toml
from app.jobs import Training, Trainings
from app.schema.training import TrainingRequest, parse_training

TheCaller = Annotated[Caller, Depends(caller_of)]
Fields = Annotated[dict[str, Any], Body()]

_REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": TrainingRequest.model_json_schema()}},
    }
}
_PICTURE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=31536000, immutable"}


class Step(BaseModel):
    """A step whose file is wanted; null for the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Annotated[int | None, Field(ge=1)] = None


class Going(BaseModel):
    """How a training goes on: at another learning rate, or at its own for null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: str | None = None


def training_router(trainings: Trainings, heartbeat: float = HEARTBEAT) -> APIRouter:
    """The routes; a caller meets only their own trainings."""
    router = APIRouter(prefix="/api/training", tags=["training"], dependencies=[Depends(administrator)])

    @router.post("", status_code=202, openapi_extra=_REQUEST_BODY)
    def submit(caller: TheCaller, body: Fields, resume: bool = False) -> JSONResponse:
        """Looks at the data and stores a training. resume: an unfinished or failed one of the same request goes on
        instead, a failed one also at another learning rate."""
        request = parse_training(body)
        submitted = (trainings.submit_or_resume if resume else trainings.submit)(request, caller.owner)
        return JSONResponse(training_answer(submitted), 202, {"Location": f"/api/training/{submitted.id}"})

    @router.post("/plan", openapi_extra=_REQUEST_BODY)
    def plan(body: Fields) -> dict[str, Any]:
        """What a training would do: pictures, buckets, steps, sizes; errors are those that its start would give."""
        told = trainings.plan(parse_training(body))
        return {**told.model_dump(mode="json"), "words": told.words}

    @router.post("/toml")
    def toml(body: Annotated[str, Body(max_length=1_000_000)]) -> dict[str, Any]:
        """A TOML's settings (a JSON string), ours or kohya's, as fields; and the keys that nothing here does."""
        imported = read_training_toml(body)
        return {"fields": imported.fields, "left_out": imported.left_out}

    @router.get("")
    def history(caller: TheCaller, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
        """The caller's newest trainings first."""
        return {"trainings": [training_answer(one) for one in trainings.history(caller.scope, limit)]}

    @router.get("/{id}")
    def one(id: str, caller: TheCaller) -> dict[str, Any]:
        """A training with its figures while it runs, its samples, what came out, and its error if it failed."""
        training = trainings.get(id, caller.scope)
        progress = None if training.over else trainings.progress(id)
        return {**training_answer(training), "progress": progress.model_dump() if progress else None}

    @router.get("/{id}/curve")
    def curve(id: str, caller: TheCaller, points: Annotated[int, Query(ge=10, le=5000)] = 800) -> dict[str, Any]:
        """Losses so far as [step, loss, learning rate], what was measured as [step, value], which step looks best, of
        which steps files are kept, and which of them lies in the model folder (null: the last one's)."""
        log, folder = trainings.log(id, caller.scope), trainings.run_folder(id, caller.scope)
        measured = measured_in(log)
        best = best_step(measured)
        return {
            "loss": loss_curve(log, points),
            "validation": [(one.step, one.held_out) for one in measured if one.held_out is not None],
            "drift": [(one.step, one.drift) for one in measured if one.drift is not None],
            "best": best._asdict() if best else None,
            "files": sorted(folder.results()),
            "taken": folder.taken(),
        }

    @router.post("/{id}/take")
    def take(id: str, caller: TheCaller, body: Step) -> dict[str, Any]:
        """The file of a step goes into the model folder instead of the last one's; null: the last one's again."""
        return training_answer(trainings.take(id, body.step, caller.scope))

    @router.get("/{id}/samples")
    def samples(id: str, caller: TheCaller) -> dict[str, Any]:
        """The sample pictures so far, in the order of their making."""
        return {"samples": training_answer(trainings.get(id, caller.scope))["samples"]}

    @router.get("/{id}/samples/{name}")
    def sample(id: str, name: str, caller: TheCaller) -> FileResponse:
        """A sample picture."""
        return FileResponse(trainings.sample_file(id, name, caller.scope), media_type="image/png", headers=_PICTURE)

    @router.post("/{id}/pause")
    def pause(id: str, caller: TheCaller) -> dict[str, Any]:
        """It ends at its next step with a snapshot, and its process with it."""
        return training_answer(trainings.ask(id, "pause", caller.scope))

    @router.post("/{id}/resume")
    def resume(id: str, caller: TheCaller, body: Going | None = None) -> dict[str, Any]:
        """It goes on where it was, to the bit, or where its newest snapshot is if it had failed."""
        return training_answer(trainings.go_on(id, body.learning_rate if body else None, caller.scope))

    @router.post("/{id}/stop")
    def stop(id: str, caller: TheCaller) -> dict[str, Any]:
        """It ends at its next step for good; what is learnt so far becomes the file."""
        return training_answer(trainings.ask(id, "stop", caller.scope))

    @router.delete("/{id}")
    def delete(id: str, caller: TheCaller) -> dict[str, Any]:
        """Ends a training without a file; one that is over is taken from the list, with its run folder."""
        before = trainings.get(id, caller.scope)
        if before.over:
            trainings.forget(id, caller.scope)
            return training_answer(before)
        return training_answer(trainings.ask(id, "cancel", caller.scope))

    @router.get("/{id}/events", response_class=StreamingResponse)
    async def events(
        id: str, caller: TheCaller, last_event_id: Annotated[str | None, Header()] = None, after: int = 0
    ) -> Response:
        """Everything that happened to a training and will happen, until it is over; 204 when all of it is known."""
        last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
        last = max(0, min(last, LARGEST_ID))
        if trainings.get(id, caller.scope).over and not trainings.stored_events(id, last):
            return Response(status_code=204)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        stream = event_stream(lambda: trainings.watch_async(id, last), heartbeat)
        return StreamingResponse(stream, 200, headers, "text/event-stream")

    return router


def training_answer(training: Training) -> dict[str, Any]:
    """A training as JSON; of this machine's paths only those that its request names. Times: seconds since 1970."""
    made = training.made
    return {
        "id": training.id,
        "state": training.state,
        "wish": training.wish,
        "request": training.run.request.model_dump(mode="json"),
        "checkpoint": training.run.checkpoint_name,
        "submitted": training.submitted,
        "started": training.started,
        "ended": training.ended,
        "made": made.name if made else None,
        "samples": [
            {
                "name": sample.name,
                "step": sample.step,
                "prompt": sample.prompt,
                "url": f"api/training/{training.id}/samples/{sample.name}",
            }
            for sample in training.samples
        ],
        "error": training.error.model_dump(mode="json", include={"code", "message", "field"})
        if training.error
        else None,
    }
