"""Smoothing in event time (plan §5.6, core.md §7, DESIGN §4.8).

``x_smooth(t) = alpha * x(t) + (1 - alpha) * x_smooth(t - dt)`` with ``alpha = 1 - exp(-dt / tau)``; tau is a time
constant in seconds. The first sample seeds the average. The robust smoothers put a rolling median before it: with
alpha 1 the median alone is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine.elementary import expm1

NS_PER_S = 1_000_000_000.0
ROBUST_MAX = 15
"""Most samples of a rolling median."""
_NOTHING = 1e-100
"""Below this both parts of a smoothed ratio count as nothing and become 0 together, before they turn subnormal."""


@kernel
def ewma_alpha(dt_ns: int, tau_s: float) -> float:
    """Weight of a sample that comes ``dt_ns`` after the last one, for the time constant ``tau_s`` > 0; in 0..1."""
    return -expm1(-(dt_ns / NS_PER_S) / tau_s)


@kernel
def ewma(last: float, sample: float, alpha: float) -> float:
    """The average after ``sample``: between the two however they round, and a constant input unchanged."""
    average = alpha * sample + (1.0 - alpha) * last
    return min(max(average, min(last, sample)), max(last, sample))


@kernel
def rolling_median(
    rings: NDArray[np.float64],
    slot: int,
    series: int,
    count: int,
    window: int,
    sample: float,
    scratch: NDArray[np.float64],
) -> float:
    """Put ``sample`` behind the ``count`` samples of ``rings[slot, series]`` and give the median of what is there.

    At most ``window`` (1..15) samples are kept; of an even number the median is the mean of the two middle ones.
    ``scratch`` holds 15 numbers of no meaning.
    """
    kept = count
    if count >= window:
        kept = window - 1
        for k in range(kept):
            rings[slot, series, k] = rings[slot, series, k + count - kept]
    rings[slot, series, kept] = sample
    for k in range(kept + 1):
        value = rings[slot, series, k]
        at = k
        while at > 0 and scratch[at - 1] > value:
            scratch[at] = scratch[at - 1]
            at -= 1
        scratch[at] = value
    middle = (kept + 1) // 2
    if kept % 2 == 0:
        return float(scratch[middle])
    return 0.5 * float(scratch[middle - 1] + scratch[middle])


@kernel
def decay_together(numerator: float, denominator: float) -> tuple[float, float]:
    """Both parts of a smoothed ratio, or zeros when both have decayed to nothing."""
    if numerator + denominator < _NOTHING:
        return 0.0, 0.0
    return numerator, denominator


@kernel
def capped_ratio(numerator: float, denominator: float, cap: float) -> float:
    """``numerator / denominator`` of two sizes >= 0, at most ``cap``.

    Over a denominator of 0 it is ``cap`` when anything was added, else 0: core.md's added / (removed + eps) for eps
    towards 0.
    """
    if denominator > 0.0:
        return min(numerator / denominator, cap)
    return cap if numerator > 0.0 else 0.0
