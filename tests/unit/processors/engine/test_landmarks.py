"""Extremes of the session and its parts, prior day, VWAP and volume profile (plan §4, DESIGN 4.2-4.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import prices
from common.sessions import cme_es_sessions
from processors.engine.landmarks import (
    LandmarkArrays,
    add_es_trade,
    add_spy_trade,
    begin_session,
    empty,
    refresh,
    roll_prior,
    vwap,
)
from tests.support.universe import parameters_of

NEW_YORK = ZoneInfo("America/New_York")
P = parameters_of()
FROM_RTH = parameters_of(VWAP_ANCHOR="RTH")
SNAP_NS = int(P["snap_ns"])
ABSENT = int(prices.ABSENT)
NONE = (ABSENT, ABSENT)


def at(date: int, hour: int, minute: int = 0, ns: int = 0) -> int:
    """A time of day in New York."""
    moment = datetime(date // 10_000, date // 100 % 100, date % 100, hour, minute, tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 10**9 + ns


def begin(lm: LandmarkArrays, date: int) -> LandmarkArrays:
    table = cme_es_sessions()
    n = list(table.date).index(date)
    begin_session(lm, int(table.rth_open_ns[n]), int(table.rth_close_ns[n]))
    return lm


def session(date: int = 20250603) -> LandmarkArrays:
    return begin(empty(8192), date)


def get(lm: LandmarkArrays, *fields: str) -> tuple[int, ...]:
    return tuple(int(lm.scalars[name][0]) for name in fields)


def span(lm: LandmarkArrays, name: str) -> tuple[int, ...]:
    return get(lm, f"{name}_high", f"{name}_low")


def test_before_the_first_trade_there_is_nothing() -> None:
    lm = session()
    refresh(lm, P, at(20250603, 12) // SNAP_NS)
    for name in ("session", "premarket", "overnight", "opening", "rth", "prior"):
        assert span(lm, name) == NONE
    assert get(lm, "rth_last", "prior_close", "poc", "vah", "val") == (ABSENT,) * 5
    assert math.isnan(vwap(lm, P, 10.0))


def test_the_first_trade_is_high_low_poc_and_value_area() -> None:
    lm = session()
    add_es_trade(lm, P, at(20250603, 3), 24000, 2)
    refresh(lm, P, at(20250603, 3) // SNAP_NS)
    assert span(lm, "session") == span(lm, "overnight") == (24000, 24000)
    assert get(lm, "poc", "vah", "val") == (24000, 24000, 24000)
    assert vwap(lm, P, 10.0) == 600.0


def test_the_session_s_extremes_are_of_all_its_trades() -> None:
    lm = session()
    for hour, tick in ((1, 24005), (5, 23990), (10, 24000), (16, 24010)):
        add_es_trade(lm, P, at(20250603, hour), tick, 1)
    assert span(lm, "session") == (24010, 23990)


@pytest.mark.parametrize("date", [20250603, 20240311, 20241104, 20241129])
def test_premarket_is_from_4_to_9_30_in_new_york_also_after_clocks_change(date: int) -> None:
    lm = session(date)
    add_es_trade(lm, P, at(date, 4, 0, -1), 24050, 1)
    assert span(lm, "premarket") == NONE
    add_es_trade(lm, P, at(date, 4), 24010, 1)
    add_es_trade(lm, P, at(date, 9, 30, -1), 24000, 1)
    add_es_trade(lm, P, at(date, 9, 30), 23900, 1)
    assert span(lm, "premarket") == (24010, 24000)


def test_overnight_is_from_the_session_s_open_to_the_rth_open() -> None:
    lm = session()
    add_es_trade(lm, P, at(20250602, 18), 24050, 1)
    add_es_trade(lm, P, at(20250603, 9, 30, -1), 24000, 1)
    add_es_trade(lm, P, at(20250603, 9, 30), 23900, 1)
    assert span(lm, "overnight") == (24050, 24000)
    assert span(lm, "rth") == (23900, 23900)


def test_regular_hours_end_before_their_close() -> None:
    lm = session()
    add_es_trade(lm, P, at(20250603, 16, 0, -1), 24000, 1)
    add_es_trade(lm, P, at(20250603, 16), 24100, 1)
    assert span(lm, "rth") == (24000, 24000)
    assert span(lm, "session") == (24100, 24000)
    assert get(lm, "rth_last") == (24000,)


def test_on_a_half_day_regular_hours_end_at_13() -> None:
    lm = session(20241129)
    add_es_trade(lm, P, at(20241129, 13, 0, -1), 24000, 1)
    add_es_trade(lm, P, at(20241129, 13), 24100, 1)
    assert span(lm, "rth") == (24000, 24000)


def test_the_opening_range_is_complete_at_the_snap_on_its_end() -> None:
    lm = session()
    end = at(20250603, 10)
    add_es_trade(lm, P, at(20250603, 9, 30, -1), 24500, 1)
    add_es_trade(lm, P, at(20250603, 9, 30), 24010, 1)
    add_es_trade(lm, P, end - 1, 24000, 1)
    refresh(lm, P, end // SNAP_NS - 1)
    assert get(lm, "opening_complete") == (0,)
    add_es_trade(lm, P, end, 23500, 1)
    refresh(lm, P, end // SNAP_NS)
    assert get(lm, "opening_complete") == (1,)
    assert span(lm, "opening") == (24010, 24000)


def test_the_opening_range_is_as_long_as_configured() -> None:
    lm, p = session(), parameters_of(OPENING_RANGE_S=300)
    add_es_trade(lm, p, at(20250603, 9, 35, -1), 24000, 1)
    add_es_trade(lm, p, at(20250603, 9, 35), 24100, 1)
    refresh(lm, p, at(20250603, 9, 35) // SNAP_NS)
    assert span(lm, "opening") == (24000, 24000)
    assert get(lm, "opening_complete") == (1,)


def test_a_session_without_regular_hours_has_extremes_and_profile_only() -> None:
    lm = session(20250704)
    add_es_trade(lm, P, at(20250704, 8), 24000, 1)
    add_es_trade(lm, P, at(20250704, 10), 24010, 1)
    refresh(lm, P, at(20250704, 12) // SNAP_NS)
    assert span(lm, "session") == (24010, 24000)
    for name in ("premarket", "overnight", "opening", "rth"):
        assert span(lm, name) == NONE
    assert get(lm, "opening_complete", "es_rth_volume") == (0, 0)
    assert get(lm, "poc") == (24000,)


def trade_day(lm: LandmarkArrays, date: int, ticks: Sequence[int]) -> None:
    for n, tick in enumerate(ticks):
        add_es_trade(lm, P, at(date, 10, n), tick, 1)


def test_prior_landmarks_are_the_previous_regular_hours_over_a_weekend() -> None:
    lm = session(20250606)
    add_es_trade(lm, P, at(20250606, 8), 25000, 1)
    trade_day(lm, 20250606, [24000, 24020, 23990, 24010])
    add_es_trade(lm, P, at(20250606, 16, 30), 23000, 1)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (ABSENT,) * 3
    begin(lm, 20250609)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24020, 23990, 24010)
    trade_day(lm, 20250609, [24100, 24090])
    begin(lm, 20250610)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24100, 24090, 24090)


def test_a_holiday_keeps_the_prior_landmarks_of_the_day_before() -> None:
    lm = session(20250703)
    trade_day(lm, 20250703, [24000, 24020])
    begin(lm, 20250704)
    trade_day(lm, 20250704, [23000, 25000])
    begin(lm, 20250707)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24020, 24000, 24020)


def test_regular_hours_without_a_trade_keep_the_prior_landmarks() -> None:
    lm = session(20250602)
    trade_day(lm, 20250602, [24000])
    begin(lm, 20250603)
    add_es_trade(lm, P, at(20250603, 3), 23000, 1)
    begin(lm, 20250604)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24000, 24000, 24000)


def test_a_session_begins_with_nothing_but_the_prior_landmarks() -> None:
    lm = session(20250602)
    add_es_trade(lm, P, at(20250602, 5), 24000, 3)
    trade_day(lm, 20250602, [24000])
    add_spy_trade(lm, P, at(20250602, 10), 6_000_000, 5)
    refresh(lm, P, at(20250602, 11) // SNAP_NS)
    begin(lm, 20250603)
    fresh = session(20250603)
    for name in fresh.scalars.dtype.names or ():
        if not name.startswith("prior_"):
            assert lm.scalars[name] == fresh.scalars[name], name
    assert not lm.volume_at.any()


def test_a_roll_keeps_the_prior_landmarks_dollars() -> None:
    lm = session(20250602)
    trade_day(lm, 20250602, [24000, 24020, 24010])
    begin(lm, 20250603)
    roll_prior(lm, 10.0, 10.1)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24260, 24240, 24250)


def test_a_roll_without_prior_landmarks_makes_none() -> None:
    lm = session()
    roll_prior(lm, 10.0, 10.1)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (ABSENT,) * 3


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
    lm, snaps = session(), int(P["hvl_snaps"])
    add_es_trade(lm, P, at(20250603, 3), 24000, 10)
    refresh(lm, P, 7 * snaps + 3)
    add_es_trade(lm, P, at(20250603, 3), 24001, 9)
    refresh(lm, P, 8 * snaps - 1)
    assert get(lm, "val", "vah") == (24000, 24000)
    refresh(lm, P, 8 * snaps)
    assert get(lm, "val", "vah") == (24000, 24001)


def test_a_poc_outside_moves_the_value_area_at_once() -> None:
    lm, snaps = session(), int(P["hvl_snaps"])
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
