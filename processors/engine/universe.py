"""Which levels exist at a snap, where, and how strong (plan §4; core.md, LevelUniverse)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from common.prices import ABSENT
from processors.engine.landmarks import LandmarkArrays, vwap
from processors.engine.levels import (
    CALL_WALL,
    GAMMA_FLIP,
    KINDS,
    OI_CALL_WALL,
    OI_PUT_WALL,
    OPENING_RANGE_HIGH,
    OPENING_RANGE_LOW,
    OVERNIGHT_HIGH,
    OVERNIGHT_LOW,
    POC,
    PREMARKET_HIGH,
    PREMARKET_LOW,
    PRIOR_CLOSE,
    PRIOR_HIGH,
    PRIOR_LOW,
    PUT_WALL,
    ROUND,
    SESSION_HIGH,
    SESSION_LOW,
    STRIKE,
    STRONG,
    USER,
    VAH,
    VAL,
    VWAP,
    to_e4,
)
from processors.engine.shapes import Integers, Parameters

CANDIDATES = 256
"""Levels that a snap can have. When more exist, the farthest round numbers are left out first, then strikes."""


_NO_KEY: Any = np.int64(0)
"""Key of a level that is the only one of its kind."""


class NearLevels(NamedTuple):
    """Room for the levels of one snap, CANDIDATES each, ascending by price; strong ones come first among equals."""

    kinds: NDArray[np.int64]
    keys: NDArray[np.int64]
    prices: NDArray[np.float64]  # USD
    prices_e4: NDArray[np.int64]  # 0.0001 USD
    strengths: NDArray[np.float64]  # dealers' gamma, GEX or contracts, by kind; NaN where nothing stands behind it
    strong_above: NDArray[np.int64]  # place of the nearest strong level at this place or after it; -1 for none
    strong_below: NDArray[np.int64]  # at this place or before it


def room() -> NearLevels:
    """Scratch for one snap after another: kernels do not allocate."""

    def integers() -> NDArray[np.int64]:
        return np.zeros(CANDIDATES, np.int64)

    def floats() -> NDArray[np.float64]:
        return np.zeros(CANDIDATES, np.float64)

    return NearLevels(integers(), integers(), floats(), integers(), floats(), integers(), integers())


def _decimal(units: int, digits: int) -> str:
    """An integer number of 10**-digits as the shortest decimal."""
    whole, rest = divmod(units, 10**digits)
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".")


def level_name(kind: int, key: int, spacing: float) -> str:
    """The stable id of a level: ``ROUND_680``, ``STRIKE_687``, ``HOTZONE_675.5``, ``VWAP``; no two levels share one.

    ``key`` counts spacings for round numbers, 0.001 USD for strikes, 0.0001 USD for hotzones, and is 0 for the rest.
    """
    if kind == ROUND:
        return f"ROUND_{key * spacing:.10g}"
    if kind == STRIKE:
        return f"STRIKE_{_decimal(key, 3)}"
    if kind == USER:
        return f"HOTZONE_{_decimal(key, 4)}"
    return KINDS[kind]


@kernel
def _comes_before(near: NearLevels, kind: int, key: int, price_e4: int, n: int) -> bool:
    if price_e4 != near.prices_e4[n]:
        return bool(price_e4 < near.prices_e4[n])
    if STRONG[kind] != STRONG[near.kinds[n]]:
        return bool(STRONG[kind])
    if kind != near.kinds[n]:
        return bool(kind < near.kinds[n])
    return bool(key < near.keys[n])


@kernel
def _insert(near: NearLevels, count: int, kind: int, key: int, price: float, strength: float) -> int:
    price_e4 = to_e4(price)
    at = count
    while at > 0 and _comes_before(near, kind, key, price_e4, at - 1):
        near.kinds[at] = near.kinds[at - 1]
        near.keys[at] = near.keys[at - 1]
        near.prices[at] = near.prices[at - 1]
        near.prices_e4[at] = near.prices_e4[at - 1]
        near.strengths[at] = near.strengths[at - 1]
        at -= 1
    near.kinds[at] = kind
    near.keys[at] = key
    near.prices[at] = price
    near.prices_e4[at] = price_e4
    near.strengths[at] = strength
    return count + 1


@kernel
def _add(
    near: NearLevels, count: int, p: Parameters, spot: float, kind: int, key: int, price: float, strength: float
) -> int:
    """Add a level within reach of spot; a price that is not positive (or NaN) means that there is none."""
    if not price > 0.0 or abs(to_e4(price) - to_e4(spot)) > to_e4(p.level_range):
        return count
    return _insert(near, count, kind, key, price, strength)


@kernel
def _add_tick(near: NearLevels, count: int, p: Parameters, spot: float, ratio: float, kind: int, tick: int) -> int:
    if tick == ABSENT:
        return count
    return _add(near, count, p, spot, kind, _NO_KEY, tick * p.tick_size / ratio, np.nan)


@kernel
def _add_landmarks(near: NearLevels, count: int, p: Parameters, lm: LandmarkArrays, spot: float, ratio: float) -> int:
    s = lm.scalars[0]
    n = count
    if p.vwap_enabled == 1:
        n = _add(near, n, p, spot, VWAP, _NO_KEY, vwap(lm, p, ratio), np.nan)
    n = _add_tick(near, n, p, spot, ratio, SESSION_HIGH, s.session_high)
    n = _add_tick(near, n, p, spot, ratio, SESSION_LOW, s.session_low)
    n = _add_tick(near, n, p, spot, ratio, PREMARKET_HIGH, s.premarket_high)
    n = _add_tick(near, n, p, spot, ratio, PREMARKET_LOW, s.premarket_low)
    if s.overnight_complete == 1:  # until then they are the session's
        n = _add_tick(near, n, p, spot, ratio, OVERNIGHT_HIGH, s.overnight_high)
        n = _add_tick(near, n, p, spot, ratio, OVERNIGHT_LOW, s.overnight_low)
    if s.opening_complete == 1:
        n = _add_tick(near, n, p, spot, ratio, OPENING_RANGE_HIGH, s.opening_high)
        n = _add_tick(near, n, p, spot, ratio, OPENING_RANGE_LOW, s.opening_low)
    n = _add_tick(near, n, p, spot, ratio, PRIOR_HIGH, s.prior_high)
    n = _add_tick(near, n, p, spot, ratio, PRIOR_LOW, s.prior_low)
    n = _add_tick(near, n, p, spot, ratio, PRIOR_CLOSE, s.prior_close)
    n = _add_tick(near, n, p, spot, ratio, VAH, s.vah)
    n = _add_tick(near, n, p, spot, ratio, VAL, s.val)
    if s.poc != ABSENT:
        volume = lm.volume_at[s.poc & (len(lm.volume_at) - 1)]
        n = _add(near, n, p, spot, POC, _NO_KEY, s.poc * p.tick_size / ratio, float(volume))
    return n


@kernel
def _add_walls(near: NearLevels, count: int, p: Parameters, op: Any, spot: float) -> int:
    o = op.scalars[0]
    n = count
    n = _add(near, n, p, spot, CALL_WALL, _NO_KEY, o.call_wall_milli / 1000.0, o.call_wall_strength)
    n = _add(near, n, p, spot, PUT_WALL, _NO_KEY, o.put_wall_milli / 1000.0, o.put_wall_strength)
    n = _add(near, n, p, spot, OI_CALL_WALL, _NO_KEY, o.oi_call_wall_milli / 1000.0, o.oi_call_wall_strength)
    n = _add(near, n, p, spot, OI_PUT_WALL, _NO_KEY, o.oi_put_wall_milli / 1000.0, o.oi_put_wall_strength)
    return _add(near, n, p, spot, GAMMA_FLIP, _NO_KEY, o.hvl, np.nan)


@kernel
def _add_strikes(near: NearLevels, count: int, p: Parameters, op: Any, spot: float) -> int:
    """Traded strikes, from spot outwards; of two equally far ones the lower comes first."""
    strikes = op.scalars[0].strike_count
    spot_e4 = to_e4(spot)
    reach = to_e4(p.level_range)
    above = int(np.searchsorted(op.strike_milli[:strikes], spot_e4 // 10 + 1))
    below = above - 1
    n = count
    while n < CANDIDATES:
        up = op.strike_milli[above] * 10 - spot_e4 if above < strikes else reach + 1
        down = spot_e4 - op.strike_milli[below] * 10 if below >= 0 else reach + 1
        if min(up, down) > reach:
            break
        if down <= up:
            k = below
            below -= 1
        else:
            k = above
            above += 1
        if op.strike_volume[k] > 0:
            n = _insert(near, n, STRIKE, op.strike_milli[k], op.strike_milli[k] / 1000.0, float(op.strike_volume[k]))
    return n


@kernel
def _add_rounds(near: NearLevels, count: int, p: Parameters, spot: float) -> int:
    """Round numbers, from spot outwards; of two equally far ones the lower comes first."""
    spot_e4 = to_e4(spot)
    reach = to_e4(p.level_range)
    below = int(np.floor(spot / p.round_spacing))
    above = below + 1
    n = count
    while n < CANDIDATES:
        up = to_e4(above * p.round_spacing) - spot_e4
        down = spot_e4 - to_e4(below * p.round_spacing) if below > 0 else reach + 1
        if min(up, down) > reach:
            break
        if down <= up:
            n = _insert(near, n, ROUND, below, below * p.round_spacing, np.nan)
            below -= 1
        else:
            n = _insert(near, n, ROUND, above, above * p.round_spacing, np.nan)
            above += 1
    return n


@kernel
def _find_strong(near: NearLevels, count: int) -> None:
    last = -1
    for n in range(count):
        if STRONG[near.kinds[n]]:
            last = n
        near.strong_below[n] = last
    last = -1
    for n in range(count - 1, -1, -1):
        if STRONG[near.kinds[n]]:
            last = n
        near.strong_above[n] = last


@kernel
def list_levels(
    lm: LandmarkArrays,
    op: Any,
    p: Parameters,
    hotzones: Integers,
    hotzone_count: int,
    spot: float,
    ratio: float,
    near: NearLevels,
) -> int:
    """Write the levels within ``p.level_range`` of spot, its edges included, into ``near``; returns how many there are.

    ``op`` are the options' arrays: ``scalars`` with walls (0.001 USD, 0 for none), their strengths, ``hvl`` (USD, NaN
    for none) and ``strike_count``; ``strike_milli`` ascending and ``strike_volume``. ``hotzones`` as in
    :mod:`processors.engine.hotzones`. The landmarks have been refreshed for this snap.
    """
    n = _add_landmarks(near, 0, p, lm, spot, ratio)
    n = _add_walls(near, n, p, op, spot)
    for h in range(hotzone_count):
        n = _add(near, n, p, spot, USER, hotzones[h], hotzones[h] / 10_000.0, np.nan)
    n = _add_strikes(near, n, p, op, spot)
    n = _add_rounds(near, n, p, spot)
    _find_strong(near, n)
    return n


@kernel
def reorder(near: NearLevels, slots: Integers, count: int) -> None:
    """Put the levels back in order after prices have changed, and each one's slot with it; nearly sorted is quick."""
    for n in range(count):
        kind, key, price, strength, slot = (near.kinds[n], near.keys[n], near.prices[n], near.strengths[n], slots[n])
        _insert(near, n, kind, key, price, strength)
        at = n
        while near.kinds[at] != kind or near.keys[at] != key:
            slots[at] = slots[at - 1]
            at -= 1
        slots[at] = slot
    _find_strong(near, count)
