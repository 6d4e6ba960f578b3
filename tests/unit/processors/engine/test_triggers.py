"""core.md "Trigger State Machine" and DESIGN §4.8: when a signal is raised, held and left.

Spec: plan 5.4.3; core ScoreEngine.
"""

from __future__ import annotations

import pytest

from common.config import make_config
from processors.engine.judge import parameters
from processors.engine.triggers import NOT_HELD, Signal, advance_hold, contested, next_signal, touches

DT_NS = 250_000_000
HOLD_SNAPS = 12
THRESHOLDS = parameters(make_config({})).thresholds


class Level:
    """A level whose raw score and distance are given snap by snap."""

    def __init__(self) -> None:
        self.signal = int(Signal.NEUTRAL)
        self.high = self.low = NOT_HELD

    def snap(self, score: float, *, touching: bool = True) -> str:
        self.high = advance_hold(self.high, score > THRESHOLDS.break_score, DT_NS)
        self.low = advance_hold(self.low, score < THRESHOLDS.reject_score and touching, DT_NS)
        self.signal = next_signal(self.signal, score, self.high, self.low, THRESHOLDS)
        return Signal(self.signal).name

    def snaps(self, score: float, count: int, *, touching: bool = True) -> list[str]:
        return [self.snap(score, touching=touching) for _ in range(count)]


def broken() -> Level:
    level = Level()
    assert level.snaps(90, HOLD_SNAPS + 1)[-1] == "BREAK"
    return level


def rejected() -> Level:
    level = Level()
    assert level.snaps(10, HOLD_SNAPS + 1)[-1] == "REJECT"
    return level


def test_break_needs_the_score_above_80_for_the_whole_hold_time() -> None:
    assert Level().snaps(80.001, HOLD_SNAPS + 1) == ["NEUTRAL"] * HOLD_SNAPS + ["BREAK"]


def test_a_score_of_80_is_not_above_80() -> None:
    assert set(Level().snaps(80.0, 40)) == {"NEUTRAL"}


def test_one_snap_below_the_threshold_restarts_the_hold() -> None:
    level = Level()
    level.snaps(90, HOLD_SNAPS)
    level.snap(79)
    assert level.snaps(90, HOLD_SNAPS + 1) == ["NEUTRAL"] * HOLD_SNAPS + ["BREAK"]


@pytest.mark.parametrize(("score", "expected"), [(79, "BREAK"), (70, "BREAK"), (69.999, "NEUTRAL"), (0, "NEUTRAL")])
def test_break_is_left_below_70_and_not_before(score: float, expected: str) -> None:
    assert broken().snap(score) == expected


def test_break_needs_a_new_hold_once_it_was_left() -> None:
    level = broken()
    level.snap(60)
    assert level.snaps(95, HOLD_SNAPS + 1) == ["NEUTRAL"] * HOLD_SNAPS + ["BREAK"]


def test_reject_needs_the_score_below_20_for_the_whole_hold_time_at_the_level() -> None:
    assert Level().snaps(19.999, HOLD_SNAPS + 1) == ["NEUTRAL"] * HOLD_SNAPS + ["REJECT"]


def test_a_score_of_20_is_not_below_20() -> None:
    assert set(Level().snaps(20.0, 40)) == {"NEUTRAL"}


def test_away_from_the_level_nothing_is_rejected() -> None:
    assert set(Level().snaps(5, 40, touching=False)) == {"NEUTRAL"}


def test_leaving_the_touch_band_restarts_the_hold() -> None:
    level = Level()
    level.snaps(5, HOLD_SNAPS)
    level.snap(5, touching=False)
    assert level.snaps(5, HOLD_SNAPS + 1) == ["NEUTRAL"] * HOLD_SNAPS + ["REJECT"]


@pytest.mark.parametrize(("score", "expected"), [(21, "REJECT"), (30, "REJECT"), (30.001, "NEUTRAL"), (99, "NEUTRAL")])
def test_reject_is_left_above_30_and_not_before(score: float, expected: str) -> None:
    assert rejected().snap(score) == expected


def test_reject_lasts_while_price_runs_away_from_the_level() -> None:
    assert rejected().snap(15, touching=False) == "REJECT"


def test_without_a_hold_time_the_first_snap_triggers() -> None:
    at_once = THRESHOLDS._replace(hold_ns=0)
    assert next_signal(int(Signal.NEUTRAL), 90.0, 0, NOT_HELD, at_once) == Signal.BREAK
    assert next_signal(int(Signal.NEUTRAL), 50.0, NOT_HELD, NOT_HELD, at_once) == Signal.NEUTRAL


@pytest.mark.parametrize(
    ("score", "consumed", "volume", "expected"),
    [
        (30, True, 100, True),
        (70, True, 100, True),
        (29.9, True, 100, False),
        (70.1, True, 100, False),
        (50, False, 100, False),
        (50, True, 99, False),
    ],
)
def test_contested_is_a_middling_score_a_consumed_level_and_a_busy_tape(
    score: float, consumed: bool, volume: int, expected: bool
) -> None:
    assert contested(score, consumed, volume, 1.0, THRESHOLDS) is expected


@pytest.mark.parametrize(("volume", "expected"), [(50, True), (49, False)])
def test_what_a_busy_tape_is_scales_with_the_usual_volume(volume: int, expected: bool) -> None:
    """DESIGN §4.11."""
    assert contested(50, True, volume, 0.5, THRESHOLDS) is expected


@pytest.mark.parametrize(("distance", "expected"), [(0.0, True), (0.05, True), (472.05 - 472.0, True), (0.0501, False)])
def test_a_distance_of_exactly_the_band_touches(distance: float, expected: bool) -> None:
    assert touches(distance, 0.05, 10.0) is expected


def test_a_band_narrower_than_an_es_tick_counts_as_one_tick() -> None:
    assert touches(0.025, 0.01, 10.0) is True
    assert touches(0.0251, 0.01, 10.0) is False
    assert touches(0.25, 0.01, 1.0) is True
