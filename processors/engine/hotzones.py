"""Levels that people set, by configuration or on request: a short ascending list of prices (plan §4).

A list is int64[HOTZONES] of prices in 0.0001 USD, of which the first ``count`` are set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine.shapes import HOTZONES


def configured(prices: Sequence[float]) -> tuple[NDArray[np.int64], int]:
    """The list of these prices (USD) and its count; prices beyond the HOTZONES-th are left out."""
    hotzones = np.zeros(HOTZONES, np.int64)
    count = 0
    for price in prices:
        count = add_hotzone(hotzones, count, round(price * 10_000))
    return hotzones, count


@kernel
def add_hotzone(hotzones: NDArray[np.int64], count: int, price_e4: int) -> int:
    """Set a price; returns the new count. Nothing changes when it is set already, not positive, or the list is full."""
    if price_e4 <= 0 or count == len(hotzones):
        return count
    place = 0
    while place < count and hotzones[place] < price_e4:
        place += 1
    if place < count and hotzones[place] == price_e4:
        return count
    for n in range(count, place, -1):
        hotzones[n] = hotzones[n - 1]
    hotzones[place] = price_e4
    return count + 1


@kernel
def remove_hotzone(hotzones: NDArray[np.int64], count: int, price_e4: int) -> int:
    """Take a price out; returns the new count, the old one when the price was not set."""
    place = 0
    while place < count and hotzones[place] != price_e4:
        place += 1
    if place == count:
        return count
    for n in range(place, count - 1):
        hotzones[n] = hotzones[n + 1]
    hotzones[count - 1] = 0
    return count - 1
