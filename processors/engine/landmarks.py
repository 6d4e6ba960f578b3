"""What the session's trades leave behind: extremes, VWAP and volume profile (plan §4).

Prices are ES ticks, so that a landmark is where the ES book has it; at a snap they become SPY dollars by the ratio of
that moment. Spans of time contain their beginning and not their end. A session in which the NYSE stays closed has no
premarket, no overnight, no opening range and no VWAP from the RTH open.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.jit import kernel
from common.prices import ABSENT

PREMARKET_NS = 19_800_000_000_000
"""From 04:00 New York to the RTH open at 09:30."""

_TOLERANCE_CONTRACTS = 1e-6

SCALARS = np.dtype(
    [
        ("rth_open_ns", np.int64),  # 0 when the NYSE stays closed
        ("rth_close_ns", np.int64),
        ("session_high", np.int64),  # ES ticks here and below; ABSENT before the first trade
        ("session_low", np.int64),
        ("premarket_high", np.int64),
        ("premarket_low", np.int64),
        ("overnight_high", np.int64),
        ("overnight_low", np.int64),
        ("opening_high", np.int64),
        ("opening_low", np.int64),
        ("rth_high", np.int64),
        ("rth_low", np.int64),
        ("rth_last", np.int64),
        ("prior_high", np.int64),
        ("prior_low", np.int64),
        ("prior_close", np.int64),
        ("poc", np.int64),  # the tick with the greatest volume, of equals the lowest
        ("vah", np.int64),
        ("val", np.int64),
        ("opening_complete", np.int64),  # 1 at snaps from the end of the opening range on
        ("area_period", np.int64),  # period of hvl_snaps in which the value area was last looked at; -1 not yet
        ("area_volume", np.int64),  # volume the value area was found for
        ("es_volume", np.int64),  # contracts
        ("es_amount", np.int64),  # sum of tick times size
        ("es_rth_volume", np.int64),  # since the RTH open
        ("es_rth_amount", np.int64),
        ("spy_volume", np.int64),  # shares
        ("spy_amount", np.int64),  # sum of price in 0.0001 USD times size
        ("spy_rth_volume", np.int64),
        ("spy_rth_amount", np.int64),
    ],
    align=True,
)


class LandmarkArrays(NamedTuple):
    """The landmarks of the session and those kept of the one before."""

    scalars: NDArray[np.void]  # SCALARS[1]
    volume_at: NDArray[np.int64]  # [ticks] contracts of the session at tick & (ticks - 1)


def empty(ticks: int) -> LandmarkArrays:
    """No session yet. ``ticks`` is a power of two, more than a session's range."""
    lm = LandmarkArrays(np.zeros(1, SCALARS), np.zeros(ticks, np.int64))
    begin_session(lm, 0, 0)
    for field in ("prior_high", "prior_low", "prior_close"):
        lm.scalars[field] = ABSENT
    return lm


@kernel
def begin_session(lm: LandmarkArrays, rth_open_ns: int, rth_close_ns: int) -> None:
    """Start anew, with the session's regular hours (0 when it has none). The regular hours that
    ended become the prior ones; a session without trades in such keeps the older."""
    s = lm.scalars[0]
    if s.rth_high != ABSENT:
        s.prior_high = s.rth_high
        s.prior_low = s.rth_low
        s.prior_close = s.rth_last
    s.rth_open_ns = rth_open_ns
    s.rth_close_ns = rth_close_ns
    s.session_high = ABSENT
    s.session_low = ABSENT
    s.premarket_high = ABSENT
    s.premarket_low = ABSENT
    s.overnight_high = ABSENT
    s.overnight_low = ABSENT
    s.opening_high = ABSENT
    s.opening_low = ABSENT
    s.rth_high = ABSENT
    s.rth_low = ABSENT
    s.rth_last = ABSENT
    s.poc = ABSENT
    s.vah = ABSENT
    s.val = ABSENT
    s.opening_complete = 0
    s.area_period = -1
    s.area_volume = 0
    s.es_volume = 0
    s.es_amount = 0
    s.es_rth_volume = 0
    s.es_rth_amount = 0
    s.spy_volume = 0
    s.spy_amount = 0
    s.spy_rth_volume = 0
    s.spy_rth_amount = 0
    lm.volume_at[:] = 0


@kernel
def roll_prior(lm: LandmarkArrays, old_ratio: float, new_ratio: float) -> None:
    """Put the prior landmarks where the next contract has them: the same SPY dollars, in its ticks."""
    s = lm.scalars[0]
    if s.prior_high != ABSENT:
        s.prior_high = int(np.floor(s.prior_high * new_ratio / old_ratio + 0.5))
        s.prior_low = int(np.floor(s.prior_low * new_ratio / old_ratio + 0.5))
        s.prior_close = int(np.floor(s.prior_close * new_ratio / old_ratio + 0.5))


@kernel
def _higher(high: int, tick: int) -> int:
    return tick if high == ABSENT or tick > high else high


@kernel
def _lower(low: int, tick: int) -> int:
    return tick if low == ABSENT or tick < low else low


@kernel
def add_es_trade(lm: LandmarkArrays, p: Any, effective_ns: int, tick: int, size: int) -> None:
    """One ES trade of the running session, ``size`` contracts."""
    s = lm.scalars[0]
    s.session_high = _higher(s.session_high, tick)
    s.session_low = _lower(s.session_low, tick)
    s.es_volume += size
    s.es_amount += tick * size
    if s.rth_open_ns > 0:
        if effective_ns < s.rth_open_ns:
            s.overnight_high = _higher(s.overnight_high, tick)
            s.overnight_low = _lower(s.overnight_low, tick)
            if effective_ns >= s.rth_open_ns - PREMARKET_NS:
                s.premarket_high = _higher(s.premarket_high, tick)
                s.premarket_low = _lower(s.premarket_low, tick)
        else:
            s.es_rth_volume += size
            s.es_rth_amount += tick * size
            if effective_ns < s.rth_open_ns + p.opening_range_ns:
                s.opening_high = _higher(s.opening_high, tick)
                s.opening_low = _lower(s.opening_low, tick)
            if effective_ns < s.rth_close_ns:
                s.rth_high = _higher(s.rth_high, tick)
                s.rth_low = _lower(s.rth_low, tick)
                s.rth_last = tick
    mask = len(lm.volume_at) - 1
    lm.volume_at[tick & mask] += size
    volume = lm.volume_at[tick & mask]
    if s.poc == ABSENT:
        s.poc = tick
    else:
        greatest = lm.volume_at[s.poc & mask]
        if volume > greatest or (volume == greatest and tick < s.poc):
            s.poc = tick


@kernel
def add_spy_trade(lm: LandmarkArrays, p: Any, effective_ns: int, price_e4: int, size: int) -> None:
    """One SPY trade of the running session that counts for the last price, ``size`` shares at 0.0001 USD."""
    s = lm.scalars[0]
    s.spy_volume += size
    s.spy_amount += price_e4 * size
    if s.rth_open_ns > 0 and effective_ns >= s.rth_open_ns:
        s.spy_rth_volume += size
        s.spy_rth_amount += price_e4 * size


@kernel
def _two_rows(lm: LandmarkArrays, edge: int, step: int) -> int:
    """Volume of the two ticks beyond ``edge``; there is none beyond the session's extremes."""
    s = lm.scalars[0]
    mask = len(lm.volume_at) - 1
    volume = 0
    for n in range(1, 3):
        tick = edge + step * n
        if s.session_low <= tick <= s.session_high:
            volume += lm.volume_at[tick & mask]
    return volume


@kernel
def _find_value_area(lm: LandmarkArrays, share: float) -> None:
    """From the POC outwards, two rows at a time to the heavier side, of equal ones down, until ``share`` is inside."""
    s = lm.scalars[0]
    enough = share * s.es_volume - _TOLERANCE_CONTRACTS
    high = s.poc
    low = s.poc
    inside = lm.volume_at[s.poc & (len(lm.volume_at) - 1)]
    while inside < enough and (low > s.session_low or high < s.session_high):
        above = _two_rows(lm, high, 1)
        below = _two_rows(lm, low, -1)
        if low > s.session_low and below >= above:
            low = max(low - 2, s.session_low)
            inside += below
        else:
            high = min(high + 2, s.session_high)
            inside += above
    s.vah = high
    s.val = low


@kernel
def refresh(lm: LandmarkArrays, p: Any, bucket: int) -> None:
    """At each snap (number ``bucket`` of the grid), before the levels are listed.

    The value area is found anew in the first snap of every ``hvl_snaps``, and when the POC has left it.
    """
    s = lm.scalars[0]
    if s.rth_open_ns > 0 and bucket * p.snap_ns >= s.rth_open_ns + p.opening_range_ns:
        s.opening_complete = 1
    if s.es_volume == s.area_volume:
        return
    period = bucket // p.hvl_snaps
    if period != s.area_period or s.poc > s.vah or s.poc < s.val:
        s.area_period = period
        s.area_volume = s.es_volume
        _find_value_area(lm, p.value_area)


@kernel
def vwap(lm: LandmarkArrays, p: Any, ratio: float) -> float:
    """Volume-weighted average price since the anchor in SPY dollars; NaN when nothing has traded since.

    Of SPY's own trades where there are any; else, and always with a fixed ratio (where levels are ES levels), of ES.
    """
    s = lm.scalars[0]
    from_rth = p.vwap_from_rth == 1
    spy_volume = s.spy_rth_volume if from_rth else s.spy_volume
    if spy_volume > 0 and p.ratio_fixed == 0:
        return float((s.spy_rth_amount if from_rth else s.spy_amount) / spy_volume / 10_000.0)
    volume = s.es_rth_volume if from_rth else s.es_volume
    if volume == 0:
        return np.nan
    return float((s.es_rth_amount if from_rth else s.es_amount) / volume * p.tick_size / ratio)
