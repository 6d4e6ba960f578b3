"""The arrays that the market's kernels share, and what stands where in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BID, ASK = 0, 1
SPAN_TICKS = 8_192
"""Ticks of 0.25 points that the book spans."""

SLOTS = 1 << 17
"""Orders that may stand in the book at once."""

LEVELS = 10
NONE = -1

MBO_WORDS, MBP_WORDS, TRADE_WORDS = 7, 46, 6
"""Length of the vendor's records in 64-bit words."""

ROOM_ROWS = 2_048
"""Rows that one event needs at most: the kernel pauses when a buffer has fewer left."""

FILL, CANCEL, ADD, REPLENISHED = 0, 1, 2, 3
CAUSES = ("FILL", "CANCEL", "ADD", "REPLENISHED")
"""Why a tick's displayed size changed; REPLENISHED is an iceberg's next piece."""

# Columns of an order: its number, tick, displayed and hidden contracts, an iceberg's piece, neighbours in the queue
# (slots; NONE at its ends). EMPTY is a stack of slots without an order.
ORDER_ID, TICK, SHOWN, RESERVE, PEAK, BEFORE, AFTER, EMPTY, ORDER_COLUMNS = range(9)

# Columns of a tick: first and last slot of its queue, displayed and hidden contracts, orders.
HEAD, TAIL, SIZE, HIDDEN, COUNT, TICK_COLUMNS = range(6)

# Rows of the tables, each of TABLE_LENGTH entries.
EXPONENTIAL, SHORT_NS, DISTANCE, ORDER_SIZE, TRADE_SIZE, USUAL, TABLES = range(7)
TABLE_BITS = 10
TABLE_LENGTH = 1 << TABLE_BITS

MARKET = np.dtype(
    [
        ("now_ns", np.int64),  # time of the event
        ("last_ns", np.int64),  # time of the event before
        ("recv_ns", np.int64),  # receipt of the event
        ("sequence", np.int64),
        ("next_id", np.int64),
        ("free", np.int64),  # free slots left
        ("best", np.int64, (2,)),  # best bid and ask
        ("tenth", np.int64, (2,)),  # the last ticks that are shown
        ("crowd_ns", np.int64),  # when each of them acts next
        ("zone_ns", np.int64),
        ("sweep_ns", np.int64),
        ("absorb_ns", np.int64),
        ("sweeps_left", np.int64),
        ("back_size", np.int64),  # what returns after the last order of a sweep
        ("burst_left", np.int64),  # a new level's size that is still to come
        ("burst_side", np.int64),
        ("burst_tick", np.int64),
        ("heat", np.int64),  # how excited the crowd is
        ("noise", np.int64),  # ticks beside the path
        ("noise_ns", np.int64),  # when that changes next
        ("mid2", np.int64),  # best bid plus best ask when last told
        ("in_delta", np.int64),
    ],
    align=True,
)
"""The state of the market."""

MOOD = np.dtype(
    [
        (name, np.int64)
        for name in (
            "begin_ns",
            "length_ns",
            "from_tick",
            "to_tick",
            "side",
            "zone_low",
            "zone_high",
            "wall_ns",
            "pull_ns",
            "sweep_ns",
            "sweep_low",
            "sweep_high",
            "refill",
            "absorb",
            "pause_ns",
            "wobble",
        )
    ],
    align=True,
)
"""What the phase is like (see `exchange.Mood`): ``refill`` in 1/1024, ``side`` NONE without a zone."""

WAITING = np.dtype([(name, np.int64) for name in ("mbo", "mbp", "trades", "causes", "path")], align=True)
"""Rows in use of each buffer."""

Record = Any
"""One record of MARKET, MOOD or WAITING; Numba reads and writes its fields as attributes."""


class World(NamedTuple):
    """All that the kernels work on: integers throughout, sizes in contracts, ticks from the book's base.

    ``orders`` int64[SLOTS, ORDER_COLUMNS]; ``ticks`` int64[2, SPAN_TICKS, TICK_COLUMNS], per side; ``levels``
    int64[2, 10, 3]: tick (NONE: no level), size and orders of the best levels. ``tables`` int64[TABLES, TABLE_LENGTH]:
    what draws are made from, each entry as likely, and the usual size of a level by its distance from the best.
    ``market``, ``mood`` and ``rows`` are records of MARKET, MOOD and WAITING. ``rng``: the generator's state.

    Records that wait to be written, in the vendor's layouts as 64-bit words: ``mbo``, ``mbp``, ``trades``. ``causes``:
    time, side, tick, contracts, cause. ``path``: time, and best bid plus best ask (in ticks from 0) from then on.
    """

    orders: NDArray[np.int64]
    ticks: NDArray[np.int64]
    levels: NDArray[np.int64]
    mbo: NDArray[np.uint64]
    mbp: NDArray[np.uint64]
    trades: NDArray[np.uint64]
    causes: NDArray[np.int64]
    path: NDArray[np.int64]
    tables: NDArray[np.int64]
    market: Record
    mood: Record
    rows: Record
    rng: NDArray[np.uint64]


def empty_world(seed: int, rows: int, tables: NDArray[np.int64]) -> World:
    """A book without orders and buffers of ``rows`` records, ROOM_ROWS more than are used before they are emptied."""
    orders = np.zeros((SLOTS, ORDER_COLUMNS), np.int64)
    orders[:, EMPTY] = np.arange(SLOTS)[::-1]
    ticks = np.zeros((2, SPAN_TICKS, TICK_COLUMNS), np.int64)
    ticks[:, :, (HEAD, TAIL)] = NONE
    levels = np.zeros((2, LEVELS, 3), np.int64)
    levels[:, :, 0] = NONE
    rows += ROOM_ROWS
    market, mood, waiting = (np.zeros(1, kind)[0] for kind in (MARKET, MOOD, WAITING))
    market["free"] = SLOTS
    return World(
        orders=orders,
        ticks=ticks,
        levels=levels,
        mbo=np.zeros((rows, MBO_WORDS), np.uint64),
        mbp=np.zeros((rows, MBP_WORDS), np.uint64),
        trades=np.zeros((rows, TRADE_WORDS), np.uint64),
        causes=np.zeros((rows, 5), np.int64),
        path=np.zeros((rows, 2), np.int64),
        tables=tables,
        market=market,
        mood=mood,
        rows=waiting,
        rng=np.array([seed % 2**64], np.uint64),
    )
