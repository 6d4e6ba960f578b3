"""The loop over events and snaps: what applies when (DESIGN 4.1-4.3).

Events apply at their effective time. The snap at T covers events up to and including T and is decided before the
first event after T, or when the inputs promise that nothing up to T is left. Nothing here depends on how the stream
is cut into calls.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined, kernel
from processors.engine import order
from processors.engine.apply import (
    FLOWS_PER_RECORD,
    apply_book,
    apply_definition,
    apply_request,
    apply_status,
    apply_stock_quote,
    apply_stock_trade,
    apply_trade,
    end_time,
)
from processors.engine.episodes import censor_outcomes
from processors.engine.flows import drop_pending
from processors.engine.inputs import Books, Trades
from processors.engine.market_inputs import Definitions, Requests, Statuses, StockQuotes, StockTrades
from processors.engine.option_flow import has_flow_room
from processors.engine.option_inputs import Greeks, OptionQuotes, OptionTrades
from processors.engine.options import apply_greeks, apply_quote, has_contract_room
from processors.engine.options import apply_trade as apply_option_trade
from processors.engine.session import begin_session
from processors.engine.shapes import PENDING, Integers, Parameters, SessionTable
from processors.engine.snap import Outputs, Scratch, emit_snap
from processors.engine.spot import spot_at
from processors.engine.state import Arrays
from processors.engine.universe import CANDIDATES
from processors.engine.window import has_room

DONE, ROWS_FULL, FLOW_FULL, TAPE_FULL, SPY_TAPE_FULL, OPTION_FLOW_FULL, WALL_FULL, CONTRACTS_FULL = range(8)

_BOOK, _TRADE, _REQUEST, _STATUS, _DEFINITION = order.BOOK, order.TRADE, order.REQUEST, order.STATUS, order.DEFINITION
_STOCK_QUOTE, _STOCK_TRADE = order.STOCK_QUOTE, order.STOCK_TRADE
_OPTION_QUOTE, _OPTION_TRADE, _GREEKS = order.OPTION_QUOTE, order.OPTION_TRADE, order.GREEKS

_FAR_NS = 2**62


class Inputs(NamedTuple):
    """The records of one step, by kind."""

    books: Books
    trades: Trades
    requests: Requests
    statuses: Statuses
    definitions: Definitions
    stock_quotes: StockQuotes
    stock_trades: StockTrades
    option_quotes: OptionQuotes
    option_trades: OptionTrades
    greeks: Greeks


@kernel
def _enter_session(st: Arrays, sessions: SessionTable, last_open_ns: int) -> None:
    """Begin the latest session that opened at or before ``last_open_ns``, unless it is running already."""
    found = int(np.searchsorted(sessions[1], last_open_ns, side="right")) - 1
    if found > st.scalars[0].session:
        begin_session(st, found, sessions)


@kernel
def _rows_left(st: Arrays, out: Outputs) -> bool:
    return (
        out.written[0] + CANDIDATES <= len(out.features)
        and out.written[1] + 2 * PENDING <= len(out.outcomes)
        and has_flow_room(st.options, out.flow, out.written[2])
    )


@inlined
def _flow_room(st: Arrays) -> bool:
    return has_room(st.flow, st.scalars[0].pending_count + FLOWS_PER_RECORD)


@kernel
def _snaps_before(
    st: Arrays, p: Parameters, sessions: SessionTable, before_ns: int, out: Outputs, scratch: Scratch
) -> int:
    """Decide every snap strictly before ``before_ns``; returns the status."""
    s = st.scalars[0]
    while s.next_snap_ns < before_ns:
        if not _rows_left(st, out):
            return ROWS_FULL
        if not _flow_room(st):
            return FLOW_FULL
        snap_ns = s.next_snap_ns
        _enter_session(st, sessions, snap_ns - 1)
        if s.session >= 0 and snap_ns <= s.session_close_ns:
            end_time(st, snap_ns // p.snap_ns, True)
            emit_snap(st, p, snap_ns, out, scratch)
            s.next_snap_ns += p.snap_ns
            if s.next_snap_ns > s.session_close_ns:
                out.written[1] = censor_outcomes(s, st.outcomes, snap_ns, out.outcomes, out.written[1])
        elif s.session + 1 < len(sessions[1]):
            s.next_snap_ns = (sessions[1][s.session + 1] // p.snap_ns + 1) * p.snap_ns
        else:
            s.next_snap_ns = _FAR_NS
    return DONE


@inlined
def _is_ok(inputs: Inputs, kind: int, i: int) -> Any:
    if kind == _BOOK:
        return inputs.books.ok[i]
    if kind == _TRADE:
        return inputs.trades.ok[i]
    if kind == _STOCK_QUOTE:
        return inputs.stock_quotes.ok[i]
    if kind == _STOCK_TRADE:
        return inputs.stock_trades.ok[i]
    if kind == _OPTION_QUOTE:
        return inputs.option_quotes.ok[i]
    if kind == _OPTION_TRADE:
        return inputs.option_trades.ok[i]
    if kind == _GREEKS:
        return inputs.greeks.ok[i]
    if kind == _STATUS:
        return inputs.statuses.ok[i]
    if kind == _DEFINITION:
        return inputs.definitions.ok[i]
    return inputs.requests.ok[i]


@kernel
def _after_gap(st: Arrays, kind: int, effective_ns: int) -> None:
    """The feed was not covered before this record: what its windows hold is not whole, and a book says nothing about
    the one before it. What traded while books were missing stays unexplained; it is not called hidden.
    """
    s = st.scalars[0]
    if kind in (_STOCK_QUOTE, _STOCK_TRADE):
        s.spy_gap_ts_ns = effective_ns
    elif kind in (_OPTION_QUOTE, _OPTION_TRADE, _GREEKS):
        s.options_gap_ts_ns = effective_ns
    else:
        s.gap_ts_ns = effective_ns
        if kind == _BOOK:
            drop_pending(s)
            s.group_open = 0
            s.book_valid = 0


@inlined
def _room(st: Arrays, kind: int) -> int:
    """The status that says which log has no room for one more record of ``kind``; DONE when all have."""
    if not _flow_room(st):
        return FLOW_FULL
    if kind == _TRADE:
        return DONE if has_room(st.tape, 1) else TAPE_FULL
    if kind == _STOCK_TRADE:
        return DONE if has_room(st.spy_tape, 1) else SPY_TAPE_FULL
    if kind in (_OPTION_QUOTE, _OPTION_TRADE, _GREEKS):
        if not has_contract_room(st.options):
            return CONTRACTS_FULL
        if not has_room(st.options.flow, 1):
            return OPTION_FLOW_FULL
        if not has_room(st.options.wall, 1):
            return WALL_FULL
    return DONE


@inlined
def _apply(
    st: Arrays, p: Parameters, inputs: Inputs, kind: int, i: int, now_ns: int, bucket: int, open_now: bool
) -> None:
    s = st.scalars[0]
    if kind == _BOOK:
        apply_book(st, p, inputs.books, i, bucket, open_now)
    elif kind == _TRADE:
        apply_trade(st, p, inputs.trades, i, bucket, open_now)
    elif kind == _STOCK_QUOTE:
        apply_stock_quote(s, inputs.stock_quotes, i)
    elif kind == _STOCK_TRADE:
        apply_stock_trade(st, p, inputs.stock_trades, i, bucket, open_now)
    elif kind == _OPTION_QUOTE:
        apply_quote(st.options, p, inputs.option_quotes, i)
    elif kind == _OPTION_TRADE:
        if open_now:
            apply_option_trade(st.options, p, inputs.option_trades, i, bucket, spot_at(s, p, now_ns), s.session_days)
    elif kind == _GREEKS:
        apply_greeks(st.options, p, inputs.greeks, i)
    elif kind == _STATUS:
        apply_status(s, inputs.statuses, i)
    elif kind == _DEFINITION:
        apply_definition(st, inputs.definitions, i)
    elif kind == _REQUEST:
        apply_request(s, inputs.requests, i)


@kernel
def run(
    st: Arrays,
    parameters: NDArray[np.void],
    sessions: SessionTable,
    kinds: NDArray[np.int8],
    index: Integers,
    effective: Integers,
    after_gap: Integers,
    inputs: Inputs,
    start: int,
    until_ns: int,
    out: Outputs,
    scratch: Scratch,
) -> tuple[int, int]:
    """Apply events ``start`` on, deciding snaps as they come due, then all snaps before ``until_ns``.

    ``after_gap``: the events before which their feed was not covered, ascending.

    Returns (status, next event). On a status other than DONE the caller makes room and calls again from there; what
    was done stays done.
    """
    p = parameters[0]
    s = st.scalars[0]
    gap = int(np.searchsorted(after_gap, start))
    for n in range(start, len(kinds)):
        i = index[n]
        kind = kinds[n]
        effective_ns = effective[n]
        bucket = (effective_ns + p.snap_ns - 1) // p.snap_ns
        if s.next_snap_ns == 0:
            s.next_snap_ns = bucket * p.snap_ns
        if s.next_snap_ns < effective_ns:
            status = _snaps_before(st, p, sessions, effective_ns, out, scratch)
            if status != DONE:
                return status, n
        status = _room(st, kind)
        if status != DONE:
            return status, n
        if s.session < 0 or effective_ns > s.session_close_ns:
            _enter_session(st, sessions, effective_ns)
        open_now = s.session >= 0 and effective_ns <= s.session_close_ns
        if gap < len(after_gap) and after_gap[gap] == n:
            _after_gap(st, kind, effective_ns)
            gap += 1
        if _is_ok(inputs, kind, i):
            _apply(st, p, inputs, kind, i, effective_ns, bucket, open_now)
        else:
            s.skipped += 1
    if s.next_snap_ns > 0:
        return _snaps_before(st, p, sessions, until_ns, out, scratch), len(kinds)
    return DONE, len(kinds)
