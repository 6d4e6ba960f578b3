"""From stamped records to acknowledged ones: first into the spool, then into the log, as the broker takes them.

While it does, frames stay in memory too and the disk is never read. When it does not, a bounded window waits in the
client, some frames in memory, and the rest on the disk only, until it returns; then everything goes out in order.
Heartbeats wait for what was put before them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from producers.live import metrics
from producers.sender import Sender, Target
from producers.spool import Frame, Place, Spool
from producers.spool.frames import SHARED

AWAY_S = 1.0
"""Without any acknowledgement for so long, while some are due, the broker is away."""


@dataclass(frozen=True, slots=True)
class Window:
    """``sent_records`` may wait in the client for acknowledgements; ``kept_records`` that were not sent are kept in
    memory, and beyond them the disk is read again.
    """

    sent_records: int = 20_000
    kept_records: int = 50_000


@dataclass(slots=True)
class _Flight:
    """A frame on its way. ``next_offset`` is its topic's once it is acknowledged."""

    sequence: int
    frame: Frame
    next_offset: int
    done: bool = False


@dataclass(frozen=True, slots=True)
class _Beat:
    """A heartbeat, and the frames that go before it."""

    after_sequence: int
    row: Mapping[str, Any]


class Outlet:
    """Writes one source's topics through its spool.

    ``logged``: the next offset of each topic in the log; ``stamped``: the same behind what the spool holds from an
    earlier run. That is sent first, without the records that the log has, and without the letters that ``is_known``.
    """

    def __init__(
        self,
        producer: Any,
        target: Target,
        logged: Mapping[str, int],
        stamped: Mapping[str, int],
        spool: Spool,
        is_known: Callable[[bytes], bool],
        window: Window | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._window = window or Window()
        self._clock_s = clock_s
        self._sender = Sender(producer, target, logged, self._wait)
        self._acknowledged = dict(logged)
        self._stamped = dict(stamped)
        self._is_known = is_known
        self._earlier = spool.next_sequence
        self._ready: deque[tuple[int, Frame]] = deque()
        self._ready_records = 0
        self._unread: Place | None = spool.begin
        self._flights: deque[_Flight] = deque()
        self._in_flight = 0
        self._beats: deque[_Beat] = deque()
        self._beats_in_flight = 0
        self._progress_s = clock_s()

    # What is to be written

    @property
    def has_room(self) -> bool:
        """Whether more may be put: the spool is not full."""
        return self._spool.has_room

    @property
    def away(self) -> bool:
        """The broker owes acknowledgements and has given none for a while."""
        return self.waiting and self._clock_s() - self._progress_s > AWAY_S

    @property
    def behind(self) -> bool:
        """Records wait that could not be sent yet: nothing new can be promised."""
        return bool(self._ready) or self._unread is not None

    @property
    def empty(self) -> bool:
        """Everything put is acknowledged, heartbeats included."""
        return not (self.waiting or self.behind or self._beats)

    def put(self, topic: str, values: list[bytes], received_s: float = 0.0) -> None:
        """Write framed records of one topic, behind everything put before. Raises UnavailableError of the disk."""
        first = self._stamped.get(topic, SHARED)
        if topic in self._stamped:
            self._stamped[topic] += len(values)
        frame = Frame(topic, first, values, received_s)
        if self._unread is None and self._ready_records + len(values) > self._window.kept_records:
            self._unread = self._spool.end
        sequence = self._spool.append(frame)
        if self._unread is None:
            self._ready.append((sequence, frame))
            self._ready_records += len(values)

    def beat(self, row: Mapping[str, Any]) -> None:
        """Write a heartbeat (its ``next_offset`` is filled in) when everything put before is acknowledged."""
        self._beats.append(_Beat(self._spool.next_sequence, row))

    # Serving

    def serve(self, timeout_s: float) -> None:
        """Send what there is room for, and take acknowledgements. Raises UnavailableError, ConflictError."""
        while self._in_flight < self._window.sent_records and (found := self._next()) is not None:
            self._send(*found)
        self._poll(timeout_s)
        self._send_beats()
        self._spool.sync_due()
        if not self.waiting:
            self._progress_s = self._clock_s()
        metrics.SPOOL_BYTES.set(self._spool.size_bytes)

    def close(self) -> None:
        """Sync the spool; what was not acknowledged is sent by the next run."""
        self._sender.abandon()
        self._spool.close()

    @property
    def waiting(self) -> bool:
        """Acknowledgements are still to come."""
        return bool(self._flights) or self._beats_in_flight > 0

    def _next(self) -> tuple[int, Frame] | None:
        """The next frame to send, from memory or from the disk."""
        if self._ready:
            sequence, frame = self._ready.popleft()
            self._ready_records -= len(frame.values)
            return sequence, frame
        if self._unread is not None:
            found = self._spool.read(self._unread)
            if found is not None:
                return found
            self._unread = None
        return None

    def _send(self, sequence: int, frame: Frame) -> None:
        values = frame.values
        if frame.first_offset != SHARED:
            values = values[self._sender.next_offsets[frame.topic] - frame.first_offset :]
        elif sequence < self._earlier:
            values = [value for value in values if not self._is_known(value)]
        flight = _Flight(sequence, frame, frame.first_offset + len(frame.values), done=not values)
        self._flights.append(flight)
        self._in_flight += len(frame.values)
        if values:
            self._sender.send(frame.topic, values, lambda: self._landed(flight))

    def _landed(self, flight: _Flight) -> None:
        flight.done = True
        self._progress_s = self._clock_s()
        if flight.frame.received_s:
            metrics.ADDED_LATENCY.observe(self._progress_s - flight.frame.received_s)

    def _poll(self, timeout_s: float) -> None:
        self._sender.serve(timeout_s)
        landed = -1
        while self._flights and self._flights[0].done:
            flight = self._flights.popleft()
            frame = flight.frame
            self._in_flight -= len(frame.values)
            if frame.first_offset != SHARED:
                self._acknowledged[frame.topic] = flight.next_offset
            metrics.STORED.labels(frame.topic).inc(len(frame.values))
            landed = flight.sequence
        if landed >= 0:
            self._spool.release(landed + 1)

    def _send_beats(self) -> None:
        first = self._first_waiting()
        while self._beats and self._beats[0].after_sequence <= first:
            row = self._beats.popleft().row
            self._beats_in_flight += 1
            self._sender.send_beat({**row, "next_offset": self._acknowledged[row["topic"]]}, self._beat_landed)

    def _first_waiting(self) -> int:
        """Sequence number of the oldest frame that is not acknowledged."""
        if self._flights:
            return self._flights[0].sequence
        if self._ready:
            return self._ready[0][0]
        if self._unread is not None:
            return -1
        return self._spool.next_sequence

    def _beat_landed(self) -> None:
        self._beats_in_flight -= 1
        self._progress_s = self._clock_s()

    def _wait(self) -> None:
        self._sender.serve(0.05)
