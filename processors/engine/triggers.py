"""The trigger state machine on the raw score (core.md "Trigger State Machine", plan §5.4.3, DESIGN §4.8).

BREAK above BREAK_SCORE_THRESHOLD held for TRIGGER_HOLD_TIME, left below BREAK_EXIT_THRESHOLD. REJECT below
REJECT_SCORE_THRESHOLD held as long while price touches the level, left above REJECT_EXIT_THRESHOLD. CONTESTED without
hysteresis. NEUTRAL otherwise.

A hold is counted in ns from the first snap at which its condition is true; ``NOT_HELD`` while it is not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from common.jit import kernel

NOT_HELD = -1
ES_TICK_SIZE = 0.25
_PRICE_UNITS = 10_000.0
"""Prices of the underlying count in 0.0001 USD (DESIGN §2), so that a distance of exactly the band is within it."""


class Thresholds(NamedTuple):
    """Where triggers fire and are left: scores in 0..100, the hold in ns, bands in USD of the underlying, contracts."""

    break_score: float
    break_exit: float
    reject_score: float
    reject_exit: float
    hold_ns: int
    touch_band: float
    contested_low: float
    contested_high: float
    contested_min_volume: float


class Signal(IntEnum):
    """The judgement; positions as in the schema."""

    NEUTRAL = 0
    BREAK = 1
    REJECT = 2
    CONTESTED = 3


_NEUTRAL = int(Signal.NEUTRAL)
_BREAK = int(Signal.BREAK)
_REJECT = int(Signal.REJECT)


@kernel
def price_units(dollars: float) -> int:
    """A price or distance in USD of the underlying in its smallest units, so that edges are exact."""
    return round(dollars * _PRICE_UNITS)


@kernel
def touches(distance: float, touch_band: float, ratio: float) -> bool:
    """True when ``distance`` (USD of the underlying) is within the band; a band under an ES tick counts as one tick."""
    band = max(touch_band, ES_TICK_SIZE / ratio)
    return price_units(distance) <= price_units(band)


@kernel
def advance_hold(held_ns: int, condition: bool, dt_ns: int) -> int:
    """The hold after a snap ``dt_ns`` after the last; 0 at its first snap, NOT_HELD without the condition."""
    if not condition:
        return NOT_HELD
    return 0 if held_ns == NOT_HELD else held_ns + dt_ns


@kernel
def next_signal(last: int, score: float, break_held_ns: int, reject_held_ns: int, thresholds: Thresholds) -> int:
    """BREAK, REJECT or NEUTRAL after this snap, from the last signal, the raw score and the holds."""
    if last == _BREAK and score >= thresholds.break_exit:
        return _BREAK
    if last == _REJECT and score <= thresholds.reject_exit:
        return _REJECT
    if break_held_ns != NOT_HELD and break_held_ns >= thresholds.hold_ns:
        return _BREAK
    if reject_held_ns != NOT_HELD and reject_held_ns >= thresholds.hold_ns:
        return _REJECT
    return _NEUTRAL


@kernel
def contested(score: float, consumed: bool, tape_volume: int, volume_scale: float, thresholds: Thresholds) -> bool:
    """True when a middling score, a level being consumed and a busy tape come together.

    The tape is busy from the threshold times ``volume_scale`` on (DESIGN §4.11).
    """
    middling = thresholds.contested_low <= score <= thresholds.contested_high
    return middling and consumed and tape_volume >= thresholds.contested_min_volume * volume_scale
