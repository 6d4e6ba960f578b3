"""User hotzones: an ascending list without repetition (plan §4).

Spec: plan 4; core LevelUniverse.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.engine.hotzones import HOTZONES, add_hotzone, configured, remove_hotzone


def test_configured_prices_stand_ascending_once_each() -> None:
    zones, count = configured((675.5, 600.0, 675.5))
    assert (str(zones.dtype), len(zones)) == ("int64", HOTZONES)
    assert zones[:count].tolist() == [6_000_000, 6_755_000]


def test_a_full_list_and_a_price_that_is_none_change_nothing() -> None:
    zones, count = configured([100.0 + n for n in range(HOTZONES + 3)])
    assert count == HOTZONES
    before = zones.copy()
    assert add_hotzone(zones, count, 1) == count
    assert np.array_equal(zones, before)
    count = remove_hotzone(zones, count, 1_000_000)
    assert add_hotzone(zones, count, 0) == add_hotzone(zones, count, -5) == HOTZONES - 1
    assert add_hotzone(zones, count, 1) == HOTZONES
    assert zones[0] == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=60))
def test_adding_and_removing_is_a_sorted_set(requests: list[tuple[bool, int]]) -> None:
    zones, count = configured(())
    expected: set[int] = set()
    for adding, price in requests:
        count = (add_hotzone if adding else remove_hotzone)(zones, count, price)
        (expected.add if adding else expected.discard)(price)
        assert zones.tolist() == sorted(expected) + [0] * (HOTZONES - count)
