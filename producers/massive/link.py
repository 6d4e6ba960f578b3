"""One WebSocket of the vendor, through its own client, connected again and again: what it says as events.

The client reconciles subscriptions inside its own loop and forgets those that are added while it does so; so they are
changed here only between two reconciliations. Its own reconnecting is off, since nobody would learn of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlparse

from polygon import WebSocketClient  # type: ignore[import-untyped]
from polygon.exceptions import AuthError  # type: ignore[import-untyped]
from tenacity import AsyncRetrying, retry_if_result, wait_random_exponential
from websockets.exceptions import WebSocketException

from common.errors import ConfigError
from common.telemetry import get_logger
from producers.massive.session import Channel, Frame

OPEN_S = 15.0
"""A connection that does not stand by then is tried again."""

WATCH_S = 0.02
"""How often subscriptions and the connection are looked after."""

PING_EVERY_S, PONG_WITHIN_S = 5.0, 10.0
"""A peer that does not answer for so long is gone, whatever TCP believes."""

CLOSE_S = 2.0

SOUND_S = 5.0
"""A connection that stood for so long was a good one: the next is made at once, and pauses begin anew."""

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0

log = get_logger("producers.massive")


@dataclass(frozen=True, slots=True)
class Change:
    """The channel's connection stands, or is gone."""

    channel: Channel
    kind: Literal["opened", "lost"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Nothing more can come: why."""

    error: BaseException


Event = Frame | Change | Failure


class Link:
    """The connection of one channel. ``offer`` takes an event, False while there is no room; it is never called twice
    for one that it took.
    """

    def __init__(self, channel: Channel, url: str, key: str, offer: Callable[[Event], bool]) -> None:
        parts = urlparse(url)
        if parts.scheme not in ("ws", "wss") or not parts.netloc or not parts.path.endswith(f"/{channel}"):
            raise ConfigError(
                f"massive_{channel}_url {url!r} cannot be used",
                hint=f"It looks like wss://socket.massive.com/{channel}.",
            )
        self.channel = channel
        self._feed = parts.netloc + parts.path.removesuffix(f"/{channel}")
        self._secure = parts.scheme == "wss"
        self._key = key
        self._offer = offer
        self._is_open = False
        self.desired: frozenset[str] = frozenset()
        """What the connection shall be subscribed to; without anything there is none. Any thread may set it."""
        self.abandoned = False
        """Set by any thread: the connection is of no use, make it anew."""

    async def run(self) -> None:
        """Connect for ever; ends only when cancelled or refused."""
        pauses = AsyncRetrying(
            retry=retry_if_result(lambda was_sound: not was_sound),
            wait=wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
        )
        try:
            while True:
                await pauses(self._connect)
        except AuthError as error:
            await self._say(Failure(_refused(error)))
        except Exception as error:
            # whatever it is, it must end the service and not this connection alone
            await self._say(Failure(error))

    async def _connect(self) -> bool:
        """One connection, from its beginning to its end; whether it was a good one."""
        while not self.desired:
            await asyncio.sleep(WATCH_S)
        self.abandoned = False
        begun_s = time.monotonic()
        client = WebSocketClient(
            self._key,
            feed=self._feed,
            market=self.channel,
            raw=True,
            subscriptions=sorted(self.desired),
            max_reconnects=0,
            secure=self._secure,
        )
        running = asyncio.create_task(
            client.connect(self._take, ping_interval=PING_EVERY_S, ping_timeout=PONG_WITHIN_S, max_size=None)
        )
        try:
            while not running.done():
                await asyncio.wait([running], timeout=WATCH_S)
                if client.websocket is None and time.monotonic() - begun_s > OPEN_S:
                    log.warning("massive_does_not_answer", channel=self.channel)
                    break
                if self.abandoned:
                    break
                await self._look_after(client)
        finally:
            await self._end(client, running)
            if self._is_open:
                self._is_open = False
                await self._say(Change(self.channel, "lost"))
        return time.monotonic() - begun_s >= SOUND_S

    async def _look_after(self, client: WebSocketClient) -> None:
        if client.websocket is not None:
            await self._open()
        if not client.schedule_resub:
            desired = self.desired
            if new := desired - client.scheduled_subs:
                client.subscribe(*sorted(new))
            if old := client.scheduled_subs - desired:
                client.unsubscribe(*sorted(old))

    async def _end(self, client: WebSocketClient, running: asyncio.Task[None]) -> None:
        if client.websocket is not None and not running.done():
            with suppress(TimeoutError, WebSocketException, OSError):
                await asyncio.wait_for(client.close(), CLOSE_S)
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            if (current := asyncio.current_task()) is not None and current.cancelling():
                raise
        except (OSError, WebSocketException, EOFError) as error:
            log.warning("massive_connection_lost", channel=self.channel, error=str(error))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            # the client takes apart the answer to the key without looking
            log.warning("massive_handshake_failed", channel=self.channel, error=repr(error))

    async def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            await self._say(Change(self.channel, "opened"))

    async def _take(self, data: str | bytes) -> None:
        received_ns, received_s = time.time_ns(), time.monotonic()
        await self._open()
        raw = data.encode() if isinstance(data, str) else data
        await self._say(Frame(self.channel, raw, received_ns, received_s))

    async def _say(self, event: Event) -> None:
        while not self._offer(event):
            await asyncio.sleep(WATCH_S)


def _refused(error: AuthError) -> ConfigError:
    return ConfigError(
        f"Massive refuses the key: {error}",
        hint="Set BREAKWATER_MASSIVE_KEY, or massive_key_file to a file that holds it (docs/operations.md).",
    )


def quieten() -> None:
    """Keep the libraries below from printing what they send: at DEBUG the key is in it."""
    for name in ("WebSocketClient", "RESTClient"):
        logging.getLogger(name).handlers.clear()
    for name in ("WebSocketClient", "RESTClient", "websockets", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
