"""common-interfaces.md, "Feasibility Priors": what the ground ahead says of a break.

Spec: common-interfaces Configuration.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from common.config import make_config
from processors.engine.feasibility import (
    NO_OBSTACLE,
    feasibility_logit,
    feasibility_prior,
    obstacle_near,
    obstacle_units,
)
from processors.engine.judge import parameters
from processors.engine.levels import KINDS, STRONG
from tests.support.signal_stage import BREAKING, HOLDING, judge, snaps

DEFAULT = parameters(make_config({})).feasibility
MOVE = 2_000
"""OUTCOME_MOVE, 0.20 USD, in price units."""
HALFWAY = 3_000
"""An obstacle too near for an open road and too far to be in the way."""


def votes(obstacle: int = HALFWAY, confluence: int = 0, strong: bool = False, touches: int = -1) -> float:
    return feasibility_logit(obstacle, confluence, strong, touches, DEFAULT)


def test_nothing_special_is_an_even_prior() -> None:
    assert votes() == 0.0 and feasibility_prior(0.0) == 0.5


@pytest.mark.parametrize(
    ("obstacle", "expected"),
    [(NO_OBSTACLE, 1), (2 * MOVE, 1), (2 * MOVE - 1, 0), (MOVE + 1, 0), (MOVE, -1), (0, -1)],
)
def test_an_open_road_speaks_for_a_break_and_a_near_obstacle_against_it(obstacle: int, expected: float) -> None:
    assert votes(obstacle) == expected
    assert obstacle_near(obstacle, MOVE) is (expected < 0)


@pytest.mark.parametrize(("confluence", "expected"), [(0, 0), (1, 0), (2, -1), (9, -1)])
def test_from_the_second_level_nearby_on_confluence_speaks_against_a_break(confluence: int, expected: float) -> None:
    assert votes(confluence=confluence) == expected


def test_a_strong_kind_speaks_against_a_break() -> None:
    assert votes(strong=True) == -1


@pytest.mark.parametrize(("touches", "expected"), [(-1, 0), (0, 0), (1, 0), (2, 1), (9, 1)])
def test_from_the_third_touch_on_the_level_is_worn(touches: int, expected: float) -> None:
    assert votes(touches=touches) == expected


def test_the_votes_add_up_within_the_cap() -> None:
    assert votes(NO_OBSTACLE, touches=2) == 2.0
    assert votes(0, 2, True) == -2.5
    assert votes(0, 2, True, 2) == -2.0
    low = DEFAULT._replace(cap=1.5)
    assert feasibility_logit(NO_OBSTACLE, 0, False, 2, low) == 1.5


@pytest.mark.parametrize("logit", [-2.5, -1.0, 0.0, 1.0, 2.0])
def test_the_prior_is_the_logistic_of_the_logit(logit: float) -> None:
    assert feasibility_prior(logit) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-15)


def test_even_an_absurd_logit_gives_a_probability() -> None:
    assert feasibility_prior(-1e6) == 0.0 and feasibility_prior(1e6) == 1.0


def test_distances_count_in_price_units_so_that_edges_are_exact() -> None:
    assert obstacle_units(472.2 - 472.0) == MOVE
    assert obstacle_units(-1.0) == NO_OBSTACLE


def up_to(distance: float | None) -> dict[str, Any]:
    return {"runway_up_obstacle_distance": distance}


def down_to(distance: float | None) -> dict[str, Any]:
    return {"runway_down_obstacle_distance": distance}


@pytest.mark.parametrize(
    ("row", "logit"),
    [
        ({}, 1.0),
        (down_to(0.2), -1.0),
        (down_to(0.2001), 0.0),
        (down_to(0.3999), 0.0),
        (down_to(0.4), 1.0),
        (up_to(0.1), 1.0),
        ({**up_to(0.1), "direction": "RESISTANCE"}, -1.0),
        ({"confluence": 1}, 1.0),
        ({"confluence": 2}, 0.0),
        ({"level_kind": "CALL_WALL"}, 0.0),
        ({"episode": 3, "episode_touches": 2}, 2.0),
        ({"episode": 2, "episode_touches": 1}, 1.0),
        ({**down_to(0.05), "level_kind": "VWAP", "confluence": 4}, -2.5),
        ({"validity_bits": 160}, 1.0),
    ],
)
def test_each_row_carries_its_prior(row: dict[str, Any], logit: float) -> None:
    (out,) = judge(snaps(row))
    assert out["feasibility_logit"] == logit
    assert out["feasibility_prior"] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_strong_kinds_are_those_that_obstruct_a_runway(kind: str) -> None:
    (out,) = judge(snaps({"level_kind": kind}))
    assert out["feasibility_logit"] == (0.0 if STRONG[KINDS.index(kind)] else 1.0)


def test_a_rejection_does_not_turn_the_prior_around() -> None:
    out = judge(snaps(*[{**HOLDING, **down_to(0.1)}] * 13))
    assert out[-1]["signal"] == "REJECT" and out[-1]["runway_direction"] == "UP"
    assert {row["feasibility_logit"] for row in out} == {-1.0}


def test_the_prior_is_no_part_of_the_score() -> None:
    (open_road,), (walled,) = (judge(snaps({**BREAKING, **row})) for row in ({}, {**down_to(0.1), "confluence": 3}))
    assert open_road["feasibility_prior"] != walled["feasibility_prior"]
    assert open_road["break_score_raw"] == walled["break_score_raw"]
