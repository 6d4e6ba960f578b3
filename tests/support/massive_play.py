"""What a stand-in for Massive says and when, without sockets: a capture played to subscribers, faults, a ledger.

Every message of the capture gets one line in the ledger: what became of it. Messages of channels that nobody has ever
subscribed to are ``unsubscribed``; those that a subscriber misses because its connection is gone are ``missed``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import orjson
import zstandard

Action = Literal["send", "drop"]
Fate = Literal["sent", "missed", "unsubscribed", "garbage"]

GARBAGE = (
    b'[{"ev":"Q","sym":"SP',
    b"\x00\xff not json",
    b'{"no":"array"}',
    b'[{"ev":"T","sym":"SPY","p":"cheap","s":100,"t":1}]',
    b'[{"ev":"X","sym":"SPY"}]',
    b'[{"ev":"Q","sym":"SPY","bp":1,"bs":1,"ap":1,"as":1,"t":99999999999999}]',
    b"[17]",
)
"""Frames of which each is one dead letter on the channel of stocks."""


@dataclass(frozen=True, slots=True)
class Played:
    """A message of the capture: where in it, what it takes to hear it (``Q.SPY``), and the message."""

    number: int
    channel: str
    key: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlayedFrame:
    """A line of the capture: messages that were received at one moment, ns since the epoch."""

    at_ns: int
    channel: str
    messages: tuple[Played, ...]


def tape(path: Path) -> list[PlayedFrame]:
    """The lines of a capture, in their order."""
    raw = path.read_bytes()
    content = zstandard.decompress(raw, max_output_size=1 << 30) if path.suffix == ".zst" else raw
    out: list[PlayedFrame] = []
    number = 0
    for line in content.splitlines():
        frame = orjson.loads(line)
        channel = frame["channel"]
        messages = []
        for body in frame["messages"]:
            key = body["details"]["ticker"] if channel == "chain" else f"{body['ev']}.{body['sym']}"
            messages.append(Played(number, channel, key, body))
            number += 1
        out.append(PlayedFrame(frame["ts_recv_ns"], channel, tuple(messages)))
    return out


@dataclass(slots=True)
class Fault:
    """A thing that goes wrong on a channel once ``after`` messages of it were played (requests, for the chain).

    ``do``: drop (the connection), stall (``for_s``), reorder, duplicate, garbage (``count`` messages or frames), refuse
    (drop, and the key from then on); for the chain rate_limit, error, cut, slow (``for_s``), garbage.
    """

    channel: str
    after: int
    do: str
    count: int = 1
    for_s: float = 1.0


def faults_of(spec: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """The faults of a JSON specification."""
    return [Fault(**fault) for fault in spec]


class Ledger:
    """What became of everything, in memory and, line by line, in a file."""

    def __init__(self, file: TextIO | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._file = file

    def add(self, fate: Fate, channel: str, message: Played | None, copies: int = 1) -> None:
        """One message, or one frame of garbage."""
        entry: dict[str, Any] = {"fate": fate, "channel": channel, "copies": copies}
        if message is not None:
            entry |= {"number": message.number, "key": message.key, "body": message.body}
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(orjson.dumps(entry).decode() + "\n")
            self._file.flush()


def status(name: str, message: str) -> bytes:
    """A message of the connection itself, as the vendor sends it."""
    return orjson.dumps([{"ev": "status", "status": name, "message": message}])


@dataclass(slots=True)
class Channel:
    """One WebSocket channel of the stand-in: at most one connection, its subscriptions and its faults."""

    name: str
    key: str
    ledger: Ledger
    faults: deque[Fault] = field(default_factory=deque)
    refuses: bool = False
    connected: bool = False
    authenticated: bool = False
    subscribed: set[str] = field(default_factory=set)
    _expected: set[str] = field(default_factory=set)
    _played: int = 0
    _stalled_until_s: float = 0.0
    _stalled: list[bytes] = field(default_factory=list)
    _reordering: list[Played] = field(default_factory=list)
    _reorder: int = 0
    _duplicate: int = 0
    _garbage_sent: int = 0

    def connect(self) -> bytes:
        """A connection is made: what it hears first."""
        self.connected, self.authenticated = True, False
        self.subscribed = set()
        return status("connected", "Connected Successfully")

    def disconnect(self) -> list[bytes]:
        """The connection is gone, and with it what it was subscribed to; returns the frames that waited to be sent."""
        self.connected = self.authenticated = False
        self.subscribed = set()
        waiting, self._stalled, self._stalled_until_s = self._stalled, [], 0.0
        for message in self._reordering:
            self.ledger.add("missed", self.name, message)
        self._reordering, self._reorder = [], 0
        return waiting

    def control(self, text: str | bytes) -> list[bytes]:
        """The answers to what the client sends."""
        request = orjson.loads(text)
        params = str(request.get("params", ""))
        if request.get("action") == "auth":
            self.authenticated = params == self.key and not self.refuses
            name, message = ("auth_success", "authenticated") if self.authenticated else ("auth_failed", "bad key")
            return [status(name, message)]
        if not self.authenticated:
            return [status("error", "not authorized")]
        keys = [param.strip() for param in params.split(",") if param.strip()]
        if request.get("action") == "subscribe":
            if not self.subscribed:
                self._expected = set()
            self.subscribed |= set(keys)
            self._expected |= set(keys)
            return [status("success", f"subscribed to: {key}") for key in keys]
        self.subscribed -= set(keys)
        self._expected -= set(keys)
        return [status("success", f"unsubscribed to: {key}") for key in keys]

    def play(self, frame: PlayedFrame, now_s: float) -> Iterator[tuple[Action, bytes]]:
        """What happens when the frame's moment has come: frames to send and, at a drop, the end of the connection."""
        parts: list[bytes] = []
        for message in frame.messages:
            self._played += 1
            parts += self._offered(message)
            while self.faults and self.faults[0].after <= self._played:
                fault = self.faults.popleft()
                if fault.do in ("drop", "refuse"):
                    yield from self._sent(parts, now_s)
                    parts = []
                    self.refuses |= fault.do == "refuse"
                    if self.connected:
                        yield "drop", b""
                elif fault.do == "garbage":
                    yield from self._sent(parts, now_s)
                    parts = []
                    yield from self._garbage(fault.count, now_s)
                elif fault.do == "stall":
                    self._stalled_until_s = now_s + fault.for_s
                elif fault.do == "reorder":
                    self._reorder = fault.count
                elif fault.do == "duplicate":
                    self._duplicate = fault.count
                else:
                    raise ValueError(f"{self.name}: no fault {fault.do!r}")
        yield from self._sent(parts, now_s)

    def resume(self, now_s: float) -> Iterator[tuple[Action, bytes]]:
        """What waited for the end of a stall."""
        if self._stalled and now_s >= self._stalled_until_s:
            waiting, self._stalled = self._stalled, []
            yield from (("send", frame) for frame in waiting)

    def finish(self) -> Iterator[tuple[Action, bytes]]:
        """The end of the capture: what was still held back."""
        yield from (("send", frame) for frame in self._stalled)
        self._stalled = []
        yield from self._joined(self._released())

    def _offered(self, message: Played) -> list[bytes]:
        """The message as the subscriber gets it: at once, twice, later, or not at all."""
        if not self.connected or message.key not in self.subscribed:
            missed = message.key in self._expected
            self.ledger.add("missed" if missed else "unsubscribed", self.name, message)
            return []
        if self._reorder > 0:
            self._reorder -= 1
            self._reordering.append(message)
            return self._released() if self._reorder == 0 else []
        copies = 2 if self._duplicate > 0 else 1
        self._duplicate = max(self._duplicate - 1, 0)
        self.ledger.add("sent", self.name, message, copies)
        return [orjson.dumps(message.body)] * copies

    def _released(self) -> list[bytes]:
        waiting, self._reordering, self._reorder = self._reordering[::-1], [], 0
        for message in waiting:
            self.ledger.add("sent", self.name, message)
        return [orjson.dumps(message.body) for message in waiting]

    def _garbage(self, count: int, now_s: float) -> Iterator[tuple[Action, bytes]]:
        if not self.subscribed:
            return
        for _ in range(count):
            frame = GARBAGE[self._garbage_sent % len(GARBAGE)]
            self._garbage_sent += 1
            self.ledger.add("garbage", self.name, None)
            yield from self._queued(frame, now_s)

    def _sent(self, parts: list[bytes], now_s: float) -> Iterator[tuple[Action, bytes]]:
        for _, frame in self._joined(parts):
            yield from self._queued(frame, now_s)

    def _queued(self, frame: bytes, now_s: float) -> Iterator[tuple[Action, bytes]]:
        if self._stalled or now_s < self._stalled_until_s:
            self._stalled.append(frame)
        else:
            yield "send", frame

    @staticmethod
    def _joined(parts: list[bytes]) -> Iterator[tuple[Action, bytes]]:
        if parts:
            yield "send", b"[" + b",".join(parts) + b"]"


class Chain:
    """The option chain as of the moment reached: the newest entry of each contract, in pages."""

    def __init__(self, page_size: int) -> None:
        self._entries: dict[str, Played] = {}
        self._page_size = page_size

    def take(self, frame: PlayedFrame) -> None:
        """The contracts' new state."""
        self._entries.update((message.key, message) for message in frame.messages)

    def page(self, query: Mapping[str, str]) -> tuple[list[Played], str | None]:
        """The page that a query asks for, and the cursor of the next one, None at the end."""
        low, high = float(query.get("strike_price.gte", 0)), float(query.get("strike_price.lte", "inf"))
        first, last = query.get("expiration_date.gte", ""), query.get("expiration_date.lte", "9999")
        found = [
            entry
            for key, entry in sorted(self._entries.items())
            if low <= entry.body["details"]["strike_price"] <= high
            and first <= entry.body["details"]["expiration_date"] <= last
            and key > query.get("cursor", "")
        ]
        size = min(int(query.get("limit", self._page_size)), self._page_size)
        return found[:size], found[size - 1].key if len(found) > size else None
