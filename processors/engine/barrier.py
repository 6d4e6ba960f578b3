"""The barrier's state from its flows (DESIGN 4.5, core.md "Barrier Engine: State Classification Logic")."""

from __future__ import annotations

from common import schemas
from common.jit import kernel
from processors.engine.shapes import Parameters

STATES = schemas.load("levels.features.v1").field("barrier_state").symbols
NEUTRAL = STATES.index("NEUTRAL")
VACUUM = STATES.index("VACUUM")
WALL = STATES.index("WALL")
ABSORPTION = STATES.index("ABSORPTION")
CONSUMED = STATES.index("CONSUMED")
WEAK = STATES.index("WEAK")


@kernel
def replenishment(added: int, removed: int, cap: float) -> float:
    """Added over removed, at most ``cap``; 0 when nothing moved."""
    if removed == 0:
        return cap if added > 0 else 0.0
    return min(cap, added / removed)


@kernel
def classify(
    p: Parameters, added: int, canceled: int, filled: int, hidden: int, depth_rank: float, scale: float
) -> int:
    """The state of a visible zone. ``depth_rank`` NaN when there is too little history for WEAK; ``scale`` stretches
    the thresholds in contracts.
    """
    threshold = p.f_thresh * scale
    absorbed = p.absorb_min_filled * scale
    delta = added - canceled - filled
    ratio = replenishment(added, canceled + filled, p.replenish_cap)
    if ratio < p.r_vac and delta < -threshold:
        # core.md's order: taken liquidity is CONSUMED only when it was not this one-sided
        return VACUUM
    if ratio > p.r_wall and delta > threshold:
        return WALL
    if delta < -threshold and filled > canceled:
        return CONSUMED
    if (delta >= 0 and filled + hidden >= absorbed) or (hidden > threshold and delta > -threshold):
        return ABSORPTION
    if depth_rank < p.weak_percentile:
        return WEAK
    return NEUTRAL
