"""VWAP and volume profile (plan §4, DESIGN 4.3).

Spec: plan 4; core LevelUniverse.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.engine.landmarks import LandmarkArrays, add_es_trade, add_spy_trade, refresh, vwap
from tests.support.landmarks import P, at, get, session
from tests.support.universe import parameters_of

FROM_RTH = parameters_of(VWAP_ANCHOR="RTH")


def test_vwap_is_of_es_until_spy_trades() -> None:
    lm = session()
    add_es_trade(lm, P, at(20250603, 3), 24000, 1)
    add_es_trade(lm, P, at(20250603, 3), 24004, 3)
    assert vwap(lm, P, 10.0) == 24003 * 0.25 / 10.0
    assert vwap(lm, P, 10.1) == 24003 * 0.25 / 10.1
    add_spy_trade(lm, P, at(20250603, 4), 5_990_000, 100)
    add_spy_trade(lm, P, at(20250603, 4), 5_990_400, 300)
    assert vwap(lm, P, 10.1) == 599.03


def test_with_a_fixed_ratio_vwap_is_always_of_es() -> None:
    lm, p = session(), parameters_of(RATIO_FIXED=True, RATIO_DEFAULT=1.0)
    add_es_trade(lm, p, at(20250603, 3), 24000, 1)
    add_spy_trade(lm, p, at(20250603, 4), 5_990_000, 100)
    assert vwap(lm, p, 1.0) == 6000.0


def test_vwap_from_the_rth_open_knows_no_earlier_trade() -> None:
    lm, opens = session(), at(20250603, 9, 30)
    add_es_trade(lm, FROM_RTH, opens - 1, 24000, 7)
    add_spy_trade(lm, FROM_RTH, opens - 1, 5_000_000, 7)
    assert math.isnan(vwap(lm, FROM_RTH, 10.0))
    add_es_trade(lm, FROM_RTH, opens, 24400, 1)
    assert vwap(lm, FROM_RTH, 10.0) == 610.0
    add_spy_trade(lm, FROM_RTH, opens, 6_200_000, 1)
    assert vwap(lm, FROM_RTH, 10.0) == 620.0
    assert vwap(lm, P, 10.0) == (5_000_000 * 7 + 6_200_000) / 8 / 10_000


def test_without_regular_hours_there_is_no_vwap_from_their_open() -> None:
    lm = session(20250704)
    add_es_trade(lm, FROM_RTH, at(20250704, 10), 24000, 7)
    add_spy_trade(lm, FROM_RTH, at(20250704, 10), 5_000_000, 7)
    assert math.isnan(vwap(lm, FROM_RTH, 10.0))


def profile(volumes: dict[int, int], p: object = P) -> LandmarkArrays:
    lm = session()
    for tick, volume in volumes.items():
        add_es_trade(lm, p, at(20250603, 3), tick, volume)
    refresh(lm, p, 0)
    return lm


def test_the_poc_is_the_heaviest_tick_and_of_equals_the_lowest() -> None:
    assert get(profile({24000: 5, 24001: 7, 24002: 6}), "poc") == (24001,)
    assert get(profile({24000: 5, 24001: 7, 23990: 7}), "poc") == (23990,)
    assert get(profile({23990: 7, 24000: 5, 24001: 7}), "poc") == (23990,)


def test_the_value_area_takes_the_heavier_two_rows_until_the_share_is_inside() -> None:
    # 40 of 100 at the POC; above 12 + 8, below 9 + 10: up; then above 3 + 2, below 19: down, with 79
    volumes = {24000: 40, 24001: 12, 24002: 8, 24003: 3, 24004: 2, 23999: 9, 23998: 10, 23997: 6, 23996: 10}
    assert sum(volumes.values()) == 100
    assert get(profile(volumes), "val", "poc", "vah") == (23998, 24000, 24002)


def test_exactly_the_share_is_enough() -> None:
    volumes = {24000: 60, 24001: 5, 24002: 5, 23999: 4, 23998: 4, 23997: 11, 23996: 11}
    assert sum(volumes.values()) == 100
    assert get(profile(volumes), "val", "vah") == (24000, 24002)
    volumes |= {24002: 4, 23997: 12}
    assert get(profile(volumes), "val", "vah") == (23998, 24002)


def test_equal_sides_grow_downwards_first() -> None:
    volumes = {24000: 60, 24001: 5, 24002: 5, 23999: 5, 23998: 5, 23997: 10, 24003: 10}
    assert get(profile(volumes), "val", "vah") == (23998, 24000)


def test_the_value_area_ends_at_the_session_s_extremes() -> None:
    assert get(profile({24000: 50, 24001: 50}, parameters_of(VALUE_AREA=0.99)), "val", "vah") == (24000, 24001)
    assert get(profile({24000: 50, 23999: 50}, parameters_of(VALUE_AREA=0.99)), "val", "vah") == (23999, 24000)


def test_the_value_area_crosses_prices_without_trades() -> None:
    assert get(profile({24000: 60, 24010: 40}), "val", "vah") == (24000, 24010)
    assert get(profile({24000: 60, 23990: 40}), "val", "vah") == (23990, 24000)


def test_the_value_area_is_found_anew_in_every_period_in_which_something_traded() -> None:
    lm, snaps = session(), int(P["refresh_snaps"])
    add_es_trade(lm, P, at(20250603, 3), 24000, 10)
    refresh(lm, P, 7 * snaps + 3)
    add_es_trade(lm, P, at(20250603, 3), 24001, 9)
    refresh(lm, P, 8 * snaps - 1)
    assert get(lm, "val", "vah") == (24000, 24000)
    refresh(lm, P, 8 * snaps)
    assert get(lm, "val", "vah") == (24000, 24001)


def test_a_poc_outside_moves_the_value_area_at_once() -> None:
    lm, snaps = session(), int(P["refresh_snaps"])
    add_es_trade(lm, P, at(20250603, 3), 24000, 10)
    refresh(lm, P, 7 * snaps)
    add_es_trade(lm, P, at(20250603, 3), 24005, 100)
    refresh(lm, P, 7 * snaps + 1)
    assert get(lm, "val", "poc", "vah") == (24005, 24005, 24005)


def oracle(volumes: dict[int, int], share: float) -> tuple[int, int, int]:
    """The textbook's value area over a list of rows."""
    low, high = min(volumes), max(volumes)
    rows = [volumes.get(tick, 0) for tick in range(low, high + 1)]
    poc = rows.index(max(rows))
    first, last = poc, poc
    while sum(rows[first : last + 1]) < share * sum(rows) - 1e-6:
        above, below = sum(rows[last + 1 : last + 3]), sum(rows[max(first - 2, 0) : first])
        if first > 0 and (below >= above or last == len(rows) - 1):
            first = max(first - 2, 0)
        else:
            last = min(last + 2, len(rows) - 1)
    return low + first, low + poc, low + last


@given(
    st.lists(st.tuples(st.integers(24570, 24600), st.integers(1, 50)), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.5, 0.68, 0.7, 0.95]),
)
def test_the_profile_does_not_depend_on_the_order_of_trades(trades: list[tuple[int, int]], share: float) -> None:
    p = parameters_of(VALUE_AREA=share)
    volumes: dict[int, int] = {}
    for tick, size in trades:
        volumes[tick] = volumes.get(tick, 0) + size
    lm = session()
    for tick, size in trades:
        add_es_trade(lm, p, at(20250603, 3), tick, size)
    refresh(lm, p, 0)
    assert get(lm, "val", "poc", "vah") == oracle(volumes, share)


def test_sums_of_a_whole_day_are_exact() -> None:
    lm = session()
    for _ in range(1000):
        add_spy_trade(lm, P, at(20250603, 10), 6_801_234, 999_999)
    assert get(lm, "spy_amount", "spy_rth_amount") == (6_801_234 * 999_999 * 1000,) * 2
    assert vwap(lm, P, 10.0) == np.float64(6_801_234) / 10_000
