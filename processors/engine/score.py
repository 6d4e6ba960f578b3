"""Component scores, their weighted sum and its confidence (core.md §6, plan §5.4.1-5.4.2, DESIGN §4.6 and §4.8).

Enums are the symbols' positions in the schemas of ``levels.features.v1`` and ``levels.signals.v1``; a test holds the
two together.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from common.jit import kernel


class Weights(NamedTuple):
    """w_L, w_H and w_T; they add up to 1."""

    liquidity: float
    hedge: float
    tape: float


class Direction(IntEnum):
    """Which way a level is approached: SUPPORT from above, RESISTANCE from below."""

    SUPPORT = 0
    RESISTANCE = 1


class BarrierState(IntEnum):
    """State of the defending liquidity."""

    NEUTRAL = 0
    VACUUM = 1
    WALL = 2
    ABSORPTION = 3
    CONSUMED = 4
    WEAK = 5


class FuelEffect(IntEnum):
    """What dealers' hedging does to a move."""

    NEUTRAL = 0
    AMPLIFY = 1
    DAMPEN = 2


class SweepDirection(IntEnum):
    """Direction of the largest sweep within W_t."""

    NONE = 0
    UP = 1
    DOWN = 2


class Confidence(IntEnum):
    """Confidence in three classes."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


# Kernels see plain integers: Numba freezes module constants.
_SUPPORT = int(Direction.SUPPORT)
_VACUUM = int(BarrierState.VACUUM)
_WALL = int(BarrierState.WALL)
_ABSORPTION = int(BarrierState.ABSORPTION)
_CONSUMED = int(BarrierState.CONSUMED)
_WEAK = int(BarrierState.WEAK)
_AMPLIFY = int(FuelEffect.AMPLIFY)
_DAMPEN = int(FuelEffect.DAMPEN)
_SWEEP_UP = int(SweepDirection.UP)
_SWEEP_DOWN = int(SweepDirection.DOWN)
_LOW = int(Confidence.LOW)
_MEDIUM = int(Confidence.MEDIUM)
_HIGH = int(Confidence.HIGH)


@kernel
def clip(value: float, low: float, high: float) -> float:
    """``value`` held within ``low``..``high``."""
    return min(max(value, low), high)


@kernel
def break_sign(direction: int) -> float:
    """+1 when a break goes up (RESISTANCE), -1 when it goes down (SUPPORT)."""
    return -1.0 if direction == _SUPPORT else 1.0


@kernel
def liquidity_score(state: int, delta_liq: int, flow_threshold: float) -> float:
    """S_L in 0..100: how little stands in the way.

    CONSUMED counts 60 when ``delta_liq`` < -``flow_threshold`` (contracts), else 50.
    """
    if state == _VACUUM:
        return 100.0
    if state == _WEAK:
        return 75.0
    if state == _CONSUMED:
        return 60.0 if delta_liq < -flow_threshold else 50.0
    if state in (_WALL, _ABSORPTION):
        return 0.0
    return 50.0


@kernel
def hedge_score(effect: int) -> float:
    """S_H in 0..100; AMPLIFY counts 100 whichever way the break goes."""
    if effect == _AMPLIFY:
        return 100.0
    if effect == _DAMPEN:
        return 0.0
    return 50.0


@kernel
def sweep_confirms(direction: int, detected: bool, sweep_direction: int) -> bool:
    """True when a sweep went the way of the break."""
    return detected and sweep_direction == (_SWEEP_DOWN if direction == _SUPPORT else _SWEEP_UP)


@kernel
def velocity_part(velocity_aligned: float, velocity_reference: float) -> float:
    """What velocity towards the break adds to S_T, in 0..25; full from ``velocity_reference`` >= 0 on.

    Velocities in USD of the underlying per second.
    """
    if velocity_aligned <= 0.0:
        return 0.0
    if velocity_aligned >= velocity_reference:
        return 25.0
    return 25.0 * (velocity_aligned / velocity_reference)


@kernel
def imbalance_part(imbalance_aligned: float) -> float:
    """What the tape's imbalance towards the break adds to S_T, in 0..25."""
    return 25.0 * clip(imbalance_aligned, 0.0, 1.0)


@kernel
def tape_score(confirmed: bool, velocity: float, imbalance: float) -> float:
    """S_T in 0..100: 100 with a confirming sweep, else the parts of velocity and imbalance."""
    return 100.0 if confirmed else velocity + imbalance


@kernel
def weighted(weights: Weights, liquidity: float, hedge: float, tape: float) -> float:
    """The weighted sum of the three parts, added in this order."""
    return weights.liquidity * liquidity + weights.hedge * hedge + weights.tape * tape


@kernel
def confidence_class(value: float, medium: float, high: float) -> int:
    """The class of a confidence value in 0..1: HIGH and MEDIUM from their thresholds on."""
    if value >= high:
        return _HIGH
    return _MEDIUM if value >= medium else _LOW
