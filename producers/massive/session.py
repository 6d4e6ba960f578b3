"""What Massive's connections say, as arrivals: frames and the fate of connections in, `Arrival`s out. Pure.

The shell (:mod:`.live`) owns sockets, threads and clocks and tells the session what happened, with the time of it. The
vendor repeats nothing after a lost connection: from the newest time that was heard on a channel until all its
subscriptions are in force again, its topics have a gap. What arrives before they all are waits, so that the gap comes
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import orjson

from common.columns import Batch
from common.errors import ConfigError
from common.telemetry import get_logger
from common.topics import COMPLEXES, OPTIONS_GREEKS, OPTIONS_QUOTES, OPTIONS_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records, Resume
from producers.massive import parse
from producers.massive.capture import line_of
from producers.massive.clock import VendorClock
from producers.massive.strikes import StrikeWindow
from producers.massive.subscriptions import Subscriptions

Channel = Literal["stocks", "options", "chain"]

TOPICS_OF: Mapping[Channel, tuple[str, ...]] = {
    "stocks": (STOCKS_TRADES, STOCKS_QUOTES),
    "options": (OPTIONS_TRADES, OPTIONS_QUOTES),
    "chain": (OPTIONS_GREEKS,),
}

_CHANNEL_OF: Mapping[str, Channel] = {topic: channel for channel, topics in TOPICS_OF.items() for topic in topics}

DISORDER_NS = 500_000_000
"""How much later than newer ones a message may come: that much before the newest time a gap begins, and that much after
the moment of the last acknowledgement it ends.
"""

CLOCK_EVERY_NS = 250_000_000
"""How often an idle connection's time is said."""

SUBSCRIBED, UNSUBSCRIBED = "subscribed to: ", "unsubscribed to: "
NOT_ALLOWED = ("not authorized", "not entitled", "don't have access")
"""What the vendor's answers to a plan that lacks the data contain."""

log = get_logger("producers.massive")


@dataclass(frozen=True, slots=True)
class Frame:
    """What came in one piece. ``data``: a JSON array of messages; ``received_s``: when, by ``time.monotonic()``."""

    channel: Channel
    data: bytes
    ts_recv_ns: int
    received_s: float = 0.0

    @property
    def line(self) -> bytes:
        """The frame as a capture's line, which :mod:`.parse` reads."""
        return line_of(self.ts_recv_ns, self.channel, self.data.replace(b"\n", b" "))


@dataclass(slots=True)
class _Coverage:
    """Which of a channel's time was received. ``begins_ns``: per topic, since when nothing certainly was (0: never).

    ``opened_ns``: when the first connection stood, by our clock; ``was_lost``: whether one was lost since.
    """

    topics: tuple[str, ...]
    begins_ns: dict[str, int]
    opened_ns: int = 0
    was_lost: bool = False
    is_open: bool = False
    is_covered: bool = False
    newest_ns: int = 0
    held: list[Arrival] = field(default_factory=list)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)


class Session:
    """All three channels of one underlying. Times are ns since the epoch by our own clock, where they are not events'.

    ``stale_ns``: how long an option's quote says something about its trades.
    """

    def __init__(self, underlying: str, strikes: StrikeWindow, stale_ns: int, resume: Resume) -> None:
        self._strikes = strikes
        self._quotes = parse.LastQuotes(stale_ns)
        self._clock = VendorClock()
        self._clock_said_ns = 0
        self._frames = 0
        self._channels: dict[Channel, _Coverage] = {
            channel: _Coverage(topics, {t: max(resume.last_event_ns.get(t, 0) - DISORDER_NS, 0) for t in topics})
            for channel, topics in TOPICS_OF.items()
        }
        self._channels["stocks"].subscriptions.want((f"T.{underlying}", f"Q.{underlying}"), 0)

    # What the shell asks

    def now_ns(self, now_ns: int) -> int:
        """The vendor's time, 0 while it is not known."""
        return self._clock.at(now_ns)

    def desired(self, channel: Channel) -> frozenset[str]:
        """What the channel's connection shall be subscribed to."""
        return self._channels[channel].subscriptions.desired

    def overdue(self, channel: Channel, now_ns: int) -> str | None:
        """A subscription that the vendor does not acknowledge, None while there is none or no connection."""
        coverage = self._channels[channel]
        return coverage.subscriptions.overdue(now_ns) if coverage.is_open else None

    # What the shell tells

    def opened(self, channel: Channel, now_ns: int) -> list[Arrival]:
        """The channel's connection stands and asks for what is desired. The chain needs no subscriptions."""
        coverage = self._channels[channel]
        coverage.is_open = True
        coverage.opened_ns = coverage.opened_ns or now_ns
        coverage.subscriptions.opened(now_ns)
        return self._cover(coverage, now_ns)

    def lost(self, channel: Channel, now_ns: int) -> list[Arrival]:
        """The channel's connection is gone."""
        coverage = self._channels[channel]
        if not coverage.is_open:
            return []
        out: list[Arrival] = []
        if coverage.held:
            out = self._begin_covering(coverage, now_ns)
        if coverage.is_covered:
            out.append(Connection(coverage.topics, "DISCONNECTED", self._clock.at(now_ns)))
            coverage.begins_ns = dict.fromkeys(coverage.topics, max(coverage.newest_ns - DISORDER_NS, 0))
        coverage.is_open = coverage.is_covered = False
        coverage.was_lost = True
        return out

    def received(self, frames: Sequence[Frame], now_ns: int) -> list[Arrival]:
        """Frames in the order of their receipt. Raises ConfigError when the vendor says that the key allows no data."""
        out: list[Arrival] = []
        waiting: list[Frame] = []
        for frame in frames:
            if b'"status"' in frame.data and (said := self._status_messages(frame)):
                out += self._taken_in(waiting, now_ns)
                waiting = []
                for message in said:
                    self._take_status(frame, message)
                out += self._cover(self._channels[frame.channel], now_ns)
            waiting.append(frame)
        return out + self._taken_in(waiting, now_ns)

    def tick(self, now_ns: int) -> list[Arrival]:
        """Time has passed: what connected channels may promise, and which contracts are wanted now."""
        vendor_ns = self._clock.at(now_ns)
        if vendor_ns == 0:
            return []
        wanted = self._strikes.subscriptions(vendor_ns)
        if wanted and wanted != self._channels["options"].subscriptions.wanted:
            self._channels["options"].subscriptions.want(wanted, now_ns)
        out = [arrival for coverage in self._channels.values() for arrival in self._cover(coverage, now_ns)]
        topics = tuple(
            topic for coverage in self._channels.values() if coverage.is_covered for topic in coverage.topics
        )
        if topics and vendor_ns - self._clock_said_ns >= CLOCK_EVERY_NS:
            self._clock_said_ns = vendor_ns
            out.append(Clock(topics, vendor_ns))
        return out

    # Coverage

    def _cover(self, coverage: _Coverage, now_ns: int) -> list[Arrival]:
        """Say that the channel is covered from now on, once it is: subscriptions in force, the vendor's time known."""
        is_whole = coverage.subscriptions.complete or coverage.topics == TOPICS_OF["chain"]
        if coverage.is_covered or not coverage.is_open or not is_whole or self._clock.at(now_ns) == 0:
            return []
        return self._begin_covering(coverage, now_ns)

    def _begin_covering(self, coverage: _Coverage, now_ns: int) -> list[Arrival]:
        vendor_ns = self._clock.at(now_ns)
        out: list[Arrival] = []
        if coverage.was_lost:
            # a connection before this one was subscribed, but never said so
            asked_ns = vendor_ns - (now_ns - coverage.opened_ns) - DISORDER_NS
            coverage.begins_ns = {topic: begin_ns or asked_ns for topic, begin_ns in coverage.begins_ns.items()}
        for begin_ns in sorted({begin_ns for begin_ns in coverage.begins_ns.values() if begin_ns}):
            topics = tuple(topic for topic in coverage.topics if coverage.begins_ns[topic] == begin_ns)
            # a poll of the whole state misses nothing while it is not answered
            if topics != TOPICS_OF["chain"]:
                out.append(Gap(topics, begin_ns, max(vendor_ns + DISORDER_NS, begin_ns)))
        out.append(Connection(coverage.topics, "CONNECTED", vendor_ns))
        out += coverage.held
        coverage.held = []
        coverage.is_covered = True
        coverage.newest_ns = max(coverage.newest_ns, vendor_ns)
        return out

    # Frames

    @staticmethod
    def _status_messages(frame: Frame) -> list[dict[str, object]]:
        """The connection's own messages in a frame; others in it are data."""
        try:
            messages = orjson.loads(frame.data)
        except orjson.JSONDecodeError:
            return []
        if not isinstance(messages, list):
            return []
        return [message for message in messages if isinstance(message, dict) and message.get("ev") == "status"]

    def _take_status(self, frame: Frame, message: Mapping[str, object]) -> None:
        subscriptions = self._channels[frame.channel].subscriptions
        said = str(message.get("message", ""))
        if said.startswith(SUBSCRIBED):
            subscriptions.acknowledged(said.removeprefix(SUBSCRIBED))
        elif said.startswith(UNSUBSCRIBED):
            subscriptions.ended(said.removeprefix(UNSUBSCRIBED), frame.ts_recv_ns)
        elif any(words in said.lower() for words in NOT_ALLOWED):
            raise ConfigError(
                f"Massive does not give {frame.channel} to this key: {said}",
                hint="The plan must hold real-time trades and quotes of stocks and options (docs/operations.md).",
            )
        else:
            log.warning("massive_status", channel=frame.channel, status=message.get("status"), message=said)

    def _taken_in(self, frames: Sequence[Frame], now_ns: int) -> list[Arrival]:
        """What frames hold: bad messages, then what begins to be covered, then records."""
        if not frames:
            return []
        parsed = parse.parse([frame.line for frame in frames], self._quotes, COMPLEXES)
        out: list[Arrival] = [self._bad(frames[bad.line], bad) for bad in parsed.bad]
        self._frames += len(frames)
        for records in parsed.records.values():
            self._hear(records)
        for coverage in self._channels.values():
            out += self._cover(coverage, now_ns)
        received_s = min(frame.received_s for frame in frames)
        for topic, records in parsed.records.items():
            coverage = self._channels[_CHANNEL_OF[topic]]
            arrival = Records(records.batch, records.hashes, received_s)
            (out if coverage.is_covered else coverage.held).append(arrival)
        return out

    def _bad(self, frame: Frame, bad: parse.BadMessage) -> Bad:
        value = frame.data if bad.message is None else orjson.dumps(orjson.loads(frame.data)[bad.message])
        place = f"{frame.ts_recv_ns}/{self._frames + bad.line}" + ("" if bad.message is None else f"/{bad.message}")
        return Bad(f"massive.{frame.channel}", value, bad.problem, place)

    def _hear(self, records: parse.Records) -> None:
        """Bring the clock, the channel's newest time and, from the market's quotes, the strikes forward. A poll's times
        are no clock: they are those of what changed last.
        """
        channel = _CHANNEL_OF[records.batch.name]
        if channel == "chain":
            return
        event_ns, received_ns = records.batch["ts_event_ns"], records.batch["ts_recv_ns"]
        newest = int(np.argmax(event_ns))
        coverage = self._channels[channel]
        coverage.newest_ns = max(coverage.newest_ns, int(event_ns[newest]))
        self._clock.heard(int(event_ns[newest]), int(received_ns[newest]))
        if records.batch.name == STOCKS_QUOTES:
            spot = _last_mid(records.batch)
            if spot is not None:
                self._strikes.follow(round(spot * 1_000))


def _last_mid(quotes: Batch) -> float | None:
    """Mid of the last quote with two sides that are not locked or crossed (USD), None without one."""
    bid, ask = quotes.columns["bid_px"], quotes.columns["ask_px"]
    bid_px, ask_px = bid.values.astype(np.float64), ask.values.astype(np.float64)
    assert bid.valid is not None and ask.valid is not None
    sound = np.flatnonzero(bid.valid & ask.valid & (bid_px < ask_px))
    return float(bid_px[sound[-1]] + ask_px[sound[-1]]) / 2 if len(sound) else None
