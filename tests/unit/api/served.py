"""The API's application over snaps that a test feeds, called in process or served on a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection

from api.app import create_app
from api.history import HistoryReader, Scan
from api.live import LiveFlow, LiveSignals
from api.models import TableState
from api.server import bound_socket, make_server, serve
from api.state import ApiState
from api.websocket import Hub, Pace
from common.config import EngineConfig
from common.telemetry import Health


def no_table(*_: Any) -> None:
    """A lake without tables."""


def make_state(
    live: LiveSignals,
    *,
    scan: Scan = no_table,
    flow: LiveFlow | None = None,
    pace: Pace | None = None,
    health: Health | None = None,
    tables: Callable[[], dict[str, TableState]] = dict,
    lag_records: int | None = 0,
) -> ApiState:
    """An API's parts, all well unless given."""
    if health is None:
        health = Health()
        health.set("broker", True)
        health.set("signals", True)
    return ApiState(
        live=live,
        history=HistoryReader(scan, live),
        health=health,
        tables=tables,
        lag_records=lambda: lag_records,
        config=EngineConfig(),
        profile="spy",
        hub=Hub(live, pace),
        flow_hub=Hub(flow or LiveFlow(), pace, key="strikes"),
    )


@asynccontextmanager
async def calling(state: ApiState) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process."""
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@asynccontextmanager
async def serving(state: ApiState) -> AsyncIterator[str]:
    """The application on a free port of the loopback; yields ``host:port``."""
    stop = threading.Event()
    with bound_socket("127.0.0.1", 0) as listener:
        server = make_server(state)
        task = asyncio.create_task(serve(server, listener, stop.is_set))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            await task


async def frame(client: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next frame; with ``kind`` the next of that kind."""
    while True:
        found: dict[str, Any] = orjson.loads(await client.recv())
        if kind is None or found["type"] == kind:
            return found
