"""Errors over HTTP: every failure becomes JSON with a stable code, in the shape its path promises."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fastapi import FastAPI, Request
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from app.access import body_for
from app.schema.errors import EaselError, InvalidField, UnexpectedFailure
from app.schema.events import Failed

logger = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Lets an app answer with EaselErrors; what nobody expected is logged and answered as a defect."""
    app.add_exception_handler(EaselError, _answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def error_of(failed: Failed) -> EaselError:
    """The error that ended a job, as it was raised."""
    kind = next((kind for kind in _kinds(EaselError) if kind.code == failed.code), UnexpectedFailure)
    return kind(failed.message, field=failed.field)


def _kinds(kind: type[EaselError]) -> Iterator[type[EaselError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, EaselError)
    return JSONResponse(body_for(request.url.path, error), error.status)


async def _invalid(request: Request, error: Exception) -> Response:
    """A1111's routes keep FastAPI's own list, as A1111's did; ours name the first field at fault."""
    assert isinstance(error, RequestValidationError)
    if request.url.path.startswith("/sdapi/"):
        return await request_validation_exception_handler(request, error)
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"] if part != "body")
    named = InvalidField(f"{place or 'The body'}: {problem['msg']}.", field=place or None)
    return await _answer(request, named)


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return await _answer(
        request,
        UnexpectedFailure(f"{type(error).__name__}: {error}", hint="This is a defect; the log holds the traceback."),
    )
