"""The ASGI application: routes, socket, errors and access log around one :class:`api.state.ApiState`.

Every REST route hangs below :data:`api.routes.router`, so that authentication and rate limits have one place to stand.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics, models, problems
from api.routes import router
from api.state import ApiState
from common.telemetry import get_logger

log = get_logger("api.access")

DESCRIPTION = """At every price level: will it **break** or **reject**?

Live signals come from the log, history from Iceberg; both are the same records. `seq` is the log offset of a snap's
last row: it is the same on every replica and after every restart.

**`WS /ws/levels`** sends `{"type": "snapshot", "seq": n, ...}`, then `{"type": "update", "seq": m, "prev_seq": n,
"skipped": 0, ...}` for every snap, with the payload of `GET /v1/levels`. `?since_seq=n` resumes; `{"type":
"subscribe", "levels": ["ROUND_545"]}` narrows; the answer names under `unknown` what the newest snap does not have. A
client that falls behind jumps to the newest snap; one that does not
read is closed with 1013.

**`WS /ws/flow`** does the same for option flow: `{"ts", "underlying", "strikes": [{"id": "C545", "expiration",
"strike", "right", "volume", "premium", "net_dealer_gamma", "net_dealer_delta"}]}`, narrowed by `{"type": "subscribe",
"strikes": ["C545"]}`.

Errors are `application/problem+json` (RFC 9457).
"""


VERSION = "0.1.0"

INDEX: dict[str, object] = {
    "name": "Breakwater",
    "version": VERSION,
    "links": {
        "levels": "/v1/levels",
        "history": "/v1/levels/{level_id}/history",
        "health": "/v1/health",
        "config": "/v1/config",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "live_levels": "/ws/levels",
        "live_flow": "/ws/flow",
    },
}

_WITHOUT_SWAGGER = (
    "<p>This page is drawn by Swagger UI, which the browser fetches from cdn.jsdelivr.net. Without the internet read"
    ' <a href="/openapi.json">/openapi.json</a>.</p>'
)


def create_app(state: ApiState) -> FastAPI:
    """The application over these parts. The caller starts and stops what feeds them."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with state.hub.running(), state.flow_hub.running():
            yield

    app = FastAPI(
        title="Breakwater",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[
            {"name": "levels", "description": "Judgements on levels, live and stored."},
            {"name": "service", "description": "The API and the engine behind it."},
        ],
        # A route's own answers are complete; FastAPI's 422 never happens here (see api.problems).
        responses=problems.responses(400, 500),
    )
    app.state.api = state
    app.include_router(router)
    problems.install(app)

    @app.get("/", include_in_schema=False)
    async def index() -> dict[str, object]:
        return INDEX

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return _docs_page()

    @app.websocket("/ws/levels")
    async def levels_socket(websocket: WebSocket) -> None:
        await state.hub.serve(websocket)

    @app.websocket("/ws/flow")
    async def flow_socket(websocket: WebSocket) -> None:
        await state.flow_hub.serve(websocket)

    app.add_middleware(AccessLog)
    _document(app)
    return app


def _docs_page() -> HTMLResponse:
    """Swagger UI over the document; where it cannot be fetched, a way to the document."""
    page = bytes(get_swagger_ui_html(openapi_url="/openapi.json", title="Breakwater").body).decode()
    return HTMLResponse(page.replace('<div id="swagger-ui">', f'<div id="swagger-ui">{_WITHOUT_SWAGGER}'))


def _document(app: FastAPI) -> None:
    """Put the problem's schema among the components and take FastAPI's 422 out: errors here are problems."""
    original = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = original()
        schemas = document["components"]["schemas"]
        schemas["Problem"] = models.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


class AccessLog:
    """One structured line and one measurement for each HTTP request; a socket's line comes when it ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        status = 500 if scope["type"] == "http" else 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._write(scope, status, time.perf_counter() - began_s)

    def _write(self, scope: Scope, status: int, elapsed_s: float) -> None:
        # The route's pattern, not the path: a metric has a bounded number of labels.
        route = getattr(scope.get("route"), "path", "none")
        if scope["type"] == "http":
            metrics.REQUESTS.labels(route, scope["method"], status).inc()
            metrics.REQUEST_S.labels(route, scope["method"]).observe(elapsed_s)
        client = scope.get("client")
        log.info(
            "access",
            kind=scope["type"],
            method=scope.get("method"),
            path=scope["path"],
            status=status,
            elapsed_ms=round(elapsed_s * 1e3, 3),
            client=None if client is None else client[0],
        )
