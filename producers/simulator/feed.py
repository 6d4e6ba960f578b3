"""Messages of the made-up stock and option feeds, and their capture file."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

from common.errors import InputError
from producers.massive.capture import line_of
from producers.simulator.market import Market
from producers.simulator.ratio import TICKS_PER_POINT, ratio_at

NS_PER_MS = 1_000_000
FRAME_NS = 10 * NS_PER_MS
"""Messages of one channel that arrive within it come in one frame."""

FRAME_MESSAGES = 40


@dataclass(frozen=True, slots=True)
class Message:
    """One message (``stocks``, ``options``) or one contract of a snapshot (``chain``), and when it was received."""

    recv_ns: int
    channel: str
    body: dict[str, Any]


class Underlying:
    """SPY's fair price: ES, over the ratio."""

    def __init__(self, market: Market) -> None:
        self.begin_ns = market.changes[0].ts_ns
        self.end_ns = market.ts_ns
        self.moves_ns = [ts_ns for ts_ns, _ in market.path]
        self._mid2 = [mid2 for _, mid2 in market.path]

    def at(self, ts_ns: int) -> float:
        """USD at that time."""
        place = max(bisect_right(self.moves_ns, ts_ns) - 1, 0)
        return self._mid2[place] / (2 * TICKS_PER_POINT) / ratio_at(ts_ns)

    def moved(self, ts_ns: int) -> int:
        """Direction of the last move: 1, -1, or 0 before there was one."""
        place = bisect_right(self.moves_ns, ts_ns) - 1
        if place < 1:
            return 0
        return 1 if self._mid2[place] > self._mid2[place - 1] else -1


def arrival(rng: random.Random, ts_ns: int, least_ms: int, most_ms: int, rare_ms: int) -> int:
    """When a message of that time arrives: now and then one is ``rare_ms`` later than the others."""
    delay_ns = rng.randint(least_ms * NS_PER_MS, most_ms * NS_PER_MS)
    return ts_ns + delay_ns + (rare_ms * NS_PER_MS if rng.random() < 0.01 else 0)


def pauses(rng: random.Random, begin_ns: int, end_ns: int, mean_ms: int) -> Iterator[int]:
    """Times with random pauses of that mean between them."""
    ts_ns = begin_ns
    while True:
        ts_ns += rng.randint(1, 2 * mean_ms * NS_PER_MS)
        if ts_ns >= end_ns:
            return
        yield ts_ns


def _frames(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Messages in the order in which they arrive, those of one channel and moment together."""
    open_frames: dict[str, list[Message]] = {}
    for message in sorted(messages, key=lambda item: item.recv_ns):
        for channel, frame in list(open_frames.items()):
            if message.recv_ns - frame[0].recv_ns > FRAME_NS:
                yield open_frames.pop(channel)
        frame = open_frames.setdefault(message.channel, [])
        frame.append(message)
        if len(frame) == FRAME_MESSAGES and message.channel != "chain":
            yield open_frames.pop(message.channel)
    yield from open_frames.values()


def write_capture(path: Path, messages: Iterable[Message]) -> Path:
    """Write the messages as a capture file. Raises InputError when it cannot."""
    lines = [
        line_of(frame[-1].recv_ns, frame[0].channel, orjson.dumps([message.body for message in frame]))
        for frame in sorted(_frames(list(messages)), key=lambda frame: frame[-1].recv_ns)
    ]
    return write_bytes(path, zstandard.ZstdCompressor(level=3).compress(b"".join(lines)))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all. Raises InputError when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="Choose another --out folder.") from None
    return path
