"""Which levels exist at a snap, on which side spot stands, and what lies ahead of each (plan §§3, 4, 5.5; DESIGN 4.4,
4.9).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common import schemas
from common.jit import kernel
from processors.engine.state import LEVELS, Arrays, Floats, Integers, Parameters

KINDS = schemas.load("levels.features.v1").field("level_kind").symbols
ROUND = KINDS.index("ROUND")
VWAP = KINDS.index("VWAP")
SESSION_HIGH = KINDS.index("SESSION_HIGH")
SESSION_LOW = KINDS.index("SESSION_LOW")
USER = KINDS.index("USER")

STRONG = np.array(
    [kind in {"CALL_WALL", "PUT_WALL", "SESSION_HIGH", "SESSION_LOW", "VWAP", "GAMMA_FLIP"} for kind in KINDS], np.bool_
)
"""Kinds that obstruct a runway (core.md, RoomToRun)."""

SUPPORT, RESISTANCE = 0, 1
CANDIDATES = 256

_SINGLE = {VWAP: "VWAP", SESSION_HIGH: "SESSION_HIGH", SESSION_LOW: "SESSION_LOW"}


def level_name(kind: int, key: int, spacing: float, hotzones: NDArray[np.float64]) -> str:
    """The stable id of a level: ``ROUND_680``, ``HOTZONE_675.5``, ``VWAP``."""
    if kind == ROUND:
        return f"ROUND_{key * spacing:.10g}"
    if kind == USER:
        return f"HOTZONE_{hotzones[key]:.10g}"
    return _SINGLE[kind]


@kernel
def list_levels(
    st: Arrays, p: Parameters, hotzones: Floats, spot: float, kinds: Integers, keys: Integers, prices: Floats
) -> int:
    """Write the levels within reach of spot into ``kinds``, ``keys``, ``prices`` [CANDIDATES]; returns how many there
    are.
    """
    s = st.scalars[0]
    n = 0
    low = spot - p.level_range
    high = spot + p.level_range
    k = int(np.ceil(low / p.round_spacing))
    while k * p.round_spacing <= high and n < CANDIDATES - 3:
        kinds[n], keys[n], prices[n] = ROUND, k, k * p.round_spacing
        n += 1
        k += 1
    for h in range(len(hotzones)):
        if low <= hotzones[h] <= high and n < CANDIDATES - 3:
            kinds[n], keys[n], prices[n] = USER, h, hotzones[h]
            n += 1
    if s.volume > 0:
        if p.vwap_enabled == 1:
            kinds[n], keys[n], prices[n] = VWAP, 0, s.vwap_sum / s.volume
            n += 1
        kinds[n], keys[n], prices[n] = SESSION_HIGH, 0, s.session_high
        n += 1
        kinds[n], keys[n], prices[n] = SESSION_LOW, 0, s.session_low
        n += 1
    return n


@kernel
def track_level(
    st: Arrays, p: Parameters, kind: int, key: int, price: float, spot: float, touch: float, snap_ns: int
) -> int:
    """Find or make the level's memory, move its tick and direction; returns its slot, or -1 when there is no room.

    The tick moves only when the price has moved by more than LEVEL_TICK_HYSTERESIS; the direction flips only when
    spot is a touch band beyond the level.
    """
    s = st.scalars[0]
    slot = -1
    for n in range(s.level_count):
        if st.level_kind[n] == kind and st.level_key[n] == key:
            slot = n
            break
    exact = price * s.ratio / p.tick_size
    if slot < 0:
        if s.level_count == LEVELS:
            return -1
        slot = s.level_count
        s.level_count += 1
        st.level_kind[slot] = kind
        st.level_key[slot] = key
        st.level_seen_ns[slot] = 0
    if st.level_seen_ns[slot] != snap_ns - p.snap_ns:
        st.level_tick[slot] = int(np.floor(exact + 0.5))
        st.level_direction[slot] = SUPPORT if spot > price else RESISTANCE
    else:
        if abs(exact - st.level_tick[slot]) > p.tick_hysteresis:
            st.level_tick[slot] = int(np.floor(exact + 0.5))
        if st.level_direction[slot] == SUPPORT:
            if spot < price - touch:
                st.level_direction[slot] = RESISTANCE
        elif spot > price + touch:
            st.level_direction[slot] = SUPPORT
    st.level_seen_ns[slot] = snap_ns
    return slot


@kernel
def next_level(kinds: Integers, prices: Floats, count: int, level: int, up: bool, touch: float) -> int:
    """Index of the nearest level on one side, at least a touch band away; of equal prices a strong one; -1 when there
    is none.
    """
    best = -1
    for n in range(count):
        away = prices[n] - prices[level] if up else prices[level] - prices[n]
        if n == level or away < touch:
            continue
        if best < 0:
            best = n
            continue
        nearer = prices[n] < prices[best] if up else prices[n] > prices[best]
        if nearer or (prices[n] == prices[best] and STRONG[kinds[n]] and not STRONG[kinds[best]]):
            best = n
    return best
