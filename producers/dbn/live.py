"""Databento's live data through the vendor's own client: the thin shell around :mod:`.session`.

The client's own reconnecting is off, since it replays nothing. A continuous symbol keeps the contract that it meant
when it was subscribed; so a connection is made anew, with a replay, when a UTC day begins, which is when rolls are.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import databento
import databento_dbn
import numpy as np
from databento.common.error import BentoError
from tenacity import Retrying, retry_if_result, sleep_using_event, stop_when_event_set, wait_exponential_jitter

from common.config import NS_PER_S
from common.errors import ConfigError
from common.settings import secret, settings
from common.telemetry import get_logger
from producers.dbn.file import LAYOUTS
from producers.dbn.parse import parse
from producers.dbn.session import SCHEMAS, Session, key_refused
from producers.dbn.symbols import NS_PER_DAY, SymbolMap
from producers.live.arrivals import Inbox, Resume

log = get_logger("producers.databento")

PORT = 13000
HEARTBEAT_S = 5
"""The least that the vendor allows."""

MAILBOX_RECORDS = 50_000
"""Messages that may wait between the client's thread and ours; then the client reads no more."""

WAIT_S = 0.05
CLOSE_S, SETTLE_S = 5.0, 0.05
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 30.0
SOUND_S = 30.0
"""A connection that stood for so long, or brought something, was a good one: the next is made at once."""

ROLL_AFTER_NS = 5 * NS_PER_S
"""How long after midnight the mappings of the new day are asked for."""

_TRANSIENT = ("Connection to ", "Authentication with ")
"""How the client begins its messages about a gateway that does not answer."""


@dataclass(frozen=True, slots=True)
class DatabentoOptions:
    """What to subscribe to, and where. ``gateway``: host and port in the vendor's place; None is the vendor's."""

    key: str
    dataset: str
    symbol: str
    gateway: tuple[str, int] | None

    def __repr__(self) -> str:
        return f"DatabentoOptions({self.dataset}, {self.symbol}, {self.gateway})"


class _Mailbox:
    """Messages from the client's thread, oldest first; a full one makes it wait."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._received_s = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, record: databento_dbn.DBNRecord) -> None:
        raw = bytes(record)
        with self._changed:
            while len(self._messages) >= MAILBOX_RECORDS and not self._closed:
                self._changed.wait()
            if not self._messages:
                self._received_s = time.monotonic()
                self._changed.notify_all()
            self._messages.append(raw)

    def take(self, timeout_s: float) -> tuple[Sequence[bytes], float]:
        """All messages and when the first of them came; none when nothing comes in time."""
        with self._changed:
            if not self._messages and timeout_s:
                self._changed.wait(timeout_s)
            taken, self._messages = self._messages, []
            self._changed.notify_all()
            return taken, self._received_s

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class DatabentoFeed:
    """ES book, trades, definitions and status, live (see :class:`producers.live.arrivals.Feed`)."""

    source = "databento"
    topics = Session.topics
    repeats_are_events = True

    def __init__(self, options: DatabentoOptions) -> None:
        self._options = options
        self._stop = threading.Event()
        self._damage: databento_dbn.DBNError | None = None
        # It says little that is not said here; at DEBUG it would log its answer to the gateway's challenge.
        logging.getLogger("databento").setLevel(logging.WARNING)

    @classmethod
    def from_settings(cls) -> DatabentoFeed:
        """The feed that the settings describe. Raises ConfigError, without a key too."""
        chosen = settings()
        gateway = None if chosen.databento_gateway is None else _address(chosen.databento_gateway)
        key = secret("databento_key").get_secret_value()
        return cls(DatabentoOptions(key, chosen.databento_dataset, chosen.databento_symbol, gateway))

    def stop(self) -> None:
        """Ask `run` to return soon; from any thread, more than once."""
        self._stop.set()

    def run(self, inbox: Inbox, resume: Resume) -> None:
        """Feed the inbox until `stop`, reconnecting with backoff. Raises ConfigError when the key or the subscription
        is refused.
        """
        _warm_up()
        session = Session(resume.last_event_ns, self._options.dataset)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(self._on_exception)
        thread = threading.Thread(target=loop.run_forever, name="databento", daemon=True)
        thread.start()
        try:
            while not self._stop.is_set():
                Retrying(
                    retry=retry_if_result(lambda was_good: not was_good),
                    wait=wait_exponential_jitter(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S, jitter=BACKOFF_FIRST_S),
                    sleep=sleep_using_event(self._stop),
                    stop=stop_when_event_set(self._stop),
                    retry_error_callback=lambda _: None,
                )(self._connection, loop, session, inbox)
        finally:
            # What was closed last is closed by the loop.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(SETTLE_S), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the client could not read: it closes the connection, and says why here only."""
        error = context.get("exception")
        if isinstance(error, databento_dbn.DBNError):
            self._damage = error
        elif not isinstance(error, BentoError):
            loop.default_exception_handler(context)

    def _connection(self, loop: asyncio.AbstractEventLoop, session: Session, inbox: Inbox) -> bool:
        """One connection from its beginning to its end; whether it was a good one."""
        begun_s = time.monotonic()
        mailbox = _Mailbox()
        self._damage = None
        client = self._client(loop)
        try:
            if not self._subscribe(client, session):
                return False
            client.add_callback(mailbox.put)
            client.start()
            self._listen(client, mailbox, session, inbox)
        finally:
            mailbox.close()
            reason = self._ended(client)
            arrivals = session.closed(damaged=self._damage is not None)
        for arrival in arrivals:
            inbox.put(arrival)
        if session.hopeless is not None:
            raise session.hopeless
        log.warning("disconnected", reason=reason, stopping=self._stop.is_set())
        return session.progressed or time.monotonic() - begun_s > SOUND_S

    def _client(self, loop: asyncio.AbstractEventLoop) -> databento.Live:
        gateway, port = self._options.gateway or (None, PORT)
        try:
            return databento.Live(
                key=self._options.key,
                gateway=gateway,
                port=port,
                heartbeat_interval_s=HEARTBEAT_S,
                slow_reader_behavior="warn",
                loop=loop,
            )
        except ValueError:
            # The client's own message holds the key.
            raise key_refused("it is not one") from None

    def _subscribe(self, client: databento.Live, session: Session) -> bool:
        """Log in and ask for everything; False when the gateway does not answer."""
        asked = session.subscriptions()
        try:
            for subscription in asked:
                client.subscribe(
                    dataset=self._options.dataset,
                    schema=subscription.schema,
                    symbols=self._options.symbol,
                    stype_in="continuous",
                    start=subscription.start_ns,
                )
        except BentoError as error:
            reason = str(error)
            # One connection too many: the vendor has not noticed yet that the last one is gone.
            if not reason.startswith(_TRANSIENT) and "limit" not in reason.lower():
                raise key_refused(reason) from None
            log.warning("not_connected", reason=reason)
            return False
        except ValueError as error:
            # The client's own state, when the connection breaks between two subscriptions.
            log.warning("not_connected", reason=str(error))
            return False
        log.info("subscribed", session_id=client.session_id, starts={s.schema: s.start_ns for s in asked})
        return True

    def _listen(self, client: databento.Live, mailbox: _Mailbox, session: Session, inbox: Inbox) -> None:
        day = time.time_ns() // NS_PER_DAY
        is_open = False
        while not self._stop.is_set():
            is_over = not client.is_connected()
            messages, received_s = mailbox.take(0.0 if is_over else WAIT_S)
            now_ns = time.time_ns()
            if messages and not is_open:
                is_open = True
                for arrival in session.opened(client.metadata.start if client.metadata else 0):
                    inbox.put(arrival)
            arrivals = session.received(messages, received_s, now_ns) if messages else session.idle(now_ns)
            for arrival in arrivals:
                inbox.put(arrival)
            if session.hopeless is not None or (is_over and not messages):
                return
            if (now_ns - ROLL_AFTER_NS) // NS_PER_DAY > day:
                log.info("new_day", hint="Connecting anew, for the contracts of the new day.")
                return

    def _ended(self, client: databento.Live) -> str:
        """Close the connection: why it is closed."""
        if client.is_connected():
            client.terminate()
            return "closed here"
        try:
            client.block_for_close(timeout=CLOSE_S)
        except BentoError as error:
            return str(error)
        return "closed by the gateway" if self._damage is None else f"it sent what cannot be read: {self._damage}"


def _warm_up() -> None:
    """Parse nothing, so that the first records need not wait for the compiler."""
    for schema in SCHEMAS:
        parse(schema, np.zeros(0, LAYOUTS[schema].dtype), SymbolMap(()))


def _address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"databento_gateway {text!r} is no host:port", hint="Give for example 127.0.0.1:13000.")
    return host, int(port)
