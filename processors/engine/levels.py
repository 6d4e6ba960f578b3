"""Which levels exist at a snap, on which side spot stands, and what lies ahead of each (plan §§3, 4, 5.5; DESIGN 4.4,
4.9).
"""

from __future__ import annotations

import numpy as np

from common import schemas
from common.jit import kernel
from processors.engine.shapes import LEVELS, Parameters
from processors.engine.state import Arrays

KINDS = schemas.load("levels.features.v1").field("level_kind").symbols
ROUND = KINDS.index("ROUND")
STRIKE = KINDS.index("STRIKE")
VWAP = KINDS.index("VWAP")
CALL_WALL = KINDS.index("CALL_WALL")
PUT_WALL = KINDS.index("PUT_WALL")
GAMMA_FLIP = KINDS.index("GAMMA_FLIP")
OI_CALL_WALL = KINDS.index("OI_CALL_WALL")
OI_PUT_WALL = KINDS.index("OI_PUT_WALL")
SESSION_HIGH = KINDS.index("SESSION_HIGH")
SESSION_LOW = KINDS.index("SESSION_LOW")
PREMARKET_HIGH = KINDS.index("PREMARKET_HIGH")
PREMARKET_LOW = KINDS.index("PREMARKET_LOW")
OVERNIGHT_HIGH = KINDS.index("OVERNIGHT_HIGH")
OVERNIGHT_LOW = KINDS.index("OVERNIGHT_LOW")
OPENING_RANGE_HIGH = KINDS.index("OPENING_RANGE_HIGH")
OPENING_RANGE_LOW = KINDS.index("OPENING_RANGE_LOW")
PRIOR_HIGH = KINDS.index("PRIOR_HIGH")
PRIOR_LOW = KINDS.index("PRIOR_LOW")
PRIOR_CLOSE = KINDS.index("PRIOR_CLOSE")
POC = KINDS.index("POC")
VAH = KINDS.index("VAH")
VAL = KINDS.index("VAL")
USER = KINDS.index("USER")

_CORE_STRONG = ("CALL_WALL", "PUT_WALL", "SESSION_HIGH", "SESSION_LOW", "VWAP", "GAMMA_FLIP")
_ALSO_STRONG = ("OI_CALL_WALL", "OI_PUT_WALL", "PRIOR_HIGH", "PRIOR_LOW")

STRONG = np.array([kind in _CORE_STRONG + _ALSO_STRONG for kind in KINDS], np.bool_)
"""Kinds that obstruct a runway: core.md's (RoomToRun), and walls and extremes that it does not know of."""

SUPPORT, RESISTANCE = 0, 1
CANDIDATES = 256

_SINGLE = {VWAP: "VWAP", SESSION_HIGH: "SESSION_HIGH", SESSION_LOW: "SESSION_LOW"}


@kernel
def to_e4(dollars: float) -> int:
    """Dollars as a whole number of 0.0001 USD: what distances between levels are compared in."""
    return int(np.floor(dollars * 10_000.0 + 0.5))


@kernel
def _chain(kind: int, key: int) -> int:
    """Which chain of slots a level is in: a multiplicative hash of 32 bits, as strikes and hotzones lie evenly."""
    return (((key + 131 * kind) * 2_654_435_761 & 0xFFFFFFFF) * LEVELS) >> 32


@kernel
def forget_levels(st: Arrays) -> None:
    """Forget every level: a session begins."""
    st.scalars[0].level_count = 0
    st.level_head[:] = 0


@kernel
def _free_slot(st: Arrays) -> int:
    """A slot that no level has, else that of the level not seen for longest (of equals the first): it is forgotten."""
    s = st.scalars[0]
    if s.level_count < LEVELS:
        s.level_count += 1
        return int(s.level_count - 1)
    slot = 0
    for n in range(1, LEVELS):
        if st.level_seen_ns[n] < st.level_seen_ns[slot]:
            slot = n
    chain = _chain(st.level_kind[slot], st.level_key[slot])
    if st.level_head[chain] == slot + 1:
        st.level_head[chain] = st.level_next[slot]
    else:
        before = st.level_head[chain] - 1
        while st.level_next[before] != slot + 1:
            before = st.level_next[before] - 1
        st.level_next[before] = st.level_next[slot]
    return slot


@kernel
def level_slot(st: Arrays, kind: int, key: int) -> int:
    """The slot of a level's memory. A level that had none gets one, with ``level_seen_ns`` 0 until it is moved."""
    chain = _chain(kind, key)
    link = st.level_head[chain]
    while link > 0:
        slot = link - 1
        if st.level_kind[slot] == kind and st.level_key[slot] == key:
            return int(slot)
        link = st.level_next[slot]
    slot = _free_slot(st)
    st.level_next[slot] = st.level_head[chain]
    st.level_head[chain] = slot + 1
    st.level_kind[slot] = kind
    st.level_key[slot] = key
    st.level_seen_ns[slot] = 0
    st.episode_open_ns[slot] = 0
    st.episode_count[slot] = 0
    return int(slot)


@kernel
def move_level(st: Arrays, p: Parameters, slot: int, price: float, spot: float, touch: float, snap_ns: int) -> None:
    """Move the tick and direction of a level that exists at this snap.

    The tick moves only when the price has moved by more than LEVEL_TICK_HYSTERESIS; the direction flips only when spot
    is more than ``touch`` USD beyond the level. A level that did not exist at the snap before starts anew.
    """
    exact = price * st.scalars[0].ratio / p.tick_size
    if st.level_seen_ns[slot] != snap_ns - p.snap_ns:
        st.level_tick[slot] = int(np.floor(exact + 0.5))
        st.level_direction[slot] = SUPPORT if spot > price else RESISTANCE
    else:
        if abs(exact - st.level_tick[slot]) > p.tick_hysteresis:
            st.level_tick[slot] = int(np.floor(exact + 0.5))
        if st.level_direction[slot] == SUPPORT:
            if to_e4(price) - to_e4(spot) > to_e4(touch):
                st.level_direction[slot] = RESISTANCE
        elif to_e4(spot) - to_e4(price) > to_e4(touch):
            st.level_direction[slot] = SUPPORT
    st.level_seen_ns[slot] = snap_ns
