"""The API as a process: bind, read the log in a thread, serve, and end well on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa
import uvicorn
from common.registry import Registry
from pyiceberg.expressions import BooleanExpression

from api.app import create_app
from api.feed import SignalFeed
from api.history import HistoryReader
from api.live import LiveSignals
from api.models import TableState
from api.state import ApiState
from api.websocket import Hub
from common import endpoints, iceberg, kafka, schemas, topics
from common.config import load_config
from common.errors import ConfigError, UnavailableError
from common.settings import settings
from common.telemetry import Health, configure_logging, get_logger, serve_health, stop_requested

SERVICE = "api"
SHUTDOWN_S = 5
"""How long requests under way may take to end once a stop is asked for."""
STOP_POLL_S = 0.1
SEND_BUFFER_BYTES = 256 * 1024
"""Kernel buffer of each connection: what a slow client can have waiting beyond its place in the ring."""
DEAD_CLIENT_MS = 30_000
"""A connection whose other end takes nothing for this long is dropped by the kernel (Linux)."""
WS_FRAME_MAX_BYTES = 64 * 1024
"""Greatest frame taken from a client."""

log = get_logger("api.server")


def scan_signals(row_filter: BooleanExpression, columns: Sequence[str]) -> pa.Table | None:
    """Rows of gold.levels_signals, None while there is no such table.

    Raises UnavailableError when it cannot be read.
    """
    name = iceberg.TABLES[topics.SIGNALS]
    try:
        if iceberg.load_table(name) is None:
            return None
        return iceberg.scan(name, row_filter, columns)
    except OSError as error:
        # A file that maintenance removed between planning and reading, or storage that is away.
        raise UnavailableError(f"{name} cannot be read: {error}", hint="Ask again; see /v1/health.") from error


def table_states() -> dict[str, TableState]:
    """The tables this API reads, as they are now."""
    name = iceberg.TABLES[topics.SIGNALS]
    table = iceberg.load_table(name)
    if table is None:
        return {name: TableState(exists=False, snapshot_id=None, rows=None)}
    snapshot = table.current_snapshot()
    if snapshot is None:
        return {name: TableState(exists=True, snapshot_id=None, rows=0)}
    total = snapshot.summary["total-records"] if snapshot.summary is not None else None
    return {
        name: TableState(exists=True, snapshot_id=str(snapshot.snapshot_id), rows=None if total is None else int(total))
    }


@contextlib.contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket; port 0 picks a free one.

    Raises ConfigError that names the address when it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_CLIENT_MS)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise ConfigError(
                f"the API cannot listen on {host}:{port}: {error.strerror or error}",
                hint="Set BREAKWATER_API_PORT to another port (0 picks a free one) or BREAKWATER_API_HOST.",
            ) from None
        yield listener


class _Server(uvicorn.Server):
    """A server whose signals are the service's own: ``stop_requested`` has the handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


def make_server(state: ApiState) -> uvicorn.Server:
    """An HTTP and WebSocket server for the application over ``state``."""
    config = uvicorn.Config(
        create_app(state),
        access_log=False,  # the application writes its own, structured
        log_config=None,
        ws="websockets-sansio",
        # Compressing every frame for every client would cost more than all the rest.
        ws_per_message_deflate=False,
        ws_max_size=WS_FRAME_MAX_BYTES,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
    )
    return _Server(config)


async def serve(server: uvicorn.Server, listener: socket.socket, stop: threading.Event) -> None:
    """Serve on the socket until ``stop`` is set, then let requests under way end."""

    async def watch() -> None:
        while not stop.is_set():
            await asyncio.sleep(STOP_POLL_S)
        server.should_exit = True

    watching = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()


def run() -> None:
    """Run the API until SIGTERM or SIGINT. Raises BreakwaterError when it cannot begin."""
    configure_logging(SERVICE)
    stop = stop_requested()
    names = settings().complex_names
    if len(names) != 1:
        raise ConfigError(
            f"the API serves one complex, not {settings().complexes!r}", hint="Set BREAKWATER_COMPLEXES to one name."
        )
    partition = topics.partition_of(names[0])
    health = Health()
    live = LiveSignals()
    registry = Registry(endpoints.resolve().registry_url)
    feed = SignalFeed(
        kafka.consumer(),
        schemas.load(topics.SIGNALS),
        registry.schema,
        live,
        health,
        topic=topics.full_name(topics.SIGNALS, settings().namespace),
        partition=partition,
    )
    state = ApiState(
        live=live,
        history=HistoryReader(scan_signals, live),
        health=health,
        tables=table_states,
        lag_records=lambda: feed.lag_records,
        config=load_config(),
        profile=settings().profile,
        hub=Hub(live),
    )
    server = make_server(state)
    with bound_socket(settings().api_host, settings().api_port) as listener:
        host = settings().api_host
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        with serve_health(SERVICE, health, url=url):
            feed.start()
            log.info("api_serves", url=url, docs=f"{url}/docs")
            try:
                asyncio.run(serve(server, listener, stop))
            finally:
                feed.stop()
    log.info("api_stopped")
