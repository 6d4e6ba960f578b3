"""HTTP and WebSocket on a socket, until asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from api.app import create_app
from api.state import ApiState
from common.errors import ConfigError

SHUTDOWN_S = 5
"""How long requests under way may take to end once a stop is asked for."""
STOP_POLL_S = 0.1
SEND_BUFFER_BYTES = 256 * 1024
"""Kernel buffer of each connection: what a slow client can have waiting beyond its place in the ring."""
DEAD_CLIENT_MS = 30_000
"""A connection whose other end takes nothing for this long is dropped by the kernel (Linux)."""
WS_FRAME_MAX_BYTES = 64 * 1024
"""Greatest frame taken from a client."""


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


async def serve(server: uvicorn.Server, listener: socket.socket, ended: Callable[[], bool]) -> None:
    """Serve on the socket until ``ended`` says so, then let requests under way end."""

    async def watch() -> None:
        while not ended():
            await asyncio.sleep(STOP_POLL_S)
        server.should_exit = True

    watching = asyncio.create_task(watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()
