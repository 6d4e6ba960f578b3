"""What the session's trades leave behind: extremes, VWAP and volume profile (plan §4).

Prices are ES ticks, so that a landmark is where the ES book has it; at a snap they become SPY dollars by the ratio of
that moment. Spans of time contain their beginning and not their end. A session in which the NYSE stays closed has no
premarket, no overnight, no opening range and no VWAP from the RTH open. When another contract is followed, what the old
one left is parked until the ratios of both are known, and then stands where the new one has the same SPY dollars; the
volume profile is the new contract's alone.
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
        ("overnight_complete", np.int64),  # 1 at snaps from the RTH open on
        ("opening_complete", np.int64),  # 1 at snaps from the end of the opening range on
        ("area_period", np.int64),  # period of refresh_snaps in which the value area was last looked at; -1 not yet
        ("area_volume", np.int64),  # volume the value area was found for
        ("profile_volume", np.int64),  # contracts in the volume profile
        ("profile_high", np.int64),  # its extremes
        ("profile_low", np.int64),
        ("es_volume", np.int64),  # contracts
        ("es_amount", np.int64),  # sum of tick times size
        ("es_rth_volume", np.int64),  # since the RTH open
        ("es_rth_amount", np.int64),
        ("spy_volume", np.int64),  # shares
        ("spy_amount", np.int64),  # sum of price in 0.0001 USD times size
        ("spy_rth_volume", np.int64),
        ("spy_rth_amount", np.int64),
        ("parked_ratio", np.float64),  # ES over SPY of the contract parked last; 0 before the first
    ],
    align=True,
)


class LandmarkArrays(NamedTuple):
    """The landmarks of the session and those kept of the one before."""

    scalars: NDArray[np.void]  # SCALARS[2]: of the contract followed, and what is parked of the one before
    volume_at: NDArray[np.int64]  # [ticks] contracts of the session at tick & (ticks - 1)


def empty(ticks: int) -> LandmarkArrays:
    """No session yet. ``ticks`` is a power of two, more than a session's range."""
    lm = LandmarkArrays(np.zeros(2, SCALARS), np.zeros(ticks, np.int64))
    begin_session(lm, 0, 0)
    for n in range(2):
        _forget_prior(lm.scalars, n)
    return lm


@kernel
def _forget_prior(scalars: NDArray[np.void], n: int) -> None:
    s = scalars[n]
    s.prior_high = ABSENT
    s.prior_low = ABSENT
    s.prior_close = ABSENT


@kernel
def _forget_es(scalars: NDArray[np.void], n: int) -> None:
    """Forget what ES has left in the session."""
    s = scalars[n]
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
    s.area_period = -1
    s.area_volume = 0
    s.profile_volume = 0
    s.profile_high = ABSENT
    s.profile_low = ABSENT
    s.es_volume = 0
    s.es_amount = 0
    s.es_rth_volume = 0
    s.es_rth_amount = 0


@kernel
def begin_session(lm: LandmarkArrays, rth_open_ns: int, rth_close_ns: int) -> None:
    """Start anew, with the session's regular hours (0 when it has none).

    The regular hours that ended become the prior ones; a session without trades in such keeps the older. Of a contract
    that is parked still, only its prior landmarks stay, unless there are newer ones.
    """
    s = lm.scalars[0]
    if s.rth_high != ABSENT:
        s.prior_high = s.rth_high
        s.prior_low = s.rth_low
        s.prior_close = s.rth_last
    _forget_es(lm.scalars, 0)
    _forget_es(lm.scalars, 1)
    s.rth_open_ns = rth_open_ns
    s.rth_close_ns = rth_close_ns
    s.overnight_complete = 0
    s.opening_complete = 0
    s.spy_volume = 0
    s.spy_amount = 0
    s.spy_rth_volume = 0
    s.spy_rth_amount = 0
    lm.volume_at[:] = 0


@kernel
def park_contract(lm: LandmarkArrays, ratio: float) -> None:
    """Another contract is followed from now on: its ticks are other ones, so put aside what is in the old one's.

    ``ratio`` is the old contract's ES over SPY; without one (0) what it left cannot be told in SPY dollars and is lost,
    and what is parked of the contract before it stays.
    """
    if ratio > 0.0:
        _park(lm)
        lm.scalars[1].parked_ratio = ratio
    _forget_prior(lm.scalars, 0)
    _forget_es(lm.scalars, 0)
    lm.volume_at[:] = 0


@kernel
def _park(lm: LandmarkArrays) -> None:
    old = lm.scalars[1]
    s = lm.scalars[0]
    old.session_high = s.session_high
    old.session_low = s.session_low
    old.premarket_high = s.premarket_high
    old.premarket_low = s.premarket_low
    old.overnight_high = s.overnight_high
    old.overnight_low = s.overnight_low
    old.opening_high = s.opening_high
    old.opening_low = s.opening_low
    old.rth_high = s.rth_high
    old.rth_low = s.rth_low
    old.rth_last = s.rth_last
    old.prior_high = s.prior_high
    old.prior_low = s.prior_low
    old.prior_close = s.prior_close
    old.es_volume = s.es_volume
    old.es_amount = s.es_amount
    old.es_rth_volume = s.es_rth_volume
    old.es_rth_amount = s.es_rth_amount


@kernel
def _higher(high: int, tick: int) -> int:
    return max(high, tick)  # ABSENT is lower than any tick


@kernel
def _lower(low: int, tick: int) -> int:
    if ABSENT in (low, tick):
        return max(low, tick)
    return min(low, tick)


@kernel
def _scaled(ticks: int, scale: float) -> int:
    return ticks if ticks == ABSENT else int(np.floor(ticks * scale + 0.5))


@kernel
def unpark_contract(lm: LandmarkArrays, ratio: float) -> None:
    """Join what is parked to what the contract followed has left since: the same SPY dollars in its ticks, of which
    ``ratio`` is the ES over SPY. Does nothing when nothing is parked.
    """
    old = lm.scalars[1]
    s = lm.scalars[0]
    if old.parked_ratio == 0.0:
        return
    scale = ratio / old.parked_ratio
    s.session_high = _higher(s.session_high, _scaled(old.session_high, scale))
    s.session_low = _lower(s.session_low, _scaled(old.session_low, scale))
    s.premarket_high = _higher(s.premarket_high, _scaled(old.premarket_high, scale))
    s.premarket_low = _lower(s.premarket_low, _scaled(old.premarket_low, scale))
    s.overnight_high = _higher(s.overnight_high, _scaled(old.overnight_high, scale))
    s.overnight_low = _lower(s.overnight_low, _scaled(old.overnight_low, scale))
    s.opening_high = _higher(s.opening_high, _scaled(old.opening_high, scale))
    s.opening_low = _lower(s.opening_low, _scaled(old.opening_low, scale))
    s.rth_high = _higher(s.rth_high, _scaled(old.rth_high, scale))
    s.rth_low = _lower(s.rth_low, _scaled(old.rth_low, scale))
    if s.rth_last == ABSENT:
        s.rth_last = _scaled(old.rth_last, scale)
    if s.prior_high == ABSENT:
        s.prior_high = _scaled(old.prior_high, scale)
        s.prior_low = _scaled(old.prior_low, scale)
        s.prior_close = _scaled(old.prior_close, scale)
    s.es_volume += old.es_volume
    s.es_amount += _scaled(old.es_amount, scale)
    s.es_rth_volume += old.es_rth_volume
    s.es_rth_amount += _scaled(old.es_rth_amount, scale)
    _forget_prior(lm.scalars, 1)
    _forget_es(lm.scalars, 1)


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
    s.profile_volume += size
    s.profile_high = _higher(s.profile_high, tick)
    s.profile_low = _lower(s.profile_low, tick)
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
    """Volume of the two ticks beyond ``edge``; there is none beyond the profile's extremes."""
    s = lm.scalars[0]
    mask = len(lm.volume_at) - 1
    volume = 0
    for n in range(1, 3):
        tick = edge + step * n
        if s.profile_low <= tick <= s.profile_high:
            volume += lm.volume_at[tick & mask]
    return volume


@kernel
def _find_value_area(lm: LandmarkArrays, share: float) -> None:
    """From the POC outwards, two rows at a time to the heavier side, of equal ones down, until ``share`` is inside."""
    s = lm.scalars[0]
    enough = share * s.profile_volume - _TOLERANCE_CONTRACTS
    high = s.poc
    low = s.poc
    inside = lm.volume_at[s.poc & (len(lm.volume_at) - 1)]
    while inside < enough and (low > s.profile_low or high < s.profile_high):
        above = _two_rows(lm, high, 1)
        below = _two_rows(lm, low, -1)
        if low > s.profile_low and below >= above:
            low = max(low - 2, s.profile_low)
            inside += below
        else:
            high = min(high + 2, s.profile_high)
            inside += above
    s.vah = high
    s.val = low


@kernel
def refresh(lm: LandmarkArrays, p: Any, bucket: int) -> None:
    """At each snap (number ``bucket`` of the grid), before the levels are listed.

    The value area is found anew in the first snap of every ``refresh_snaps``, and when the POC has left it.
    """
    s = lm.scalars[0]
    if s.rth_open_ns > 0:
        s.overnight_complete = 1 if bucket * p.snap_ns >= s.rth_open_ns else 0
        s.opening_complete = 1 if bucket * p.snap_ns >= s.rth_open_ns + p.opening_range_ns else 0
    if s.profile_volume == s.area_volume:
        return
    period = bucket // p.refresh_snaps
    if period != s.area_period or s.poc > s.vah or s.poc < s.val:
        s.area_period = period
        s.area_volume = s.profile_volume
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
