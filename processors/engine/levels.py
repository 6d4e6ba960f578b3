"""Which levels exist at a snap, on which side spot stands, and what lies ahead of each (plan §§3, 4, 5.5; DESIGN 4.4,
4.9).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common import schemas
from common.jit import kernel
from processors.engine.shapes import LEVELS, Parameters, Scalars

KINDS = schemas.load("levels.features.v1").field("level_kind").symbols


def _kind(name: str) -> Any:
    # a NumPy integer: kernels would be compiled once per value for a Python one
    return np.int64(KINDS.index(name))


ROUND = _kind("ROUND")
STRIKE = _kind("STRIKE")
VWAP = _kind("VWAP")
CALL_WALL = _kind("CALL_WALL")
PUT_WALL = _kind("PUT_WALL")
GAMMA_FLIP = _kind("GAMMA_FLIP")
OI_CALL_WALL = _kind("OI_CALL_WALL")
OI_PUT_WALL = _kind("OI_PUT_WALL")
SESSION_HIGH = _kind("SESSION_HIGH")
SESSION_LOW = _kind("SESSION_LOW")
PREMARKET_HIGH = _kind("PREMARKET_HIGH")
PREMARKET_LOW = _kind("PREMARKET_LOW")
OVERNIGHT_HIGH = _kind("OVERNIGHT_HIGH")
OVERNIGHT_LOW = _kind("OVERNIGHT_LOW")
OPENING_RANGE_HIGH = _kind("OPENING_RANGE_HIGH")
OPENING_RANGE_LOW = _kind("OPENING_RANGE_LOW")
PRIOR_HIGH = _kind("PRIOR_HIGH")
PRIOR_LOW = _kind("PRIOR_LOW")
PRIOR_CLOSE = _kind("PRIOR_CLOSE")
POC = _kind("POC")
VAH = _kind("VAH")
VAL = _kind("VAL")
USER = _kind("USER")

_CORE_STRONG = ("CALL_WALL", "PUT_WALL", "SESSION_HIGH", "SESSION_LOW", "VWAP", "GAMMA_FLIP")
_ALSO_STRONG = ("OI_CALL_WALL", "OI_PUT_WALL", "PRIOR_HIGH", "PRIOR_LOW")

STRONG = np.array([kind in _CORE_STRONG + _ALSO_STRONG for kind in KINDS], np.bool_)
"""Kinds that obstruct a runway: core.md's (RoomToRun), and walls and extremes that it does not know of."""

SUPPORT, RESISTANCE = 0, 1


@kernel
def to_e4(dollars: float) -> int:
    """Dollars as a whole number of 0.0001 USD: what distances between levels are compared in."""
    return int(np.floor(dollars * 10_000.0 + 0.5))


@kernel
def _chain(kind: int, key: int) -> int:
    """Which chain of slots a level is in: a multiplicative hash of 32 bits, as strikes and hotzones lie evenly."""
    return (((key + 131 * kind) * 2_654_435_761 & 0xFFFFFFFF) * LEVELS) >> 32


@kernel
def forget_levels(s: Scalars) -> None:
    """Forget every level and its episodes: a session begins."""
    s.level_count = 0
    s.forgotten_episodes = 0
    s.episode_open_ns[:] = 0
    s.episode_count[:] = 0
    s.episode_base[:] = 0
    s.level_head[:] = 0


@kernel
def _least_missed(s: Scalars, before_ns: int) -> int:
    """The slot to take from its level: of those not seen since ``before_ns`` one without episodes, whose numbers nobody
    needs, before one with; of equals the one not seen for longest, then the first.
    """
    oldest = 0
    touched = -1
    untouched = -1
    for n in range(LEVELS):
        seen_ns = s.level_seen_ns[n]
        if seen_ns < s.level_seen_ns[oldest]:
            oldest = n
        if seen_ns >= before_ns:
            continue
        if s.episode_count[n] > s.episode_base[n]:
            if touched < 0 or seen_ns < s.level_seen_ns[touched]:
                touched = n
        elif untouched < 0 or seen_ns < s.level_seen_ns[untouched]:
            untouched = n
    if untouched >= 0:
        return untouched
    return touched if touched >= 0 else oldest


@kernel
def _free_slot(s: Scalars, before_ns: int) -> int:
    """A slot that no level has, else that of a level which is then forgotten; episodes are never numbered twice."""
    if s.level_count < LEVELS:
        s.level_count += 1
        return int(s.level_count - 1)
    slot = _least_missed(s, before_ns)
    s.forgotten_episodes = max(s.forgotten_episodes, s.episode_count[slot])
    chain = _chain(s.level_kind[slot], s.level_key[slot])
    if s.level_head[chain] == slot + 1:
        s.level_head[chain] = s.level_next[slot]
    else:
        before = s.level_head[chain] - 1
        while s.level_next[before] != slot + 1:
            before = s.level_next[before] - 1
        s.level_next[before] = s.level_next[slot]
    return slot


@kernel
def level_slot(s: Scalars, kind: int, key: int, before_ns: int) -> int:
    """The slot of a level's memory. A level that had none gets one, with ``level_seen_ns`` 0 until it is moved; when
    all are taken, that of a level not seen since ``before_ns``, if there is one.

    Whoever gets a forgotten level's slot, or comes back, numbers its episodes from the greatest forgotten number on.
    """
    chain = _chain(kind, key)
    link = s.level_head[chain]
    while link > 0:
        slot = link - 1
        if s.level_kind[slot] == kind and s.level_key[slot] == key:
            return int(slot)
        link = s.level_next[slot]
    slot = _free_slot(s, before_ns)
    s.level_next[slot] = s.level_head[chain]
    s.level_head[chain] = slot + 1
    s.level_kind[slot] = kind
    s.level_key[slot] = key
    s.level_seen_ns[slot] = 0
    s.episode_open_ns[slot] = 0
    s.episode_count[slot] = s.forgotten_episodes
    s.episode_base[slot] = s.forgotten_episodes
    return int(slot)


@kernel
def move_level(s: Scalars, p: Parameters, slot: int, price: float, spot: float, touch: float, snap_ns: int) -> None:
    """Move the tick and direction of a level that exists at this snap.

    The tick moves only when the price has moved by more than LEVEL_TICK_HYSTERESIS; the direction flips only when spot
    is more than ``touch`` USD beyond the level. A level that did not exist at the snap before starts anew.
    """
    exact = price * s.ratio / p.tick_size
    if s.level_seen_ns[slot] != snap_ns - p.snap_ns:
        s.level_tick[slot] = int(np.floor(exact + 0.5))
        s.level_direction[slot] = SUPPORT if spot > price else RESISTANCE
    else:
        if abs(exact - s.level_tick[slot]) > p.tick_hysteresis:
            s.level_tick[slot] = int(np.floor(exact + 0.5))
        if s.level_direction[slot] == SUPPORT:
            if to_e4(price) - to_e4(spot) > to_e4(touch):
                s.level_direction[slot] = RESISTANCE
        elif to_e4(spot) - to_e4(price) > to_e4(touch):
            s.level_direction[slot] = SUPPORT
    s.level_seen_ns[slot] = snap_ns
