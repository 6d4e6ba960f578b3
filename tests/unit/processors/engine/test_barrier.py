"""The barrier's states in core.md's order, with DESIGN 4.5's additions.

Spec: plan 5.1; core BarrierEngine.
"""

from __future__ import annotations

import math

import pytest

from common.config import EngineConfig
from processors.engine.barrier import STATES, classify, replenishment
from processors.engine.parameters import parameters

P = parameters(EngineConfig())[0]


@pytest.mark.parametrize(
    ("added", "canceled", "filled", "hidden", "rank", "state"),
    [
        (10, 150, 0, 0, math.nan, "VACUUM"),
        (29, 30, 100, 0, math.nan, "VACUUM"),  # ratio 0.22, delta -101: the vacuum comes before consumption
        (30, 100, 0, 0, math.nan, "NEUTRAL"),  # ratio not below 0.3
        (0, 100, 0, 0, math.nan, "NEUTRAL"),  # delta not below -100
        (0, 101, 0, 0, math.nan, "VACUUM"),
        (302, 200, 0, 0, math.nan, "WALL"),
        (300, 200, 0, 0, math.nan, "NEUTRAL"),  # ratio not above 1.5
        (260, 100, 60, 0, math.nan, "ABSORPTION"),  # delta 100 is not above 100, but 60 were filled
        (150, 100, 151, 0, math.nan, "CONSUMED"),
        (151, 130, 122, 0, math.nan, "NEUTRAL"),  # more pulled than filled
        (50, 30, 20, 0, math.nan, "ABSORPTION"),
        (50, 31, 19, 0, math.nan, "NEUTRAL"),
        (50, 31, 19, 1, math.nan, "ABSORPTION"),
        (0, 60, 39, 101, math.nan, "ABSORPTION"),
        (0, 60, 40, 101, math.nan, "NEUTRAL"),
        (0, 60, 39, 100, math.nan, "NEUTRAL"),
        (0, 0, 0, 0, 0.19, "WEAK"),
        (0, 0, 0, 0, 0.20, "NEUTRAL"),
        (0, 0, 0, 0, math.nan, "NEUTRAL"),
        (10, 150, 0, 0, 0.01, "VACUUM"),
    ],
)
def test_state_at_each_edge(added: int, canceled: int, filled: int, hidden: int, rank: float, state: str) -> None:
    assert STATES[classify(P, added, canceled, filled, hidden, rank, 1.0)] == state


@pytest.mark.parametrize(
    ("added", "removed", "ratio"), [(0, 0, 0.0), (5, 0, 10.0), (0, 5, 0.0), (30, 20, 1.5), (1000, 1, 10.0)]
)
def test_replenishment_is_capped_and_defined_when_nothing_left(added: int, removed: int, ratio: float) -> None:
    assert replenishment(added, removed, 10.0) == ratio
