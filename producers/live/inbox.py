"""Between the feed's thread and the producer's: bounded, in order. A full inbox holds the feed back."""

from __future__ import annotations

import threading
from collections import deque

from producers.live.arrivals import Arrival, Records, Stopped

INBOX_RECORDS = 50_000
"""Records that may wait to be taken."""

TAKE_RECORDS = 4_096
"""Records taken at once, beyond the first arrival."""


class BoundedInbox:
    """An inbox (:class:`producers.live.arrivals.Inbox`) for one taker."""

    def __init__(self, limit_records: int = INBOX_RECORDS) -> None:
        self._limit = limit_records
        self._arrivals: deque[Arrival] = deque()
        self._records = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, arrival: Arrival) -> None:
        """Append; waits while too many records do. Raises Stopped once the inbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._records < self._limit)
            if self._closed:
                raise Stopped
            self._arrivals.append(arrival)
            self._records += _weight(arrival)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> list[Arrival]:
        """The next arrivals, oldest first; none when nothing comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._arrivals) or self._closed, timeout_s)
            taken: list[Arrival] = []
            records = 0
            while self._arrivals and records < TAKE_RECORDS:
                arrival = self._arrivals.popleft()
                records += _weight(arrival)
                taken.append(arrival)
            self._records -= records
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take no more in; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def empty(self) -> bool:
        """Nothing waits to be taken."""
        with self._changed:
            return not self._arrivals


def _weight(arrival: Arrival) -> int:
    return arrival.batch.length if isinstance(arrival, Records) else 1
