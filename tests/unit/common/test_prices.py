"""Prices change their form exactly.

Spec: core Price conversion.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.prices import ABSENT, tick_of, to_dollars, to_ticks


@given(st.lists(st.integers(-100_000, 100_000), min_size=1))
def test_ticks_to_dollars_and_back_is_exact(ticks: list[int]) -> None:
    array = np.array(ticks, np.int64)
    assert np.array_equal(to_ticks(to_dollars(array)), array)
    assert [tick_of(price, 0.25) for price in to_dollars(array)] == ticks


def test_a_price_off_the_grid_has_no_tick() -> None:
    prices = np.array([6000.1, np.nan, np.inf, 6000.25])
    assert to_ticks(prices).tolist() == [ABSENT, ABSENT, ABSENT, 24001]
    assert [tick_of(price, 0.25) for price in prices[:3]] == [ABSENT] * 3
