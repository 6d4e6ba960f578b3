"""core.md §6 and plan §5.4: component scores, the composite and its confidence.

Spec: plan 5.4.1; plan 5.4.2; core ScoreEngine.
"""

from __future__ import annotations

import pytest

from common import schemas, topics
from processors.engine import score, triggers
from processors.engine.score import BarrierState, Confidence, Direction, FuelEffect, SweepDirection, Weights

WEIGHTS = Weights(0.45, 0.35, 0.20)


@pytest.mark.parametrize(
    ("field", "symbols"),
    [
        ("direction", Direction),
        ("barrier_state", BarrierState),
        ("fuel_effect", FuelEffect),
        ("tape_sweep_direction", SweepDirection),
        ("confidence", Confidence),
        ("signal", triggers.Signal),
    ],
)
def test_every_enum_stands_as_in_the_schemas(field: str, symbols: type[score.Direction]) -> None:
    named = tuple(symbol.name for symbol in symbols)
    assert schemas.load(topics.SIGNALS).field(field).symbols == named
    features = schemas.load(topics.FEATURES)
    if field in {given.name for given in features.fields}:
        assert features.field(field).symbols == named
    assert [int(symbol) for symbol in symbols] == list(range(len(named)))


@pytest.mark.parametrize(
    ("state", "expected"),
    [("VACUUM", 100), ("WEAK", 75), ("CONSUMED", 50), ("NEUTRAL", 50), ("WALL", 0), ("ABSORPTION", 0)],
)
def test_the_liquidity_score_follows_the_barrier_state(state: str, expected: float) -> None:
    assert score.liquidity_score(int(BarrierState[state]), 0, 100) == expected


@pytest.mark.parametrize(("delta_liq", "expected"), [(-101, 60), (-100, 50), (500, 50)])
def test_consumed_counts_60_only_below_minus_f_thresh(delta_liq: int, expected: float) -> None:
    assert score.liquidity_score(int(BarrierState.CONSUMED), delta_liq, 100) == expected


def test_the_hedge_score_does_not_ask_which_way_the_break_goes() -> None:
    assert [score.hedge_score(int(FuelEffect[e])) for e in ("AMPLIFY", "NEUTRAL", "DAMPEN")] == [100, 50, 0]


def test_support_breaks_down_and_resistance_up() -> None:
    assert score.break_sign(int(Direction.SUPPORT)) == -1
    assert score.break_sign(int(Direction.RESISTANCE)) == 1


@pytest.mark.parametrize(
    ("direction", "sweep", "expected"),
    [("SUPPORT", "DOWN", True), ("SUPPORT", "UP", False), ("RESISTANCE", "UP", True), ("RESISTANCE", "DOWN", False)],
)
def test_a_sweep_confirms_in_the_break_direction_only(direction: str, sweep: str, expected: bool) -> None:
    assert score.sweep_confirms(int(Direction[direction]), True, int(SweepDirection[sweep])) is expected
    assert score.sweep_confirms(int(Direction[direction]), False, int(SweepDirection[sweep])) is False


def test_a_confirming_sweep_makes_the_tape_score_100() -> None:
    assert score.tape_score(True, 0.0, 0.0) == 100


@pytest.mark.parametrize(
    ("velocity", "imbalance", "expected"),
    [(0.05, 1.0, 50), (9.0, 1.0, 50), (0.025, 0.0, 12.5), (0.0, 0.4, 10), (-0.05, 0.4, 10), (-0.05, -1.0, 0)],
)
def test_without_a_sweep_velocity_and_imbalance_give_up_to_25_each(
    velocity: float, imbalance: float, expected: float
) -> None:
    parts = score.velocity_part(velocity, 0.05), score.imbalance_part(imbalance)
    assert all(0 <= part <= 25 for part in parts)
    assert score.tape_score(False, *parts) == sum(parts) == pytest.approx(expected)


@pytest.mark.parametrize(("velocity", "expected"), [(1e-9, 25), (0.0, 0), (-1e-9, 0)])
def test_in_a_market_that_never_moves_any_velocity_towards_the_break_counts_in_full(
    velocity: float, expected: float
) -> None:
    """DESIGN §4.11: a reference scaled by a speed of 0."""
    assert score.velocity_part(velocity, 0.0) == expected


def test_the_composite_is_the_weighted_sum() -> None:
    assert score.weighted(WEIGHTS, 100.0, 50.0, 100.0) == pytest.approx(82.5)
    assert score.weighted(WEIGHTS, 0.0, 0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "LOW"), (0.3299, "LOW"), (0.33, "MEDIUM"), (0.6599, "MEDIUM"), (0.66, "HIGH")]
)
def test_confidence_classes_begin_at_their_thresholds(value: float, expected: str) -> None:
    assert score.confidence_class(value, 0.33, 0.66) == Confidence[expected]
