"""``python -m tests.support.counting_feed``: a live producer of a vendor that sends a numbered trade every two
milliseconds of wall clock and replays nothing, so that whatever was not listened to is lost.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from common.telemetry import configure_logging
from common.topics import STOCKS_QUOTES, STOCKS_TRADES
from producers.event_ids import content_hashes
from producers.live.arrivals import Clock, Connection, Gap, Inbox, Records, Resume
from producers.live.service import serve_feed
from tests.support.event_batches import filled

STEP_NS = 2_000_000
TICK_S = 0.01


class CountingFeed:
    """Trade number n is sent at ``n * STEP_NS`` since the epoch."""

    source = "massive"
    topics = (STOCKS_TRADES, STOCKS_QUOTES)
    repeats_are_events = False

    def __init__(self) -> None:
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self, inbox: Inbox, resume: Resume) -> None:
        following = time.time_ns() // STEP_NS + 1
        for topic in self.topics:
            last_ns = resume.last_event_ns[topic]
            if last_ns:
                inbox.put(Gap((topic,), last_ns + 1, following * STEP_NS))
        inbox.put(Connection(self.topics, "CONNECTED", following * STEP_NS))
        while not self._stop.wait(TICK_S):
            end = time.time_ns() // STEP_NS + 1
            inbox.put(trades(range(following, end)))
            inbox.put(Clock(self.topics, end * STEP_NS - 1))
            following = end


def trades(numbers: range) -> Records:
    """The trades of these numbers."""
    times = [number * STEP_NS for number in numbers]
    batch = filled(
        STOCKS_TRADES,
        len(times),
        {"ts_event_ns": times, "ts_recv_ns": times, "seq": list(numbers), "source": ["sim"] * len(times)},
    )
    hashes = content_hashes(STOCKS_TRADES, [np.array(times, np.uint64)])
    return Records(batch, hashes, time.monotonic())


if __name__ == "__main__":
    configure_logging("producer-massive")
    serve_feed(CountingFeed(), "SPY", None)
