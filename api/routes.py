"""REST under /v1. Each route says what it needs from :class:`api.state.ApiState`.

Nothing here knows Kafka or Iceberg.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import models, problems
from api.clock import parse_time_ns
from api.history import DEFAULT_LIMIT, LIMIT_MAX
from api.payload import to_json
from api.state import ApiState
from common.errors import UnavailableError

router = APIRouter(prefix="/v1")


def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.api
    return state


State = Annotated[ApiState, Depends(_state)]

_TIME_HELP = "ISO 8601 (UTC unless it has an offset) or integer ns since the epoch"


@router.get("/levels", tags=["levels"], response_model=models.Levels, responses=problems.responses(503))
async def levels(
    request: Request,
    state: State,
    limit: Annotated[int | None, Query(ge=1, description="So many levels at most, the nearest; all when left out.")] = (
        None
    ),
) -> Response:
    """The newest whole snap: every level near spot, nearest first.

    The ETag is the snap's sequence number: a request with `If-None-Match` is answered 304 until there is a newer one.
    """
    snap = state.live.latest
    if snap is None:
        raise UnavailableError(
            "there is no signal yet", hint="Signals come once data flow: see /v1/health, or start ./breakwater demo."
        )
    headers = {"ETag": f'"{snap.seq}"', "Cache-Control": "no-cache"}
    asked_for = request.headers.get("if-none-match", "")
    if headers["ETag"] in (tag.strip().removeprefix("W/") for tag in asked_for.split(",")):
        return Response(status_code=304, headers=headers)
    body = snap.body if limit is None else snap.body_of_nearest(limit)
    return Response(body, headers=headers, media_type="application/json")


@router.get(
    "/levels/{level_id}/history",
    tags=["levels"],
    response_model=models.History,
    responses=problems.responses(400, 404, 503),
)
async def history(
    *,
    state: State,
    level_id: Annotated[str, Path(description="Such as ROUND_545.", max_length=100, examples=["ROUND_545"])],
    begin: Annotated[
        str | None,
        Query(
            alias="from",
            description=f"First time, inclusive: {_TIME_HELP}. An hour before `to` or the newest snap when left out.",
            examples=["2023-12-25T23:00:00Z"],
        ),
    ] = None,
    end: Annotated[str | None, Query(alias="to", description=f"Last time, inclusive: {_TIME_HELP}.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Most points of one page.")] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.", max_length=200)] = None,
) -> Response:
    """One level's past, ascending by time: what is committed to Iceberg, and then what is newer.

    No point comes twice.
    """
    begin_ns = None if begin is None else parse_time_ns("from", begin)
    end_ns = None if end is None else parse_time_ns("to", end)
    async with state.history_slots:
        page = await run_in_threadpool(state.history.page, level_id, begin_ns, end_ns, limit, cursor)
    answer: dict[str, Any] = {
        "level_id": level_id,
        "points": page.points,
        "next_cursor": page.next_cursor,
        "complete": page.complete,
    }
    return Response(to_json(answer), media_type="application/json")


@router.get(
    "/health",
    tags=["service"],
    response_model=models.HealthReport,
    responses={503: {"model": models.HealthReport, "description": "`down`"}},
)
async def health(state: State) -> Response:
    """How each part is, how far behind the log the reading is, and the state of the tables. 503 only when `down`."""
    report = await run_in_threadpool(state.health_report)
    return Response(report.model_dump_json(), 503 if report.status == "down" else 200, media_type="application/json")


@router.get("/config", tags=["service"], response_model=models.EngineConfiguration)
async def config(state: State) -> models.EngineConfiguration:
    """The engine's configuration: every key with value, unit and source, and the hash that signals carry."""
    return state.engine_configuration()
