"""Levels, direction, runway, validity and sessions (plan §§3-5.5; DESIGN 4.2-4.4, 4.10).

Spec: plan 3.2; plan 3.3; core LevelSignalService.
"""

from __future__ import annotations

import itertools

import pytest

from tests.support.market import NS, OPEN_NS, SNAP_NS, Market, ladder

SIZES = [50] * 10


def quote(market: Market, at_ns: int, best_bid: float) -> None:
    market.book(at_ns, ladder(best_bid, SIZES, "bid"), ladder(best_bid + 0.25, SIZES, "ask"))


@pytest.fixture
def market() -> Market:
    market = Market()
    quote(market, NS, 6000.0)
    return market


def test_snaps_lie_on_the_grid_and_begin_with_the_first_book(market: Market) -> None:
    times = sorted({row["ts_event_ns"] for row in market.rows(3.0)})
    assert times[0] == OPEN_NS + NS
    assert {b - a for a, b in itertools.pairwise(times)} == {SNAP_NS}
    assert all(ts % SNAP_NS == 0 for ts in times)


def test_rows_of_a_snap_are_framed_and_ordered_by_id(market: Market) -> None:
    market.trade(NS + 5, 6000.25, 1, "BUY")
    last = [row for row in market.rows(2.0) if row["ts_event_ns"] == OPEN_NS + 2 * NS]
    names = [row["level_id"] for row in last]
    assert {"ROUND_600", "SESSION_HIGH", "SESSION_LOW", "VWAP", "POC"} < set(names)
    assert names == sorted(names)
    assert [(row["snap_row"], row["snap_rows"]) for row in last] == [(k, len(names)) for k in range(len(names))]


def test_only_levels_within_the_monitor_band_have_rows(market: Market) -> None:
    assert {row["level_id"] for row in market.rows(2.0)} == {"ROUND_600"}
    assert {row["level_id"] for row in market.rows(2.0, MONITOR_BAND=1.2)} == {"ROUND_599", "ROUND_600", "ROUND_601"}


def test_user_hotzones_are_levels(market: Market) -> None:
    row = market.last(2.0, "HOTZONE_600.25", USER_HOTZONES=(600.25,))
    assert (row["level_kind"], row["level_price"], row["direction"]) == ("USER", 600.25, "RESISTANCE")


def test_vwap_and_extremes_follow_the_session_s_trades(market: Market) -> None:
    market.trade(NS + 5, 6001.0, 1, "BUY")
    market.trade(NS + 6, 6000.0, 3, "SELL")
    assert market.last(2.0, "VWAP")["level_price"] == pytest.approx(600.025)
    assert market.last(2.0, "SESSION_HIGH")["level_price"] == 600.1
    assert market.last(2.0, "SESSION_LOW")["level_price"] == 600.0
    assert "VWAP" not in {row["level_id"] for row in market.rows(2.0, VWAP_ENABLED=False)}


def test_a_moving_level_s_tick_moves_only_beyond_three_quarters_of_a_tick(market: Market) -> None:
    quote(market, NS + 4, 6001.0)  # spot does not touch it
    market.trade(NS + 5, 6000.0, 100, "SELL")  # VWAP at tick 24000
    market.trade(2 * NS + 5, 6000.25, 280, "BUY")  # exact tick 24000.737
    market.trade(3 * NS + 5, 6000.25, 40, "BUY")  # exact tick 24000.762
    assert market.last(2.0, "VWAP")["level_tick"] == 24000
    assert market.last(3.0, "VWAP")["level_tick"] == 24000
    assert market.last(4.0, "VWAP")["level_tick"] == 24001


def test_direction_follows_spot_once_it_is_a_touch_band_beyond_the_level(market: Market) -> None:
    def direction(until: float) -> str:
        return str(market.last(until, "ROUND_600")["direction"])

    quote(market, 2 * NS, 6002.25)  # the touch at 1 s is over
    assert direction(2.0) == "SUPPORT"
    quote(market, 3 * NS, 5999.25)  # spot 599.9375: through and beyond without a touch
    assert direction(3.0) == "RESISTANCE"
    quote(market, 4 * NS, 5999.5)  # spot 599.9625 touches: an episode begins
    quote(market, 5 * NS, 6001.0)  # and keeps its direction
    assert direction(5.0) == "RESISTANCE"
    quote(market, 6 * NS, 6002.25)  # until spot is 0.20 away
    assert direction(6.0) == "SUPPORT"


def test_support_is_defended_by_bids_and_resistance_by_asks(market: Market) -> None:
    row = market.last(1.0, "ROUND_600")
    assert (row["barrier_defending_px"], row["spot"], row["bid"], row["ask"]) == (600.0, 600.0125, 600.0, 600.025)
    quote(market, 2 * NS, 5997.0)
    row = market.last(2.0, "ROUND_600")
    assert (row["direction"], row["barrier_defending_px"]) == ("RESISTANCE", 599.725)


def test_runway_is_the_next_level_a_touch_band_away(market: Market) -> None:
    market.trade(NS + 5, 6000.25, 1, "BUY")
    row = market.last(2.0, "ROUND_600", USER_HOTZONES=(600.4,))
    assert (row["runway_up_level_id"], row["runway_up_quality"]) == ("HOTZONE_600.4", "CLEAR")
    assert row["runway_up_distance"] == pytest.approx(0.4)
    assert (row["runway_down_level_id"], row["runway_down_distance"]) == ("ROUND_599", 1.0)


def test_a_strong_level_obstructs_the_runway(market: Market) -> None:
    market.trade(NS + 5, 6004.0, 1, "BUY")
    market.trade(NS + 6, 5998.0, 1, "SELL")
    row = market.last(2.0, "ROUND_600", USER_HOTZONES=(599.8,))
    assert (row["runway_up_level_id"], row["runway_up_quality"]) == ("VWAP", "OBSTRUCTED")
    assert (row["runway_down_level_id"], row["runway_down_quality"]) == ("SESSION_LOW", "OBSTRUCTED")


def test_no_level_in_reach_leaves_the_runway_open(market: Market) -> None:
    row = market.last(2.0, "ROUND_600", STRIKE_RANGE=0.4)
    assert (row["runway_up_level_id"], row["runway_up_distance"], row["runway_up_quality"]) == (None, None, "NONE")


def test_fuel_is_neutral_and_says_that_it_is_absent(market: Market) -> None:
    row = market.last(2.0, "ROUND_600")
    assert (row["fuel_effect"], row["fuel_available"], row["fuel_net_dealer_gamma"]) == ("NEUTRAL", False, None)
    assert row["validity_bits"] & 128


def test_rows_warm_up_for_the_longest_window_then_act(market: Market) -> None:
    quote(market, 12 * NS, 6000.0)
    by_time = {r["ts_event_ns"] - OPEN_NS: r for r in market.rows(12.0)}
    assert by_time[11 * NS - SNAP_NS]["validity_bits"] & 1
    assert not by_time[11 * NS]["validity_bits"] & 1
    assert by_time[12 * NS]["actionable"]


def test_a_silent_book_goes_stale_then_pauses_and_comes_back(market: Market) -> None:
    quote(market, 100 * NS, 6000.0)
    times = {r["ts_event_ns"] - OPEN_NS: r["validity_bits"] & 2 for r in market.rows(100.0)}
    assert times[6 * NS] == 0
    assert times[6 * NS + SNAP_NS] == 2
    assert max(t for t in times if t < 90 * NS) == 61 * NS
    assert times[100 * NS] == 0


def test_a_maybe_bad_book_marks_a_gap_until_the_windows_have_passed(market: Market) -> None:
    market.book(20 * NS, ladder(6000.0, SIZES, "bid"), ladder(6000.25, SIZES, "ask"), flags=128 | 8)
    quote(market, 35 * NS, 6000.0)
    bits = {r["ts_event_ns"] - OPEN_NS: r["validity_bits"] & 16 for r in market.rows(35.0)}
    assert (bits[20 * NS - SNAP_NS], bits[20 * NS], bits[30 * NS - SNAP_NS], bits[30 * NS]) == (0, 16, 16, 0)


def test_nothing_is_published_outside_a_session() -> None:
    market = Market()
    quote(market, -3599 * NS, 6000.0)  # the maintenance hour
    quote(market, -60 * NS, 6000.0)
    assert market.rows(-1.0) == []
    quote(market, NS, 6000.0)
    assert min(r["ts_event_ns"] for r in market.rows(2.0)) > OPEN_NS


def test_a_session_starts_anew_and_keeps_only_the_book() -> None:
    market = Market()
    day = 86_400 * NS
    market.book(day - 2 * 3600 * NS, ladder(6000.0, SIZES, "bid"), ladder(6000.25, SIZES, "ask"))
    market.trade(day - 2 * 3600 * NS + 1, 6003.0, 5, "BUY")
    quote(market, day + NS, 6000.0)
    market.trade(day + 2 * NS, 6000.25, 5, "BUY")
    rows = [r for r in market.rows(86_400 + 3.0) if r["ts_event_ns"] > OPEN_NS + day]
    assert {r["session_date"] for r in rows} == {20250604}
    assert {r["level_price"] for r in rows if r["level_id"] == "SESSION_HIGH"} == {600.025}
    assert rows[-1]["cumulative_delta"] == 5


def test_weak_needs_history_and_compares_at_the_same_distance(market: Market) -> None:
    for k in range(2, 80):
        quote(market, k * NS, 6000.0)
    thin = ladder(6000.0, [9, 9, 9, *[50] * 7], "bid")
    # thinned slowly, so that no flow state applies
    market.book(80 * NS, ladder(6000.0, [30, 30, 30, *[50] * 7], "bid"), ladder(6000.25, SIZES, "ask"))
    market.book(81 * NS, thin, ladder(6000.25, SIZES, "ask"))
    row = market.last(95.0, "ROUND_600", F_thresh=1000)
    assert row["barrier_state"] == "WEAK"
    assert row["barrier_depth_rank"] < 0.20
    assert market.last(95.0, "ROUND_600", WEAK_MIN_HISTORY_S=200.0)["barrier_depth_rank"] is None
