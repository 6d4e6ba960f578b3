"""The kernel of the signal stage: each feature row judged in the light of its level's few numbers.

:mod:`processors.engine.signals` says what it promises; here are the parameters, what is read, what is written, and the
order of the floating-point operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.config import NS_PER_S, EngineConfig
from common.jit import kernel
from processors.engine import notes
from processors.engine.feasibility import (
    Feasibility,
    feasibility_logit,
    feasibility_prior,
    obstacle_near,
    obstacle_units,
)
from processors.engine.levels import STRONG
from processors.engine.levelstate import ADDED, DEALER_GAMMA, DELTA_LIQ, REMOVED, SCORE, VELOCITY, Rings
from processors.engine.moment import HALTED
from processors.engine.score import (
    BarrierState,
    Direction,
    SweepDirection,
    Weights,
    break_sign,
    clip,
    confidence_class,
    hedge_score,
    imbalance_part,
    liquidity_score,
    sweep_confirms,
    tape_score,
    velocity_part,
    weighted,
)
from processors.engine.smoothing import capped_ratio, decay_together, ewma, ewma_alpha, rolling_median
from processors.engine.triggers import (
    NOT_HELD,
    Signal,
    Thresholds,
    advance_hold,
    contested,
    next_signal,
    price_units,
    touches,
)

IMPLIED_GAMMA = 512
"""The bit of validity_bits that says that gamma was implied from option quotes."""

UP, DOWN = 0, 1
"""Positions of runway_direction in the schema."""

_CONSUMED = int(BarrierState.CONSUMED)
_RESISTANCE = int(Direction.RESISTANCE)
_NO_SWEEP = int(SweepDirection.NONE)
_NEUTRAL = int(Signal.NEUTRAL)
_REJECT = int(Signal.REJECT)
_CONTESTED = int(Signal.CONTESTED)


class Parameters(NamedTuple):
    """The configuration in the kernel's units."""

    weights: Weights
    thresholds: Thresholds
    feasibility: Feasibility
    interval_ns: int
    flow_threshold: float
    velocity_reference: float
    replenish_cap: float
    confidence_medium: float
    confidence_high: float
    alpha_score: float
    alpha_delta_liq: float
    alpha_replenish: float
    alpha_velocity: float
    alpha_gamma: float
    window: int
    """Samples of the rolling medians; 0 without them."""


class Rows(NamedTuple):
    """What the kernel reads of each feature row; columns of ``levels.features.v1`` and each row's slot.

    Null reads as 0 in ``episode``, ``confluence`` and ``gamma``, as -1 in ``touches`` and the obstacles' distances, as
    1 in the scales.
    """

    slot: NDArray[np.int64]
    ts_ns: NDArray[np.int64]
    session_date: NDArray[np.int32]
    direction: NDArray[np.int32]
    distance: NDArray[np.float64]
    ratio: NDArray[np.float64]
    barrier_state: NDArray[np.int32]
    delta_liq: NDArray[np.int64]
    added: NDArray[np.int64]
    canceled: NDArray[np.int64]
    filled: NDArray[np.int64]
    visible: NDArray[np.bool_]
    barrier_confidence: NDArray[np.float64]
    imbalance: NDArray[np.float64]
    velocity: NDArray[np.float64]
    sweep_detected: NDArray[np.bool_]
    sweep_direction: NDArray[np.int32]
    tape_confidence: NDArray[np.float64]
    tape_volume: NDArray[np.int64]
    fuel_effect: NDArray[np.int32]
    fuel_available: NDArray[np.bool_]
    fuel_confidence: NDArray[np.float64]
    validity_bits: NDArray[np.int32]
    kind: NDArray[np.int32]
    gamma: NDArray[np.float64]
    episode: NDArray[np.int32]
    touches: NDArray[np.int32]
    confluence: NDArray[np.int32]
    obstacle_up: NDArray[np.float64]
    obstacle_down: NDArray[np.float64]
    scale_depth: NDArray[np.float64]
    scale_volume: NDArray[np.float64]
    scale_velocity: NDArray[np.float64]
    gamma_valid: NDArray[np.bool_]


class Outputs(NamedTuple):
    """What the kernel writes for each feature row; ``keep`` is false for a duplicate, whose other values are unset.

    ``tape_parts`` is false where a sweep decides the tape's score.
    """

    keep: NDArray[np.bool_]
    score_liquidity: NDArray[np.float64]
    score_hedge: NDArray[np.float64]
    score_tape: NDArray[np.float64]
    contribution_liquidity: NDArray[np.float64]
    contribution_hedge: NDArray[np.float64]
    contribution_tape: NDArray[np.float64]
    tape_velocity: NDArray[np.float64]
    tape_imbalance: NDArray[np.float64]
    tape_parts: NDArray[np.bool_]
    score_raw: NDArray[np.float64]
    score_smooth: NDArray[np.float64]
    delta_liq_smooth: NDArray[np.float64]
    replenishment_smooth: NDArray[np.float64]
    velocity_smooth: NDArray[np.float64]
    gamma_smooth: NDArray[np.float64]
    signal: NDArray[np.int32]
    confidence: NDArray[np.int32]
    confidence_value: NDArray[np.float64]
    runway_direction: NDArray[np.int32]
    feasibility_logit: NDArray[np.float64]
    feasibility_prior: NDArray[np.float64]
    note: NDArray[np.int32]


def parameters(config: EngineConfig) -> Parameters:
    """The configuration in the kernel's units; a level's samples are one snap interval apart, so an alpha is fixed."""
    interval_ns = config.snap_interval_ns

    def alpha(tau_s: float) -> float:
        # The median alone is an average in which only the newest counts.
        return 1.0 if config.SMOOTHING == "MEDIAN" else ewma_alpha(interval_ns, tau_s)

    return Parameters(
        weights=Weights(config.w_L, config.w_H, config.w_T),
        thresholds=Thresholds(
            break_score=config.BREAK_SCORE_THRESHOLD,
            break_exit=config.BREAK_EXIT_THRESHOLD,
            reject_score=config.REJECT_SCORE_THRESHOLD,
            reject_exit=config.REJECT_EXIT_THRESHOLD,
            hold_ns=round(config.TRIGGER_HOLD_TIME * NS_PER_S),
            touch_band=config.TOUCH_BAND,
            contested_low=config.CONTESTED_LOW,
            contested_high=config.CONTESTED_HIGH,
            contested_min_volume=float(config.CONTESTED_MIN_VOLUME),
        ),
        feasibility=Feasibility(
            config.FEASIBILITY_LOGIT_STEP, config.FEASIBILITY_LOGIT_CAP, price_units(config.OUTCOME_MOVE)
        ),
        interval_ns=interval_ns,
        flow_threshold=float(config.F_thresh),
        velocity_reference=config.V_REF,
        replenish_cap=config.REPLENISH_CAP,
        confidence_medium=config.CONFIDENCE_MEDIUM,
        confidence_high=config.CONFIDENCE_HIGH,
        alpha_score=alpha(config.tau_score),
        alpha_delta_liq=alpha(config.tau_delta_liq),
        alpha_replenish=alpha(config.tau_replenish),
        alpha_velocity=alpha(config.tau_velocity),
        alpha_gamma=alpha(config.tau_dealer_gamma),
        window=0 if config.SMOOTHING == "EWMA" else config.ROBUST_WINDOW,
    )


@kernel
def _start_anew(level: Any) -> None:
    level.signal = _NEUTRAL
    level.break_held_ns = NOT_HELD
    level.reject_held_ns = NOT_HELD
    level.seeded = 0
    level.gamma_seeded = 0
    level.samples = 0
    level.gamma_samples = 0


@kernel
def _smooth(
    level: Any, rings: Rings, scratch: NDArray[np.float64], rows: Rows, i: int, score: float, p: Parameters
) -> None:
    """Take row ``i`` into the level's averages; the first sample seeds them."""
    slot = rows.slot[i]
    delta_liq = float(rows.delta_liq[i])
    velocity = rows.velocity[i]
    added = float(rows.added[i])
    removed = float(rows.canceled[i] + rows.filled[i])
    gamma = rows.gamma[i]
    if not rows.gamma_valid[i]:
        level.gamma_seeded = 0
        level.gamma_samples = 0
    if p.window:
        n = level.samples
        score = rolling_median(rings, slot, SCORE, n, p.window, score, scratch)
        delta_liq = rolling_median(rings, slot, DELTA_LIQ, n, p.window, delta_liq, scratch)
        velocity = rolling_median(rings, slot, VELOCITY, n, p.window, velocity, scratch)
        added = rolling_median(rings, slot, ADDED, n, p.window, added, scratch)
        removed = rolling_median(rings, slot, REMOVED, n, p.window, removed, scratch)
        level.samples = min(n + 1, p.window)
        if rows.gamma_valid[i]:
            gamma = rolling_median(rings, slot, DEALER_GAMMA, level.gamma_samples, p.window, gamma, scratch)
            level.gamma_samples = min(level.gamma_samples + 1, p.window)
    if level.seeded:
        level.score = ewma(level.score, score, p.alpha_score)
        level.delta_liq = ewma(level.delta_liq, delta_liq, p.alpha_delta_liq)
        level.velocity = ewma(level.velocity, velocity, p.alpha_velocity)
        level.added, level.removed = decay_together(
            ewma(level.added, added, p.alpha_replenish), ewma(level.removed, removed, p.alpha_replenish)
        )
    else:
        level.seeded = 1
        level.score = score
        level.delta_liq = delta_liq
        level.velocity = velocity
        level.added = added
        level.removed = removed
    if rows.gamma_valid[i]:
        level.dealer_gamma = ewma(level.dealer_gamma, gamma, p.alpha_gamma) if level.gamma_seeded else gamma
        level.gamma_seeded = 1


@kernel
def _trigger(level: Any, rows: Rows, i: int, score: float, p: Parameters) -> None:
    """Move the level's holds and signal by row ``i``."""
    t = p.thresholds
    low = score < t.reject_score and touches(rows.distance[i], t.touch_band, rows.ratio[i])
    level.break_held_ns = advance_hold(level.break_held_ns, score > t.break_score, p.interval_ns)
    level.reject_held_ns = advance_hold(level.reject_held_ns, low, p.interval_ns)
    signal = next_signal(level.signal, score, level.break_held_ns, level.reject_held_ns, t)
    consumed = rows.barrier_state[i] == _CONSUMED
    if signal == _NEUTRAL and contested(score, consumed, rows.tape_volume[i], rows.scale_volume[i], t):
        signal = _CONTESTED
    level.signal = signal


@kernel
def _tape_note(confirmed: bool, swept: bool, velocity: float, imbalance: float, tape: float) -> int:
    if confirmed:
        return notes.SWEEP_CONFIRMS
    if swept:
        return notes.SWEEP_OPPOSES
    if tape >= 25.0:
        return notes.TAPE_CONFIRMS
    if velocity < 0.0 and imbalance < 0.0:
        return notes.TAPE_OPPOSES
    return notes.TAPE_MIXED


@kernel
def judge(
    levels: NDArray[np.void], rings: Rings, scratch: NDArray[np.float64], rows: Rows, out: Outputs, p: Parameters
) -> None:
    """Judge the rows one after the other: fill ``out`` and move ``levels`` and ``rings`` (by slot) along.

    ``scratch``: as :func:`processors.engine.smoothing.rolling_median` needs it.
    """
    for i in range(len(rows.ts_ns)):
        level = levels[rows.slot[i]]
        ts_ns = rows.ts_ns[i]
        direction = rows.direction[i]
        out.keep[i] = ts_ns > level.seen_ns
        if not out.keep[i]:
            continue
        followed = level.seen_ns == ts_ns - p.interval_ns
        ended = level.episode != 0 and level.episode != rows.episode[i]
        if not followed or ended or level.session_date != rows.session_date[i] or level.direction != direction:
            _start_anew(level)
        level.seen_ns = ts_ns
        level.session_date = rows.session_date[i]
        level.direction = direction
        level.episode = rows.episode[i]

        sign = break_sign(direction)
        velocity = sign * rows.velocity[i]
        imbalance = sign * rows.imbalance[i]
        confirmed = sweep_confirms(direction, rows.sweep_detected[i], rows.sweep_direction[i])
        liquidity = liquidity_score(rows.barrier_state[i], rows.delta_liq[i], p.flow_threshold * rows.scale_depth[i])
        hedge = hedge_score(rows.fuel_effect[i])
        tape_velocity = velocity_part(velocity, p.velocity_reference * rows.scale_velocity[i])
        tape_imbalance = imbalance_part(imbalance)
        tape = tape_score(confirmed, tape_velocity, tape_imbalance)
        score = clip(weighted(p.weights, liquidity, hedge, tape), 0.0, 100.0)

        halted = rows.validity_bits[i] & HALTED != 0
        if not halted:
            _smooth(level, rings, scratch, rows, i, score, p)
            _trigger(level, rows, i, score, p)
        signal = _NEUTRAL if halted else level.signal
        confidence = weighted(p.weights, rows.barrier_confidence[i], rows.fuel_confidence[i], rows.tape_confidence[i])

        out.score_liquidity[i] = liquidity
        out.score_hedge[i] = hedge
        out.score_tape[i] = tape
        out.contribution_liquidity[i] = p.weights.liquidity * liquidity
        out.contribution_hedge[i] = p.weights.hedge * hedge
        out.contribution_tape[i] = p.weights.tape * tape
        out.tape_velocity[i] = tape_velocity
        out.tape_imbalance[i] = tape_imbalance
        out.tape_parts[i] = not confirmed
        out.score_raw[i] = score
        # A level first met in a halt has no averages yet: its rows show the raw values.
        out.score_smooth[i] = level.score if level.seeded else score
        out.delta_liq_smooth[i] = level.delta_liq if level.seeded else float(rows.delta_liq[i])
        out.velocity_smooth[i] = level.velocity if level.seeded else rows.velocity[i]
        out.replenishment_smooth[i] = capped_ratio(
            level.added if level.seeded else float(rows.added[i]),
            level.removed if level.seeded else float(rows.canceled[i] + rows.filled[i]),
            p.replenish_cap,
        )
        out.gamma_smooth[i] = 0.0
        if rows.gamma_valid[i]:
            out.gamma_smooth[i] = level.dealer_gamma if level.gamma_seeded else rows.gamma[i]
        out.signal[i] = signal
        out.confidence_value[i] = confidence
        out.confidence[i] = confidence_class(confidence, p.confidence_medium, p.confidence_high)
        up = (direction == _RESISTANCE) != (signal == _REJECT)
        out.runway_direction[i] = UP if up else DOWN
        above, below = obstacle_units(rows.obstacle_up[i]), obstacle_units(rows.obstacle_down[i])
        beyond = above if direction == _RESISTANCE else below
        logit = feasibility_logit(beyond, rows.confluence[i], STRONG[rows.kind[i]], rows.touches[i], p.feasibility)
        out.feasibility_logit[i] = logit
        out.feasibility_prior[i] = feasibility_prior(logit)
        out.note[i] = notes.HALTED
        if not halted:
            swept = rows.sweep_detected[i] and rows.sweep_direction[i] != _NO_SWEEP
            reason = _tape_note(confirmed, swept, velocity, imbalance, tape)
            implied = rows.validity_bits[i] & IMPLIED_GAMMA != 0
            fuel = notes.fuel_of(rows.fuel_effect[i], rows.fuel_available[i], implied)
            obstacle = obstacle_near(above if up else below, p.feasibility.move)
            out.note[i] = notes.note_of(rows.barrier_state[i], rows.visible[i], fuel, reason, rows.touches[i], obstacle)
