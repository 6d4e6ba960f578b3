"""How feasible a break is from the ground ahead alone: a prior, not part of the score (common-interfaces.md,
"Feasibility Priors").

Five circumstances vote, each one FEASIBILITY_LOGIT_STEP; their sum is held within FEASIBILITY_LOGIT_CAP and is the
logit of the prior. None of them enters the break score, so the two can be compared.
"""

from __future__ import annotations

from typing import NamedTuple

from common.jit import kernel
from processors.engine.elementary import exp
from processors.engine.triggers import price_units

NO_OBSTACLE = -1
"""The distance to the next strong level when there is none."""

CONFLUENT = 2
"""Other levels nearby that make a level hard to break."""
WORN = 2
"""Earlier touches that have worn a level: it is touched the third time."""


class Feasibility(NamedTuple):
    """The step and the cap in logits, the outcome's move in price units."""

    step: float
    cap: float
    move: int


@kernel
def obstacle_units(distance: float) -> int:
    """A distance (USD of the underlying) to the next strong level in price units; NO_OBSTACLE stays what it is."""
    return price_units(distance) if distance >= 0.0 else NO_OBSTACLE


@kernel
def obstacle_near(obstacle: int, move: int) -> bool:
    """True when a strong level stands within ``move`` beyond the level; both in price units."""
    return 0 <= obstacle <= move


@kernel
def feasibility_logit(obstacle: int, confluence: int, strong: bool, touches: int, feasibility: Feasibility) -> float:
    """The prior's logit: more than 0 speaks for a break.

    ``obstacle``: price units from the level to the next strong one in the direction of the break, or NO_OBSTACLE;
    ``confluence``: other levels nearby; ``strong``: whether the level's own kind is; ``touches``: earlier ones.
    """
    votes = 0
    if obstacle_near(obstacle, feasibility.move):
        votes -= 1
    elif obstacle < 0 or obstacle >= 2 * feasibility.move:
        votes += 1
    if confluence >= CONFLUENT:
        votes -= 1
    if strong:
        votes -= 1
    if touches >= WORN:
        votes += 1
    return min(max(votes * feasibility.step, -feasibility.cap), feasibility.cap)


@kernel
def feasibility_prior(logit: float) -> float:
    """The logit as a probability."""
    return 1.0 / (1.0 + exp(-logit))
