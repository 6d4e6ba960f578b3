"""Errors as problem+json (RFC 9457): what is wrong with which value, and what to do about it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.models import Problem
from common.errors import BreakwaterError, InputError, UnavailableError
from common.telemetry import get_logger

log = get_logger("api.problems")

PROBLEM_JSON = "application/problem+json"


class NotFoundError(InputError):
    """The thing asked for does not exist."""


def problem(
    status: int, detail: str, path: str, hint: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An answer that says what is wrong."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, instance=path, hint=hint)
    return Response(orjson.dumps(body.model_dump(exclude_none=True)), status, headers, PROBLEM_JSON)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documents of these error answers, for a route."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_JSON: {"schema": schema}}}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(BreakwaterError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _ours(request: Request, error: Exception) -> Response:
    ours = cast(BreakwaterError, error)
    path = request.url.path
    if isinstance(ours, NotFoundError):
        return problem(404, str(ours), path, ours.hint)
    if isinstance(ours, InputError):
        return problem(400, str(ours), path, ours.hint)
    if isinstance(ours, UnavailableError):
        return problem(503, str(ours), path, ours.hint, {"Retry-After": "1"})
    log.error("request_failed", path=path, error=str(ours), exc_info=ours)
    return problem(500, "the API broke a promise of its own; its log says more", path)


def _invalid(request: Request, error: Exception) -> Response:
    found = cast(RequestValidationError, error).errors()
    parts = [f"{'.'.join(str(part) for part in e['loc'][1:])}={e.get('input')}: {e['msg']}" for e in found]
    return problem(400, "; ".join(parts), request.url.path, "See /docs for the parameters and their limits.")


def _http(request: Request, error: Exception) -> Response:
    http = cast(HTTPException, error)
    hint = "See /docs for what there is." if http.status_code == 404 else None
    headers = dict(http.headers) if http.headers else None
    detail = f"there is nothing at {request.url.path}" if http.status_code == 404 else str(http.detail)
    return problem(http.status_code, detail, request.url.path, hint, headers)


def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("request_failed", path=request.url.path, error=repr(error), exc_info=error)
    return problem(500, "the API failed on this request; its log says more", request.url.path)
