"""DESIGN §4.8-4.10: what a level's signal says at each snap, from its feature rows.

Spec: plan 5.4.3; core LevelSignalService.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from common import schemas, topics
from common.config import make_config
from processors.engine import signals
from tests.support.feature_rows import INTERVAL_NS, START_NS, feature_batch
from tests.support.signal_stage import BREAKING, CONFIG, HOLD_SNAPS, HOLDING, QUIET, column, judge, snaps

# Shape


def test_every_field_of_the_record_is_there_in_the_schemas_order() -> None:
    batch = signals.step(CONFIG, signals.initial_state(), feature_batch(snaps(QUIET)))
    assert list(batch.columns) == [field.name for field in schemas.load(topics.SIGNALS).fields]
    for field in schemas.load(topics.SIGNALS).fields:
        made = batch.columns[field.name]
        assert made.values.dtype == field.dtype, field.name
        assert (made.valid is not None) == field.nullable, field.name


def test_what_both_records_have_passes_through() -> None:
    given = feature_batch(snaps({"spot": 471.9, "bid": 471.89, "tape_buy_vol": 7, "validity_bits": 130}))
    out = signals.step(CONFIG, signals.initial_state(), given)
    for name in {f.name for f in schemas.load(topics.FEATURES).fields} & set(out.columns):
        assert out.columns[name].values is given.columns[name].values
        assert name == "ratio" or out.columns[name] is given.columns[name]


def test_no_rows_make_no_rows() -> None:
    assert judge([]) == []


def test_every_row_carries_the_configurations_hash() -> None:
    (row,) = judge(snaps(QUIET))
    assert row["config_hash"] == CONFIG.hash


# Score


def test_the_raw_score_is_the_weighted_sum_of_the_components() -> None:
    (row,) = judge(snaps(BREAKING))
    assert (row["score_liquidity"], row["score_hedge"], row["score_tape"]) == (100.0, 50.0, 100.0)
    assert row["break_score_raw"] == 0.45 * 100 + 0.35 * 50 + 0.20 * 100


@pytest.mark.parametrize(("direction", "expected"), [("SUPPORT", 45.0), ("RESISTANCE", 0.0)])
def test_velocity_and_imbalance_count_towards_the_break(direction: str, expected: float) -> None:
    (row,) = judge(snaps({"direction": direction, "tape_velocity": -0.05, "tape_imbalance": -0.8}))
    assert row["score_tape"] == pytest.approx(expected)


def test_a_sweep_against_the_break_earns_nothing() -> None:
    (row,) = judge(snaps({"tape_sweep_detected": True, "tape_sweep_direction": "UP", "tape_imbalance": -0.4}))
    assert row["score_tape"] == pytest.approx(10.0)


def test_confidence_is_weighted_as_the_score_is() -> None:
    (row,) = judge(snaps({"barrier_confidence": 0.5, "fuel_confidence": 0.2, "tape_confidence": 1.0}))
    assert row["confidence_value"] == 0.45 * 0.5 + 0.35 * 0.2 + 0.20 * 1.0
    assert row["confidence"] == "MEDIUM"


def test_a_zone_that_is_not_visible_scores_neutral_and_says_so() -> None:
    (row,) = judge(snaps({"barrier_visible": False, "barrier_confidence": 0.0, "validity_bits": 192}))
    assert row["score_liquidity"] == 50.0
    assert row["confidence_value"] == pytest.approx(0.2)
    assert row["note"] == "Zone not visible; tape mixed; no option flow"


# Signal


def test_break_is_said_after_the_hold_time() -> None:
    out = judge(snaps(*[BREAKING] * (HOLD_SNAPS + 2)))
    assert column(out, "signal") == ["NEUTRAL"] * HOLD_SNAPS + ["BREAK"] * 2


def test_reject_is_said_after_the_hold_time_at_the_level() -> None:
    out = judge(snaps(*[HOLDING] * (HOLD_SNAPS + 1)))
    assert column(out, "signal") == ["NEUTRAL"] * HOLD_SNAPS + ["REJECT"]
    away = {**HOLDING, "distance": 0.06}
    assert set(column(judge(snaps(*[away] * 40)), "signal")) == {"NEUTRAL"}


def test_triggers_use_the_raw_score_and_not_the_smooth_one() -> None:
    out = judge(snaps(*[QUIET] * 8, *[BREAKING] * (HOLD_SNAPS + 1)))
    assert out[-1]["signal"] == "BREAK" and out[-1]["break_score_smooth"] < 80


def test_contested_needs_no_hold() -> None:
    busy = {"barrier_state": "CONSUMED", "tape_volume": 100}
    assert column(judge(snaps(busy, QUIET)), "signal") == ["CONTESTED", "NEUTRAL"]


def test_the_touch_band_is_at_least_one_es_tick_in_spy_dollars() -> None:
    narrow = make_config({"TOUCH_BAND": 0.001})
    inside = {**HOLDING, "distance": 0.025, "ratio": 10.0}
    assert judge(snaps(*[inside] * 13), config=narrow)[-1]["signal"] == "REJECT"


# Starting anew


def after(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return judge(rows)[-1]


def test_a_level_absent_from_the_previous_snap_starts_anew() -> None:
    row = after([*snaps(*[BREAKING] * 13), *snaps(BREAKING, first=15)])
    assert row["signal"] == "NEUTRAL"
    row = after([*snaps(*[BREAKING] * 13), *snaps({"barrier_delta_liq": 50}, first=15)])
    assert row["barrier_delta_liq_smooth"] == 50.0


def test_a_new_session_starts_anew() -> None:
    row = after(snaps(*[BREAKING] * 13, {**BREAKING, "session_date": 20231226}))
    assert row["signal"] == "NEUTRAL" and row["break_score_smooth"] == row["break_score_raw"]


def test_a_flip_of_direction_starts_anew() -> None:
    flipped = {"direction": "RESISTANCE", "barrier_delta_liq": 7}
    row = after(snaps(*[BREAKING] * 13, flipped))
    assert row["signal"] == "NEUTRAL" and row["barrier_delta_liq_smooth"] == 7.0


def test_levels_do_not_share_anything() -> None:
    rows = [
        {**row, "level_id": name}
        for row in snaps(*[BREAKING] * 14)
        for name in (["A", "B"] if row["ts_event_ns"] > START_NS + INTERVAL_NS else ["A"])
    ]
    last = {row["level_id"]: row["signal"] for row in judge(rows)[-2:]}
    assert last == {"A": "BREAK", "B": "BREAK"}
    first_break = next(row for row in judge(rows) if row["level_id"] == "B" and row["signal"] == "BREAK")
    assert first_break["ts_event_ns"] == START_NS + 14 * INTERVAL_NS


# Smoothing


def test_the_first_sample_seeds_every_average() -> None:
    (row,) = judge(snaps({**BREAKING, "tape_velocity": -0.03, "barrier_added": 30, "barrier_canceled": 20}))
    assert row["break_score_smooth"] == row["break_score_raw"]
    assert row["barrier_delta_liq_smooth"] == -300.0
    assert row["tape_velocity_smooth"] == -0.03
    assert row["barrier_replenishment_ratio_smooth"] == 1.5


@pytest.mark.parametrize(
    ("field", "smooth", "key"),
    [
        ("barrier_delta_liq", "barrier_delta_liq_smooth", "tau_delta_liq"),
        ("tape_velocity", "tape_velocity_smooth", "tau_velocity"),
        ("fuel_net_dealer_gamma", "fuel_net_dealer_gamma_smooth", "tau_dealer_gamma"),
    ],
)
def test_each_average_has_its_own_time_constant(field: str, smooth: str, key: str) -> None:
    out = judge(snaps({field: 0}, {field: 100}))
    assert out[1][smooth] == pytest.approx(100 * (1 - math.exp(-0.25 / getattr(CONFIG, key))), rel=1e-14)


def test_the_score_is_smoothed_with_its_own_time_constant() -> None:
    out = judge(snaps(QUIET, BREAKING))
    low, high = column(out, "break_score_raw")
    alpha = 1 - math.exp(-0.25 / CONFIG.tau_score)
    assert out[1]["break_score_smooth"] == pytest.approx(low + alpha * (high - low), rel=1e-14)


def test_replenishment_is_smoothed_as_numerator_and_denominator() -> None:
    out = judge(
        snaps(
            {"barrier_added": 90, "barrier_canceled": 10},
            {"barrier_added": 10, "barrier_canceled": 10, "barrier_filled": 20},
        )
    )
    alpha = 1 - math.exp(-0.25 / CONFIG.tau_replenish)
    expected = (90 + alpha * (10 - 90)) / (10 + alpha * (30 - 10))
    assert out[1]["barrier_replenishment_ratio_smooth"] == pytest.approx(expected, rel=1e-14)


def test_the_smooth_ratio_is_capped() -> None:
    (row,) = judge(snaps({"barrier_added": 500, "barrier_canceled": 1}))
    assert row["barrier_replenishment_ratio_smooth"] == CONFIG.REPLENISH_CAP


def test_dealer_gamma_stays_null_and_is_seeded_anew_after_it() -> None:
    out = judge(snaps(*[{"fuel_net_dealer_gamma": gamma} for gamma in (100.0, None, 40.0)]))
    assert column(out, "fuel_net_dealer_gamma_smooth") == [100.0, None, 40.0]


# Halts


def test_while_halted_the_signal_is_neutral_and_the_averages_stand_still() -> None:
    halted = {**QUIET, "barrier_delta_liq": 999, "validity_bits": 160}
    out = judge(snaps(*[BREAKING] * 13, halted, halted))
    assert out[12]["signal"] == "BREAK"
    for row in out[13:]:
        assert row["signal"] == "NEUTRAL"
        assert row["barrier_delta_liq_smooth"] == -300.0
        assert row["note"] == "Halted; state frozen"


def test_after_a_halt_holds_go_on_as_if_it_had_taken_no_time() -> None:
    halted = {**BREAKING, "validity_bits": 160}
    out = judge(snaps(*[BREAKING] * 6, *[halted] * 50, *[BREAKING] * 7))
    assert column(out, "signal") == ["NEUTRAL"] * 62 + ["BREAK"]


def test_a_level_first_met_in_a_halt_shows_raw_values_and_is_seeded_afterwards() -> None:
    out = judge(snaps({"barrier_delta_liq": 5, "validity_bits": 160}, {"barrier_delta_liq": 80}))
    assert column(out, "barrier_delta_liq_smooth") == [5.0, 80.0]


# Runway


RUNWAYS = {
    "runway_up_level_id": "ROUND_473",
    "runway_up_level_price": 473.0,
    "runway_up_distance": 1.0,
    "runway_up_quality": "OBSTRUCTED",
    "runway_down_level_id": "SESSION_LOW",
    "runway_down_level_price": 471.2,
    "runway_down_distance": 0.8,
    "runway_down_quality": "CLEAR",
}


OBSTACLES = {
    "runway_up_obstacle_level_id": "CALL_WALL",
    "runway_up_obstacle_level_price": 474.0,
    "runway_up_obstacle_distance": 2.0,
    "runway_down_obstacle_level_id": "SESSION_LOW",
    "runway_down_obstacle_level_price": 471.2,
    "runway_down_obstacle_distance": 0.8,
}


def obstacle(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[f"runway_obstacle_{part}"] for part in ("level_id", "level_price", "distance"))


def runway(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[f"runway_{part}"] for part in ("direction", "next_level_id", "next_level_price", "quality"))


def test_a_support_runs_down_unless_it_rejects() -> None:
    out = judge(snaps(*[{**HOLDING, **RUNWAYS}] * 13))
    assert runway(out[0]) == ("DOWN", "SESSION_LOW", 471.2, "CLEAR")
    assert runway(out[-1]) == ("UP", "ROUND_473", 473.0, "OBSTRUCTED")


def test_a_resistance_runs_up_unless_it_rejects() -> None:
    out = judge(snaps(*[{**HOLDING, **RUNWAYS, "direction": "RESISTANCE"}] * 13))
    assert [runway(row)[0] for row in (out[0], out[-1])] == ["UP", "DOWN"]


def test_without_a_next_level_the_runway_is_null() -> None:
    (row,) = judge(snaps({"direction": "RESISTANCE", "runway_down_level_id": "X"}))
    assert runway(row) == ("UP", None, None, "NONE") and row["runway_distance"] is None


@pytest.mark.parametrize("direction", ["SUPPORT", "RESISTANCE"])
def test_the_next_strong_level_is_picked_the_judged_way_like_the_next_level(direction: str) -> None:
    out = judge(snaps(*[{**HOLDING, **OBSTACLES, "direction": direction}] * 13))
    ways = {"UP": ("CALL_WALL", 474.0, 2.0), "DOWN": ("SESSION_LOW", 471.2, 0.8)}
    assert [row["runway_direction"] for row in (out[0], out[-1])] in (["DOWN", "UP"], ["UP", "DOWN"])
    assert [obstacle(row) for row in out] == [ways[row["runway_direction"]] for row in out]


def test_without_a_strong_level_ahead_the_obstacle_is_null() -> None:
    (row,) = judge(snaps({"runway_up_obstacle_level_id": "CALL_WALL", "runway_up_obstacle_distance": 2.0}))
    assert obstacle(row) == (None, None, None)


# Duplicates


def test_a_row_not_later_than_what_its_level_has_seen_is_dropped() -> None:
    state, rows = signals.initial_state(), snaps(*[BREAKING] * 13)
    whole = judge(rows, state)
    assert judge(rows, state) == []
    assert judge([rows[3], *snaps(BREAKING, first=14)], state) == judge([*rows, *snaps(BREAKING, first=14)])[13:]
    assert whole[-1]["signal"] == "BREAK"
