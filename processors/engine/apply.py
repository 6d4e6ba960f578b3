"""What each kind of record changes in the state (DESIGN 4.2-4.6); the loop that calls these is in ``kernel``."""

from __future__ import annotations

from common.jit import inlined, kernel
from processors.engine import landmarks
from processors.engine.flows import (
    MISSING,
    add_pending,
    compare_books,
    copy_book,
    flush_pending,
    ofi_at,
)
from processors.engine.hotzones import add_hotzone, remove_hotzone
from processors.engine.inputs import (
    ACTION_CLEAR,
    CHANGES_BOOK,
    FLAG_LAST,
    FLAG_MAYBE_BAD_BOOK,
    FLAG_SNAPSHOT,
    Books,
    Trades,
)
from processors.engine.market_inputs import (
    ADD_HOTZONE,
    REMOVE_HOTZONE,
    UNCHANGED,
    Definitions,
    Requests,
    Statuses,
    StockQuotes,
    StockTrades,
)
from processors.engine.session import roll_to
from processors.engine.shapes import ASK, BID, CENT_MASK, DEPTH, TICK_MASK, Integers, Parameters, Scalars
from processors.engine.state import Arrays
from processors.engine.sweeps import ES, UNDERLYING, extend_run
from processors.engine.tape import add_print

FLOWS_PER_RECORD = 4 * DEPTH
"""Log entries that one book record can make at most."""

E4_PER_CENT = 100
ONE_VENUE = -1


@inlined
def advance_ofi(s: Scalars, ring: Integers, bucket: int) -> None:
    """Clear the OFI buckets that lie between the newest and ``bucket``."""
    size = len(ring)
    if bucket <= s.ofi_bucket:
        return
    for b in range(max(s.ofi_bucket + 1, bucket - size + 1), bucket + 1):
        ring[b % size, 0] = 0
        ring[b % size, 1] = 0
    s.ofi_bucket = bucket


@inlined
def _read_group(st: Arrays, bucket: int, in_session: bool) -> None:
    """The group has ended: read mid, trading state and order flow imbalance off the book."""
    s = st.scalars[0]
    bid = s.book_tick[BID, 0]
    ask = s.book_tick[ASK, 0]
    was_continuous = s.continuous == 1
    two_sided = MISSING not in (bid, ask) and bid < ask
    s.continuous = 1 if two_sided and in_session and s.trading == 1 else 0
    if two_sided:
        s.mid2 = bid + ask
    if s.end_valid == 1 and was_continuous and s.continuous == 1:
        advance_ofi(s, st.ofi_ring, bucket)
        at = bucket % len(st.ofi_ring)
        st.ofi_ring[at, 0] += ofi_at(s, 0)
        for k in range(DEPTH):
            st.ofi_ring[at, 1] += ofi_at(s, k)
    copy_book(s.book_tick, s.book_size, s.end_tick, s.end_size)
    s.end_valid = 1
    s.group_open = 0


@inlined
def end_time(st: Arrays, bucket: int, in_session: bool) -> None:
    """No further record of this ts_event applies."""
    s = st.scalars[0]
    if s.group_open == 1:
        _read_group(st, bucket, in_session)
    flush_pending(s, st.flow, bucket)


@inlined
def _is_followed(st: Arrays, instrument_id: int) -> bool:
    """True for a book of the contract that is followed; a session's first book names it, unless definitions do."""
    s = st.scalars[0]
    if instrument_id == s.instrument_id:
        return True
    if s.instrument_fixed == 1 or (s.front_id > 0 and instrument_id != s.front_id):
        return False
    if s.instrument_id > 0:
        roll_to(st, instrument_id)
    s.instrument_id = instrument_id
    s.book_valid = 0
    return True


@inlined
def apply_book(st: Arrays, p: Parameters, books: Books, i: int, bucket: int, in_session: bool) -> None:
    """Compare a book record with the one before it and keep it."""
    s = st.scalars[0]
    if not _is_followed(st, books.instrument_id[i]):
        return
    s.instrument_fixed = 1
    event_ns = books.event_ns[i]
    if event_ns != s.group_ts_ns:
        end_time(st, bucket, in_session)
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
                compare_books(s, st.flow, bucket, books.tick[i], books.size[i])
        else:
            s.baseline_ts_ns = effective_ns
            s.end_valid = 0
        copy_book(books.tick[i], books.size[i], s.book_tick, s.book_size)
        # an emptied or half-told book is no base for differences
        s.book_valid = 0 if books.action[i] == ACTION_CLEAR else 1
        s.book_ts_ns = effective_ns
        s.group_open = 1
    if flags & FLAG_LAST and s.group_open == 1:
        _read_group(st, bucket, in_session)


@inlined
def apply_trade(st: Arrays, p: Parameters, trades: Trades, i: int, bucket: int, in_session: bool) -> None:
    """Count an ES trade: tape, landmarks, sweeps, and what it may explain of lost depth."""
    s = st.scalars[0]
    if not in_session or (s.instrument_fixed == 1 and trades.instrument_id[i] != s.instrument_id):
        return
    event_ns = trades.event_ns[i]
    if event_ns != s.group_ts_ns:
        end_time(st, bucket, in_session)
        s.group_ts_ns = event_ns
    tick = trades.tick[i]
    size = trades.size[i]
    sign = trades.sign[i]
    effective_ns = trades.effective_ns[i]
    s.volume += size
    s.delta += sign * size
    landmarks.add_es_trade(st.landmarks, p, effective_ns, tick, size)
    add_print(st.tape, bucket, tick & TICK_MASK, size, sign)
    if sign != 0:
        # SWEEP_MIN_VENUES concerns markets with several venues; CME is one
        extend_run(st.sweeps[ES], effective_ns, tick * size, sign, ONE_VENUE, p.sweep_gap_ns, p.sweep_min_amount, 0)
        if s.continuous == 1:
            add_pending(s, BID if sign < 0 else ASK, tick, size)


@inlined
def apply_stock_quote(s: Scalars, quotes: StockQuotes, i: int) -> None:
    """Keep the underlying's best bid and offer."""
    s.spy_bid_e4 = max(0, quotes.bid_e4[i])
    s.spy_ask_e4 = max(0, quotes.ask_e4[i])
    s.spy_ts_ns = quotes.effective_ns[i]
    s.spy_seen_ns = quotes.effective_ns[i]


@kernel
def _stock_aggressor(s: Scalars, p: Parameters, price_e4: int, now_ns: int) -> int:
    """1 at or above the offer, -1 at or below the bid, 0 between them or without a fresh quote (plan 5.2)."""
    if s.spy_ts_ns == 0 or now_ns - s.spy_ts_ns > p.spot_stale_ns:
        return 0
    if s.spy_ask_e4 > 0 and price_e4 >= s.spy_ask_e4:
        return 1
    if s.spy_bid_e4 > 0 and price_e4 <= s.spy_bid_e4:
        return -1
    return 0


@inlined
def apply_stock_trade(st: Arrays, p: Parameters, trades: StockTrades, i: int, bucket: int, in_session: bool) -> None:
    """Count a trade of the underlying, unless its conditions keep it out of last price, VWAP and tape."""
    s = st.scalars[0]
    effective_ns = trades.effective_ns[i]
    s.spy_seen_ns = effective_ns
    if not in_session or not trades.counts[i]:
        return
    price_e4 = trades.price_e4[i]
    size = trades.size[i]
    sign = _stock_aggressor(s, p, price_e4, effective_ns)
    landmarks.add_spy_trade(st.landmarks, p, effective_ns, price_e4, size)
    add_print(st.spy_tape, bucket, ((price_e4 + E4_PER_CENT // 2) // E4_PER_CENT) & CENT_MASK, size, sign)
    if sign != 0:
        extend_run(
            st.sweeps[UNDERLYING],
            effective_ns,
            price_e4 * size,
            sign,
            trades.venue[i],
            p.sweep_gap_ns,
            p.sweep_min_notional_e4,
            p.sweep_min_venues,
        )


@kernel
def apply_status(s: Scalars, statuses: Statuses, i: int) -> None:
    """Trading halts or goes on."""
    instrument = statuses.instrument_id[i]
    if statuses.state[i] == UNCHANGED or (instrument > 0 and s.instrument_id > 0 and instrument != s.instrument_id):
        return
    s.trading = statuses.state[i]
    if s.trading == 0:
        s.continuous = 0


@kernel
def apply_definition(st: Arrays, definitions: Definitions, i: int) -> None:
    """Follow the contract that becomes the front."""
    s = st.scalars[0]
    if not definitions.front[i]:
        return
    s.front_id = definitions.instrument_id[i]
    if s.instrument_id > 0 and s.front_id != s.instrument_id:
        roll_to(st, s.front_id)


@kernel
def apply_request(s: Scalars, requests: Requests, i: int) -> None:
    """Add or remove a level set by hand."""
    if requests.kind[i] == ADD_HOTZONE:
        s.hotzone_count = add_hotzone(s.hotzones, s.hotzone_count, requests.price_e4[i])
    elif requests.kind[i] == REMOVE_HOTZONE:
        s.hotzone_count = remove_hotzone(s.hotzones, s.hotzone_count, requests.price_e4[i])
