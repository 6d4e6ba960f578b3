"""Next level, next obstacle and confluence (plan §5.5; core.md, RoomToRun).

Spec: plan 5.5; core RoomToRun.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.engine.levels import KINDS, STRONG
from processors.engine.runway import confluence, next_level, next_obstacle
from processors.engine.universe import NearLevels, room

TOUCH, BAND = 0.05, 0.20
UP, DOWN = True, False


def near(*levels: tuple[str, float]) -> tuple[NearLevels, int]:
    """Levels as the list leaves them."""
    ordered = sorted(levels, key=lambda level: (level[1], not STRONG[KINDS.index(level[0])], KINDS.index(level[0])))
    count = len(ordered)
    out = room()
    out.kinds[:count] = [KINDS.index(kind) for kind, _ in ordered]
    out.prices[:count] = [price for _, price in ordered]
    out.prices_e4[:count] = [round(price * 10_000) for _, price in ordered]
    strong = np.flatnonzero(STRONG[out.kinds[:count]])
    for n in range(count):
        out.strong_above[n] = min(strong[strong >= n], default=-1)
        out.strong_below[n] = max(strong[strong <= n], default=-1)
    return out, count


def place(levels: NearLevels, kind: str) -> int:
    return list(levels.kinds).index(KINDS.index(kind))


def name(levels: NearLevels, n: int) -> str | None:
    return None if n < 0 else KINDS[levels.kinds[n]]


def test_levels_nearer_than_a_touch_band_are_the_same_place() -> None:
    levels, count = near(("ROUND", 600.0), ("VAH", 600.0499), ("POC", 600.05), ("VAL", 599.95), ("USER", 599.9501))
    here = place(levels, "ROUND")
    assert name(levels, next_level(levels, count, here, UP, TOUCH)) == "POC"
    assert name(levels, next_level(levels, count, here, DOWN, TOUCH)) == "VAL"


@pytest.mark.parametrize("price", [0.3, 599.7, 600.35, 680.1, 6001.15])
def test_exactly_a_touch_band_away_is_away_whatever_the_floats_say(price: float) -> None:
    levels, count = near(("ROUND", price), ("POC", price + 0.05), ("VAL", price - 0.05))
    here = place(levels, "ROUND")
    assert name(levels, next_level(levels, count, here, UP, TOUCH)) == "POC"
    assert name(levels, next_level(levels, count, here, DOWN, TOUCH)) == "VAL"


def test_of_two_levels_at_one_price_the_strong_one_is_next_both_ways() -> None:
    levels, count = near(
        ("ROUND", 600.0), ("STRIKE", 601.0), ("CALL_WALL", 601.0), ("STRIKE", 599.0), ("PUT_WALL", 599.0)
    )
    here = place(levels, "ROUND")
    assert name(levels, next_level(levels, count, here, UP, TOUCH)) == "CALL_WALL"
    assert name(levels, next_level(levels, count, here, DOWN, TOUCH)) == "PUT_WALL"


def test_the_obstacle_lies_behind_weak_levels() -> None:
    levels, count = near(
        *(("STRIKE", 597.0), ("PUT_WALL", 598.0), ("USER", 599.0), ("ROUND", 600.0)),
        *(("POC", 600.5), ("SESSION_HIGH", 601.5), ("CALL_WALL", 602.0)),
    )
    here = place(levels, "ROUND")
    assert name(levels, next_level(levels, count, here, UP, TOUCH)) == "POC"
    assert name(levels, next_obstacle(levels, count, here, UP, TOUCH)) == "SESSION_HIGH"
    assert name(levels, next_obstacle(levels, count, here, DOWN, TOUCH)) == "PUT_WALL"


def test_a_strong_level_within_the_touch_band_is_no_obstacle() -> None:
    levels, count = near(("ROUND", 600.0), ("CALL_WALL", 600.0499), ("SESSION_HIGH", 600.05))
    assert name(levels, next_obstacle(levels, count, 0, UP, TOUCH)) == "SESSION_HIGH"


def test_beyond_the_last_level_there_is_none() -> None:
    levels, count = near(("ROUND", 600.0), ("STRIKE", 601.0))
    assert next_level(levels, count, 1, UP, TOUCH) == next_level(levels, count, 0, DOWN, TOUCH) == -1
    assert next_obstacle(levels, count, 0, UP, TOUCH) == next_obstacle(levels, count, 1, DOWN, TOUCH) == -1


def test_confluence_counts_other_levels_up_to_exactly_the_band() -> None:
    levels, count = near(
        *(("VAL", 599.7999), ("USER", 599.8), ("ROUND", 600.0), ("STRIKE", 600.0), ("POC", 600.2), ("VAH", 600.2001)),
    )
    assert confluence(levels, count, place(levels, "ROUND"), BAND) == 3
    assert confluence(levels, count, place(levels, "STRIKE"), BAND) == 3
    assert confluence(levels, count, place(levels, "VAL"), BAND) == 1


@pytest.mark.parametrize("price", [0.3, 599.7, 600.1, 680.3, 6001.15])
def test_confluence_s_edge_does_not_depend_on_the_price(price: float) -> None:
    levels, count = near(("ROUND", price), ("POC", price + 0.2), ("VAL", price - 0.2))
    assert confluence(levels, count, place(levels, "ROUND"), BAND) == 2


def test_a_lonely_level_has_no_confluence() -> None:
    levels, count = near(("ROUND", 600.0), ("STRIKE", 601.0))
    assert [confluence(levels, count, n, BAND) for n in range(count)] == [0, 0]


KIND = st.sampled_from(["ROUND", "STRIKE", "VWAP", "CALL_WALL", "POC", "SESSION_LOW", "USER"])


@given(st.lists(st.tuples(KIND, st.integers(5_995_000, 6_005_000)), min_size=1, max_size=40), st.integers(1, 3000))
def test_walking_finds_what_a_search_through_all_levels_finds(listed: list[tuple[str, int]], band_e4: int) -> None:
    levels, count = near(*((kind, price / 10_000) for kind, price in listed))
    prices = levels.prices_e4[:count]
    strong = STRONG[levels.kinds[:count]]
    band = band_e4 / 10_000
    for n in range(count):
        away = prices - prices[n]
        assert confluence(levels, count, n, band) == int((abs(away) <= band_e4).sum()) - 1
        for up in (UP, DOWN):
            distance = away if up else -away
            far = distance >= band_e4
            for found, wanted in (
                (next_level(levels, count, n, up, band), far),
                (next_obstacle(levels, count, n, up, band), far & strong),
            ):
                if not wanted.any():
                    assert found == -1
                    continue
                assert distance[found] == distance[wanted].min()
                at_price = wanted & (distance == distance[found])
                assert strong[found] == strong[at_price].any()
                assert found == np.flatnonzero(at_price)[0]
