"""What became of displayed liquidity: per record, per tick, per side (DESIGN 4.5, plan §5.1.1).

A tick's change counts only when the tick is visible in both books. Lost depth is filled up to the passive volume that
traded at that tick at the same ts_event, the rest was pulled; volume beyond the lost depth was hidden or replenished.
Sums over W_b are running totals: a log of (bucket, side, tick) entries is added on arrival and subtracted when it
leaves the window, so they are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel
from processors.engine.shapes import (
    ADDED,
    ASK,
    BID,
    CANCELED,
    DEPTH,
    FILLED,
    HIDDEN,
    TICK_MASK,
    TICKS,
    Integers,
    Scalars,
)
from processors.engine.window import WindowedSums, add

MISSING = -(2**31)


@inlined
def add_pending(s: Scalars, side: int, tick: int, size: int) -> None:
    """Remember volume that traded against resting orders of ``side`` at this ts_event."""
    key = side * TICKS + (tick & TICK_MASK)
    if s.pending[key] < 0:
        s.pending_key[s.pending_count] = key
        s.pending_count += 1
        s.pending[key] = 0
    s.pending[key] += size


@inlined
def flush_pending(s: Scalars, flow: WindowedSums, bucket: int) -> None:
    """The ts_event is over: traded volume that no lost depth explains was hidden or replenished at once."""
    for n in range(s.pending_count):
        key = s.pending_key[n]
        left = s.pending[key]
        if left > 0:
            add(flow, bucket, key, HIDDEN, left)
        s.pending[key] = -1
    s.pending_count = 0


@kernel
def drop_pending(s: Scalars) -> None:
    """What became of the volume traded at this ts_event will never be known."""
    for n in range(s.pending_count):
        s.pending[s.pending_key[n]] = -1
    s.pending_count = 0


@inlined
def _change(s: Scalars, flow: WindowedSums, bucket: int, side: int, tick: int, delta: int) -> None:
    key = side * TICKS + (tick & TICK_MASK)
    if delta > 0:
        add(flow, bucket, key, ADDED, delta)
        return
    lost = -delta
    filled = min(lost, max(s.pending[key], 0))
    if filled > 0:
        s.pending[key] -= filled
        add(flow, bucket, key, FILLED, filled)
    if lost > filled:
        add(flow, bucket, key, CANCELED, lost - filled)


@inlined
def compare_books(
    s: Scalars, flow: WindowedSums, bucket: int, new_tick: NDArray[np.int32], new_size: NDArray[np.int32]
) -> None:
    """Count the changes from the state's last book to a new one. ``new_*`` [2, DEPTH], MISSING beyond the levels."""
    for side in range(2):
        sign = 1 if side == ASK else -1  # ticks times sign rise from the best price outwards
        moved = 0
        resized = 0
        for k in range(DEPTH):
            moved |= s.book_tick[side, k] ^ new_tick[side, k]
            resized |= s.book_size[side, k] ^ new_size[side, k]
        if moved == 0:
            # most records change sizes only
            if resized != 0:
                for k in range(DEPTH):
                    change = new_size[side, k] - s.book_size[side, k]
                    if change != 0:
                        _change(s, flow, bucket, side, new_tick[side, k], change)
            continue
        old_last = s.book_tick[side, DEPTH - 1]
        new_last = new_tick[side, DEPTH - 1]
        limit = 2**40  # outermost tick (times sign) visible in both books
        if old_last != MISSING:
            limit = old_last * sign
        if new_last != MISSING:
            limit = min(limit, new_last * sign)
        a = 0
        b = 0
        while True:
            old_at = s.book_tick[side, a] * sign if a < DEPTH and s.book_tick[side, a] != MISSING else 2**41
            new_at = new_tick[side, b] * sign if b < DEPTH and new_tick[side, b] != MISSING else 2**41
            at = min(old_at, new_at)
            if at > limit:
                break
            delta = 0
            if new_at == at:
                delta += new_size[side, b]
                b += 1
            if old_at == at:
                delta -= s.book_size[side, a]
                a += 1
            if delta != 0:
                _change(s, flow, bucket, side, at * sign, delta)


@inlined
def copy_book(ticks: NDArray[Any], sizes: NDArray[Any], to_ticks: Integers, to_sizes: Integers) -> None:
    """Copy a book, [2, DEPTH] each. (A slice assignment between arrays would allocate.)"""
    for side in range(2):
        for k in range(DEPTH):
            to_ticks[side, k] = ticks[side, k]
            to_sizes[side, k] = sizes[side, k]


@inlined
def ofi_at(s: Scalars, k: int) -> int:
    """Order flow imbalance of book level ``k`` between the last group end and the book now (Cont, Kukanov, Stoikov
    2014, eq. 4).
    """
    total = 0
    old, new = s.end_tick[BID, k], s.book_tick[BID, k]
    if new >= old:
        total += s.book_size[BID, k]
    if new <= old:
        total -= s.end_size[BID, k]
    # a missing ask is infinitely far, a missing bid (the sentinel is negative) already is
    old, new = s.end_tick[ASK, k], s.book_tick[ASK, k]
    if old == MISSING:
        old = 2**40
    if new == MISSING:
        new = 2**40
    if new <= old:
        total -= s.book_size[ASK, k]
    if new >= old:
        total += s.end_size[ASK, k]
    return total


@kernel
def zone_depth(ticks: Integers, sizes: Integers, side: int, tick: int, zone_ticks: int) -> int:
    """Displayed contracts within ``zone_ticks`` of ``tick`` in a book; -1 when the zone is not wholly visible."""
    last = ticks[side, DEPTH - 1]
    if last != MISSING:
        if side == BID and tick - zone_ticks < last:
            return -1
        if side == ASK and tick + zone_ticks > last:
            return -1
    total = 0
    for k in range(DEPTH):
        at = ticks[side, k]
        if at == MISSING:
            break
        if abs(at - tick) <= zone_ticks:
            total += sizes[side, k]
    return total
