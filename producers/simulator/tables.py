"""What the market's draws are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from producers.simulator.elementary import log
from producers.simulator.shapes import (
    DISTANCE,
    EXPONENTIAL,
    ORDER_SIZE,
    SHORT_NS,
    TABLE_LENGTH,
    TABLES,
    TRADE_SIZE,
    USUAL,
)

QUANTILE_BITS = 16
"""Quantiles of the exponential distribution are in 1/65536 of its mean."""

_SHORT_NS = (
    (0, 120),
    (13, 180),
    (66, 900),
    (131, 3_000),
    (230, 10_000),
    (328, 22_000),
    (500, 60_000),
    (656, 120_000),
    (800, 300_000),
    (900, 560_000),
    (985, 1_100_000),
    (1024, 6_000_000),
)
_DISTANCES = (560, 62, 46, 38, 32, 30, 28, 26, 26, 26, 30, *(5 for _ in range(24)))
_ORDER_SIZES = {1: 38, 2: 12, 3: 5, 4: 4, 5: 2, 8: 1, 10: 1, 16: 1}
_TRADE_SIZES = {1: 40, 2: 11, 3: 5, 4: 3, 5: 2, 7: 2, 12: 1, 18: 1, 30: 1}
_USUAL = (84, 136, 128, 118, 108, 98)


def tables() -> NDArray[np.int64]:
    """int64[TABLES, TABLE_LENGTH], as `shapes.World` has it.

    Distances, sizes and the pauses within a burst are those of the recorded ES session (ESH4, 2023-12-25 23:00-24:00
    UTC), an overnight hour. Levels are twice as deep: a regular session's book is deeper, and twice is a choice.
    """
    out = np.zeros((TABLES, TABLE_LENGTH), np.int64)
    out[EXPONENTIAL] = [int(-log((k + 0.5) / TABLE_LENGTH) * (1 << QUANTILE_BITS)) for k in range(TABLE_LENGTH)]
    out[SHORT_NS] = _between(_SHORT_NS)
    out[DISTANCE] = _shares(range(len(_DISTANCES)), _DISTANCES)
    out[ORDER_SIZE] = _shares(_ORDER_SIZES.keys(), _ORDER_SIZES.values())
    out[TRADE_SIZE] = _shares(_TRADE_SIZES.keys(), _TRADE_SIZES.values())
    out[USUAL] = [_USUAL[min(distance, len(_USUAL) - 1)] for distance in range(TABLE_LENGTH)]
    return out


def _shares(values: Iterable[int], weights: Iterable[int]) -> NDArray[np.int64]:
    """A row in which each value is as frequent as its weight says."""
    ends = np.cumsum(np.array(list(weights), np.int64))
    places = (np.arange(TABLE_LENGTH) * ends[-1]) // TABLE_LENGTH
    found: NDArray[np.int64] = np.array(list(values), np.int64)[np.searchsorted(ends, places, side="right")]
    return found


def _between(points: Sequence[tuple[int, int]]) -> list[int]:
    """Values on straight lines between (place, value) points."""
    out = []
    for (begin, low), (end, high) in pairwise(points):
        out += [low + (high - low) * (place - begin) // (end - begin) for place in range(begin, end)]
    return out
