"""Windowed sums equal a sum made afresh, however often they grow."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from processors.engine import window

KEYS, COMPONENTS, SPAN = 5, 2, 4

arrivals = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, KEYS - 1), st.integers(0, COMPONENTS - 1), st.integers(1, 9)),
    max_size=80,
)


@given(arrivals)
def test_totals_are_the_sums_over_the_window(records: list[tuple[int, int, int, int]]) -> None:
    sums = window.empty(KEYS, COMPONENTS, 4)
    now = 0
    seen: list[tuple[int, int, int, int]] = []
    for step, key, component, amount in records:
        now += step
        window.expire(sums, now - SPAN + 1)
        while not window.has_room(sums, 1):
            sums = window.grown(sums)
        window.add(sums, now, key, component, amount)
        seen.append((now, key, component, amount))
        expected: dict[tuple[int, int], int] = defaultdict(int)
        for bucket, *place, size in seen:
            if bucket > now - SPAN:
                expected[place[0], place[1]] += size
        for at_key in range(KEYS):
            assert sums.total[at_key].tolist() == [expected[at_key, c] for c in range(COMPONENTS)]
    window.clear(sums)
    window.expire(sums, now + 1)
    assert not sums.total.any()
