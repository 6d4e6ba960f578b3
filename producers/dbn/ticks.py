"""DBN records straight to what the engine reads: a replay of files has no use for ids, dollars and names.

A book's levels become ticks in one pass over the bytes (:mod:`common.ticks`). What the engine makes of these batches is
what it makes of those of :class:`producers.dbn.DbnReader`, which ``tests/property/test_dbn_ticks.py`` holds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.columns import Batch, Column
from common.errors import InputError
from common.jit import inlined, kernel
from common.prices import ABSENT, ES_TICK_SIZE, GREATEST_TICK, tick_of
from common.ticks import ON_GRID, SIZES, TICKS
from producers.dbn.columns import DEPTH, INT32_MAX, PRICE_SCALE, UNDEFINED_PRICE, empty_head, read_head
from producers.dbn.file import DbnFile
from producers.dbn.parse import ACTIONS, AGGRESSORS, ANY, SIDES, TOPICS, WORD_BYTES, problem
from producers.letters.aside import SetAside, log_only
from producers.live.arrivals import Bad

BOOK, TRADES = "mbp-10", "trades"
SCHEMAS = (BOOK, TRADES)

BLOCK_RECORDS = 1024
"""Records whose bytes are read at a time: they stay in a near cache between decompression and the pass over them."""

_FREE_REFERENCES = 3
_TICK = int(ES_TICK_SIZE * PRICE_SCALE)
_EXACT_BELOW = GREATEST_TICK * _TICK
_ABSENT = int(ABSENT)
_HEAD_WORDS, _LEVEL_WORDS = 6, 4
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_BYTE = np.uint64(0xFF)
_BOTH_SIGNS = np.uint64(0x8000000080000000)


class Books(NamedTuple):
    """Columns of a batch of books, all of one length; the last three as in :mod:`common.ticks`."""

    ts_event_ns: NDArray[np.int64]
    instrument_id: NDArray[np.int64]
    seq: NDArray[np.int64]
    action: NDArray[np.int64]
    flags: NDArray[np.int64]
    ticks: NDArray[np.int32]
    sizes: NDArray[np.int32]
    on_grid: NDArray[np.bool_]


_WORDS_BYTES, _BOOK_BYTES = 5 * 8, 2 * DEPTH * 4
_ROOM_BYTES = _WORDS_BYTES + 2 * _BOOK_BYTES + 1


def room(length: int, block: NDArray[np.uint8] | None = None) -> Books:
    """Room for ``length`` books, in ``block`` where one of ``_ROOM_BYTES`` a book is given."""
    if block is None:
        block = np.empty(length * _ROOM_BYTES, np.uint8)
    words = block[: length * _WORDS_BYTES].view(np.int64).reshape(5, length)
    levels = block[length * _WORDS_BYTES : -length].view(np.int32).reshape(2, length, 2, DEPTH)
    event_ns, instrument, seq, action, flags = words
    ticks, sizes = levels
    return Books(event_ns, instrument, seq, action, flags, ticks, sizes, block[len(block) - length :].view(np.bool_))


class Rooms:
    """Rooms of one size, each used again once nothing refers to it any more: fresh memory costs more than the pass."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []

    def take(self, length: int) -> Books:
        """Room that nobody else reads."""
        size = length * _ROOM_BYTES
        self._blocks = [block for block in self._blocks if len(block) == size]
        # what the list, the loop and the call itself hold; every view of a block counts one more
        free = [block for block in self._blocks if sys.getrefcount(block) <= _FREE_REFERENCES]
        block = free[0] if free else np.empty(size, np.uint8)
        if not free:
            self._blocks.append(block)
        return room(length, block)


@kernel
def _tick(price: np.int64) -> int:
    """As :func:`common.prices.tick_of` of the price in dollars: exact where that is, without its division."""
    if 0 <= price < _EXACT_BELOW and price % _TICK == 0:
        return int(price // _TICK)
    return tick_of(price / PRICE_SCALE, ES_TICK_SIZE)


@inlined
def _read_ticks(words: NDArray[np.uint64], i: int, n: int, ticks: NDArray[np.int32]) -> bool:
    """Record ``i``'s levels as ticks; returns whether all are on the grid and none behind an absent one."""
    whole = True
    for k in range(DEPTH):
        at = _HEAD_WORDS + _LEVEL_WORDS * k
        for side in range(2):
            price = np.int64(words[i, at + side])
            if price == UNDEFINED_PRICE:
                ticks[n, side, k] = _ABSENT
                continue
            tick = _tick(price)
            ticks[n, side, k] = tick
            if tick == _ABSENT or (k > 0 and ticks[n, side, k - 1] == _ABSENT):
                whole = False
    return whole


@kernel
def read_books(
    words: NDArray[np.uint64], actions: NDArray[np.int32], sides: NDArray[np.int32], first: int, out: Books
) -> int:
    """Fill ``out`` from place ``first`` on. Returns the index of the first record with a value that its topic cannot
    hold (their number when there is none).
    """
    for i in range(len(words)):
        n = first + i
        about = words[i, 3]
        action = actions[(about >> _HALF) & _BYTE]
        out.ts_event_ns[n] = np.int64(words[i, 1])
        out.instrument_id[n] = np.int64(words[i, 0] >> _HALF)
        out.seq[n] = np.int64(words[i, 5] >> _HALF)
        out.action[n] = action
        out.flags[n] = np.int64((about >> np.uint64(48)) & _BYTE)
        good = action >= 0 and sides[(about >> np.uint64(40)) & _BYTE] >= 0 and (about & _LOW) <= INT32_MAX
        moved = np.uint64(i == 0)
        signs = np.uint64(0)
        for k in range(DEPTH):
            at = _HEAD_WORDS + _LEVEL_WORDS * k
            if i > 0:
                moved |= (words[i, at] ^ words[i - 1, at]) | (words[i, at + 1] ^ words[i - 1, at + 1])
            signs |= words[i, at + 2] | words[i, at + 3]
        # Most records leave all prices as they were.
        if moved != 0:
            out.on_grid[n] = _read_ticks(words, i, n, out.ticks)
        else:
            out.on_grid[n] = out.on_grid[n - 1]
            for k in range(DEPTH):
                out.ticks[n, 0, k] = out.ticks[n - 1, 0, k]
                out.ticks[n, 1, k] = out.ticks[n - 1, 1, k]
        for k in range(DEPTH):
            pair = words[i, _HEAD_WORDS + _LEVEL_WORDS * k + 2]
            out.sizes[n, 0, k] = np.int32(pair & _LOW) if out.ticks[n, 0, k] != _ABSENT else 0
            out.sizes[n, 1, k] = np.int32(pair >> _HALF) if out.ticks[n, 1, k] != _ABSENT else 0
        if not good or (signs & _BOTH_SIGNS) != 0:
            return i
    return len(words)


@kernel
def _last_instant(ts_ns: NDArray[np.int64]) -> int:
    """Where the run of the last time begins."""
    n = len(ts_ns) - 1
    while n > 0 and ts_ns[n - 1] == ts_ns[-1]:
        n -= 1
    return n


class TickReader:
    """A DBN file of one of `SCHEMAS` as batches for the engine, in file order: as `DbnReader`, without what only
    the log needs. A record with a value that its topic cannot hold is left out and told to ``set_aside``.
    """

    def __init__(self, path: Path, set_aside: SetAside = log_only) -> None:
        self._file = DbnFile(path)
        self._set_aside = set_aside
        self._damage: InputError | None = None
        self._held = room(0)
        self._rooms = Rooms()
        self.path = path
        self.name = path.name
        self.schema = self._file.header.schema
        self.topic = TOPICS[self.schema]
        self.begin_ns = 0

    def __enter__(self) -> TickReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, count: int) -> Batch | None:
        """The next ``count`` records at most, None at the end.

        Raises InputError when the next record is damaged, once every record before it has been handed out.
        """
        if self._damage is not None:
            raise self._damage
        batch = self._books(count) if self.schema == BOOK else self._trades(count)
        if batch.length == 0 and self._damage is not None:
            raise self._damage
        return batch if batch.length else None

    def _words(self, count: int) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
        """The next records, lent, also as 64-bit words; none at the end and before damage."""
        try:
            records = self._file.lend(count)
        except InputError as error:
            self._damage = error
            records = np.zeros(0, self._file.header.dtype)
        return records, records.view(np.uint64).reshape(len(records), records.dtype.itemsize // WORD_BYTES)

    def _leave_out(self, record: np.void, number: int) -> None:
        """Tell of a record with a value that its topic cannot hold."""
        what = problem(record, self.schema == BOOK)
        self._set_aside(self.name, Bad(self.topic, record.tobytes(), what, f"record {number}"))

    def _books(self, count: int) -> Batch:
        out = self._rooms.take(max(count, len(self._held.seq)))
        length = len(self._held.seq)
        for name, held in self._held._asdict().items():
            getattr(out, name)[:length] = held
        self._held = room(0)
        while length < count:
            first = self._file.records
            records, words = self._words(min(BLOCK_RECORDS, count - length))
            if len(records) == 0:
                break
            at = 0
            while at < len(records):
                good = read_books(words[at:], ACTIONS, SIDES, length, out)
                length += good
                at += good
                if at < len(records):
                    self._leave_out(records[at], first + at)
                    at += 1
        if length == count:
            length = self._hold_back(out)
        columns: dict[str, NDArray[Any]] = {
            **{name: getattr(out, name) for name in Books._fields[:5]},
            TICKS: out.ticks,
            SIZES: out.sizes,
            ON_GRID: out.on_grid,
        }
        return Batch(self.topic, length, {name: Column(values[:length]) for name, values in columns.items()})

    def _hold_back(self, out: Books) -> int:
        """Keep the last instant's records for the next batch.

        What comes later of that instant applies together with them: the merge would have to copy the batch for it.
        """
        begin = _last_instant(out.ts_event_ns)
        if begin == 0:
            return len(out.ts_event_ns)
        self._held = Books._make(column[begin:].copy() for column in out)
        return begin

    def _trades(self, count: int) -> Batch:
        first = self._file.records
        records, words = self._words(count)
        left_out = 0
        while True:
            head = empty_head(len(records))
            length = read_head(words, ANY, AGGRESSORS, head)
            if not head.price_valid.all():
                length = min(length, int(np.argmin(head.price_valid)))
            if length == len(records):
                break
            self._leave_out(records[length], first + length + left_out)
            records, words = np.delete(records, length), np.delete(words, length, axis=0)
            left_out += 1
        if length == 0 and left_out:
            return self._trades(count)
        columns: dict[str, NDArray[Any]] = {
            "ts_event_ns": head.ts_event_ns,
            "instrument_id": head.instrument_id,
            "seq": head.seq,
            "price": head.price,
            "size": head.size,
            "aggressor": head.side,
        }
        return Batch(self.topic, length, {name: Column(values[:length]) for name, values in columns.items()})
