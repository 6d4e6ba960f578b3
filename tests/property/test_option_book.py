"""Gamma near a level and walls equal sums made afresh from the trades, however time passes between them (DESIGN 4.2,
4.7).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.engine.blackscholes import gamma
from tests.support.option_book import BUY, CALL, PUT, SELL, SNAP_NS, OptionBook, S

STRIKES = [597.0, 598.5, 599.0, 600.0, 601.0, 602.0, 604.5]
SNAP_S = SNAP_NS / S
FLOW_SNAPS, WALL_SNAPS = 8, 20

trades = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(STRIKES),
        st.sampled_from([CALL, PUT]),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 900),
    ),
    max_size=25,
)


def nano_of(strike: float, aggressor: int, size: int, at_s: float) -> int:
    years = (5 * 3600 - at_s) / (365 * 86_400)
    sign = 1 if aggressor == BUY else -1
    return round(-sign * size * 100 * gamma(600.0, strike, 0.2, years) * 1e9)


def strongest(lost: dict[float, int], above: bool) -> float:
    """Strike of the wall among those above or below spot, 0 when there is none."""
    able = [(nano, -abs(strike - 600.0), strike) for strike, nano in lost.items() if nano >= 1000 * 10**9]
    able = [one for one in able if (one[2] > 600.0 if above else one[2] < 600.0)]
    return max(able)[2] if able else 0.0


@settings(max_examples=60, deadline=None)
@given(trades, st.sampled_from(STRIKES))
def test_gamma_near_a_level_and_walls_are_the_sums_over_their_windows(
    records: list[tuple[int, float, int, int, int]], level: float
) -> None:
    book = OptionBook(W_g=FLOW_SNAPS * SNAP_S, W_wall=WALL_SNAPS * SNAP_S, wall_strength_threshold=1000.0)
    for strike in STRIKES:
        for right in (CALL, PUT):
            book.greeks(strike, right, iv=0.2)
    snap = 0
    seen: list[tuple[int, float, int, int, int]] = []
    for step, strike, right, aggressor, size in records:
        snap += step
        book.trade(strike, right, size=size, aggressor=aggressor, at_s=snap * SNAP_S)
        seen.append((snap, strike, right, nano_of(strike, aggressor, size, snap * SNAP_S), size))
        scalars: Any = book.snap(snap * SNAP_S)
        near = [t for t in seen if t[0] > snap - FLOW_SNAPS and abs(t[1] - level) <= 2.0]
        assert book.near(level) == (sum(t[3] for t in near) / 1e9, sum(t[4] for t in near))
        lost: tuple[dict[float, int], dict[float, int]] = (defaultdict(int), defaultdict(int))
        for at, traded, of, nano, _ in seen:
            if at > snap - WALL_SNAPS:
                lost[of][traded] -= nano
        assert scalars["call_wall_milli"] == strongest(lost[CALL], True) * 1000
        assert scalars["put_wall_milli"] == strongest(lost[PUT], False) * 1000
