"""core.md §6 and DESIGN §4.8, §4.11: what each part gives to the score, and thresholds that follow the market.

Spec: plan 5.4.2; core ScoreEngine.
"""

from __future__ import annotations

from typing import Any

import pytest

from processors.engine import signals
from tests.support.feature_rows import feature_batch, random_snaps, row_dicts
from tests.support.signal_stage import BREAKING, CONFIG, column, judge, snaps

CONTRIBUTIONS = ("contribution_liquidity", "contribution_hedge", "contribution_tape")


def test_the_contributions_are_weight_times_score() -> None:
    (row,) = judge(snaps({**BREAKING, "fuel_effect": "AMPLIFY"}))
    assert [row[name] for name in CONTRIBUTIONS] == [0.45 * 100, 0.35 * 100, 0.20 * 100]


@pytest.mark.parametrize("seed", range(5))
def test_the_contributions_add_up_to_the_raw_score(seed: int) -> None:
    batch = feature_batch([row for snap in random_snaps(seed, 100) for row in snap])
    for row in row_dicts(signals.step(CONFIG, signals.initial_state(), batch)):
        assert row["contribution_liquidity"] + row["contribution_hedge"] + row["contribution_tape"] == pytest.approx(
            row["break_score_raw"], abs=0
        )


def test_the_tapes_score_is_the_sum_of_its_parts() -> None:
    (row,) = judge(snaps({"tape_velocity": -0.025, "tape_imbalance": -0.4}))
    assert (row["score_tape_velocity"], row["score_tape_imbalance"]) == (12.5, 10.0)
    assert row["score_tape"] == 22.5


def test_a_sweep_that_decides_leaves_no_parts() -> None:
    (row,) = judge(snaps({**BREAKING, "tape_velocity": -0.025, "tape_imbalance": -0.4}))
    assert row["score_tape"] == 100.0
    assert row["score_tape_velocity"] is None and row["score_tape_imbalance"] is None


def test_a_sweep_against_the_break_decides_nothing() -> None:
    (row,) = judge(snaps({**BREAKING, "tape_sweep_direction": "UP", "tape_imbalance": -0.4}))
    assert (row["score_tape_velocity"], row["score_tape_imbalance"]) == (0.0, 10.0)


# Confidence


@pytest.mark.parametrize(
    ("barrier", "fuel", "tape", "expected"),
    [
        (0.66, 0.66, 0.66, "HIGH"),
        (0.6599, 0.66, 0.66, "MEDIUM"),
        (0.33, 0.33, 0.33, "MEDIUM"),
        (0.33, 0.33, 0.3299, "LOW"),
        (1.0, 0.0, 1.0, "MEDIUM"),
        (0.0, 0.0, 0.0, "LOW"),
    ],
)
def test_confidence_is_the_weighted_one_of_the_three_engines(
    barrier: float, fuel: float, tape: float, expected: str
) -> None:
    (row,) = judge(snaps({"barrier_confidence": barrier, "fuel_confidence": fuel, "tape_confidence": tape}))
    assert row["confidence_value"] == 0.45 * barrier + 0.35 * fuel + 0.20 * tape
    assert row["confidence"] == expected


# Normalised thresholds (profile desk)


@pytest.mark.parametrize(
    ("scale", "delta_liq", "expected"),
    [(None, -100, 50), (None, -101, 60), (1.0, -101, 60), (1.5, -150, 50), (1.5, -151, 60), (0.5, -51, 60)],
)
def test_what_a_net_change_counts_scales_with_depth(scale: float | None, delta_liq: int, expected: float) -> None:
    row = {"barrier_state": "CONSUMED", "barrier_delta_liq": delta_liq, "scale_depth": scale}
    assert judge(snaps(row))[0]["score_liquidity"] == expected


@pytest.mark.parametrize(
    ("scale", "volume", "expected"),
    [(None, 100, True), (None, 99, False), (2.0, 200, True), (2.0, 199, False), (0.25, 25, True), (0.25, 24, False)],
)
def test_what_a_busy_tape_is_scales_with_volume(scale: float | None, volume: int, expected: bool) -> None:
    row = {"barrier_state": "CONSUMED", "tape_volume": volume, "scale_volume": scale}
    assert (judge(snaps(row))[0]["signal"] == "CONTESTED") is expected


@pytest.mark.parametrize(("scale", "expected"), [(None, 12.5), (1.0, 12.5), (2.0, 6.25), (0.5, 25.0), (0.0, 25.0)])
def test_what_a_fast_market_is_scales_with_its_speed(scale: float | None, expected: float) -> None:
    (row,) = judge(snaps({"tape_velocity": -0.025, "scale_velocity": scale}))
    assert row["score_tape_velocity"] == expected


def test_scales_of_one_are_no_scales() -> None:
    rows = [row for snap in random_snaps(5, 60) for row in snap]
    names = ("scale_depth", "scale_volume", "scale_velocity")
    given: list[list[dict[str, Any]]] = [
        [{**row, **dict.fromkeys(names, scale)} for row in rows] for scale in (None, 1)
    ]
    absent, one = (judge(rows) for rows in given)
    assert absent == one


# Every null


def test_an_engine_that_fills_no_later_column_is_judged_all_the_same() -> None:
    rows = [row for snap in random_snaps(5, 60) for row in snap]
    assert "episode" not in rows[0]
    out = judge(rows)
    assert len(out) == len(rows)
    for name in ("episode_id", "level_strength", "confluence", "runway_obstacle_level_id", "fuel_gex"):
        assert set(column(out, name)) == {None}
