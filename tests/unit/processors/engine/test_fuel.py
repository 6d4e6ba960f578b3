"""Gamma near a level, walls, gamma flip, open interest (DESIGN §4.7, plan §5.3, core.md "FuelEngine").

Spec: plan 5.3; core FuelEngine.
"""

from __future__ import annotations

import math

import pytest

from processors.engine import fuel
from processors.engine.blackscholes import gamma
from tests.support.option_book import BUY, CALL, MID, NOON_NS, PUT, SELL, SNAP_NS, OptionBook, S

YEAR_S = 365 * 86_400


def years(at_s: float) -> float:
    return (5 * 3600 - at_s) / YEAR_S


def traded(
    book: OptionBook, strike: float, right: int, size: int, aggressor: int, at_s: float = 1.0, iv: float = 0.2
) -> None:
    book.greeks(strike, right, iv=iv, at_s=at_s)
    book.trade(strike, right, size=size, aggressor=aggressor, at_s=at_s)


def with_gamma(book: OptionBook, strike: float, right: int, nano: int) -> None:
    """A trade of one contract, whose dealers' gamma is then set in both windows."""
    book.trade(strike, right, size=1, aggressor=BUY)
    known = book.op.contract["strike_milli"] == round(strike * 1000)
    slot = int((known & (book.op.contract["is_put"] == right)).argmax())
    book.op.flow.total[slot, 2] = nano
    book.op.wall.total[slot, 0] = nano


def test_customers_who_buy_make_dealers_amplify_and_who_sell_make_them_dampen() -> None:
    """core.md §8."""
    for aggressor, effect in ((BUY, fuel.AMPLIFY), (SELL, fuel.DAMPEN)):
        for right in (CALL, PUT):
            book = OptionBook()
            traded(book, 600.0, right, 5000, aggressor)
            book.snap(1.0)
            net, contracts = book.near(600.0)
            assert fuel.effect(book.p, net) == effect
            assert (net < 0) is (aggressor == BUY)
            assert contracts == 5000
    quiet = OptionBook()
    quiet.snap(1.0)
    assert quiet.near(600.0) == (0.0, 0)
    assert fuel.effect(quiet.p, 0.0) == fuel.NEUTRAL


def test_gamma_at_the_threshold_itself_is_neutral() -> None:
    book = OptionBook()
    for nano, effect in (
        (-10_000 * 10**9, fuel.NEUTRAL),
        (-10_000 * 10**9 - 1, fuel.AMPLIFY),
        (10_000 * 10**9, fuel.NEUTRAL),
        (10_000 * 10**9 + 1, fuel.DAMPEN),
    ):
        with_gamma(book, 600.0, CALL, nano)
        book.snap(1.0)
        assert fuel.effect(book.p, book.near(600.0)[0]) == effect, nano


def test_strikes_within_the_range_of_the_level_count_edges_included() -> None:
    book = OptionBook()
    for k, strike in enumerate((597.5, 598.0, 600.0, 602.0, 602.5)):
        traded(book, strike, CALL, 10**k, BUY)
    book.snap(1.0)
    assert book.near(600.0)[1] == 10 + 100 + 1000
    assert book.near(600.5)[1] == 100 + 1000 + 10_000
    assert book.near(599.99)[1] == 10 + 100
    assert book.near(700.0) == (0.0, 0)


def test_gamma_near_a_level_is_the_sum_over_calls_and_puts() -> None:
    book = OptionBook()
    traded(book, 600.0, CALL, 100, BUY)
    traded(book, 601.0, PUT, 40, SELL)
    traded(book, 601.0, CALL, 7, BUY)
    book.snap(1.0)
    expected = sum(
        contracts * 100 * gamma(600.0, strike, 0.2, years(1.0))
        for strike, contracts in ((600.0, -100), (601.0, 40), (601.0, -7))
    )
    net, contracts = book.near(600.0)
    assert net == pytest.approx(expected, abs=3e-9)
    assert contracts == 147


def test_flow_leaves_after_w_g_to_the_snap_and_exactly() -> None:
    book = OptionBook()
    traded(book, 600.0, CALL, 100, BUY, at_s=1.0)
    traded(book, 600.0, CALL, 33, SELL, at_s=30.0)
    seen = [book.snap(1.0) and book.near(600.0)[1], book.snap(60.75) and book.near(600.0)[1]]
    assert seen == [133, 133]
    book.snap(61.0)  # (1 s, 61 s]
    alone = OptionBook()
    traded(alone, 600.0, CALL, 33, SELL, at_s=30.0)
    alone.snap(61.0)
    assert book.near(600.0) == alone.near(600.0)
    book.snap(90.0)
    assert book.near(600.0) == (0.0, 0)


def test_a_wall_is_the_strike_where_dealers_lost_most_calls_above_and_puts_below_spot() -> None:
    book = OptionBook(wall_strength_threshold=10.0)
    traded(book, 598.0, CALL, 900, BUY)  # calls below spot are no call wall
    traded(book, 601.0, CALL, 100, BUY)
    traded(book, 603.0, CALL, 300, BUY)
    traded(book, 602.0, CALL, 500, SELL)  # dealers gained
    traded(book, 602.5, PUT, 900, BUY)  # nor puts above spot a put wall
    traded(book, 599.0, PUT, 200, BUY)
    traded(book, 597.0, PUT, 100, BUY)
    s = book.snap(1.0)
    assert (s["call_wall_milli"], s["put_wall_milli"]) == (603_000, 599_000)
    assert s["call_wall_strength"] == pytest.approx(300 * 100 * gamma(600.0, 603.0, 0.2, years(1.0)), abs=1e-8)
    assert s["put_wall_strength"] == pytest.approx(200 * 100 * gamma(600.0, 599.0, 0.2, years(1.0)), abs=1e-8)


def test_a_wall_of_the_threshold_itself_stands_and_a_weaker_one_does_not() -> None:
    book = OptionBook()
    for right, strike, field in ((CALL, 602.0, "call_wall"), (PUT, 598.0, "put_wall")):
        with_gamma(book, strike, right, -50_000 * 10**9 + 1)
        assert book.snap(1.0)[f"{field}_milli"] == 0
        with_gamma(book, strike, right, -50_000 * 10**9)
        s = book.snap(1.0)
        assert (s[f"{field}_milli"], s[f"{field}_strength"]) == (strike * 1000, 50_000.0)


def test_of_equal_walls_the_nearest_to_spot_stands() -> None:
    book = OptionBook()
    for strike, right in ((602.0, CALL), (605.0, CALL), (598.0, PUT), (595.0, PUT)):
        with_gamma(book, strike, right, -60_000 * 10**9)
    s = book.snap(1.0)
    assert (s["call_wall_milli"], s["put_wall_milli"]) == (602_000, 598_000)


def test_a_wall_moves_when_spot_crosses_it_without_any_trade() -> None:
    book = OptionBook(wall_strength_threshold=10.0)
    for strike in (601.0, 603.0):
        for right in (CALL, PUT):
            traded(book, strike, right, 100 if strike == 603.0 else 200, BUY)
    walls = []
    for book.spot in (600.0, 600.99, 601.0, 601.01, 603.01, 0.0, 600.0):
        s = book.snap(1.0)
        walls.append((int(s["call_wall_milli"]), int(s["put_wall_milli"])))
    assert walls == [
        (601_000, 0),
        (601_000, 0),
        (603_000, 0),
        (603_000, 601_000),
        (0, 601_000),
        (0, 0),  # an unknown spot has nothing above or below it
        (601_000, 0),
    ]


def test_walls_look_back_over_w_wall_while_flow_has_left() -> None:
    book = OptionBook(wall_strength_threshold=10.0)
    traded(book, 602.0, CALL, 100, BUY, at_s=1.0)
    assert book.snap(300.75)["call_wall_milli"] == 602_000
    assert book.near(602.0) == (0.0, 0)
    assert book.snap(301.0)["call_wall_milli"] == 0


def test_strikes_with_volume_are_listed_for_the_session() -> None:
    book = OptionBook()
    for strike, right, size in ((602.0, CALL, 5), (600.0, PUT, 7), (602.0, PUT, 6), (601.0, CALL, 1)):
        book.trade(strike, right, size=size, aggressor=MID)
    book.quote(605.0, CALL, 1.0, 1.1)
    count = int(book.snap(200.0)["strike_count"])
    assert book.op.strike_milli[:count].tolist() == [600_000, 601_000, 602_000]
    assert book.op.strike_volume[:count].tolist() == [7, 1, 11]


def positions_gamma(book: OptionBook, spot: float, at_s: float) -> float:
    count = int(book.op.scalars["contract_count"][0])
    return sum(
        float(c["position"]) * gamma(spot, c["strike_milli"] / 1000, float(c["sigma"]), years(at_s))
        for c in book.op.contract[:count]
    )


def test_the_gamma_flip_lies_where_the_repriced_gamma_of_the_session_changes_sign() -> None:
    book = OptionBook()
    traded(book, 598.0, PUT, 300, BUY)  # dealers short below
    traded(book, 603.0, CALL, 400, SELL)  # and long above
    s = book.snap(5.0)
    assert positions_gamma(book, s["hvl"] - 0.125, 5.0) < 0 < positions_gamma(book, s["hvl"] + 0.125, 5.0)
    assert positions_gamma(book, s["hvl"], 5.0) == pytest.approx(0.0, abs=0.02 * positions_gamma(book, 603.0, 5.0))
    moved = float(s["hvl"])
    book.spot = 602.0
    assert book.snap(10.0)["hvl"] == pytest.approx(moved, abs=0.02)  # the book has not changed, nor has its flip


def test_of_two_flips_the_nearest_to_spot_counts_on_either_side() -> None:
    for spot, nearest in ((598.5, 0), (601.5, 1)):
        book = OptionBook(spot=spot)
        for strike, aggressor in ((597.0, BUY), (600.0, SELL), (603.0, BUY)):
            traded(book, strike, CALL, 300, aggressor, iv=0.05)
        flip = float(book.snap(5.0)["hvl"])
        assert abs(flip - (598.5, 601.5)[nearest]) < 0.6
        assert abs(flip - (598.5, 601.5)[1 - nearest]) > 1.0


def test_without_positions_without_a_change_of_sign_or_out_of_range_there_is_no_flip() -> None:
    empty = OptionBook()
    assert math.isnan(empty.snap(5.0)["hvl"])
    short = OptionBook()
    traded(short, 600.0, CALL, 100, BUY)
    assert math.isnan(short.snap(5.0)["hvl"])
    closed = OptionBook()
    traded(closed, 600.0, CALL, 100, BUY)
    traded(closed, 600.0, CALL, 100, SELL)
    assert math.isnan(closed.snap(5.0)["hvl"])
    far = OptionBook(HVL_RANGE=1.0)
    traded(far, 598.0, PUT, 300, BUY)
    traded(far, 603.0, CALL, 400, SELL)
    far.spot = 595.0
    assert math.isnan(far.snap(5.0)["hvl"])
    blind = OptionBook()
    traded(blind, 598.0, PUT, 300, BUY)
    traded(blind, 603.0, CALL, 400, SELL)
    blind.spot = 0.0
    assert math.isnan(blind.snap(5.0)["hvl"])


@pytest.mark.parametrize("spot", [598.0, 599.0, 600.0, 601.0, 602.0])
def test_the_flip_passes_over_spots_where_no_gamma_is_left(spot: float) -> None:
    """A minute before the close the strikes' bells no longer meet: in between gamma underflows to nothing."""
    book = OptionBook(spot=spot)
    for strike, aggressor in ((598.0, BUY), (602.0, SELL)):
        book.greeks(strike, CALL, iv=0.02, at_s=5 * 3600.0 - 61)
        book.trade(strike, CALL, aggressor=aggressor, at_s=5 * 3600.0 - 61)
    assert 598.0 < book.snap(5 * 3600.0 - 60)["hvl"] < 602.0


def test_expired_positions_and_open_interest_no_longer_count() -> None:
    book = OptionBook()
    for strike, aggressor, right in ((598.0, BUY, PUT), (603.0, SELL, CALL)):
        book.greeks(strike, right, iv=0.2, open_interest=1000)
        book.trade(strike, right, size=300, aggressor=aggressor)
    assert not math.isnan(book.snap(5.0)["hvl"]) and not math.isnan(book.snap(5.0)["gex"])
    s = book.snap(5 * 3600.0)
    assert math.isnan(s["hvl"]) and math.isnan(s["gex"])
    assert (s["oi_call_wall_milli"], s["oi_put_wall_milli"]) == (0, 0)


def test_slow_measures_are_found_anew_on_the_grid_of_their_interval_only() -> None:
    book = OptionBook()
    book.greeks(602.0, CALL, gamma=0.05, open_interest=1000)
    assert NOON_NS % (20 * SNAP_NS) == 0
    for at_s in (0.25, 1.0, 4.75):
        assert math.isnan(book.snap(at_s)["gex"])
    assert not math.isnan(book.snap(5.0)["gex"])


def test_gex_is_gamma_times_open_interest_calls_plus_puts_minus_over_all_expirations() -> None:
    book = OptionBook()
    chain = [(602.0, CALL, 0.05, 1000, 0), (604.0, CALL, 0.04, 2000, 30), (598.0, PUT, 0.06, 3000, 0)]
    for strike, right, per_share, contracts, days in chain:
        book.greeks(strike, right, gamma=per_share, open_interest=contracts, days=days)
    unit = 100 * 600.0**2 * 0.01
    s = book.snap(5.0)
    assert s["gex"] == pytest.approx((0.05 * 1000 + 0.04 * 2000 - 0.06 * 3000) * unit, rel=1e-12)
    assert (s["oi_call_wall_milli"], s["oi_put_wall_milli"]) == (604_000, 598_000)
    assert s["oi_call_wall_strength"] == pytest.approx(0.04 * 2000 * unit, rel=1e-12)
    assert s["oi_put_wall_strength"] == pytest.approx(0.06 * 3000 * unit, rel=1e-12)
    assert s["snapshot_ts_ns"] == NOON_NS


def test_open_interest_walls_add_expirations_of_a_strike_and_keep_to_their_side_of_spot() -> None:
    book = OptionBook()
    for days in (0, 1):
        book.greeks(603.0, CALL, gamma=0.05, open_interest=600, days=days)
        book.greeks(597.0, PUT, gamma=0.05, open_interest=600, days=days)
    book.greeks(602.0, CALL, gamma=0.05, open_interest=1000)
    book.greeks(598.0, PUT, gamma=0.05, open_interest=1000)
    book.greeks(600.0, CALL, gamma=0.05, open_interest=9000)  # at spot: on neither side
    book.greeks(600.0, PUT, gamma=0.05, open_interest=9000)
    book.greeks(599.0, CALL, gamma=0.05, open_interest=9000)
    book.greeks(601.0, PUT, gamma=0.05, open_interest=9000)
    s = book.snap(5.0)
    assert (s["oi_call_wall_milli"], s["oi_put_wall_milli"]) == (603_000, 597_000)


def test_of_equal_open_interest_walls_the_nearest_to_spot_stands() -> None:
    book = OptionBook()
    for strike, right in ((602.0, CALL), (604.0, CALL), (598.0, PUT), (596.0, PUT)):
        book.greeks(strike, right, gamma=0.05, open_interest=1000)
    s = book.snap(5.0)
    assert (s["oi_call_wall_milli"], s["oi_put_wall_milli"]) == (602_000, 598_000)


def test_without_a_snapshots_gamma_its_volatility_gives_it_and_without_both_it_is_left_out() -> None:
    book = OptionBook()
    book.greeks(602.0, CALL, iv=0.2, open_interest=1000)
    book.greeks(603.0, CALL, open_interest=1000)
    expected = 1000 * gamma(600.0, 602.0, 0.2, years(5.0)) * 100 * 600.0**2 * 0.01
    assert book.snap(5.0)["gex"] == pytest.approx(expected, rel=1e-12)


def test_without_open_interest_or_spot_there_is_no_gex() -> None:
    book = OptionBook()
    book.greeks(602.0, CALL, iv=0.2, gamma=0.05)
    assert math.isnan(book.snap(5.0)["gex"])
    book.greeks(602.0, CALL, iv=0.2, gamma=0.05, open_interest=1000)
    book.spot = 0.0
    assert math.isnan(book.snap(10.0)["gex"])


def test_the_age_of_open_interest_is_that_of_the_newest_snapshot() -> None:
    book = OptionBook()
    book.greeks(602.0, CALL, gamma=0.05, at_s=30.0, open_interest=1000)
    book.greeks(601.0, CALL, gamma=0.05, at_s=31.0, event_s=10.0, open_interest=1000)
    assert book.op.scalars["snapshot_ts_ns"][0] == NOON_NS + 30 * S


def test_confidence_grows_with_signed_volume_and_is_full_at_fuel_confidence_contracts() -> None:
    p = OptionBook().p
    assert [fuel.confidence(p, n) for n in (0, 125, 500, 5000)] == [0.0, 0.25, 1.0, 1.0]


def test_a_snap_without_changes_changes_nothing() -> None:
    book = OptionBook()
    traded(book, 602.0, CALL, 100, BUY)
    book.greeks(598.0, PUT, gamma=0.05, open_interest=10)
    book.snap(5.0)
    before = [a.tobytes() for a in (book.op.scalars, book.op.contract, book.op.strike_sum, book.op.strike_wall)]
    rows = book.flow_count
    for k in range(1, 20):
        book.snap(5.0 + k * 0.25)
    assert [a.tobytes() for a in (book.op.scalars, book.op.contract, book.op.strike_sum, book.op.strike_wall)] == before
    assert book.flow_count == rows
