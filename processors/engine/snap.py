"""One snap: from the running totals to a row per level near spot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from processors.engine import fuel, landmarks
from processors.engine.apply import advance_ofi
from processors.engine.barrier import NEUTRAL, classify, replenishment
from processors.engine.contracts import OptionArrays
from processors.engine.depths import depth_rank
from processors.engine.episodes import censor_outcomes, goes_on, settle_outcomes, touch_level
from processors.engine.flows import MISSING, zone_depth
from processors.engine.levels import STRONG, SUPPORT, level_slot, move_level
from processors.engine.moment import BLOCKING, ZONE_NOT_VISIBLE, Moment, take_moment
from processors.engine.option_flow import flow_rows
from processors.engine.runway import confluence, next_level, next_obstacle
from processors.engine.shapes import (
    ADDED,
    ASK,
    BID,
    CANCELED,
    CENT_MASK,
    FILLED,
    HIDDEN,
    TICK_MASK,
    TICKS,
    Integers,
    Parameters,
    Scalars,
)
from processors.engine.state import Arrays
from processors.engine.tape import push_mid, volume_near
from processors.engine.universe import CANDIDATES, NearLevels, list_levels, reorder, room
from processors.engine.window import WindowedSums, expire

SWEEP_NONE, SWEEP_UP, SWEEP_DOWN = 0, 1, 2
RUNWAY_NONE, CLEAR, OBSTRUCTED = 0, 1, 2

_CENTS = 100.0


class Scratch(NamedTuple):
    """Room for the levels of one snap: kernels do not allocate."""

    near: NearLevels
    slots: Integers  # [CANDIDATES] where each level is remembered


class Outputs(NamedTuple):
    """Where rows are written, and how many there are: of features, outcomes and option flow."""

    features: NDArray[np.void]  # rows.ROW
    outcomes: NDArray[np.void]  # state.OUTCOME
    flow: NDArray[np.void]  # option_flow.FLOW_ROW
    written: Integers  # [3]


def new_scratch() -> Scratch:
    """Scratch for one snap after another."""
    return Scratch(room(), np.zeros(CANDIDATES, np.int64))


@kernel
def _write_barrier(s: Scalars, flow: Integers, p: Parameters, m: Moment, row: Any, tick: int, direction: int) -> bool:
    """The zone's flows and state; returns whether it is wholly visible."""
    side = BID if direction == SUPPORT else ASK
    added = 0
    canceled = 0
    filled = 0
    hidden = 0
    for t in range(tick - p.zone_ticks, tick + p.zone_ticks + 1):
        key = side * TICKS + (t & TICK_MASK)
        added += flow[key, ADDED]
        canceled += flow[key, CANCELED]
        filled += flow[key, FILLED]
        hidden += flow[key, HIDDEN]
    depth = zone_depth(s.end_tick, s.end_size, side, tick, p.zone_ticks)
    visible = depth >= 0
    rank = np.nan
    if visible and s.continuous == 1:
        rank = depth_rank(s, p, side, tick, depth)
    churn = added + canceled + filled
    row.barrier_state = classify(p, added, canceled, filled, hidden, rank, m.scale_depth) if visible else NEUTRAL
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
    best = s.end_tick[side, 0]
    row.barrier_defending_px = best * p.tick_size / s.ratio if best != MISSING else np.nan
    row.barrier_defending_sz = s.end_size[side, 0] if best != MISSING else -1
    row.barrier_depth_rank = rank
    row.queue_imbalance = m.queue_imbalance
    row.ofi = m.ofi
    row.ofi_multi_level = m.ofi_multi
    row.scale_depth = m.scale_depth
    row.scale_volume = m.scale_volume
    row.scale_velocity = m.scale_velocity
    return visible


@kernel
def _imbalance(bought: int, sold: int) -> float:
    return (bought - sold) / (bought + sold) if bought + sold > 0 else 0.0


@kernel
def _write_tape(
    tape: WindowedSums, spy_tape: WindowedSums, p: Parameters, m: Moment, row: Any, tick: int, price: float
) -> None:
    bought, sold, unsigned = volume_near(tape, tick, m.tape_band, TICK_MASK)
    row.tape_imbalance = _imbalance(bought, sold)
    row.tape_buy_vol = bought
    row.tape_sell_vol = sold
    row.tape_velocity = m.velocity
    row.tape_sweep_detected = m.sweep_side != 0
    row.tape_sweep_direction = SWEEP_NONE if m.sweep_side == 0 else (SWEEP_UP if m.sweep_side > 0 else SWEEP_DOWN)
    row.tape_sweep_notional = m.sweep_notional
    row.tape_confidence = min(1.0, (bought + sold) / p.tape_confidence_volume)
    row.tape_volume = bought + sold + unsigned
    row.tape_spy_buy_vol = -1
    row.tape_spy_sell_vol = -1
    row.tape_spy_imbalance = np.nan
    if m.spy_fresh:
        cents = int(np.floor(price * _CENTS + 0.5))
        band = int(np.floor(p.tape_band * _CENTS + 1e-9))
        bought, sold, unsigned = volume_near(spy_tape, cents, band, CENT_MASK)
        row.tape_spy_buy_vol = bought
        row.tape_spy_sell_vol = sold
        row.tape_spy_imbalance = _imbalance(bought, sold)


@kernel
def _write_fuel(op: OptionArrays, p: Parameters, m: Moment, row: Any, price: float, snap_ns: int) -> None:
    o = op.scalars[0]
    row.fuel_effect = 0
    row.fuel_available = m.fuel_available
    row.fuel_net_dealer_gamma = np.nan
    row.fuel_confidence = 0.0
    if m.fuel_available:
        gamma, contracts = fuel.near(op, p, price)
        row.fuel_net_dealer_gamma = gamma
        row.fuel_effect = fuel.effect(p, gamma)
        row.fuel_confidence = fuel.confidence(p, contracts)
    row.fuel_call_wall = _strike(o.call_wall_milli)
    row.fuel_put_wall = _strike(o.put_wall_milli)
    row.fuel_hvl = o.hvl
    row.fuel_gex = o.gex
    row.fuel_oi_call_wall = _strike(o.oi_call_wall_milli)
    row.fuel_oi_put_wall = _strike(o.oi_put_wall_milli)
    row.fuel_oi_age_s = (snap_ns - o.snapshot_ts_ns) / 1e9 if o.snapshot_ts_ns > 0 else np.nan


@kernel
def _strike(milli: int) -> float:
    return milli / 1000.0 if milli > 0 else np.nan


@kernel
def _write_runway(p: Parameters, m: Moment, row: Any, near: NearLevels, level: int, count: int) -> None:
    kinds, keys, prices = near.kinds, near.keys, near.prices
    here = prices[level]
    found = next_level(near, count, level, True, m.touch)
    row.up_kind = kinds[found] if found >= 0 else -1
    row.up_key = keys[found] if found >= 0 else 0
    row.runway_up_level_price = prices[found] if found >= 0 else np.nan
    row.runway_up_distance = prices[found] - here if found >= 0 else np.nan
    row.runway_up_quality = RUNWAY_NONE if found < 0 else (OBSTRUCTED if STRONG[kinds[found]] else CLEAR)
    found = next_obstacle(near, count, level, True, m.touch)
    row.up_obstacle_kind = kinds[found] if found >= 0 else -1
    row.up_obstacle_key = keys[found] if found >= 0 else 0
    row.runway_up_obstacle_level_price = prices[found] if found >= 0 else np.nan
    row.runway_up_obstacle_distance = prices[found] - here if found >= 0 else np.nan
    found = next_level(near, count, level, False, m.touch)
    row.down_kind = kinds[found] if found >= 0 else -1
    row.down_key = keys[found] if found >= 0 else 0
    row.runway_down_level_price = prices[found] if found >= 0 else np.nan
    row.runway_down_distance = here - prices[found] if found >= 0 else np.nan
    row.runway_down_quality = RUNWAY_NONE if found < 0 else (OBSTRUCTED if STRONG[kinds[found]] else CLEAR)
    found = next_obstacle(near, count, level, False, m.touch)
    row.down_obstacle_kind = kinds[found] if found >= 0 else -1
    row.down_obstacle_key = keys[found] if found >= 0 else 0
    row.runway_down_obstacle_level_price = prices[found] if found >= 0 else np.nan
    row.runway_down_obstacle_distance = here - prices[found] if found >= 0 else np.nan
    row.level_strength = near.strengths[level]
    row.confluence = confluence(near, count, level, p.confluence_band)


@kernel
def _write_row(
    st: Arrays, p: Parameters, m: Moment, row: Any, scratch: Scratch, level: int, count: int, snap_ns: int
) -> None:
    s = st.scalars[0]
    slot = scratch.slots[level]
    price = scratch.near.prices[level]
    tick = s.level_tick[slot]
    direction = s.level_direction[slot]
    row.ts_event_ns = snap_ns
    row.session_date = s.session_date
    row.spot = m.spot
    row.bid = m.bid
    row.ask = m.ask
    row.kind = scratch.near.kinds[level]
    row.key = scratch.near.keys[level]
    row.level_price = price
    row.level_tick = tick
    row.direction = direction
    row.distance = abs(m.spot - price)
    row.ratio = s.ratio
    row.ratio_state = m.ratio_state
    visible = _write_barrier(s, st.flow.total, p, m, row, tick, direction)
    _write_tape(st.tape, st.spy_tape, p, m, row, tick, price)
    row.cumulative_delta = s.delta
    _write_fuel(st.options, p, m, row, price, snap_ns)
    _write_runway(p, m, row, scratch.near, level, count)
    row.episode = -1
    row.episode_touches = -1
    if s.episode_open_ns[slot] != 0:
        row.episode = s.episode_count[slot]
        row.episode_touches = s.episode_count[slot] - s.episode_base[slot] - 1
    bits = m.bits if visible else m.bits | ZONE_NOT_VISIBLE
    row.validity_bits = bits
    row.actionable = (bits & BLOCKING) == 0


@kernel
def emit_snap(st: Arrays, p: Parameters, snap_ns: int, out: Outputs, scratch: Scratch) -> None:
    """Write what the snap at ``snap_ns`` shows into ``out``, behind what is written there.

    The caller has ended the group and keeps room. Nothing is written before the first valid mid, nor while ES is
    silent for too long; then nothing can be said of awaited outcomes either.
    """
    s = st.scalars[0]
    written = out.written
    bucket = snap_ns // p.snap_ns
    expire(st.flow, bucket - p.flow_snaps + 1)
    expire(st.tape, bucket - p.tape_snaps + 1)
    expire(st.spy_tape, bucket - p.tape_snaps + 1)
    fuel.expire_windows(st.options, p, bucket)
    advance_ofi(s, st.ofi_ring, bucket)
    landmarks.refresh(st.landmarks, p, bucket)
    if s.mid2 == 0:
        return
    if snap_ns - s.book_ts_ns > p.pause_ns:
        s.mid_count = 0
        written[1] = censor_outcomes(s, st.outcomes, snap_ns, out.outcomes, written[1])
        return
    push_mid(s, st.mid_ring)
    m = take_moment(st, p, snap_ns)
    if s.trading == 0:
        written[1] = censor_outcomes(s, st.outcomes, snap_ns, out.outcomes, written[1])
    else:
        written[1] = settle_outcomes(s, st.outcomes, p, m.spot, snap_ns, out.outcomes, written[1])
    near = scratch.near
    count = list_levels(st.landmarks, st.options, p, s.hotzones, s.hotzone_count, m.spot, s.ratio, near)
    for level in range(count):
        slot = level_slot(s, near.kinds[level], near.keys[level], snap_ns - p.snap_ns)
        scratch.slots[level] = slot
        if goes_on(s, p, slot, m.spot, snap_ns):
            near.prices[level] = s.episode_price[slot]
            continue
        move_level(s, p, slot, near.prices[level], m.spot, m.touch, snap_ns)
        touch_level(s, st.outcomes, slot, near.prices[level], m.spot, m.touch, snap_ns)
    reorder(near, scratch.slots, count)
    for level in range(count):
        if abs(m.spot - near.prices[level]) <= p.monitor_band:
            _write_row(st, p, m, out.features[written[0]], scratch, level, count, snap_ns)
            written[0] += 1
    written[2] = flow_rows(st.options, snap_ns, out.flow, written[2])
    s.last_snap_ns = snap_ns
