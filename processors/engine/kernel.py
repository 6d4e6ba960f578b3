"""The loop over events and snaps: what applies when (DESIGN 4.1-4.3).

Events apply at their effective time. The snap at T covers events up to and including T and is decided before the
first event after T, or when the inputs promise that nothing up to T is left. Nothing here depends on how the stream
is cut into calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine.flows import MISSING, add_pending, compare_books, copy_book, flush_pending, ofi_at
from processors.engine.inputs import (
    ACTION_CLEAR,
    CHANGES_BOOK,
    FLAG_LAST,
    FLAG_MAYBE_BAD_BOOK,
    FLAG_SNAPSHOT,
    Books,
    Trades,
)
from processors.engine.levels import CANDIDATES
from processors.engine.snap import advance_ofi, emit_snap
from processors.engine.state import ASK, BID, DEPTH, Arrays, Floats, Integers, Parameters, SessionTable
from processors.engine.tape import add_trade, extend_run
from processors.engine.window import clear, has_room

DONE, ROWS_FULL, FLOW_FULL, TAPE_FULL = 0, 1, 2, 3
BOOK_EVENT, TRADE_EVENT = 0, 1

Scratch = tuple[Integers, Integers, Floats]
"""Kinds, keys and prices of the levels of one snap, CANDIDATES each: kernels do not allocate."""

_FAR_NS = 2**62
_FLOWS_PER_RECORD = 4 * DEPTH


@kernel
def _begin_session(st: Arrays, session: int, sessions: SessionTable) -> None:
    """Start anew; only the book itself goes on, as the baseline of what follows."""
    s = st.scalars[0]
    s.session = session
    s.session_date = sessions[0][session]
    s.session_open_ns = sessions[1][session]
    s.session_close_ns = sessions[2][session]
    clear(st.flow)
    clear(st.tape)
    st.ofi_ring[:] = 0
    st.depth_history[:] = -1
    s.depth_count = 0
    s.mid_count = 0
    s.run_side = 0
    s.sweep_tail = s.sweep_head
    s.gap_ts_ns = 0
    s.volume = 0
    s.delta = 0
    s.vwap_sum = 0.0
    s.session_high = 0.0
    s.session_low = 0.0
    s.level_count = 0
    s.continuous = 0
    s.instrument_fixed = 0


@kernel
def _enter_session(st: Arrays, sessions: SessionTable, last_open_ns: int) -> None:
    """Begin the latest session that opened at or before ``last_open_ns``, unless it is running already."""
    found = int(np.searchsorted(sessions[1], last_open_ns, side="right")) - 1
    if found > st.scalars[0].session:
        _begin_session(st, found, sessions)


@kernel
def _read_group(st: Arrays, bucket: int, in_session: bool) -> None:
    """The group has ended: read mid, trading state and order flow imbalance off the book."""
    s = st.scalars[0]
    bid = st.book_tick[BID, 0]
    ask = st.book_tick[ASK, 0]
    was_continuous = s.continuous == 1
    two_sided = MISSING not in (bid, ask) and bid < ask
    s.continuous = 1 if two_sided and in_session else 0
    if two_sided:
        s.mid2 = bid + ask
    if s.end_valid == 1 and was_continuous and s.continuous == 1:
        advance_ofi(st, bucket)
        at = bucket % len(st.ofi_ring)
        st.ofi_ring[at, 0] += ofi_at(st, 0)
        for k in range(DEPTH):
            st.ofi_ring[at, 1] += ofi_at(st, k)
    copy_book(st.book_tick, st.book_size, st.end_tick, st.end_size)
    s.end_valid = 1
    s.group_open = 0


@kernel
def _end_time(st: Arrays, bucket: int, in_session: bool) -> None:
    """No further record of this ts_event applies."""
    s = st.scalars[0]
    if s.group_open == 1:
        _read_group(st, bucket, in_session)
    flush_pending(st, bucket)


@kernel
def _flow_room(st: Arrays) -> bool:
    return has_room(st.flow, st.scalars[0].pending_count + _FLOWS_PER_RECORD)


@kernel
def _snaps_before(
    st: Arrays,
    p: Parameters,
    hotzones: Floats,
    sessions: SessionTable,
    before_ns: int,
    rows: NDArray[np.void],
    at: int,
    kinds: Integers,
    keys: Integers,
    prices: Floats,
) -> tuple[int, int]:
    """Decide every snap strictly before ``before_ns``. Returns (status, next free row)."""
    s = st.scalars[0]
    while s.next_snap_ns < before_ns:
        if at + CANDIDATES > len(rows):
            return ROWS_FULL, at
        if not _flow_room(st):
            return FLOW_FULL, at
        snap_ns = s.next_snap_ns
        _enter_session(st, sessions, snap_ns - 1)
        if s.session >= 0 and snap_ns <= s.session_close_ns:
            _end_time(st, snap_ns // p.snap_ns, True)
            at = emit_snap(st, p, hotzones, snap_ns, rows, at, kinds, keys, prices)
            s.next_snap_ns += p.snap_ns
        elif s.session + 1 < len(sessions[1]):
            s.next_snap_ns = (sessions[1][s.session + 1] // p.snap_ns + 1) * p.snap_ns
        else:
            s.next_snap_ns = _FAR_NS
    return DONE, at


@kernel
def _apply_book(st: Arrays, p: Parameters, books: Books, i: int, bucket: int, in_session: bool) -> None:
    s = st.scalars[0]
    instrument = books.instrument_id[i]
    if instrument != s.instrument_id:
        if s.instrument_fixed == 1:
            return  # another contract; which one is followed is fixed for the session
        s.instrument_id = instrument
        s.book_valid = 0
    s.instrument_fixed = 1
    event_ns = books.event_ns[i]
    if event_ns != s.group_ts_ns:
        _end_time(st, bucket, in_session)
        s.group_ts_ns = event_ns
    flags = books.flags[i]
    if CHANGES_BOOK[books.action[i]]:
        effective_ns = books.effective_ns[i]
        if flags & FLAG_MAYBE_BAD_BOOK:
            s.gap_ts_ns = effective_ns
            s.book_valid = 0
        if flags & FLAG_SNAPSHOT or books.action[i] == ACTION_CLEAR:
            s.book_valid = 0
        if s.book_valid == 1:
            if in_session and s.continuous == 1:
                compare_books(st, bucket, books.tick[i], books.size[i])
        else:
            s.baseline_ts_ns = effective_ns
            s.end_valid = 0
        copy_book(books.tick[i], books.size[i], st.book_tick, st.book_size)
        # an emptied or half-told book is no base for differences
        s.book_valid = 0 if books.action[i] == ACTION_CLEAR else 1
        s.book_ts_ns = effective_ns
        s.group_open = 1
    if flags & FLAG_LAST and s.group_open == 1:
        _read_group(st, bucket, in_session)


@kernel
def _apply_trade(st: Arrays, p: Parameters, trades: Trades, i: int, bucket: int, in_session: bool) -> None:
    s = st.scalars[0]
    if not in_session or (s.instrument_fixed == 1 and trades.instrument_id[i] != s.instrument_id):
        return
    event_ns = trades.event_ns[i]
    if event_ns != s.group_ts_ns:
        _end_time(st, bucket, in_session)
        s.group_ts_ns = event_ns
    tick = trades.tick[i]
    size = trades.size[i]
    sign = trades.sign[i]
    price = tick * p.tick_size / s.ratio
    if s.volume == 0:
        s.session_high = price
        s.session_low = price
    s.session_high = max(s.session_high, price)
    s.session_low = min(s.session_low, price)
    s.volume += size
    s.vwap_sum += price * size
    s.delta += sign * size
    add_trade(st, bucket, tick, size, sign)
    if sign != 0:
        extend_run(st, trades.effective_ns[i], tick, size, sign, p.sweep_gap_ns, p.sweep_min_amount)
        if s.continuous == 1:
            add_pending(st, BID if sign < 0 else ASK, tick, size)


@kernel
def run(
    st: Arrays,
    parameters: NDArray[np.void],
    hotzones: Floats,
    sessions: SessionTable,
    kind: NDArray[np.int8],
    index: Integers,
    books: Books,
    trades: Trades,
    start: int,
    until_ns: int,
    rows: NDArray[np.void],
    scratch: Scratch,
) -> tuple[int, int, int]:
    """Apply events ``start`` on, deciding snaps as they come due, then all snaps before ``until_ns``.

    Returns (status, next event, rows written). On a status other than DONE the caller makes room and calls again from
    there; what was done stays done.
    """
    p = parameters[0]
    s = st.scalars[0]
    kinds, keys, prices = scratch
    at = 0
    for n in range(start, len(kind)):
        i = index[n]
        is_book = kind[n] == BOOK_EVENT
        effective_ns = books.effective_ns[i] if is_book else trades.effective_ns[i]
        bucket = (effective_ns + p.snap_ns - 1) // p.snap_ns
        if s.next_snap_ns == 0:
            s.next_snap_ns = bucket * p.snap_ns
        if s.next_snap_ns < effective_ns:
            status, at = _snaps_before(st, p, hotzones, sessions, effective_ns, rows, at, kinds, keys, prices)
            if status != DONE:
                return status, n, at
        if not _flow_room(st):
            return FLOW_FULL, n, at
        if not has_room(st.tape, 1):
            return TAPE_FULL, n, at
        if s.session < 0 or effective_ns > s.session_close_ns:
            _enter_session(st, sessions, effective_ns)
        in_session = s.session >= 0 and effective_ns <= s.session_close_ns
        if is_book:
            if books.ok[i]:
                _apply_book(st, p, books, i, bucket, in_session)
            else:
                s.skipped += 1
        elif trades.ok[i]:
            _apply_trade(st, p, trades, i, bucket, in_session)
        else:
            s.skipped += 1
    if s.next_snap_ns > 0:
        status, at = _snaps_before(st, p, hotzones, sessions, until_ns, rows, at, kinds, keys, prices)
        if status != DONE:
            return status, len(kind), at
    return DONE, len(kind), at
