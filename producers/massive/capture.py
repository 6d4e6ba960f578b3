"""Capture files: what was received from the vendor, frame by frame, as JSON lines, plain or zstd.

A file's name ends in ``.massive.jsonl`` or ``.massive.jsonl.zst``; a line is as :mod:`.parse` says. One file holds
records of several topics, each with a reader of its own over one pass of the file. A reader that runs ahead makes the
others' records wait in memory, as columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from common.columns import Batch, Column
from common.errors import InputError
from common.topics import COMPLEXES
from producers.blocks import blocks
from producers.event_ids import EventIds
from producers.letters.aside import SetAside, log_only
from producers.live.arrivals import Bad
from producers.massive.parse import TOPICS, BadMessage, LastQuotes, parse

SUFFIXES = (".massive.jsonl", ".massive.jsonl.zst")
CHUNK_LINES = 512


def is_capture(path: Path) -> bool:
    """Whether the name is a capture file's."""
    return path.name.endswith(SUFFIXES)


def line_of(ts_recv_ns: int, channel: str, messages: bytes) -> bytes:
    """A capture's line. ``messages``: the JSON array of messages as it was received."""
    return b'{"ts_recv_ns":%d,"channel":"%s","messages":%s}\n' % (ts_recv_ns, channel.encode(), messages)


class Capture:
    """An open capture file; a context manager. Opening raises InputError when it is missing, empty or unreadable.

    ``stale_ns``: how long an option's quote says something about its trades. A message that cannot be used is told to
    ``set_aside``; ``bad_count`` of them there were so far.
    """

    def __init__(self, path: Path, stale_ns: int, set_aside: SetAside = log_only) -> None:
        self.path = path
        self.bad_count = 0
        self._set_aside = set_aside
        self._blocks = blocks(path)
        self._lines = _lines(self._blocks)
        self._numbered = 0
        self._quotes = LastQuotes(stale_ns)
        self._damage: InputError | None = None
        self._ended = False
        self.readers = tuple(CaptureReader(self, topic) for topic in TOPICS)
        self._by_topic = {reader.topic: reader for reader in self.readers}
        self.read_on()
        if not any(reader.waiting for reader in self.readers):
            self._raise_damage()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading is over."""
        self._blocks.close()  # type: ignore[attr-defined]
        self._ended = True

    def read_on(self) -> bool:
        """Take the next lines in, for whichever topics they hold; False at the end. Raises InputError at damage."""
        self._raise_damage()
        if self._ended:
            return False
        lines: list[bytes] = []
        try:
            while len(lines) < CHUNK_LINES:
                lines.append(next(self._lines))
        except StopIteration:
            self._ended = True
        except InputError as error:
            self._damage = error
        parsed = parse(lines, self._quotes, COMPLEXES)
        for bad in parsed.bad:
            self.bad_count += 1
            self._set_aside(self.path.name, _letter(lines[bad.line], self._numbered + bad.line, bad))
        self._numbered += len(lines)
        for topic, records in parsed.records.items():
            self._by_topic[topic].take_in(records.batch, records.hashes)
        return True

    def _raise_damage(self) -> None:
        if self._damage is not None:
            raise self._damage


def _letter(line: bytes, number: int, bad: BadMessage) -> Bad:
    """The bad message alone, with the time of its receipt in its place; the line, where it is bad as a whole."""
    if bad.message is None:
        return Bad("massive.capture", line, bad.problem, f"line {number}")
    content = orjson.loads(line)
    value = orjson.dumps(content["messages"][bad.message])
    place = f"{content['ts_recv_ns']}/line {number}/{bad.message}"
    return Bad(f"massive.{content['channel']}", value, bad.problem, place)


class CaptureReader:
    """The records of one topic of a capture file, in file order, with event ids; see `producers.sequencer.Reader`."""

    def __init__(self, capture: Capture, topic: str) -> None:
        self.topic = topic
        self.name = capture.path.name
        self.begin_ns = 0
        self._capture = capture
        self._ids = EventIds()
        self._waiting: deque[Batch] = deque()

    @property
    def waiting(self) -> int:
        """Records that are read and not yet handed out."""
        return sum(batch.length for batch in self._waiting)

    def take_in(self, batch: Batch, hashes: NDArray[np.uint64]) -> None:
        """The file's next records of the topic."""
        ids = self._ids.assign(hashes)
        self._waiting.append(Batch(self.topic, batch.length, {**batch.columns, "event_id": Column(ids)}))

    def read(self, count: int) -> Batch | None:
        """The next records, ``count`` at most, None at the end. Raises InputError at damage."""
        while not self._waiting:
            if not self._capture.read_on():
                return None
        batch = self._waiting.popleft()
        if batch.length > count:
            self._waiting.appendleft(batch.slice(count, batch.length))
        return batch.slice(0, count)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of the bytes, without their ends; a last line without an end too."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line)
    if rest:
        yield rest
