"""Extremes of the session and its parts, the prior day, and what a roll keeps (plan §4, DESIGN 4.2-4.4).

Spec: plan 4; core LevelUniverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from processors.engine.landmarks import (
    LandmarkArrays,
    add_es_trade,
    add_spy_trade,
    park_contract,
    refresh,
    unpark_contract,
    vwap,
)
from tests.support.landmarks import ABSENT, NONE, SNAP_NS, P, at, begin, get, session, span
from tests.support.universe import parameters_of


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


@pytest.mark.parametrize(("date", "complete"), [(20250603, 1), (20241129, 1), (20250704, 0)])
def test_overnight_is_complete_at_the_snap_on_the_rth_open(date: int, complete: int) -> None:
    lm = session(date)
    refresh(lm, P, at(date, 9, 30) // SNAP_NS - 1)
    assert get(lm, "overnight_complete") == (0,)
    refresh(lm, P, at(date, 9, 30) // SNAP_NS)
    assert get(lm, "overnight_complete", "opening_complete") == (complete, 0)


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
            assert lm.scalars[name].tolist() == fresh.scalars[name].tolist(), name
    assert not lm.volume_at.any()


EXTREMES = ("session", "premarket", "overnight", "opening", "rth", "prior")
RTH = "rth_last", "prior_close", "es_volume", "es_amount", "es_rth_volume", "es_rth_amount"


def rolled_at_11(old_ticks: Sequence[int], new_ticks: Sequence[int]) -> LandmarkArrays:
    """A day in which the same trades as ``old_ticks`` are made in the old contract from 5:00 on, then 1.01 times higher
    ones in the new.
    """
    lm = session(20250602)
    trade_day(lm, 20250602, old_ticks)
    begin(lm, 20250603)
    for hour, tick in zip((5, 9, 10), old_ticks, strict=False):
        add_es_trade(lm, P, at(20250603, hour, 40 if hour == 9 else 0), tick, 2)
    park_contract(lm, 10.0)
    for n, tick in enumerate(new_ticks):
        add_es_trade(lm, P, at(20250603, 11, n), tick, 3)
    return lm


def test_a_roll_keeps_what_the_session_and_the_day_before_left_in_dollars() -> None:
    lm = rolled_at_11([24000, 24200, 23900], [24341, 24240])
    unpark_contract(lm, 10.1)
    assert [span(lm, name) for name in EXTREMES] == [
        (24442, 24139),  # 24200 and 23900 in the ticks of the new contract
        (24240, 24240),
        (24240, 24240),
        (24442, 24442),
        (24442, 24139),
        (24442, 24139),
    ]
    amounts = (24000 * 2, 24200 * 2, 23900 * 2)
    new = (24341 + 24240) * 3
    assert get(lm, *RTH) == (
        24240,
        24139,
        12,
        round(sum(amounts) * 1.01) + new,
        10,
        round(sum(amounts[1:]) * 1.01) + new,
    )


def test_until_the_new_contract_s_ratio_is_known_only_its_own_trades_count() -> None:
    lm = rolled_at_11([24000, 24200], [24341])
    assert [span(lm, name) for name in EXTREMES] == [(24341, 24341), NONE, NONE, NONE, (24341, 24341), NONE]
    assert get(lm, *RTH) == (24341, ABSENT, 3, 3 * 24341, 3, 3 * 24341)


def test_without_a_trade_since_the_roll_the_last_price_is_the_old_contract_s() -> None:
    lm = rolled_at_11([24000, 24200], [])
    unpark_contract(lm, 10.1)
    assert get(lm, "rth_last") == (24442,)


def test_the_volume_profile_is_the_new_contract_s_alone() -> None:
    lm = rolled_at_11([24341, 24200], [24240, 24240, 24240, 24241])
    unpark_contract(lm, 10.1)
    refresh(lm, P, 0)
    assert get(lm, "poc", "val", "vah", "profile_volume") == (24240, 24240, 24240, 12)
    assert int(lm.volume_at.sum()) == 12


def test_what_was_parked_is_joined_once() -> None:
    lm = rolled_at_11([24000, 24200], [24341])
    unpark_contract(lm, 10.1)
    once = lm.scalars[0].copy()
    unpark_contract(lm, 10.2)
    assert lm.scalars[0] == once


def test_without_a_ratio_what_the_old_contract_left_is_lost() -> None:
    lm = session(20250602)
    trade_day(lm, 20250602, [24000, 24020])
    begin(lm, 20250603)
    trade_day(lm, 20250603, [24500])
    park_contract(lm, 0.0)
    unpark_contract(lm, 10.1)
    assert [span(lm, name) for name in EXTREMES] == [NONE] * 6


def test_a_contract_without_a_ratio_does_not_displace_the_one_that_is_parked() -> None:
    lm = rolled_at_11([24000, 24200], [30000])
    park_contract(lm, 0.0)
    unpark_contract(lm, 10.1)
    assert span(lm, "session") == (24442, 24240)


def test_a_parked_contract_s_prior_landmarks_wait_over_a_session_for_the_ratio() -> None:
    lm = session(20250602)
    trade_day(lm, 20250602, [24000, 24020, 24010])
    park_contract(lm, 10.0)
    begin(lm, 20250603)
    unpark_contract(lm, 10.1)
    assert [span(lm, name) for name in EXTREMES] == [NONE] * 6, "the parked session has ended"

    lm = session(20250602)
    trade_day(lm, 20250602, [24000, 24020, 24010])
    begin(lm, 20250603)
    park_contract(lm, 10.0)
    begin(lm, 20250604)
    unpark_contract(lm, 10.1)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24260, 24240, 24250)


def test_newer_prior_landmarks_replace_parked_ones() -> None:
    lm = session(20250602)
    trade_day(lm, 20250602, [24000])
    begin(lm, 20250603)
    park_contract(lm, 10.0)
    trade_day(lm, 20250603, [24500])
    begin(lm, 20250604)
    unpark_contract(lm, 10.1)
    assert get(lm, "prior_high", "prior_low", "prior_close") == (24500,) * 3
