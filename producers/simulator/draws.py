"""Randomness inside kernels: SplitMix64 (Steele, Lea, Flood 2014) and tables of quantiles, in integers alone.

Equal seeds give equal draws on every machine: nothing here depends on the machine's mathematical library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import inlined
from producers.simulator.shapes import EXPONENTIAL, TABLE_BITS, World
from producers.simulator.tables import QUANTILE_BITS

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_TABLE_SHIFT = np.uint64(64 - TABLE_BITS)

ONE = 1024
"""Chances are counted in 1/1024."""


@inlined
def draw(rng: NDArray[np.uint64]) -> np.uint64:
    """The next 64 bits of the generator whose state is ``rng[0]``."""
    rng[0] += _GOLDEN
    x = rng[0]
    x = (x ^ (x >> _S30)) * _MUL_1
    x = (x ^ (x >> _S27)) * _MUL_2
    out: np.uint64 = x ^ (x >> _S31)
    return out


@inlined
def below(rng: NDArray[np.uint64], count: int) -> int:
    """A whole number from 0 to ``count`` - 1; ``count`` below 2^31."""
    # np.int64, not int: Numba would keep int(uint64) unsigned, and a sum with it a float
    return np.int64(((draw(rng) >> _S32) * np.uint64(count)) >> _S32)  # type: ignore[return-value]


@inlined
def between(rng: NDArray[np.uint64], low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return low + below(rng, high - low + 1)


@inlined
def happens(rng: NDArray[np.uint64], chance: int) -> bool:
    """True with a chance of ``chance`` / 1024."""
    return below(rng, ONE) < chance


@inlined
def picked(w: World, table: int) -> int:
    """An entry of one of the tables."""
    entry: int = w.tables[table, np.int64(draw(w.rng) >> _TABLE_SHIFT)]
    return entry


@inlined
def exponential(w: World, mean: int) -> int:
    """An exponentially distributed number with that mean (at most 2^43), 1 at least."""
    return 1 + ((mean * picked(w, EXPONENTIAL)) >> QUANTILE_BITS)
