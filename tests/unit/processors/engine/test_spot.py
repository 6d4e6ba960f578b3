"""Spot, the ES/SPY ratio and what is SPY's own (DESIGN 4.4; plan §5.2).

Spec: core MarketState; core Price conversion.
"""

from __future__ import annotations

from typing import Any

import pytest

from processors.engine.moment import RATIO_HELD, SPY_STALE
from tests.support.market import INSTRUMENT, NS, Market, ladder

SIZES = [50] * 10


def quote(market: Market, at_s: float, bid: float, instrument: int = INSTRUMENT) -> None:
    market.book(round(at_s * NS), ladder(bid, SIZES, "bid"), ladder(bid + 0.25, SIZES, "ask"), instrument=instrument)


@pytest.fixture
def market() -> Market:
    """ES 6000.125 in the middle."""
    market = Market()
    quote(market, 1.0, 6000.0)
    return market


def last(market: Market, until_s: float, **overrides: Any) -> dict[str, Any]:
    return market.rows(until_s, MONITOR_BAND=5.0, **overrides)[-1]


def test_without_a_quote_spot_is_es_over_the_default_ratio(market: Market) -> None:
    row = last(market, 2.0)
    assert (row["spot"], row["ratio"], row["ratio_state"]) == (600.0125, 10.0, "DEFAULT")
    assert row["validity_bits"] & SPY_STALE
    assert (row["bid"], row["ask"]) == (600.0, 600.025)


def test_a_fresh_quote_is_spot_and_its_first_sample_seeds_the_ratio(market: Market) -> None:
    market.spy_quote(NS, 596.99, 597.01)
    row = last(market, 1.0)
    assert (row["spot"], row["bid"], row["ask"]) == (597.0, 596.99, 597.01)
    assert row["ratio"] == pytest.approx(6000.125 / 597.0, rel=1e-12)
    assert row["ratio_state"] == "LIVE"
    assert not row["validity_bits"] & SPY_STALE


def test_the_ratio_is_an_average_with_its_time_constant(market: Market) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    market.spy_quote(round(1.1 * NS), 596.99, 597.01)
    first, second = 6000.125 / 600.0, 6000.125 / 597.0
    for tau_s in (60.0, 1.0):
        alpha = 1.0 - 2.718281828459045 ** (-0.25 / tau_s)
        row = last(market, 1.25, RATIO_TAU_S=tau_s)
        assert row["ratio"] == pytest.approx(first + alpha * (second - first), rel=1e-12)


@pytest.mark.parametrize(("age_ms", "live"), [(2_000, True), (2_250, False)])
def test_a_quote_is_fresh_for_spot_stale_ms(market: Market, age_ms: int, live: bool) -> None:
    market.spy_quote(NS, 596.99, 597.01)
    row = last(market, 1.0 + age_ms / 1000.0)
    assert row["ratio_state"] == ("LIVE" if live else "HELD")
    assert bool(row["validity_bits"] & RATIO_HELD) is not live
    assert row["ratio"] == pytest.approx(6000.125 / 597.0, rel=1e-12)
    assert row["spot"] == pytest.approx(597.0)  # its own mid, or ES over the held ratio


def test_a_crossed_quote_is_no_spot(market: Market) -> None:
    market.spy_quote(NS, 597.02, 597.01)
    assert last(market, 2.0)["ratio_state"] == "DEFAULT"


def test_quotes_of_another_symbol_are_not_read(market: Market) -> None:
    market.spy_quote(NS, 596.99, 597.01, symbol="QQQ")
    assert last(market, 2.0)["ratio_state"] == "DEFAULT"


def test_another_contract_seeds_the_ratio_anew(market: Market) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    market.add("futures.definitions.v1", 2 * NS, asset="ES", instrument_id=INSTRUMENT + 1, is_front=True)
    quote(market, 2.5, 6060.0, INSTRUMENT + 1)
    quote(market, 2.6, 6000.0)  # the old contract is no longer read
    market.spy_quote(round(2.5 * NS), 599.99, 600.01)
    row = last(market, 3.0)
    assert row["ratio"] == pytest.approx(6060.125 / 600.0, rel=1e-12)
    assert row["spot"] == 600.0


def test_the_es_profile_keeps_its_ratio_and_reads_no_stock(market: Market) -> None:
    market.spy_quote(NS, 596.99, 597.01)
    row = last(market, 1.0, RATIO_FIXED=True, RATIO_DEFAULT=1.0, ROUND_LEVELS_SPACING=10.0, STRIKE_RANGE=20.0)
    assert (row["spot"], row["ratio"], row["ratio_state"]) == (6000.125, 1.0, "DEFAULT")
    assert not row["validity_bits"] & (SPY_STALE | RATIO_HELD)


def spy_tape(market: Market, **overrides: Any) -> tuple[Any, ...]:
    row = market.last(2.0, "ROUND_600", **overrides)
    return row["tape_spy_buy_vol"], row["tape_spy_sell_vol"], row["tape_spy_imbalance"]


def test_stock_trades_are_signed_by_the_quote_and_counted_near_the_level(market: Market) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    market.spy_trade(NS + 1, 600.01, 300, exchange=4)
    market.spy_trade(NS + 2, 599.99, 100, exchange=4)
    market.spy_trade(NS + 3, 600.0, 50, exchange=4)  # inside the quote: no side
    market.spy_trade(NS + 4, 600.11, 900, exchange=4)  # outside TAPE_BAND
    assert spy_tape(market) == (300, 100, 0.5)


def test_trades_that_do_not_update_the_last_price_are_in_neither_tape_nor_vwap(market: Market) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    market.spy_trade(NS + 1, 600.01, 300)
    market.spy_trade(NS + 2, 600.05, 10_000, updates_last=False)
    assert spy_tape(market)[0] == 300
    assert market.last(2.0, "VWAP")["level_price"] == 600.01


def test_trades_of_unknown_condition_count(market: Market) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    market.spy_trade(NS + 1, 600.01, 300, updates_last=None)
    assert spy_tape(market)[0] == 300


def test_the_stock_tape_is_null_while_its_quote_is_stale(market: Market) -> None:
    market.spy_trade(NS + 1, 600.0, 300)
    assert spy_tape(market) == (None, None, None)


@pytest.mark.parametrize(("venues", "swept"), [((4, 4), False), ((4, 11), True)])
def test_a_stock_sweep_needs_its_venues(market: Market, venues: tuple[int, int], swept: bool) -> None:
    market.spy_quote(NS, 599.99, 600.01)
    for n, venue in enumerate(venues):
        market.spy_trade(NS + 1 + n, 600.01, 500, exchange=venue)
    row = market.last(2.0, "ROUND_600", SWEEP_MIN_VENUES=2)
    assert row["tape_sweep_detected"] is swept
    assert row["tape_sweep_notional"] == (600_010.0 if swept else 0.0)


def test_requests_add_and_remove_levels(market: Market) -> None:
    market.add("control.requests.v1", 2 * NS, kind="HOTZONE_ADD", underlying="SPY", price=600.25)
    market.add("control.requests.v1", 2 * NS + 1, kind="HOTZONE_ADD", underlying="QQQ", price=600.15)
    market.add("control.requests.v1", 4 * NS, kind="HOTZONE_REMOVE", underlying="SPY", price=600.25)
    seen = {(row["ts_event_ns"] // NS % 60, row["level_id"]) for row in market.rows(5.0) if row["level_kind"] == "USER"}
    assert {level for _, level in seen} == {"HOTZONE_600.25"}
    assert len({row["ts_event_ns"] for row in market.rows(5.0) if row["level_kind"] == "USER"}) == 8


def test_a_halt_by_status_is_told_and_ends_with_trading(market: Market) -> None:
    market.add("futures.status.v1", 2 * NS, action="HALT")
    quote(market, 2.5, 6000.0)
    market.add("futures.status.v1", 4 * NS, action="TRADING")
    quote(market, 4.1, 6000.0)
    assert market.last(3.0, "ROUND_600")["validity_bits"] & 32
    assert not market.last(5.0, "ROUND_600")["validity_bits"] & 32
