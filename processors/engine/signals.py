"""Signals from level features: ``step(config, state, levels.features.v1 rows) -> levels.signals.v1 rows``. Pure.

Each level is judged on its own, from its own few numbers, so any cut of the rows into batches gives the same bytes, and
a level's state can be stored by itself. A row not later than what its level has seen is a duplicate and is dropped. A
level starts anew (unseeded smoothers, no holds, NEUTRAL) when it was absent from the previous snap of the grid, when
the session changes, when its direction flips and when its episode ends; that an episode opens changes nothing. While
halted nothing moves: smoothers and holds keep their values and the signal is NEUTRAL; afterwards they go on as if the
halt had taken no time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import schemas, topics
from common.columns import Batch, Column, repeated_string
from common.config import EngineConfig
from processors.engine import notes
from processors.engine.feasibility import NO_OBSTACLE
from processors.engine.judge import DOWN, Outputs, Rows, judge, parameters
from processors.engine.levelstate import SignalState
from processors.engine.smoothing import ROBUST_MAX
from processors.engine.texts import picked

_SCHEMA = schemas.load(topics.SIGNALS)
_PASSED_THROUGH = tuple(
    field.name
    for field in _SCHEMA.fields
    if field.name in {given.name for given in schemas.load(topics.FEATURES).fields}
)
_READ = (
    "ts_event_ns",
    "session_date",
    "direction",
    "distance",
    "ratio",
    "barrier_state",
    "barrier_delta_liq",
    "barrier_added",
    "barrier_canceled",
    "barrier_filled",
    "barrier_visible",
    "barrier_confidence",
    "tape_imbalance",
    "tape_velocity",
    "tape_sweep_detected",
    "tape_sweep_direction",
    "tape_confidence",
    "tape_volume",
    "fuel_effect",
    "fuel_available",
    "fuel_confidence",
    "validity_bits",
    "level_kind",
)
"""The columns that the kernel reads, in the order of its Rows, after the slot; then come those of _READ_NULLABLE."""
_READ_NULLABLE = {
    "fuel_net_dealer_gamma": 0.0,
    "episode": 0,
    "episode_touches": -1,
    "confluence": 0,
    "runway_up_obstacle_distance": NO_OBSTACLE,
    "runway_down_obstacle_distance": NO_OBSTACLE,
    "scale_depth": 1.0,
    "scale_volume": 1.0,
    "scale_velocity": 1.0,
}
"""What the kernel reads instead of null; the last of its Rows is gamma's validity."""
_FLAGS = {"keep", "tape_parts"}
_INTEGERS = {"signal", "confidence", "runway_direction", "note"}


def initial_state() -> SignalState:
    """The state before the first row."""
    return SignalState()


def _rows(state: SignalState, batch: Batch) -> Rows:
    gamma_valid = batch.columns["fuel_net_dealer_gamma"].validity
    filled = (batch.columns[name].filled(instead) for name, instead in _READ_NULLABLE.items())
    return Rows._make([state.slots(batch.columns["level_id"]), *(batch[name] for name in _READ), *filled, gamma_valid])


def _outputs(length: int) -> Outputs:
    kinds = [np.bool_ if f in _FLAGS else np.int32 if f in _INTEGERS else np.float64 for f in Outputs._fields]
    return Outputs._make([np.zeros(length, kind) for kind in kinds])


def _runway(batch: Batch, direction: NDArray[np.int32]) -> dict[str, Column]:
    """The next level and the next strong one the judged way: the row's up columns, or its down columns."""
    index = np.arange(batch.length, dtype=np.int64)
    index[direction == DOWN] += batch.length

    def pick(part: str) -> Column:
        up, down = batch.columns[f"runway_up_{part}"], batch.columns[f"runway_down_{part}"]
        valid = None
        if up.valid is not None or down.valid is not None:
            valid = np.concatenate([up.validity, down.validity])
        values = np.concatenate([up.values, down.values])
        if up.offsets is None or down.offsets is None:
            return Column(values, valid).take(index)
        offsets = np.concatenate([up.offsets, down.offsets[1:] + up.offsets[-1]])
        return picked(Column(values, valid, offsets), index)

    return {
        "runway_direction": Column(direction),
        "runway_next_level_id": pick("level_id"),
        "runway_next_level_price": pick("level_price"),
        "runway_distance": pick("distance"),
        "runway_quality": pick("quality"),
        "runway_obstacle_level_id": pick("obstacle_level_id"),
        "runway_obstacle_level_price": pick("obstacle_level_price"),
        "runway_obstacle_distance": pick("obstacle_distance"),
    }


def step(config: EngineConfig, state: SignalState, rows: Batch) -> Batch:
    """Judge whole snaps of one complex: one signal row per feature row that is not a duplicate, in the same order.

    ``rows`` are of ``levels.features.v1``; ``state`` is changed in place. Columns that both records have pass through.
    """
    out = _outputs(rows.length)
    # Slots first: an unknown level may move the array of levels.
    given = _rows(state, rows)
    judge(state.levels, state.rings, np.empty(ROBUST_MAX), given, out, parameters(config))
    length = rows.length
    every = np.ones(length, np.bool_)
    columns = {
        **{name: rows.columns[name] for name in _PASSED_THROUGH},
        "ratio": Column(rows["ratio"], every),  # nullable in the signals, which had none at first
        **_runway(rows, out.runway_direction),
        "barrier_delta_liq_smooth": Column(out.delta_liq_smooth),
        "barrier_replenishment_ratio_smooth": Column(out.replenishment_smooth),
        "tape_velocity_smooth": Column(out.velocity_smooth),
        "fuel_net_dealer_gamma_smooth": Column(out.gamma_smooth, given.gamma_valid),
        "score_liquidity": Column(out.score_liquidity),
        "score_hedge": Column(out.score_hedge),
        "score_tape": Column(out.score_tape),
        "break_score_raw": Column(out.score_raw),
        "break_score_smooth": Column(out.score_smooth),
        "signal": Column(out.signal),
        "confidence": Column(out.confidence),
        "confidence_value": Column(out.confidence_value),
        "note": picked(notes.VOCABULARY, out.note.astype(np.int64)),
        "contribution_liquidity": Column(out.contribution_liquidity, every),
        "contribution_hedge": Column(out.contribution_hedge, every),
        "contribution_tape": Column(out.contribution_tape, every),
        "score_tape_velocity": Column(out.tape_velocity, out.tape_parts),
        "score_tape_imbalance": Column(out.tape_imbalance, out.tape_parts),
        "feasibility_logit": Column(out.feasibility_logit, every),
        "feasibility_prior": Column(out.feasibility_prior, every),
        "config_hash": repeated_string(config.hash, length),
    }
    batch = Batch(topics.SIGNALS, length, {field.name: columns[field.name] for field in _SCHEMA.fields})
    return batch if out.keep.all() else batch.take(np.flatnonzero(out.keep))
