"""A Databento live gateway that plays DBN files: the vendor's own ``databento.Live`` connects to it unmodified.

The market goes on whether anybody listens or not, at a multiple of real time from the first session on; as fast as it
is read it goes on with its reader. What was published can be replayed, for 24 hours of its time, from a subscription's
``start`` on. A ledger says what was sent, in positions of the broadcast (:class:`.databento_broadcast.Broadcast`).

    python -m tests.support.databento_gateway --file es.dbn.zst --speed max --ledger sent.jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from tests.support.databento_broadcast import Broadcast, Fault, faults_of
from tests.support.databento_session import Session

TEST_KEY = "db-only-for-the-tests-0123456789"
REPLAY_NS = 24 * 3_600 * 1_000_000_000
MARKET_FAULTS = ("reorder", "duplicate")


class Ledger:
    """What was sent, as JSON lines in memory and, where one is given, in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self._file: TextIO | None = None if path is None else path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        """Append one line; it is on its way to the disk when this returns."""
        with self._lock:
            self.lines.append(entry)
            if self._file is not None:
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class LiveGateway:
    """Listens on ``port`` (0: a free one) from construction on; a context manager.

    ``speed``: event time per real time, None as fast as it is read. ``heartbeat_s``: the interval between heartbeats,
    None what the client asks for. ``faults`` that belong to the market must be in the broadcast already. ``held``: the
    market begins no sooner than `release` is called (with a speed only).
    """

    def __init__(
        self,
        broadcast: Broadcast,
        *,
        port: int = 0,
        key: str = TEST_KEY,
        speed: float | None = None,
        faults: Sequence[Fault] = (),
        heartbeat_s: float | None = None,
        ledger: Path | None = None,
        held: bool = False,
    ) -> None:
        self.broadcast = broadcast
        self.key = key
        self.heartbeat_s = heartbeat_s
        self.ledger = Ledger(ledger)
        self.replayable = 0
        self.closing = False
        self._speed = speed
        self._times = [entry.at_ns for entry in broadcast.entries]
        self._faults = sorted((f for f in faults if f.kind not in MARKET_FAULTS), key=lambda f: f.at)
        self._lock = threading.Lock()
        self._position = 0
        self._begun_s: float | None = None
        self._held = held
        self._wanted = False
        self._moved_s = time.monotonic()
        self._refusals = 0
        self._away_s = 0.0
        self._ended = False
        self._sessions: list[Session] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="gateway", daemon=True).start()

    def __enter__(self) -> LiveGateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up and listen no more."""
        self.closing = True
        self._hang_up()
        for session in self._sessions:
            session.hang_up()
        self.ledger.close()

    def _hang_up(self) -> None:
        # A listener that is only closed would let its accept wait on.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self.closing:
                    return
                time.sleep(self._away_s)
                self._listener = socket.create_server(("127.0.0.1", self.port))
                continue
            number = len(self._sessions) + 1
            session = Session(self, connection, number)
            self._sessions.append(session)
            threading.Thread(target=session.serve, name=f"session-{number}", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Everything has been published."""
        with self._lock:
            return self._ended

    # The market's clock

    def now_ns(self) -> int:
        """The gateway's clock: the market's, which goes on in real time when nothing is left to publish."""
        with self._lock:
            position, moved_s, begun_s = self._position, self._moved_s, self._begun_s
        if self._speed is not None:
            if begun_s is None:
                return self._times[0]
            return self._times[0] + round((time.monotonic() - begun_s) * self._speed * 1e9)
        last_ns = self._times[max(position - 1, 0)]
        return last_ns + round((time.monotonic() - moved_s) * 1e9)

    def position(self) -> int:
        """How many records the market has published."""
        if self._speed is not None:
            self.advance(bisect_right(self._times, self.now_ns()) if self._begun_s is not None else 0)
        with self._lock:
            return self._position

    def published(self, wish: int) -> int:
        """How far a reader that would like to be at ``wish`` can read: all there is, when the market waits for it."""
        return min(wish, len(self._times)) if self._speed is None else min(wish, self.position())

    def started(self) -> int:
        """A session begins, and with the first one the market; returns the session's position."""
        with self._lock:
            self._wanted = True
            self._begin()
        return self.position()

    def release(self) -> None:
        """A market that was held may begin."""
        with self._lock:
            self._held = False
            self._begin()

    def _begin(self) -> None:
        if self._wanted and not self._held and self._begun_s is None:
            self._begun_s = time.monotonic()

    def advance(self, position: int) -> None:
        """The market has published at least this much."""
        with self._lock:
            if position > self._position:
                self._position = position
                self._moved_s = time.monotonic()
            ended = self._position >= len(self._times) and not self._ended
            self._ended = self._ended or ended
        if ended:
            self.ledger.write(event="end", records=len(self._times))

    def replayable_from_ns(self) -> int:
        """The earliest start that a subscription may name, besides 0."""
        oldest_ns = self.now_ns() - REPLAY_NS
        return max(oldest_ns, self._times[self.replayable]) if self.replayable else oldest_ns

    # Faults

    def refuses(self) -> bool:
        """Whether the login at hand is one of those to refuse."""
        with self._lock:
            self._refusals -= 1
            return self._refusals >= 0

    def due_fault(self, position: int) -> Fault | None:
        """The fault for this position, which then has happened."""
        with self._lock:
            if self._faults and self._faults[0].at <= position:
                return self._faults.pop(0)
        return None

    def next_fault(self, position: int) -> int:
        """The position before which nothing goes wrong."""
        with self._lock:
            return max(self._faults[0].at, position) if self._faults else len(self._times)

    def broken(self, fault: Fault, position: int) -> None:
        """A connection breaks: what happens while it is away."""
        missed = fault.count if fault.kind in ("drop", "lose") else 0
        end = min(position + missed, len(self._times))
        if fault.kind == "lose":
            self.replayable = end
            self.ledger.write(lost=[position, end])
        self.advance(end)
        if fault.kind == "refuse":
            self._refusals = fault.count
        if fault.kind == "restart":
            self._away_s = fault.seconds
            self._hang_up()


def main() -> None:
    """Play files until the process is ended; the first line of the output names the port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", type=Path, action="append", required=True, help="DBN file; repeatable")
    parser.add_argument("--speed", default="max", help="max, or a multiple of real time")
    parser.add_argument("--faults", type=Path, help="JSON list of faults")
    parser.add_argument("--ledger", type=Path, help="JSON lines of what was sent")
    parser.add_argument("--heartbeat", type=float, help="seconds between heartbeats; else what the client asks for")
    parser.add_argument("--hold", action="store_true", help="the market begins when a line comes on stdin")
    given = parser.parse_args()
    faults = faults_of(given.faults) if given.faults else []
    gateway = LiveGateway(
        Broadcast.of(given.file, faults),
        port=given.port,
        speed=None if given.speed == "max" else float(given.speed),
        faults=faults,
        heartbeat_s=given.heartbeat,
        ledger=given.ledger,
        held=given.hold,
    )
    said = {"port": gateway.port, "key": gateway.key, "dataset": gateway.broadcast.dataset}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    if given.hold:
        sys.stdin.readline()
        gateway.release()
    threading.Event().wait()


if __name__ == "__main__":
    main()
