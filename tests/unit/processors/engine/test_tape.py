"""Imbalance, velocity and sweeps (DESIGN 4.6; core.md "Tape Engine").

Spec: plan 5.2; core TapeEngine.
"""

from __future__ import annotations

import pytest

from tests.support.market import NS, SNAP_NS, Market, ladder

MS = 1_000_000
LEVEL = "ROUND_600"
SIZES = [50] * 10


def quiet(market: Market, at_ns: int, best_bid: float = 6000.0) -> None:
    market.book(at_ns, ladder(best_bid, SIZES, "bid"), ladder(best_bid + 0.25, SIZES, "ask"))


@pytest.fixture
def market() -> Market:
    market = Market()
    quiet(market, NS)
    return market


def test_imbalance_counts_aggressors_within_the_band_of_four_ticks(market: Market) -> None:
    market.trade(2 * NS, 6001.0, 30, "BUY")
    market.trade(2 * NS + 1, 5999.0, 10, "SELL")
    market.trade(2 * NS + 2, 6001.25, 500, "BUY")  # a tick too far
    row = market.last(2.5, LEVEL)
    assert (row["tape_buy_vol"], row["tape_sell_vol"]) == (30, 10)
    assert row["tape_imbalance"] == 0.5
    assert row["tape_confidence"] == 0.8
    assert row["cumulative_delta"] == 520


def test_tape_volume_leaves_after_w_t(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 30, "BUY")
    quiet(market, 3 * NS)
    quiet(market, 8 * NS)
    by_time = {r["ts_event_ns"]: r["tape_buy_vol"] for r in market.rows(8) if r["level_id"] == LEVEL}
    times = sorted(by_time)
    inside = [ts for ts in times if by_time[ts] == 30]
    assert len(inside) == 20  # 5 s of snaps: (t - 5 s, t]
    assert inside[0] - times[0] == NS


def test_velocity_is_the_least_squares_slope_of_the_mid(market: Market) -> None:
    for k in range(13):  # a tick every snap: 0.25 points = 0.025 SPY dollars in 0.25 s
        quiet(market, NS + k * SNAP_NS, 6000.0 + 0.25 * k)
    row = market.last(1 + 12 * 0.25, "ROUND_600")
    assert row["tape_velocity"] == pytest.approx(0.1, abs=1e-12)


def test_velocity_of_a_still_market_is_zero(market: Market) -> None:
    quiet(market, 5 * NS)
    assert market.last(5.0, LEVEL)["tape_velocity"] == 0.0


def sweep(row: dict[str, object]) -> tuple[object, object, object]:
    return row["tape_sweep_detected"], row["tape_sweep_direction"], row["tape_sweep_notional"]


def test_prints_close_together_make_a_sweep_by_their_sum(market: Market) -> None:
    market.trade(2 * NS, 6000.25, 1, "BUY")
    market.trade(2 * NS + 100 * MS, 6000.25, 1, "BUY")
    assert sweep(market.last(2.5, LEVEL)) == (True, "UP", 2 * 6000.25 * 50)


def test_a_pause_longer_than_the_gap_ends_a_run(market: Market) -> None:
    market.trade(2 * NS, 6000.25, 1, "BUY")
    market.trade(2 * NS + 100 * MS + 1, 6000.25, 1, "BUY")
    assert sweep(market.last(2.5, LEVEL)) == (False, "NONE", 0.0)


def test_the_other_side_ends_a_run_and_an_unsigned_print_does_not(market: Market) -> None:
    market.trade(2 * NS, 6000.0, 1, "SELL")
    market.trade(2 * NS + 1, 6000.0, 9, "MID")
    market.trade(2 * NS + 2, 6000.0, 1, "SELL")
    assert sweep(market.last(2.5, LEVEL)) == (True, "DOWN", 2 * 6000.0 * 50)
    market.trade(3 * NS, 6000.0, 1, "SELL")
    market.trade(3 * NS + 1, 6000.25, 1, "BUY")
    market.trade(3 * NS + 2, 6000.0, 1, "SELL")
    assert market.last(3.5, LEVEL)["tape_sweep_notional"] == 2 * 6000.0 * 50


def test_the_largest_sweep_of_the_window_is_reported(market: Market) -> None:
    market.trade(2 * NS, 6000.25, 4, "BUY")
    market.trade(3 * NS, 6000.0, 7, "SELL")
    market.trade(4 * NS, 6000.25, 3, "BUY")
    quiet(market, 5 * NS)
    quiet(market, 9 * NS)
    assert sweep(market.last(5.0, LEVEL))[1:] == ("DOWN", 7 * 6000.0 * 50)
    by_time = [r["tape_sweep_notional"] for r in market.rows(9) if r["level_id"] == LEVEL]
    # 4 at 2 s, then 7 at 3 s, which is out of (t - 5 s, t] at 8 s, then 3 at 4 s until 9 s
    assert sorted(set(by_time)) == [0.0, 3 * 6000.25 * 50, 4 * 6000.25 * 50, 7 * 6000.0 * 50]
    assert by_time[-1] == 0.0
    assert by_time[-2] == 3 * 6000.25 * 50


def test_a_run_below_the_notional_is_no_sweep(market: Market) -> None:
    market.trade(2 * NS, 6000.25, 3, "BUY")
    assert sweep(market.last(2.5, LEVEL, SWEEP_MIN_NOTIONAL=900_038.0)) == (False, "NONE", 0.0)
    assert sweep(market.last(2.5, LEVEL, SWEEP_MIN_NOTIONAL=900_037.0))[0] is True
