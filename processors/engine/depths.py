"""How deep the zone is compared with the recent past at the same distance from the best price (WEAK; DESIGN 4.5).

Each snap's zone depths are remembered in steps: one contract each up to 512, eight beyond. How often each step occurs
stands in a Fenwick tree per side and distance, so that a rank costs ten additions however long the memory is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine.flows import zone_depth
from processors.engine.shapes import ASK, DEPTH_STEPS, DISTANCE_MIN, DISTANCES, Parameters, Scalars

_FINE = 512
_COARSE = 8


@kernel
def step_of(depth: int) -> int:
    """The step that a depth in contracts falls into, 0..DEPTH_STEPS-1."""
    if depth < _FINE:
        return depth
    return min(DEPTH_STEPS - 1, _FINE + (depth - _FINE) // _COARSE)


@kernel
def _count(tree: NDArray[np.int32], step: int, amount: int) -> None:
    at = step + 1
    while at <= DEPTH_STEPS:
        tree[at - 1] += np.int32(amount)
        at += at & -at


@kernel
def _up_to(tree: NDArray[np.int32], step: int) -> int:
    at = step + 1
    total = 0
    while at > 0:
        total += tree[at - 1]
        at -= at & -at
    return total


@kernel
def clear_depths(s: Scalars, history: NDArray[np.int16]) -> None:
    """Forget every remembered depth."""
    history[:] = -1
    s.depth_tree[:] = 0
    s.depth_known[:] = 0
    s.depth_count = 0


@kernel
def remember_depths(s: Scalars, history: NDArray[np.int16], p: Parameters) -> None:
    """Put this snap's zone depth at every distance in the place of the oldest."""
    at = s.depth_count % history.shape[2]
    for side in range(2):
        sign = 1 if side == ASK else -1
        best = s.end_tick[side, 0]
        for d in range(DISTANCES):
            tree = s.depth_tree[side, d]
            old = history[side, d, at]
            if old >= 0:
                _count(tree, old, -1)
                s.depth_known[side, d] -= 1
            depth = zone_depth(s.end_tick, s.end_size, side, best + sign * (d - DISTANCE_MIN), p.zone_ticks)
            step = -1
            if depth >= 0:
                step = step_of(depth)
                _count(tree, step, 1)
                s.depth_known[side, d] += 1
            history[side, d, at] = np.int16(step)
    s.depth_count += 1


@kernel
def depth_rank(s: Scalars, p: Parameters, side: int, tick: int, depth: int) -> float:
    """Share of the memory at this distance from the best price that was no deeper than ``depth`` (contracts); NaN
    with too little of it.
    """
    sign = 1 if side == ASK else -1
    d = (tick - s.end_tick[side, 0]) * sign + DISTANCE_MIN
    if d < 0 or d >= DISTANCES:
        return np.nan
    known = s.depth_known[side, d]
    if known < p.weak_min_snaps:
        return np.nan
    return float(_up_to(s.depth_tree[side, d], step_of(depth)) / known)
