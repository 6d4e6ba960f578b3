"""What a lost connection leaves behind: a record that says since when its feed was not covered (DESIGN 4.10)."""

from __future__ import annotations

import pytest

from common import topics
from processors.engine.features import State
from tests.support.market import NS, OPEN_NS, SNAP_NS, Market, ladder, merged, run

LEVEL = "ROUND_600"
GAP = 16
BIDS, ASKS = ladder(6000.0, [50] * 10, "bid"), ladder(6000.25, [50] * 10, "ask")
FEW = [(6000.0, 10), *BIDS[1:]]


@pytest.fixture
def market() -> Market:
    market = Market()
    for second in range(1, 20):
        market.book(second * NS, BIDS, ASKS)
    return market


def marked(market: Market, until_s: float, **overrides: float) -> set[float]:
    """Seconds after the open of the snaps that carry the bit."""
    rows = market.rows(until_s, **overrides)
    return {(row["ts_event_ns"] - OPEN_NS) / NS for row in rows if row["validity_bits"] & GAP}


def quiet_until(market: Market, second: int) -> None:
    for at in range(20, second + 1):
        market.book(at * NS + 1, BIDS, ASKS)


def seconds(first: float, end: float) -> set[float]:
    """The snaps from ``first`` on and before ``end``."""
    return {k * SNAP_NS / NS for k in range(round(first * NS) // SNAP_NS, round(end * NS) // SNAP_NS)}


def test_the_first_book_after_a_gap_is_a_baseline_only(market: Market) -> None:
    market.book(20 * NS, FEW, ASKS)
    market.after_gap(topics.FUTURES_MBP10)
    market.book(21 * NS, [(6000.0, 15), *BIDS[1:]], ASKS)
    row = market.last(21.5, LEVEL)
    assert (row["barrier_added"], row["barrier_canceled"], row["barrier_filled"]) == (5, 0, 0)


def test_so_is_the_next_change_when_another_contract_s_record_tells_of_the_gap(market: Market) -> None:
    market.book(20 * NS, BIDS, ASKS, instrument=7)
    market.after_gap(topics.FUTURES_MBP10)
    market.book(21 * NS, FEW, ASKS)
    assert market.last(21.5, LEVEL)["barrier_canceled"] == 0
    assert market.last(21.5, LEVEL)["validity_bits"] & GAP


def test_a_trade_whose_book_was_lost_is_not_called_hidden(market: Market) -> None:
    market.trade(20 * NS + 1, 6000.0, 30, "SELL")
    market.book(20 * NS + 2, BIDS, ASKS)
    assert market.last(21.5, LEVEL)["barrier_hidden"] == 30
    market.after_gap(topics.FUTURES_MBP10)
    row = market.last(21.5, LEVEL)
    assert (row["barrier_hidden"], row["barrier_filled"], row["barrier_canceled"]) == (0, 0, 0)


@pytest.mark.parametrize("topic", [topics.FUTURES_MBP10, topics.FUTURES_TRADES])
def test_an_es_gap_is_marked_until_the_longer_window_has_passed(market: Market, topic: str) -> None:
    market.book(20 * NS, BIDS, ASKS)
    market.trade(20 * NS, 6000.0, 1, "SELL")
    market.after_gap(topic)
    quiet_until(market, 32)
    assert marked(market, 32.0, W_b=4.0, W_t=2.0) == seconds(20, 24)


def test_a_gap_of_the_underlying_is_marked_for_the_tape_s_window(market: Market) -> None:
    market.spy_quote(20 * NS, 600.0, 600.02)
    market.after_gap(topics.STOCKS_QUOTES)
    quiet_until(market, 32)
    assert marked(market, 32.0, W_b=4.0, W_t=2.0) == seconds(20, 22)


@pytest.mark.parametrize("topic", [topics.OPTIONS_TRADES, topics.OPTIONS_QUOTES])
def test_a_gap_of_the_options_is_marked_for_the_fuel_s_window(market: Market, topic: str) -> None:
    market.option_trade(20 * NS, 600.0, "C", 1.0, 5)
    market.option_quote(20 * NS, 600.0, "C", 1.0, 1.1)
    market.after_gap(topic)
    quiet_until(market, 32)
    assert marked(market, 32.0, W_b=4.0, W_t=2.0, W_g=8.0) == seconds(20, 28)


def test_a_gap_makes_rows_not_actionable(market: Market) -> None:
    market.trade(20 * NS, 6000.0, 1, "SELL")
    assert market.last(20.0, LEVEL)["actionable"]
    market.after_gap(topics.FUTURES_TRADES)
    assert not market.last(20.0, LEVEL)["actionable"]


def test_a_record_that_cannot_be_used_still_tells_of_the_gap(market: Market) -> None:
    market.book(20 * NS, [(6000.1, 10)], ASKS)  # off the tick grid
    market.after_gap(topics.FUTURES_MBP10)
    market.book(21 * NS, FEW, ASKS)
    row = market.last(21.5, LEVEL)
    assert row["validity_bits"] & GAP
    assert row["barrier_canceled"] == 0


def test_the_next_session_begins_without_the_gap(market: Market) -> None:
    market.book(20 * NS, BIDS, ASKS)
    market.after_gap(topics.FUTURES_MBP10)
    state: State = run(market.batches(), 21 * NS)[1]
    assert int(state.arrays.scalars["gap_ts_ns"][0]) == OPEN_NS + 20 * NS
    market.book(24 * 3600 * NS + NS, BIDS, ASKS)
    assert len(merged(market.batches(), OPEN_NS + 25 * 3600 * NS)) == len(market.books)
    state = run(market.batches(), 24 * 3600 * NS + 2 * NS)[1]
    assert int(state.arrays.scalars["gap_ts_ns"][0]) == 0
