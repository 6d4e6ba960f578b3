"""Messages of the made-up stock and option feeds, the price that they follow, and their capture file."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from producers.massive.capture import line_of
from producers.simulator.files import CompressedFile
from producers.simulator.ratio import TICKS_PER_POINT, ratio_at

NS_PER_MS = 1_000_000
FRAME_NS = 10 * NS_PER_MS
"""Messages of one channel that arrive within it come in one frame."""

FRAME_MESSAGES = 40
REMEMBERED_NS = 1_000 * NS_PER_MS
EARLIEST_NS = 60 * NS_PER_MS
"""No message of a later look at the market arrives earlier than so long before that look."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message (``stocks``, ``options``) or one contract of a snapshot (``chain``), and when it was received."""

    recv_ns: int
    channel: str
    body: dict[str, Any]


class Underlying:
    """SPY's fair price: ES, over the ratio. It is known from about a second before what was added last."""

    def __init__(self) -> None:
        self._ns: list[int] = []
        self._mid2: list[int] = []

    def add(self, path: NDArray[np.int64]) -> None:
        """Go on: times, and best bid plus best ask from then on."""
        self._ns += path[:, 0].tolist()
        self._mid2 += path[:, 1].tolist()

    def forget(self, until_ns: int) -> None:
        """What is older than REMEMBERED_NS before ``until_ns`` is not asked for again."""
        place = bisect_right(self._ns, until_ns - REMEMBERED_NS) - 2
        if place > 0:
            del self._ns[:place], self._mid2[:place]

    def moves_ns(self, begin_ns: int, end_ns: int) -> list[int]:
        """When it moved, begin <= t < end."""
        return self._ns[bisect_right(self._ns, begin_ns - 1) : bisect_right(self._ns, end_ns - 1)]

    def at(self, ts_ns: int) -> float:
        """USD at that time."""
        place = max(bisect_right(self._ns, ts_ns) - 1, 0)
        return self._mid2[place] / (2 * TICKS_PER_POINT) / ratio_at(ts_ns)

    def moved(self, ts_ns: int) -> int:
        """Direction of the last move: 1, -1, or 0 before there was one."""
        place = bisect_right(self._ns, ts_ns) - 1
        if place < 1:
            return 0
        return 1 if self._mid2[place] > self._mid2[place - 1] else -1


def arrival(rng: random.Random, ts_ns: int, least_ms: int, most_ms: int, rare_ms: int) -> int:
    """When a message of that time arrives: now and then one is ``rare_ms`` later than the others."""
    delay_ns = rng.randint(least_ms * NS_PER_MS, most_ms * NS_PER_MS)
    return ts_ns + delay_ns + (rare_ms * NS_PER_MS if rng.random() < 0.01 else 0)


class Clock:
    """Times with random pauses of ``mean_ms`` between them, from ``begin_ns`` on."""

    def __init__(self, rng: random.Random, begin_ns: int, mean_ms: int) -> None:
        self._rng = rng
        self._span_ns = 2 * mean_ms * NS_PER_MS
        self._next_ns = begin_ns + rng.randint(1, self._span_ns)

    def until(self, end_ns: int) -> Iterator[int]:
        """The next times before ``end_ns``."""
        while self._next_ns < end_ns:
            yield self._next_ns
            self._next_ns += self._rng.randint(1, self._span_ns)


class CaptureFile:
    """The capture in the making: messages go in, lines come out in the order in which frames were whole."""

    def __init__(self, path: Path) -> None:
        self._file = CompressedFile(path)
        self._number = 0
        self._messages: list[tuple[int, int, Message]] = []
        self._open: dict[str, list[Message]] = {}
        self._whole: list[tuple[int, int, list[Message]]] = []

    def add(self, messages: Iterable[Message], until_ns: int) -> None:
        """Take messages in; those added later belong to times from ``until_ns`` on."""
        for message in messages:
            self._number += 1
            heapq.heappush(self._messages, (message.recv_ns, self._number, message))
        while self._messages and self._messages[0][0] < until_ns - EARLIEST_NS:
            self._frame(heapq.heappop(self._messages)[2])

    def close(self) -> Path:
        """Write the rest; the file is whole."""
        while self._messages:
            self._frame(heapq.heappop(self._messages)[2])
        for channel in list(self._open):
            self._end(channel)
        self._write(self._whole[-1][0] if self._whole else 0, everything=True)
        return self._file.close()

    def _frame(self, message: Message) -> None:
        for channel, frame in list(self._open.items()):
            if message.recv_ns - frame[0].recv_ns > FRAME_NS:
                self._end(channel)
        frame = self._open.setdefault(message.channel, [])
        frame.append(message)
        if len(frame) == FRAME_MESSAGES and message.channel != "chain":
            self._end(message.channel)
        self._write(message.recv_ns - FRAME_NS)

    def _end(self, channel: str) -> None:
        frame = self._open.pop(channel)
        self._number += 1
        heapq.heappush(self._whole, (frame[-1].recv_ns, self._number, frame))

    def _write(self, until_ns: int, everything: bool = False) -> None:
        """Write the frames before which no other can come any more."""
        while self._whole and (everything or self._whole[0][0] < until_ns):
            frame = heapq.heappop(self._whole)[2]
            bodies = orjson.dumps([message.body for message in frame])
            self._file.write(line_of(frame[-1].recv_ns, frame[0].channel, bodies))
