"""What lies around a level: the next level, the next obstacle, and what supports it (plan §5.5; core.md, RoomToRun).

All take the levels of one snap as :func:`processors.engine.universe.list_levels` leaves them, ascending by price and
strong ones first among equals, and a place in them; they walk to the neighbours and no further. Distances count in
0.0001 USD, so that a level exactly a band away is where the band says.
"""

from __future__ import annotations

from common.jit import kernel
from processors.engine.levels import to_e4
from processors.engine.universe import NearLevels


@kernel
def _away(near: NearLevels, count: int, level: int, up: bool, touch: float) -> int:
    """Place of the first level on one side that is at least ``touch`` USD away; -1 when there is none."""
    here = near.prices_e4[level]
    distance = to_e4(touch)
    if up:
        for n in range(level + 1, count):
            if near.prices_e4[n] - here >= distance:
                return n
        return -1
    for n in range(level - 1, -1, -1):
        if here - near.prices_e4[n] >= distance:
            return n
    return -1


@kernel
def _first_of_equals(near: NearLevels, level: int) -> int:
    first = level
    while first > 0 and near.prices_e4[first - 1] == near.prices_e4[level]:
        first -= 1
    return first


@kernel
def next_level(near: NearLevels, count: int, level: int, up: bool, touch: float) -> int:
    """Place of the nearest level on one side, at least ``touch`` USD away; of equal prices a strong one; -1 when there
    is none.
    """
    return _first_of_equals(near, _away(near, count, level, up, touch))


@kernel
def next_obstacle(near: NearLevels, count: int, level: int, up: bool, touch: float) -> int:
    """Place of the nearest strong level on one side, at least ``touch`` USD away; -1 when there is none."""
    n = _away(near, count, level, up, touch)
    if n < 0:
        return -1
    if up:
        return int(near.strong_above[n])
    return _first_of_equals(near, near.strong_below[n])


@kernel
def confluence(near: NearLevels, count: int, level: int, band: float) -> int:
    """How many other levels stand within ``band`` USD of one, on either side, the band's edge included."""
    here = near.prices_e4[level]
    reach = to_e4(band)
    low = level
    while low > 0 and here - near.prices_e4[low - 1] <= reach:
        low -= 1
    high = level
    while high + 1 < count and near.prices_e4[high + 1] - here <= reach:
        high += 1
    return high - low
