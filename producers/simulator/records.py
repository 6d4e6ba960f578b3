"""The exchange's records, written straight into buffers in the vendor's layouts (DBN: MBO, MBP-10, trades)."""

from __future__ import annotations

import numpy as np

from common.jit import inlined, kernel
from producers.simulator.draws import below
from producers.simulator.shapes import (
    ASK,
    BID,
    LEVELS,
    MBO_WORDS,
    MBP_WORDS,
    NONE,
    ROOM_ROWS,
    TRADE_WORDS,
    World,
)

INSTRUMENT_ID = 4916
PUBLISHER_ID = 1
BASE_TICK = 20_000
"""Tick of 0.25 points that the book's tick 0 stands for: 5,000 points."""

FIRST_ORDER_ID = 6_412_777_000_000
TICK_1E9 = 250_000_000
LAST_FLAG = 128
SNAPSHOT_FLAG = 32
_UNDEFINED = np.uint64(2**63 - 1)

_RTYPES = {"mbo": 160, "mbp": 10, "trade": 0}


def _head(words: int, rtype: int) -> np.uint64:
    return np.uint64(words * 2 | rtype << 8 | PUBLISHER_ID << 16 | INSTRUMENT_ID << 32)


_MBO_HEAD = _head(MBO_WORDS, _RTYPES["mbo"])
_MBP_HEAD = _head(MBP_WORDS, _RTYPES["mbp"])
_TRADE_HEAD = _head(TRADE_WORDS, _RTYPES["trade"])
_BID_LETTER, _ASK_LETTER, _TRADE_LETTER = ord("B"), ord("A"), ord("T")
_MBP_LAST = np.uint64(LAST_FLAG << 48)
_MBO_LAST = np.uint64(LAST_FLAG << 32)
_DELAY_NS, _DELAY_SPAN_NS = 120_000, 90_000
_IN_DELTA_NS, _IN_DELTA_SPAN_NS = 13_000, 4_000


@inlined
def price_of(tick: int) -> np.uint64:
    """A tick's price in 1e-9 points."""
    return np.uint64((BASE_TICK + tick) * TICK_1E9)


@inlined
def _side_letter(side: int) -> int:
    return _ASK_LETTER if side == 1 else _BID_LETTER


@kernel
def begin(w: World, ts_ns: int) -> None:
    """Open the event of that time, or 1 ns after the one before."""
    s = w.market
    s.now_ns = max(ts_ns, s.last_ns + 1)
    s.last_ns = s.now_ns
    s.recv_ns = max(s.recv_ns, s.now_ns + _DELAY_NS + below(w.rng, _DELAY_SPAN_NS))
    s.in_delta = _IN_DELTA_NS + below(w.rng, _IN_DELTA_SPAN_NS)
    s.sequence += 1 + below(w.rng, 3)


@kernel
def finish(w: World) -> None:
    """Close the event: mark its last records, and note where the best prices are."""
    s = w.market
    if w.rows.mbp > 0 and w.mbp[w.rows.mbp - 1, 1] == np.uint64(s.now_ns):
        w.mbp[w.rows.mbp - 1, 3] |= _MBP_LAST
    if w.rows.mbo > 0 and w.mbo[w.rows.mbo - 1, 1] == np.uint64(s.now_ns):
        w.mbo[w.rows.mbo - 1, 4] |= _MBO_LAST
    mid2 = s.best[BID] + s.best[ASK]
    if mid2 != s.mid2:
        s.mid2 = mid2
        w.path[w.rows.path, 0] = s.now_ns
        w.path[w.rows.path, 1] = mid2 + 2 * BASE_TICK
        w.rows.path += 1


@kernel
def is_full(w: World) -> bool:
    """Whether a buffer may have no room for another event."""
    full: bool = max(w.rows.mbo, w.rows.mbp, w.rows.causes) + ROOM_ROWS > len(w.mbo)
    return full


@inlined
def _stamp(w: World) -> np.uint64:
    return np.uint64(w.market.in_delta) | np.uint64(w.market.sequence & 0xFFFFFFFF) << np.uint64(32)


@kernel
def tell_order(w: World, letter: int, side: int, tick: int, size: int, order_id: int) -> None:
    """An MBO record."""
    row = w.mbo[w.rows.mbo]
    w.rows.mbo += 1
    row[0] = _MBO_HEAD
    row[1] = np.uint64(w.market.now_ns)
    row[2] = np.uint64(FIRST_ORDER_ID + order_id)
    row[3] = price_of(tick)
    row[4] = np.uint64(size | letter << 48 | _side_letter(side) << 56)
    row[5] = np.uint64(w.market.recv_ns)
    row[6] = _stamp(w)


@kernel
def tell_cause(w: World, side: int, tick: int, size: int, cause: int) -> None:
    """A line of the truth."""
    row = w.causes[w.rows.causes]
    w.rows.causes += 1
    row[0], row[1], row[2], row[3], row[4] = w.market.now_ns, side, tick, size, cause


@kernel
def tell_shown(w: World, letter: int, side: int, tick: int, size: int) -> None:
    """An MBP-10 record with the ten best levels of both sides."""
    row = w.mbp[w.rows.mbp]
    w.rows.mbp += 1
    row[0] = _MBP_HEAD
    row[1] = np.uint64(w.market.now_ns)
    row[2] = price_of(tick)
    row[4] = np.uint64(w.market.recv_ns)
    row[5] = _stamp(w)
    depth = 0
    for level in range(LEVELS):
        at = 6 + 4 * level
        row[at + 2] = 0
        row[at + 3] = 0
        for own in range(2):
            there = w.levels[own, level, 0]
            if there == NONE:
                row[at + own] = _UNDEFINED
                continue
            row[at + own] = price_of(there)
            row[at + 2] |= np.uint64(w.levels[own, level, 1]) << np.uint64(32 * own)
            row[at + 3] |= np.uint64(w.levels[own, level, 2]) << np.uint64(32 * own)
            if own == side and (tick - there) * (1 if side == 1 else -1) > 0:
                depth = level + 1
    row[3] = np.uint64(size | letter << 32 | _side_letter(side) << 40 | min(depth, LEVELS - 1) << 56)


@kernel
def tell_trade(w: World, aggressor: int, tick: int, size: int) -> None:
    """A trade: in MBO, in MBP-10 before the changes that it causes, and in the trades."""
    tell_order(w, _TRADE_LETTER, aggressor, tick, size, 0)
    tell_shown(w, _TRADE_LETTER, aggressor, tick, size)
    book_row = w.mbp[w.rows.mbp - 1]
    # A trade is at the best price: depth 0.
    book_row[3] &= np.uint64(2**56 - 1)
    row = w.trades[w.rows.trades]
    w.rows.trades += 1
    row[0] = _TRADE_HEAD
    for k in range(1, TRADE_WORDS):
        row[k] = book_row[k]
