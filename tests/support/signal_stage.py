"""The signal stage called with plain rows: one level's snaps in, its judgements out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config import EngineConfig, make_config
from processors.engine import signals
from processors.engine.levelstate import SignalState
from tests.support.feature_rows import INTERVAL_NS, START_NS, feature_batch, row_dicts

CONFIG = make_config({})
HOLD_SNAPS = 12
BREAKING: dict[str, Any] = {
    "barrier_state": "VACUUM",
    "barrier_delta_liq": -300,
    "tape_sweep_detected": True,
    "tape_sweep_direction": "DOWN",
}
"""A support about to give way: S = 0.45*100 + 0.35*50 + 0.20*100 = 82.5."""
HOLDING: dict[str, Any] = {"barrier_state": "WALL", "barrier_delta_liq": 300}
"""A support that holds: S = 17.5."""
QUIET: dict[str, Any] = {}


def snaps(*rows: Mapping[str, Any], first: int = 1) -> list[dict[str, Any]]:
    """One row per snap of the grid, from the snap number ``first`` on."""
    return [{"ts_event_ns": START_NS + (first + n) * INTERVAL_NS, **row} for n, row in enumerate(rows)]


def judge(
    rows: list[dict[str, Any]], state: SignalState | None = None, config: EngineConfig = CONFIG
) -> list[dict[str, Any]]:
    """The signal rows of feature rows, from a new state unless one is given."""
    return row_dicts(signals.step(config, signals.initial_state() if state is None else state, feature_batch(rows)))


def column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    """One field of every row."""
    return [row[name] for row in rows]
