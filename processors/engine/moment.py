"""What all levels share at a snap: spot, velocity, sweeps, how far each feed can be trusted (DESIGN 4.4, 4.6, 4.10)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine import fuel
from processors.engine.depths import remember_depths
from processors.engine.flows import MISSING
from processors.engine.scales import sample_scales, scale_factors
from processors.engine.shapes import ASK, BID, Integers, Parameters, Scalars
from processors.engine.spot import HELD, ask_at, bid_at, quote_is_fresh, sample_ratio, spot_at
from processors.engine.state import Arrays
from processors.engine.sweeps import ES, UNDERLYING, largest_sweep
from processors.engine.tape import mid_slope

WARMING_UP, ES_STALE, SPY_STALE, OPTIONS_STALE = 1, 2, 4, 8
GAP, HALTED, ZONE_NOT_VISIBLE, FUEL_ABSENT, RATIO_HELD, GAMMA_IMPLIED = 16, 32, 64, 128, 256, 512

BLOCKING = WARMING_UP | ES_STALE | GAP | HALTED | ZONE_NOT_VISIBLE
"""What makes a row not actionable. Absent fuel does not: the hedge score is then a neutral 50, and says so."""


class Moment(NamedTuple):
    """What all rows of a snap share."""

    spot: float
    bid: float
    ask: float
    touch: float
    tape_band: int
    spy_fresh: bool
    bits: int
    ratio_state: int
    ofi: int
    ofi_multi: int
    queue_imbalance: float
    velocity: float
    sweep_side: int
    sweep_notional: float
    fuel_available: bool
    scale_depth: float
    scale_volume: float
    scale_velocity: float


@kernel
def _sweep(sweeps: NDArray[np.void], p: Parameters, snap_ns: int) -> tuple[int, float]:
    """Side and notional (USD) of the larger of both markets' largest sweeps."""
    after_ns = snap_ns - p.tape_window_ns
    side, amount = largest_sweep(sweeps[ES], after_ns, p.sweep_min_amount, 0)
    notional = amount * p.dollars_per_amount
    spy_side, spy_amount = largest_sweep(sweeps[UNDERLYING], after_ns, p.sweep_min_notional_e4, p.sweep_min_venues)
    spy_notional = spy_amount / 10_000.0
    if spy_notional > notional:
        return spy_side, spy_notional
    return side, notional


@kernel
def _fuel_available(o: Any, p: Parameters, snap_ns: int) -> bool:
    """True while option records come and a priced trade within W_g, or a snapshot that is not too old, is known."""
    if o.last_event_ns == 0 or snap_ns - o.last_event_ns > p.options_stale_ns:
        return False
    priced = o.priced_ts_ns > 0 and snap_ns - o.priced_ts_ns < p.fuel_snaps * p.snap_ns
    return bool(priced or (o.snapshot_ts_ns > 0 and snap_ns - o.snapshot_ts_ns <= p.greeks_max_age_ns))


@kernel
def _overlaps(gap_ts_ns: int, snap_ns: int, window_ns: int) -> bool:
    """Whether a feed's last gap, which ended at ``gap_ts_ns`` (0: there was none), reaches into the window."""
    return bool(gap_ts_ns > 0 and snap_ns - gap_ts_ns < window_ns)


@kernel
def _bits(
    s: Scalars, o: Any, p: Parameters, snap_ns: int, ratio_state: int, spy_fresh: bool, fuel_available: bool
) -> int:
    bits = 0
    warm_ns = max(p.flow_window_ns, p.tape_window_ns)
    if snap_ns - max(s.session_open_ns, s.baseline_ts_ns) < warm_ns:
        bits |= WARMING_UP
    if snap_ns - s.book_ts_ns > p.stale_ns:
        bits |= ES_STALE
    if (
        _overlaps(s.gap_ts_ns, snap_ns, warm_ns)
        or _overlaps(s.spy_gap_ts_ns, snap_ns, p.tape_window_ns)
        or _overlaps(s.options_gap_ts_ns, snap_ns, p.fuel_snaps * p.snap_ns)
    ):
        bits |= GAP
    if s.continuous == 0:
        bits |= HALTED
    if not spy_fresh and p.ratio_fixed == 0:
        bits |= SPY_STALE
    if o.last_event_ns == 0 or snap_ns - o.last_event_ns > p.options_stale_ns:
        bits |= OPTIONS_STALE
    if not fuel_available:
        bits |= FUEL_ABSENT
    if ratio_state == HELD:
        bits |= RATIO_HELD
    if o.implied_ts_ns > 0 and snap_ns - o.implied_ts_ns < p.fuel_snaps * p.snap_ns:
        bits |= GAMMA_IMPLIED
    return bits


@kernel
def _volume_in_window(s: Scalars, ring: Integers) -> int:
    """Contracts traded within the tape's window; remembers this snap's volume for the next ones."""
    at = s.volume_count % len(ring)
    before = ring[at] if s.volume_count >= len(ring) else 0
    ring[at] = s.volume
    s.volume_count += 1
    return int(s.volume - before)


@kernel
def take_moment(st: Arrays, p: Parameters, snap_ns: int) -> Moment:
    """Move ratio, fuel and the recent averages on to the snap, and read off what its rows share."""
    s = st.scalars[0]
    ratio_state = sample_ratio(s, st.landmarks, p, snap_ns)
    spot = spot_at(s, p, snap_ns)
    fuel.refresh(st.options, p, snap_ns, spot)
    available = _fuel_available(st.options.scalars[0], p, snap_ns)
    spy_fresh = quote_is_fresh(s, p, snap_ns)
    tick_dollars = p.tick_size / s.ratio
    bid_size = s.end_size[BID, 0] if s.end_tick[BID, 0] != MISSING else 0
    ask_size = s.end_size[ASK, 0] if s.end_tick[ASK, 0] != MISSING else 0
    ofi = 0
    ofi_multi = 0
    for b in range(len(st.ofi_ring)):
        ofi += st.ofi_ring[b, 0]
        ofi_multi += st.ofi_ring[b, 1]
    velocity = mid_slope(s, st.mid_ring) * 0.5 * tick_dollars / p.snap_s
    if s.continuous == 1:
        remember_depths(s, st.depth_history, p)
        sample_scales(s, p, snap_ns, _volume_in_window(s, st.volume_ring), velocity)
    scale_depth, scale_volume, scale_velocity = scale_factors(s, p, snap_ns)
    sweep_side, sweep_notional = _sweep(st.sweeps, p, snap_ns)
    return Moment(
        spot,
        bid_at(s, p, snap_ns),
        ask_at(s, p, snap_ns),
        max(p.touch_band, tick_dollars),
        max(1, int(np.floor(p.tape_band / tick_dollars + 1e-9))),
        spy_fresh,
        _bits(s, st.options.scalars[0], p, snap_ns, ratio_state, spy_fresh, available),
        ratio_state,
        ofi,
        ofi_multi,
        (bid_size - ask_size) / (bid_size + ask_size) if bid_size + ask_size > 0 else 0.0,
        velocity,
        sweep_side,
        sweep_notional,
        available,
        scale_depth,
        scale_volume,
        scale_velocity,
    )
