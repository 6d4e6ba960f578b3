"""Kernels from DBN records, seen as 64-bit words, to columns: one pass over the records, not one per field.

The words of a record, in both layouts: 0 length, rtype, publisher and instrument; 1 ts_event; 2 price; 3 size, action,
side, flags and depth; 4 ts_recv; 5 ts_in_delta and sequence. A book goes on with four words per level: bid price, ask
price, both sizes, both counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel

DEPTH = 10
HASHED = 9
"""Words that make a record's content hash, in the order of :func:`producers.event_ids.content_hashes`."""

PRICE_SCALE = 1e9
"""Every 1 unit of a DBN price is 1e-9 dollars."""

UNDEFINED_PRICE = 2**63 - 1
INT32_MAX = 2**31 - 1
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_BOTH_SIGNS = np.uint64(0x8000000080000000)
_HEAD_WORDS = 6
_LEVEL_WORDS = 4
_BLOCK_RECORDS = 64
"""Records read level by level at a time: they stay in the nearest cache, and few columns are written at once."""


class Head(NamedTuple):
    """The columns that books and trades share; all of one length. ``hashed``: uint64[HASHED, n]."""

    instrument_id: NDArray[np.int64]
    ts_event_ns: NDArray[np.int64]
    ts_recv_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    size: NDArray[np.int32]
    flags: NDArray[np.int32]
    action: NDArray[np.int32]
    side: NDArray[np.int32]
    price: NDArray[np.float64]
    price_valid: NDArray[np.bool_]
    hashed: NDArray[np.uint64]


class Levels(NamedTuple):
    """A book's columns, one row per side and level, bids first: [2 * DEPTH, n].

    ``missing``: bool[2 * DEPTH], true for a level that some record lacks; a missing level's values are 0.
    """

    price: NDArray[np.float64]
    valid: NDArray[np.bool_]
    size: NDArray[np.int32]
    orders: NDArray[np.int32]
    missing: NDArray[np.bool_]


def empty_head(length: int) -> Head:
    """Room for ``length`` records."""
    kinds = {"size": np.int32, "flags": np.int32, "action": np.int32, "side": np.int32, "price": np.float64}
    columns = {name: np.empty(length, kinds.get(name, np.int64)) for name in Head._fields}
    columns |= {"price_valid": np.empty(length, np.bool_), "hashed": np.empty((HASHED, length), np.uint64)}
    return Head(**columns)


def empty_levels(length: int) -> Levels:
    """Room for ``length`` records."""
    rows = (2 * DEPTH, length)
    return Levels(
        np.empty(rows, np.float64),
        np.ones(rows, np.bool_),
        np.empty(rows, np.int32),
        np.empty(rows, np.int32),
        np.zeros(2 * DEPTH, np.bool_),
    )


@kernel
def read_head(words: NDArray[np.uint64], actions: NDArray[np.int32], sides: NDArray[np.int32], head: Head) -> int:
    """Fill the columns; ``actions`` and ``sides`` give each letter's code, -1 where it means nothing.

    Returns the index of the first record with a value that its column cannot hold (their number when there is none).
    """
    for i in range(len(words)):
        venue, about, sent = words[i, 0], words[i, 3], words[i, 5]
        price = np.int64(words[i, 2])
        size = about & _LOW
        action = (about >> _HALF) & np.uint64(0xFF)
        side = (about >> np.uint64(40)) & np.uint64(0xFF)
        head.instrument_id[i] = np.int64(venue >> _HALF)
        head.ts_event_ns[i] = np.int64(words[i, 1])
        head.ts_recv_ns[i] = np.int64(words[i, 4])
        head.seq[i] = np.int64(sent >> _HALF)
        head.size[i] = np.int32(size)
        head.flags[i] = np.int32((about >> np.uint64(48)) & np.uint64(0xFF))
        head.action[i] = actions[action]
        head.side[i] = sides[side]
        head.price_valid[i] = price != UNDEFINED_PRICE
        # Division, not multiplication by 1e-9, gives the double nearest to the decimal.
        head.price[i] = price / PRICE_SCALE if price != UNDEFINED_PRICE else 0.0
        head.hashed[0, i] = (venue >> np.uint64(16)) & np.uint64(0xFFFF)
        head.hashed[1, i] = venue >> _HALF
        head.hashed[2, i] = words[i, 1]
        head.hashed[3, i] = words[i, 4]
        head.hashed[4, i] = sent >> _HALF
        head.hashed[5, i] = action
        head.hashed[6, i] = side
        head.hashed[7, i] = words[i, 2]
        head.hashed[8, i] = size
        if size > INT32_MAX or head.action[i] < 0 or head.side[i] < 0:
            return i
    return len(words)


@kernel
def read_levels(words: NDArray[np.uint64], levels: Levels) -> int:
    """Fill the columns of the ten levels. Returns as :func:`read_head`."""
    bad = len(words)
    for begin in range(0, len(words), _BLOCK_RECORDS):
        end = min(begin + _BLOCK_RECORDS, len(words))
        for k in range(DEPTH):
            at = _HEAD_WORDS + _LEVEL_WORDS * k
            for side in range(2):
                _read_level(words, begin, end, at, side, side * DEPTH + k, levels)
            for i in range(begin, end):
                if (words[i, at + 2] | words[i, at + 3]) & _BOTH_SIGNS:
                    bad = min(bad, i)
    return bad


@inlined
def _read_level(words: NDArray[np.uint64], begin: int, end: int, at: int, side: int, row: int, levels: Levels) -> None:
    shift = _HALF * np.uint64(side)
    for i in range(begin, end):
        raw = words[i, at + side]
        if np.int64(raw) == UNDEFINED_PRICE:
            levels.price[row, i] = 0.0
            levels.valid[row, i] = False
            levels.missing[row] = True
            levels.size[row, i] = 0
            levels.orders[row, i] = 0
            continue
        # Most records leave most prices as they were: a division saved.
        if i > begin and words[i - 1, at + side] == raw:
            levels.price[row, i] = levels.price[row, i - 1]
        else:
            levels.price[row, i] = np.int64(raw) / PRICE_SCALE
        levels.size[row, i] = np.int32((words[i, at + 2] >> shift) & _LOW)
        levels.orders[row, i] = np.int32((words[i, at + 3] >> shift) & _LOW)
