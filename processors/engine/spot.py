"""From ES to the underlying and back: spot, and the ratio between the two (DESIGN 4.4)."""

from __future__ import annotations

import numpy as np

from common.jit import kernel
from processors.engine import landmarks
from processors.engine.flows import MISSING
from processors.engine.landmarks import LandmarkArrays
from processors.engine.shapes import ASK, BID, Parameters, Scalars
from processors.engine.smoothing import ewma, ewma_alpha

E4 = 10_000.0
DEFAULT, LIVE, HELD = 0, 1, 2
"""Positions of ratio_state in the schema."""


@kernel
def quote_is_fresh(s: Scalars, p: Parameters, now_ns: int) -> bool:
    """True when the underlying's quote is young, two-sided and not crossed."""
    if p.ratio_fixed == 1 or s.spy_ts_ns == 0 or now_ns - s.spy_ts_ns > p.spot_stale_ns:
        return False
    return bool(0 < s.spy_bid_e4 <= s.spy_ask_e4)


@kernel
def spot_at(s: Scalars, p: Parameters, now_ns: int) -> float:
    """Spot in USD of the underlying: its mid while fresh, else the ES mid over the ratio; 0 when there is neither."""
    if quote_is_fresh(s, p, now_ns):
        return float((s.spy_bid_e4 + s.spy_ask_e4) / (2.0 * E4))
    return float(s.mid2 * (0.5 * p.tick_size) / s.ratio)


@kernel
def bid_at(s: Scalars, p: Parameters, now_ns: int) -> float:
    """Best bid in USD of the underlying, from where spot comes from; NaN when there is none."""
    if quote_is_fresh(s, p, now_ns):
        return float(s.spy_bid_e4 / E4)
    tick = s.end_tick[BID, 0]
    return tick * p.tick_size / s.ratio if tick != MISSING else np.nan


@kernel
def ask_at(s: Scalars, p: Parameters, now_ns: int) -> float:
    """Best ask in USD of the underlying, from where spot comes from; NaN when there is none."""
    if quote_is_fresh(s, p, now_ns):
        return float(s.spy_ask_e4 / E4)
    tick = s.end_tick[ASK, 0]
    return tick * p.tick_size / s.ratio if tick != MISSING else np.nan


@kernel
def sample_ratio(s: Scalars, lm: LandmarkArrays, p: Parameters, snap_ns: int) -> int:
    """Take this snap's ES mid over the underlying's mid into the ratio, when both are fresh; returns its state.

    The first sample of a contract seeds the average.
    """
    if p.ratio_fixed == 1:
        return DEFAULT
    es_fresh = s.continuous == 1 and snap_ns - s.book_ts_ns <= p.stale_ns
    if not es_fresh or not quote_is_fresh(s, p, snap_ns):
        return HELD if s.ratio_ts_ns > 0 else DEFAULT
    sample = s.mid2 * (0.5 * p.tick_size) / ((s.spy_bid_e4 + s.spy_ask_e4) / (2.0 * E4))
    if s.ratio_ts_ns == 0:
        s.ratio = sample
        landmarks.unpark_contract(lm, sample)
    else:
        step_ns = snap_ns - s.ratio_ts_ns
        alpha = p.ratio_alpha if step_ns == p.snap_ns else ewma_alpha(step_ns, p.ratio_tau_s)
        s.ratio = ewma(s.ratio, sample, alpha)
    s.ratio_ts_ns = snap_ns
    return LIVE
