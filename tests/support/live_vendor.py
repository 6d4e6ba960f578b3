"""A vendor in simulated time, and a feed for it: what it sent, in which order, and what can go wrong on the way.

Two kinds, as the real ones: one replays after a reconnect from the first record of the last time received and repeats
itself in every field (Databento), one does neither, but may send a message twice or a little out of order (Massive).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.topics import FUTURES_STATUS, FUTURES_TRADES, STOCKS_QUOTES, STOCKS_TRADES
from producers.event_ids import EventIds, content_hashes, first_ids
from producers.live.arrivals import Arrival, Bad, Clock, Connection, Gap, Records, Resume
from tests.support.event_batches import filled

BASE_NS = 1_748_961_000_000_000_000
MS = 1_000_000
REORDER_NS = 40 * MS
CLOCK_NS = 50 * MS
SOCKET_ITEMS = 400
"""A reader that is so far behind loses its connection."""


@dataclass(frozen=True)
class Sent:
    """One record or (``bad``) one message that means nothing. ``number`` is its content; equal ones repeat."""

    topic: str
    ts_ns: int
    number: int
    bad: bool = False
    place: str = ""


@dataclass(frozen=True)
class Tick:
    """The vendor's heartbeat: everything up to it came before."""

    ts_ns: int


class Vendor:
    """``seed`` decides the market; ``replays`` which kind of vendor it is. ``sent`` is the ledger, in wire order;
    ``gaps`` are those that its feed has said: topic, begin, end.
    """

    def __init__(self, seed: int, *, replays: bool) -> None:
        self.random = random.Random(seed)
        self.replays = replays
        self.topics = (FUTURES_TRADES, FUTURES_STATUS) if replays else (STOCKS_TRADES, STOCKS_QUOTES)
        self.sent: list[Sent] = []
        self.gaps: set[tuple[str, int, int]] = set()
        self.socket: deque[Sent | Tick] | None = None
        self.stalled = False
        self.garbage = 0.0
        self.duplicates = 0.0
        self.reorders = 0.0
        self._number = 0
        self._clock_ns = 0

    def advance(self, begin_ns: int, end_ns: int, quiet: bool = False) -> None:
        """The market between two times."""
        count = 0 if quiet else self.random.choice((0, 1, 2, 3, 6, 12))
        times = sorted(begin_ns + self.random.randrange(end_ns - begin_ns) // MS * MS for _ in range(count))
        fresh = []
        for ts_ns in times:
            topic = self.topics[self.random.random() < 0.25]
            if self.random.random() < self.garbage:
                fresh.append(Sent(topic, ts_ns, 0, bad=True, place=f"{topic}@{ts_ns}#{self._number}"))
                self._number += 1
                continue
            if not (self.replays and self.random.random() < 0.2):
                self._number += 1
            fresh.append(Sent(topic, ts_ns, self._number))
        if not self.replays and self.random.random() < self.reorders:
            self.random.shuffle(fresh)
        self.sent += fresh
        for item in fresh:
            self._deliver(item)
            if not self.replays and self.random.random() < self.duplicates:
                self._deliver(item)
        if end_ns - self._clock_ns >= CLOCK_NS:
            self._clock_ns = end_ns
            self._deliver(Tick(end_ns - 1))

    def connect(self, since: dict[str, int] | None) -> None:
        """A new connection; with ``since`` a replay of each topic from the first record of that time on."""
        self.socket = deque()
        if since is not None:
            self.socket += [item for item in self.sent if item.ts_ns >= since[item.topic]]
            self.socket.append(Tick(self._clock_ns - 1))

    def drop(self) -> None:
        """The connection is lost, with what was on the wire."""
        self.socket = None

    def receive(self) -> list[Sent | Tick] | None:
        """What has arrived; None when there is no connection."""
        if self.socket is None or self.stalled:
            return None if self.socket is None else []
        taken, self.socket = list(self.socket), deque()
        return taken

    def ids(self) -> dict[tuple[str, int], Sent]:
        """The records of the ledger by topic and event id."""
        out = {}
        for topic in self.topics:
            mine = [item for item in self.sent if item.topic == topic and not item.bad]
            hashes = hashes_of(topic, mine)
            ids = EventIds().assign(hashes) if self.replays else first_ids(hashes)
            out.update({(topic, int(event_id)): item for event_id, item in zip(ids, mine, strict=True)})
        return out

    def _deliver(self, item: Sent | Tick) -> None:
        if self.socket is not None:
            self.socket.append(item)
            if len(self.socket) > SOCKET_ITEMS:
                self.drop()


def hashes_of(topic: str, items: Sequence[Sent]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Content hashes: time and number, so that equal records are equal."""
    words = [np.array([item.ts_ns for item in items], np.uint64), np.array([item.number for item in items], np.uint64)]
    return content_hashes(topic, words)


class FakeFeed:
    """A feed for the vendor, without threads: `poll` says what has come since."""

    source = "fake"

    def __init__(self, vendor: Vendor, resume: Resume) -> None:
        self.vendor = vendor
        self.topics = vendor.topics
        self.repeats_are_events = vendor.replays
        self._last_ns = dict(resume.last_event_ns)
        self._up = False
        vendor.drop()

    def poll(self, now_ns: int) -> list[Arrival]:
        """Read the connection, making it when there is none."""
        out: list[Arrival] = []
        received = self.vendor.receive()
        if received is None:
            if self._up:
                self._up = False
                out.append(Connection(self.topics, "DISCONNECTED", now_ns))
                return out
            out += self._reconnect(now_ns)
            received = self.vendor.receive() or []
        run: list[Sent] = []
        for item in received:
            if isinstance(item, Sent) and not item.bad and (not run or run[0].topic == item.topic):
                run.append(item)
                continue
            out += self._records(run)
            run = []
            if isinstance(item, Tick):
                out += self._tick(item)
            elif item.bad:
                out.append(Bad(item.topic, item.place.encode(), "means nothing", item.place))
            else:
                run.append(item)
        return out + self._records(run)

    def _reconnect(self, now_ns: int) -> list[Arrival]:
        self._up = True
        first = not any(self._last_ns.values())
        if self.vendor.replays:
            self.vendor.connect(self._last_ns)
            return [Connection(self.topics, "CATCHING_UP", now_ns)]
        self.vendor.connect(None)
        gaps: list[Arrival] = []
        if not first or self.vendor.sent:
            gaps = [Gap((t,), max(self._last_ns[t] - REORDER_NS, BASE_NS), now_ns) for t in self.topics]
            self.vendor.gaps |= {(t, max(self._last_ns[t] - REORDER_NS, BASE_NS), now_ns) for t in self.topics}
        return [*gaps, Connection(self.topics, "CONNECTED", now_ns)]

    def _tick(self, tick: Tick) -> list[Arrival]:
        caught_up: list[Arrival] = [Connection(self.topics, "CONNECTED", tick.ts_ns)] if self.vendor.replays else []
        return [*caught_up, Clock(self.topics, tick.ts_ns)]

    def _records(self, items: list[Sent]) -> list[Arrival]:
        if not items:
            return []
        topic = items[0].topic
        times = [item.ts_ns for item in items]
        self._last_ns[topic] = max(self._last_ns[topic], *times)
        batch = filled(topic, len(items), {"ts_event_ns": times, "ts_recv_ns": times, "source": ["fake"] * len(items)})
        return [Records(batch, hashes_of(topic, items))]
