"""Every key of the configuration that the signal stage reads decides something: change it a little, and a row changes.

The scenes stand on the thresholds: one just on each side.

Spec: plan 9; core Configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from common.config import EngineConfig, make_config
from processors.engine.judge import parameters
from tests.support.signal_stage import judge, snaps

Row = dict[str, Any]

MEDIAN: dict[str, Any] = {"SMOOTHING": "MEDIAN"}

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("w_L", {"w_L": 0.451, "w_T": 0.199}),
    ("w_H", {"w_H": 0.351, "w_L": 0.449}),
    ("w_T", {"w_T": 0.201, "w_H": 0.349}),
    ("BREAK_SCORE_THRESHOLD", {"BREAK_SCORE_THRESHOLD": 80.02}),
    ("BREAK_SCORE_THRESHOLD", {"BREAK_SCORE_THRESHOLD": 79.98}),
    ("BREAK_EXIT_THRESHOLD", {"BREAK_EXIT_THRESHOLD": 70.02}),
    ("BREAK_EXIT_THRESHOLD", {"BREAK_EXIT_THRESHOLD": 69.98}),
    ("REJECT_SCORE_THRESHOLD", {"REJECT_SCORE_THRESHOLD": 20.02}),
    ("REJECT_SCORE_THRESHOLD", {"REJECT_SCORE_THRESHOLD": 19.98}),
    ("REJECT_EXIT_THRESHOLD", {"REJECT_EXIT_THRESHOLD": 30.02}),
    ("REJECT_EXIT_THRESHOLD", {"REJECT_EXIT_THRESHOLD": 29.98}),
    ("TRIGGER_HOLD_TIME", {"TRIGGER_HOLD_TIME": 3.01}),
    ("TRIGGER_HOLD_TIME", {"TRIGGER_HOLD_TIME": 2.75}),
    ("TOUCH_BAND", {"TOUCH_BAND": 0.0501}),
    ("TOUCH_BAND", {"TOUCH_BAND": 0.0499}),
    ("CONTESTED_LOW", {"CONTESTED_LOW": 30.02}),
    ("CONTESTED_LOW", {"CONTESTED_LOW": 29.98}),
    ("CONTESTED_HIGH", {"CONTESTED_HIGH": 70.02}),
    ("CONTESTED_HIGH", {"CONTESTED_HIGH": 69.98}),
    ("CONTESTED_MIN_VOLUME", {"CONTESTED_MIN_VOLUME": 101}),
    ("CONTESTED_MIN_VOLUME", {"CONTESTED_MIN_VOLUME": 99}),
    ("CONFIDENCE_HIGH", {"CONFIDENCE_HIGH": 0.6602}),
    ("CONFIDENCE_HIGH", {"CONFIDENCE_HIGH": 0.6598}),
    ("CONFIDENCE_MEDIUM", {"CONFIDENCE_MEDIUM": 0.3302}),
    ("CONFIDENCE_MEDIUM", {"CONFIDENCE_MEDIUM": 0.3298}),
    ("V_REF", {"V_REF": 0.0501}),
    ("F_thresh", {"F_thresh": 101}),
    ("F_thresh", {"F_thresh": 99}),
    ("REPLENISH_CAP", {"REPLENISH_CAP": 9.99}),
    ("tau_score", {"tau_score": 2.01}),
    ("tau_delta_liq", {"tau_delta_liq": 3.01}),
    ("tau_replenish", {"tau_replenish": 3.01}),
    ("tau_velocity", {"tau_velocity": 1.51}),
    ("tau_dealer_gamma", {"tau_dealer_gamma": 5.01}),
    ("SMOOTHING", {"SMOOTHING": "MEDIAN"}),
    ("SMOOTHING", {"SMOOTHING": "HYBRID"}),
    ("FEASIBILITY_LOGIT_STEP", {"FEASIBILITY_LOGIT_STEP": 1.01}),
    ("FEASIBILITY_LOGIT_CAP", {"FEASIBILITY_LOGIT_CAP": 2.49}),
    ("OUTCOME_MOVE", {"OUTCOME_MOVE": 0.2001}),
    ("OUTCOME_MOVE", {"OUTCOME_MOVE": 0.1999}),
    ("SNAP_INTERVAL_MS", {"SNAP_INTERVAL_MS": 500}),
]


def tape(score: float) -> Row:
    """What makes S_T this (0 to 50) without a sweep, for a support."""
    imbalance = min(score, 25.0)
    return {"tape_imbalance": -imbalance / 25.0, "tape_velocity": -0.05 * (score - imbalance) / 25.0}


def scenes() -> Iterator[list[Row]]:
    """One list of rows per level, each from a new level's first snap on."""
    vacuum: Row = {"barrier_state": "VACUUM", "fuel_effect": "AMPLIFY"}
    wall: Row = {"barrier_state": "WALL", "distance": 0.0}
    consumed: Row = {"barrier_state": "CONSUMED", "tape_volume": 100}
    # Scores of 80 and 80.01; of 20 and 19.99; for longer than the hold.
    yield [{**vacuum, **tape(0.0)}] * 14
    yield [{**vacuum, **tape(0.05)}] * 14
    yield [{**wall, **tape(12.5)}] * 14
    yield [{**wall, **tape(12.45)}] * 14
    # A break left below 70, a rejection left above 30.
    for score in (37.5, 37.45):
        yield [{**vacuum, **tape(50.0)}] * 14 + [{"barrier_state": "VACUUM", **tape(score)}] * 2
    for score in (37.5, 37.55):
        yield [wall] * 14 + [{"fuel_effect": "DAMPEN", **tape(score)}] * 2
    # Touching and not quite.
    for distance in (0.05, 0.0501):
        yield [{**wall, "distance": distance}] * 14
    # Contested from 30 to 70, from 100 contracts on.
    for score in (37.5, 37.45):
        yield [{**consumed, "fuel_effect": "DAMPEN", **tape(score)}]
    for score in (39.99, 40.05):
        yield [{**consumed, "fuel_effect": "AMPLIFY", "barrier_delta_liq": -101, **tape(score)}]
    for volume, delta_liq in product((100, 99), (-100, -101)):
        yield [{**consumed, "tape_volume": volume, "barrier_delta_liq": delta_liq}]
    # Confidence at its edges.
    for value in (0.66, 0.6599, 0.33, 0.3299):
        yield [{"barrier_confidence": value, "fuel_confidence": value, "tape_confidence": value}]
    # Series that move, and an outlier.
    yield [
        {
            "barrier_state": state,
            "barrier_delta_liq": delta_liq,
            "barrier_added": added,
            "barrier_canceled": 20,
            "tape_velocity": velocity,
            "fuel_net_dealer_gamma": gamma,
        }
        for state, delta_liq, added, velocity, gamma in (
            ("WALL", 10, 40, -0.01, 1e4),
            ("VACUUM", 90, 10, -0.02, 2e4),
            ("WALL", -800, 400, 0.4, -9e4),
            ("WEAK", 30, 35, -0.02, 2e4),
            ("NEUTRAL", -20, 30, 0.01, 3e4),
            ("VACUUM", 50, 20, 0.02, 1e4),
            ("WALL", 60, 25, 0.03, 4e4),
        )
    ]
    yield [{"barrier_added": 10, "barrier_canceled": 0}]
    # The ground ahead, up to three votes against a break.
    for distance in (0.2, 0.2001, 0.4, 0.3999):
        yield [{"runway_down_obstacle_distance": distance}]
    yield [{"runway_down_obstacle_distance": 0.1, "confluence": 2, "level_kind": "VWAP"}]


def rows(changed: dict[str, Any]) -> list[Row]:
    """What is judged of all scenes, without the configuration's hash."""
    config = make_config(changed)
    out = []
    for number, scene in enumerate(scenes()):
        for row in judge([{**row, "level_id": f"SCENE_{number}"} for row in snaps(*scene)], config=config):
            row.pop("config_hash")
            out.append(row)
    return out


@pytest.fixture(scope="module")
def golden() -> list[Row]:
    return rows({})


@pytest.mark.parametrize(("key", "changed"), CHANGES)
def test_a_slight_change_of_any_key_changes_a_row(golden: list[Row], key: str, changed: dict[str, Any]) -> None:
    assert key in changed
    assert rows(changed) != golden


@pytest.mark.parametrize("window", [4, 6])
def test_a_slight_change_of_the_medians_window_changes_a_row(window: int) -> None:
    assert rows({**MEDIAN, "ROBUST_WINDOW": window}) != rows(MEDIAN)


def test_the_scenes_reach_every_signal_and_every_class_of_confidence(golden: list[Row]) -> None:
    assert {row["signal"] for row in golden} == {"NEUTRAL", "BREAK", "REJECT", "CONTESTED"}
    assert {row["confidence"] for row in golden} == {"LOW", "MEDIUM", "HIGH"}


def test_no_key_is_read_that_is_not_changed_here() -> None:
    read: set[str] = set()

    class Watched(EngineConfig):
        def __getattribute__(self, name: str) -> Any:
            if name in EngineConfig.model_fields:
                read.add(name)
            return super().__getattribute__(name)

    configs = [Watched(SMOOTHING=smoothing) for smoothing in ("EWMA", "MEDIAN")]
    read.clear()  # validation reads more
    for config in configs:
        parameters(config)
    assert read == {key for key, _ in CHANGES} | {"ROBUST_WINDOW"}
