"""Dollars to integer ticks and back: the only place where a price changes its form.

Outside the engine a price is a double in dollars (index points for ES); inside it is an integer number of ticks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel

ES_TICK_SIZE = 0.25
"""USD per index point: CME's minimum price increment of the E-mini S&P 500 future."""
ES_MULTIPLIER = 50.0
"""USD per index point and contract."""
ABSENT = np.int64(-(2**31))
"""The tick of a price that is not there."""

_ON_GRID = 1e-6
GREATEST_TICK = 2**31 - 1


@kernel
def tick_of(dollars: float, tick_size: float) -> int:
    """The tick of one price; ABSENT when it is not within a millionth of a tick of the grid, or beyond 32 bits."""
    exact = dollars / tick_size
    nearest = np.floor(exact + 0.5)
    if not (abs(exact - nearest) <= _ON_GRID and abs(nearest) <= GREATEST_TICK):
        return -(2**31)
    return int(nearest)


def to_ticks(dollars: NDArray[np.float64], tick_size: float = ES_TICK_SIZE) -> NDArray[np.int64]:
    """Ticks of many prices; ABSENT where a price is not on the tick grid, not a number or beyond 32 bits."""
    with np.errstate(invalid="ignore"):
        exact = dollars / tick_size
        nearest = np.floor(exact + 0.5)
        good = (np.abs(exact - nearest) <= _ON_GRID) & (np.abs(nearest) <= GREATEST_TICK)
    return np.where(good, nearest, float(ABSENT)).astype(np.int64)


def to_e4(dollars: NDArray[np.float64]) -> NDArray[np.int64]:
    """Prices of stocks and options in 0.0001 USD, rounded; ABSENT where a price is not a finite number."""
    finite = np.isfinite(dollars)
    return np.where(finite, np.floor(np.where(finite, dollars, 0.0) * 10_000.0 + 0.5), float(ABSENT)).astype(np.int64)


def to_dollars(ticks: NDArray[np.int64], tick_size: float = ES_TICK_SIZE) -> NDArray[np.float64]:
    """Prices of many ticks, in dollars. Exact for ES, whose tick is a binary fraction."""
    return ticks.astype(np.float64) * tick_size
