"""``python -m tests.support.counting_feed ORIGIN_NS``: a live producer of a vendor that sends a numbered trade every
two milliseconds from a moment of the wall clock on and replays nothing, so that what was not listened to is lost.

By the vendor's clock they are a second apart: hours pass in seconds, and tables computed by the hour grow meanwhile.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from common.telemetry import configure_logging
from common.topics import STOCKS_QUOTES, STOCKS_TRADES
from producers.event_ids import content_hashes
from producers.live.arrivals import Clock, Connection, Gap, Inbox, Records, Resume
from producers.live.service import serve_feed
from tests.support.event_batches import filled

BEGIN_NS = 1_700_000_000_000_000_000
EVERY_NS = 2_000_000
STEP_NS = 1_000_000_000
TICK_S = 0.01


def time_of(number: int) -> int:
    """When the vendor says that a trade was."""
    return BEGIN_NS + number * STEP_NS


class CountingFeed:
    """Trade number n is sent at ``origin_ns + n * EVERY_NS`` of the wall clock."""

    source = "massive"
    topics = (STOCKS_TRADES, STOCKS_QUOTES)
    repeats_are_events = False

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self, inbox: Inbox, resume: Resume) -> None:
        following = self._next()
        for topic in self.topics:
            last_ns = resume.last_event_ns[topic]
            if last_ns:
                inbox.put(Gap((topic,), last_ns + 1, time_of(following)))
        inbox.put(Connection(self.topics, "CONNECTED", time_of(following)))
        while not self._stop.wait(TICK_S):
            end = self._next()
            inbox.put(trades(range(following, end)))
            inbox.put(Clock(self.topics, time_of(end) - 1))
            following = end

    def _next(self) -> int:
        return (time.time_ns() - self._origin_ns) // EVERY_NS + 1


def trades(numbers: range) -> Records:
    """The trades of these numbers."""
    times = [time_of(number) for number in numbers]
    batch = filled(
        STOCKS_TRADES,
        len(times),
        {"ts_event_ns": times, "ts_recv_ns": times, "seq": list(numbers), "source": ["sim"] * len(times)},
    )
    hashes = content_hashes(STOCKS_TRADES, [np.array(times, np.uint64)])
    return Records(batch, hashes, time.monotonic())


if __name__ == "__main__":
    configure_logging("producer-massive")
    serve_feed(CountingFeed(int(sys.argv[1])), "SPY", None)
