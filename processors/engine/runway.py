"""What lies around a level: the next level, the next obstacle, and what supports it (plan §5.5; core.md, RoomToRun).

All take the levels of one snap as :func:`processors.engine.universe.list_levels` orders them, ascending by price and
strong ones first among equals, and a place in them; they walk to the neighbours and no further. Distances count in
0.0001 USD, so that a level exactly a band away is where the band says.
"""

from __future__ import annotations

from common.jit import kernel
from processors.engine.levels import STRONG, to_e4
from processors.engine.universe import NearLevels


@kernel
def _first_of_equals(near: NearLevels, level: int) -> int:
    price_e4 = to_e4(near.prices[level])
    while level > 0 and to_e4(near.prices[level - 1]) == price_e4:
        level -= 1
    return level


@kernel
def next_level(near: NearLevels, count: int, level: int, up: bool, touch: float) -> int:
    """Place of the nearest level on one side, at least ``touch`` USD away; of equal prices a strong one; -1 when there
    is none.
    """
    here = to_e4(near.prices[level])
    away = to_e4(touch)
    if up:
        for n in range(level + 1, count):
            if to_e4(near.prices[n]) - here >= away:
                return n
        return -1
    for n in range(level - 1, -1, -1):
        if here - to_e4(near.prices[n]) >= away:
            return _first_of_equals(near, n)
    return -1


@kernel
def next_obstacle(near: NearLevels, count: int, level: int, up: bool, touch: float) -> int:
    """Place of the nearest strong level on one side, at least ``touch`` USD away; -1 when there is none."""
    here = to_e4(near.prices[level])
    away = to_e4(touch)
    if up:
        for n in range(level + 1, count):
            if STRONG[near.kinds[n]] and to_e4(near.prices[n]) - here >= away:
                return n
        return -1
    for n in range(level - 1, -1, -1):
        if STRONG[near.kinds[n]] and here - to_e4(near.prices[n]) >= away:
            return _first_of_equals(near, n)
    return -1


@kernel
def confluence(near: NearLevels, count: int, level: int, band: float) -> int:
    """How many other levels stand within ``band`` USD of one, on either side, the band's edge included."""
    here = to_e4(near.prices[level])
    reach = to_e4(band)
    low = level
    while low > 0 and here - to_e4(near.prices[low - 1]) <= reach:
        low -= 1
    high = level
    while high + 1 < count and to_e4(near.prices[high + 1]) - here <= reach:
        high += 1
    return high - low
