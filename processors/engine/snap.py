"""One snap: from the running totals to a row per level near spot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine.barrier import NEUTRAL, classify, replenishment
from processors.engine.flows import MISSING, zone_depth
from processors.engine.levels import STRONG, SUPPORT, list_levels, next_level, track_level
from processors.engine.state import (
    ADDED,
    ASK,
    BID,
    CANCELED,
    DISTANCE_MIN,
    DISTANCES,
    FILLED,
    HIDDEN,
    TICK_MASK,
    TICKS,
    Arrays,
    Floats,
    Integers,
    Parameters,
)
from processors.engine.tape import largest_sweep, mid_slope, push_mid, tape_volume
from processors.engine.window import expire

WARMING_UP, ES_STALE, SPY_STALE, OPTIONS_STALE = 1, 2, 4, 8
GAP, HALTED, ZONE_NOT_VISIBLE, FUEL_ABSENT, RATIO_HELD = 16, 32, 64, 128, 256

BLOCKING = WARMING_UP | ES_STALE | GAP | HALTED | ZONE_NOT_VISIBLE
"""What makes a row not actionable. Absent fuel does not: the hedge score is then a neutral 50, and says so."""

SWEEP_NONE, SWEEP_UP, SWEEP_DOWN = 0, 1, 2
RUNWAY_NONE, CLEAR, OBSTRUCTED = 0, 1, 2


@kernel
def advance_ofi(st: Arrays, bucket: int) -> None:
    """Clear the OFI buckets that lie between the newest and ``bucket``."""
    s = st.scalars[0]
    size = len(st.ofi_ring)
    if bucket <= s.ofi_bucket:
        return
    for b in range(max(s.ofi_bucket + 1, bucket - size + 1), bucket + 1):
        st.ofi_ring[b % size, 0] = 0
        st.ofi_ring[b % size, 1] = 0
    s.ofi_bucket = bucket


@kernel
def _remember_depth(st: Arrays, p: Parameters) -> None:
    s = st.scalars[0]
    at = s.depth_count % st.depth_history.shape[2]
    for side in range(2):
        sign = 1 if side == ASK else -1
        best = st.end_tick[side, 0]
        for d in range(DISTANCES):
            st.depth_history[side, d, at] = zone_depth(
                st.end_tick, st.end_size, side, best + sign * (d - DISTANCE_MIN), p.zone_ticks
            )
    s.depth_count += 1


@kernel
def _depth_rank(st: Arrays, p: Parameters, side: int, tick: int, depth: int) -> float:
    """Share of the history at this distance from the best price that was no deeper than ``depth``; NaN with too
    little.
    """
    s = st.scalars[0]
    sign = 1 if side == ASK else -1
    d = (tick - st.end_tick[side, 0]) * sign + DISTANCE_MIN
    if d < 0 or d >= DISTANCES:
        return np.nan
    history = st.depth_history[side, d, : min(s.depth_count, st.depth_history.shape[2])]
    limit = np.int32(depth)
    # 32-bit all the way, so that the compiler can take four values at a time
    known = np.int32(0)
    lower = np.int32(0)
    for past in history:
        known += np.int32(past >= 0)
        lower += np.int32((past >= 0) & (past <= limit))
    if known < p.weak_min_snaps:
        return np.nan
    return lower / known


@kernel
def emit_snap(
    st: Arrays,
    p: Parameters,
    hotzones: Floats,
    snap_ns: int,
    rows: NDArray[np.void],
    at: int,
    kinds: Integers,
    keys: Integers,
    prices: Floats,
) -> int:
    """Write the rows of the snap at ``snap_ns`` into ``rows`` from ``at`` on; returns the next free place.

    The caller has ended the group and keeps room for one row per level. Nothing is written before the first valid mid.
    """
    s = st.scalars[0]
    bucket = snap_ns // p.snap_ns
    expire(st.flow, bucket - p.flow_snaps + 1)
    expire(st.tape, bucket - p.tape_snaps + 1)
    advance_ofi(st, bucket)
    if s.mid2 == 0:
        return at
    silent_ns = snap_ns - s.book_ts_ns
    if silent_ns > p.pause_ns:
        s.mid_count = 0
        return at
    push_mid(st)
    if s.continuous == 1:
        _remember_depth(st, p)

    tick_dollars = p.tick_size / s.ratio
    spot = s.mid2 * (0.5 * p.tick_size) / s.ratio
    touch = max(p.touch_band, tick_dollars)
    tape_band = max(1, int(np.floor(p.tape_band / tick_dollars + 1e-9)))
    bid_tick = st.end_tick[BID, 0]
    ask_tick = st.end_tick[ASK, 0]
    bid_size = st.end_size[BID, 0] if bid_tick != MISSING else 0
    ask_size = st.end_size[ASK, 0] if ask_tick != MISSING else 0

    bits = SPY_STALE | OPTIONS_STALE | FUEL_ABSENT
    warm_ns = max(p.flow_window_ns, p.tape_window_ns)
    if snap_ns - max(s.session_open_ns, s.baseline_ts_ns) < warm_ns:
        bits |= WARMING_UP
    if silent_ns > p.stale_ns:
        bits |= ES_STALE
    if s.gap_ts_ns > 0 and snap_ns - s.gap_ts_ns < warm_ns:
        bits |= GAP
    if s.continuous == 0:
        bits |= HALTED

    ofi = 0
    ofi_multi = 0
    for b in range(len(st.ofi_ring)):
        ofi += st.ofi_ring[b, 0]
        ofi_multi += st.ofi_ring[b, 1]
    velocity = mid_slope(st) * 0.5 * tick_dollars / p.snap_s
    sweep_side, sweep_amount = largest_sweep(st, snap_ns - p.tape_window_ns, p.sweep_min_amount)

    count = list_levels(st, p, hotzones, spot, kinds, keys, prices)
    for level in range(count):
        slot = track_level(st, p, kinds[level], keys[level], prices[level], spot, touch, snap_ns)
        distance = abs(spot - prices[level])
        if slot < 0 or distance > p.monitor_band:
            continue
        tick = st.level_tick[slot]
        direction = st.level_direction[slot]
        side = BID if direction == SUPPORT else ASK
        row = rows[at]
        at += 1
        row.ts_event_ns = snap_ns
        row.session_date = s.session_date
        row.spot = spot
        row.bid = bid_tick * p.tick_size / s.ratio if bid_tick != MISSING else np.nan
        row.ask = ask_tick * p.tick_size / s.ratio if ask_tick != MISSING else np.nan
        row.kind = kinds[level]
        row.key = keys[level]
        row.level_price = prices[level]
        row.level_tick = tick
        row.direction = direction
        row.distance = distance
        row.ratio = s.ratio
        row.ratio_state = 0

        added = 0
        canceled = 0
        filled = 0
        hidden = 0
        for t in range(tick - p.zone_ticks, tick + p.zone_ticks + 1):
            key = side * TICKS + (t & TICK_MASK)
            added += st.flow.total[key, ADDED]
            canceled += st.flow.total[key, CANCELED]
            filled += st.flow.total[key, FILLED]
            hidden += st.flow.total[key, HIDDEN]
        depth = zone_depth(st.end_tick, st.end_size, side, tick, p.zone_ticks)
        visible = depth >= 0
        rank = np.nan
        if visible and s.continuous == 1:
            rank = _depth_rank(st, p, side, tick, depth)
        churn = added + canceled + filled
        row.barrier_state = classify(p, added, canceled, filled, hidden, rank) if visible else NEUTRAL
        row.barrier_delta_liq = added - canceled - filled
        row.barrier_replenishment_ratio = replenishment(added, canceled + filled, p.replenish_cap)
        row.barrier_added = added
        row.barrier_canceled = canceled
        row.barrier_filled = filled
        row.barrier_hidden = hidden
        row.barrier_churn = churn
        row.barrier_depth = max(depth, 0)
        row.barrier_visible = visible
        row.barrier_confidence = min(1.0, churn / p.barrier_confidence_churn) if visible else 0.0
        best = st.end_tick[side, 0]
        row.barrier_defending_px = best * p.tick_size / s.ratio if best != MISSING else np.nan
        row.barrier_defending_sz = st.end_size[side, 0] if best != MISSING else -1
        row.barrier_depth_rank = rank
        row.queue_imbalance = (bid_size - ask_size) / (bid_size + ask_size) if bid_size + ask_size > 0 else 0.0
        row.ofi = ofi
        row.ofi_multi_level = ofi_multi

        bought, sold, unsigned = tape_volume(st, tick, tape_band)
        row.tape_imbalance = (bought - sold) / (bought + sold) if bought + sold > 0 else 0.0
        row.tape_buy_vol = bought
        row.tape_sell_vol = sold
        row.tape_velocity = velocity
        row.tape_sweep_detected = sweep_side != 0
        row.tape_sweep_direction = SWEEP_NONE if sweep_side == 0 else (SWEEP_UP if sweep_side > 0 else SWEEP_DOWN)
        row.tape_sweep_notional = sweep_amount * p.dollars_per_amount
        row.tape_confidence = min(1.0, (bought + sold) / p.tape_confidence_volume)
        row.tape_volume = bought + sold + unsigned
        row.cumulative_delta = s.delta

        row.fuel_effect = 0
        row.fuel_available = False
        row.fuel_net_dealer_gamma = np.nan
        row.fuel_call_wall = np.nan
        row.fuel_put_wall = np.nan
        row.fuel_hvl = np.nan
        row.fuel_confidence = 0.0

        found = next_level(kinds, prices, count, level, True, touch)
        row.up_kind = kinds[found] if found >= 0 else -1
        row.up_key = keys[found] if found >= 0 else 0
        row.runway_up_level_price = prices[found] if found >= 0 else np.nan
        row.runway_up_distance = prices[found] - prices[level] if found >= 0 else np.nan
        row.runway_up_quality = RUNWAY_NONE if found < 0 else (OBSTRUCTED if STRONG[kinds[found]] else CLEAR)
        found = next_level(kinds, prices, count, level, False, touch)
        row.down_kind = kinds[found] if found >= 0 else -1
        row.down_key = keys[found] if found >= 0 else 0
        row.runway_down_level_price = prices[found] if found >= 0 else np.nan
        row.runway_down_distance = prices[level] - prices[found] if found >= 0 else np.nan
        row.runway_down_quality = RUNWAY_NONE if found < 0 else (OBSTRUCTED if STRONG[kinds[found]] else CLEAR)

        row_bits = bits if visible else bits | ZONE_NOT_VISIBLE
        row.validity_bits = row_bits
        row.actionable = (row_bits & BLOCKING) == 0
    s.last_snap_ns = snap_ns
    return at
