"""Massive live: stocks and options over WebSockets, the option chain over REST, all through the vendor's own client.

Sockets live in a thread of their own, the chain in another; what they receive goes through one bounded queue into the
:class:`.session.Session`, in the thread of :meth:`MassiveFeed.run`. While the log is slow the queue is full and nothing
is read from the sockets, which the vendor sees.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from polygon import RESTClient  # type: ignore[import-untyped]
from polygon.exceptions import BadResponse  # type: ignore[import-untyped]
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.exceptions import HTTPError

from common.config import NS_PER_MS, EngineConfig, load_config
from common.errors import InputError
from common.settings import secret, settings
from common.telemetry import get_logger
from producers.live.arrivals import Arrival, Inbox, Resume
from producers.massive.chain import PageError, chain_pages, chain_query, refuse
from producers.massive.link import BACKOFF_FIRST_S, BACKOFF_MAX_S, CLOSE_S, Change, Event, Failure, Link, quieten
from producers.massive.parse import TOPICS
from producers.massive.session import Frame, Session
from producers.massive.strikes import StrikeWindow, day_name, expiries

QUEUE_MAX = 20_000
"""Frames that may wait for the log."""

BATCH_MAX = 512
"""Frames that are parsed together."""

TICK_S = 0.05

CHAIN_RANGE_FACTOR = 5
"""Strikes of a snapshot reach this many STRIKE_RANGEs from spot: walls of open interest lie further out than levels."""

log = get_logger("producers.massive")


@dataclass(frozen=True, slots=True)
class MassiveOptions:
    """Where the vendor is and what is wanted of it. ``capture``: folder for what is received, None for nowhere."""

    key: SecretStr
    stocks_url: str
    options_url: str
    rest_url: str
    chain_interval_s: float
    underlying: str = "SPY"
    capture: Path | None = None


class MassiveFeed:
    """See :class:`producers.live.arrivals.Feed`."""

    source = "massive"
    topics = TOPICS
    repeats_are_events = False

    def __init__(
        self, options: MassiveOptions, config: EngineConfig, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._options = options
        self._strikes = StrikeWindow(options.underlying, config.STRIKE_RANGE)
        self._chain_range_usd = config.STRIKE_RANGE * CHAIN_RANGE_FACTOR
        self._stale_ns = config.OPTION_QUOTE_STALE_MS * NS_PER_MS
        self._stop = threading.Event()
        self._events: queue.Queue[Event] = queue.Queue(QUEUE_MAX)
        key = options.key.get_secret_value()
        self._links = (
            Link("stocks", options.stocks_url, key, self._offer),
            Link("options", options.options_url, key, self._offer),
        )
        self._chain_wanted: dict[str, Any] | None = None

    @classmethod
    def from_settings(cls) -> MassiveFeed:
        """The feed that the settings and the engine's configuration describe. Raises ConfigError, without a key too."""
        chosen = settings()
        options = MassiveOptions(
            key=secret("massive_key"),
            stocks_url=chosen.massive_stocks_url,
            options_url=chosen.massive_options_url,
            rest_url=chosen.massive_rest_url,
            chain_interval_s=chosen.massive_chain_interval_s,
            capture=chosen.massive_capture,
        )
        return cls(options, load_config())

    def stop(self) -> None:
        """Ask `run` to return soon; from any thread, more than once."""
        self._stop.set()

    def run(self, inbox: Inbox, resume: Resume) -> None:
        """Feed the inbox until `stop`. Raises ConfigError when the key is refused or the plan lacks the data."""
        quieten()
        capture = _opened(self._options.capture)
        session = Session(self._options.underlying, self._strikes, self._stale_ns, resume)
        sockets = _Sockets(self._links)
        chain = threading.Thread(target=self._run_chain, name="massive-chain", daemon=True)
        sockets.start()
        chain.start()
        try:
            while not self._stop.is_set():
                self._turn(session, inbox, capture)
            sockets.stop()
            while not self._events.empty():
                self._turn(session, inbox, capture)
        finally:
            self._stop.set()
            sockets.stop()
            if capture is not None:
                capture.close()

    # In the thread of run

    def _turn(self, session: Session, inbox: Inbox, capture: BinaryIO | None) -> None:
        """What has come since the last turn, and what follows for the connections."""
        out: list[Arrival] = []
        for is_frames, events in itertools.groupby(self._waiting(), lambda event: isinstance(event, Frame)):
            if is_frames:
                frames = [event for event in events if isinstance(event, Frame)]
                _record(capture, frames)
                out += session.received(frames, time.time_ns())
                continue
            for event in events:
                if isinstance(event, Failure):
                    raise event.error
                if isinstance(event, Change):
                    log.info(f"massive_{event.kind}", channel=event.channel)
                    said = session.opened if event.kind == "opened" else session.lost
                    out += said(event.channel, time.time_ns())
        out += session.tick(time.time_ns())
        self._steer(session)
        for arrival in out:
            inbox.put(arrival)

    def _waiting(self) -> list[Event]:
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=TICK_S))
            while len(events) < BATCH_MAX:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        return events

    def _steer(self, session: Session) -> None:
        now_ns = time.time_ns()
        for link in self._links:
            link.desired = session.desired(link.channel)
            if not link.abandoned and (param := session.overdue(link.channel, now_ns)) is not None:
                log.warning("massive_does_not_acknowledge", channel=link.channel, subscription=param)
                link.abandoned = True
        vendor_ns, spot_milli = session.now_ns(now_ns), self._strikes.spot_milli
        if vendor_ns and spot_milli is not None:
            first, last = (day_name(day) for day in expiries(vendor_ns))
            spot_usd, reach = round(spot_milli / 1_000), self._chain_range_usd
            self._chain_wanted = chain_query(first, last, max(spot_usd - reach, 0), spot_usd + reach)

    # In the threads of the connections

    def _offer(self, event: Event) -> bool:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            return self._stop.is_set()
        return True

    def _say(self, event: Event) -> None:
        while not self._offer(event):
            self._stop.wait(TICK_S)

    def _run_chain(self) -> None:
        """Take snapshots at their cadence for ever."""
        options = self._options
        client = RESTClient(options.key.get_secret_value(), base=options.rest_url.rstrip("/"))
        chain = _Chain(client, options.underlying, self._say, self._stop)
        due_s = time.monotonic()
        try:
            while not self._stop.wait(TICK_S):
                query = self._chain_wanted
                if query is not None and time.monotonic() >= due_s:
                    due_s = time.monotonic() + options.chain_interval_s
                    chain.take(query)
        except Exception as error:
            # whatever it is, it must end the service and not this thread alone
            self._say(Failure(error))


class _Chain:
    """Snapshots of the chain: pages as frames, an unanswered one as a lost connection."""

    def __init__(
        self, client: RESTClient, underlying: str, say: Callable[[Event], None], stop: threading.Event
    ) -> None:
        self._client = client
        self._underlying = underlying
        self._say = say
        self._is_open = False
        self._retrying = Retrying(
            retry=retry_if_exception_type((HTTPError, BadResponse)),
            wait=wait_random_exponential(multiplier=BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            after=lambda state: self._lost(state.outcome.exception() if state.outcome else None),
            reraise=True,
        )
        self._stop = stop

    def take(self, query: dict[str, Any]) -> None:
        """One snapshot. Raises ConfigError when it is refused."""
        try:
            for results in chain_pages(self._fetch, query):
                self._say(Frame("chain", results, time.time_ns(), time.monotonic()))
        except PageError as bad:
            self._say(Frame("chain", bad.body, time.time_ns(), time.monotonic()))
        except (HTTPError, BadResponse):
            # tried until the service was asked to stop
            assert self._stop.is_set()

    def _fetch(self, params: dict[str, Any]) -> bytes:
        body: bytes = self._retrying(self._page, params)
        if not self._is_open:
            self._is_open = True
            self._say(Change("chain", "opened"))
        return body

    def _page(self, params: dict[str, Any]) -> bytes:
        """One page; the client itself waits as long as an answer of 429 asks, and tries thrice."""
        try:
            answer = self._client.list_snapshot_options_chain(self._underlying, params=dict(params), raw=True)
        except BadResponse as error:
            refuse(str(error))
            raise
        return bytes(answer.data)

    def _lost(self, error: BaseException | None) -> None:
        log.warning("massive_chain_unanswered", error=str(error))
        if self._is_open:
            self._is_open = False
            self._say(Change("chain", "lost"))


class _Sockets:
    """The thread whose event loop runs the links."""

    def __init__(self, links: tuple[Link, ...]) -> None:
        self._links = links
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="massive-sockets", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close the connections and wait for it."""
        # a loop that has ended by itself takes no more calls
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join()

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.gather(*(link.run() for link in self._links))
        self._ready.set()
        try:
            await self._running
        finally:
            # the client leaves its connections' ends to the garbage collector; the loop may not end before them
            if rest := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(rest, timeout=CLOSE_S)


def _record(capture: BinaryIO | None, frames: list[Frame]) -> None:
    if capture is not None:
        capture.writelines(frame.line for frame in frames)
        capture.flush()


def _opened(folder: Path | None) -> BinaryIO | None:
    """A new capture file in the folder, named by the time. Raises InputError when it cannot be written."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.massive.jsonl").open("xb")
    except OSError as error:
        raise InputError(
            f"{folder} cannot hold captures: {error.strerror}", hint="Choose another massive_capture folder."
        ) from None
