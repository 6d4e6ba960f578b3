"""Prices change their form exactly; sessions are the calendar's."""

from __future__ import annotations

import csv

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.prices import ABSENT, tick_of, to_dollars, to_ticks
from common.sessions import TABLE, cme_es_sessions, generate


@given(st.lists(st.integers(-100_000, 100_000), min_size=1))
def test_ticks_to_dollars_and_back_is_exact(ticks: list[int]) -> None:
    array = np.array(ticks, np.int64)
    assert np.array_equal(to_ticks(to_dollars(array)), array)
    assert [tick_of(price, 0.25) for price in to_dollars(array)] == ticks


def test_a_price_off_the_grid_has_no_tick() -> None:
    prices = np.array([6000.1, np.nan, np.inf, 6000.25])
    assert to_ticks(prices).tolist() == [ABSENT, ABSENT, ABSENT, 24001]
    assert [tick_of(price, 0.25) for price in prices[:3]] == [ABSENT] * 3


def test_the_session_table_is_what_the_calendar_says() -> None:
    with TABLE.open(encoding="ascii", newline="") as file:
        stored = [tuple(int(value) for value in row) for row in list(csv.reader(file))[1:]]
    assert stored == generate(), "run python -m common.sessions and review the difference"


def test_sessions_follow_one_another_and_christmas_has_none() -> None:
    sessions = cme_es_sessions()
    assert np.all(sessions.open_ns < sessions.close_ns)
    assert np.all(sessions.close_ns[:-1] <= sessions.open_ns[1:])
    assert 20231225 not in sessions.date
    at = list(sessions.date).index(20231226)
    assert sessions.open_ns[at] == 1_703_545_200 * 10**9  # 2023-12-25 17:00 in Chicago
