"""Which option contracts to listen to: strikes around spot, of the next two expiries. Pure."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np

from common.errors import ConfigError
from common.sessions import nyse_closes
from producers.massive.symbols import CALL, PUT, OptionSymbol

EXPIRIES = 2
"""0DTE and the next (issue of the owner: item 2)."""

STRIKE_STEP_MILLI = 1_000
"""SPY's strikes near spot lie a dollar apart in its daily expiries."""

AHEAD_MILLI = 2_000
"""Strikes this much further out than needed are subscribed in advance: spot does not arrive before them."""

KEPT_MILLI = 4_000
"""Strikes are given up only this much further out than needed: spot that swings back finds them still there."""

LATE_CLOSE_NS = 15 * 60 * 1_000_000_000
"""SPY's options trade a quarter of an hour longer than its shares."""

CONTRACTS_MAX = 1_000
"""The vendor's limit for quotes of options on one connection."""


class StrikeWindow:
    """The contracts to listen to, following spot. ``range_usd``: strikes this near to spot must be there.

    Raises ConfigError when the range needs more contracts than the vendor allows, old and new together.
    """

    def __init__(self, underlying: str, range_usd: float) -> None:
        self._underlying = underlying
        self._range_milli = round(range_usd * 1_000)
        self._strikes: frozenset[int] = frozenset()
        self.spot_milli: int | None = None
        """Where spot was last, None before it was anywhere."""
        widest = 2 * (self._range_milli + KEPT_MILLI) // STRIKE_STEP_MILLI + 1
        if 2 * widest * EXPIRIES * 2 > CONTRACTS_MAX:
            raise ConfigError(
                f"STRIKE_RANGE {range_usd:g} needs {widest * EXPIRIES * 2} option contracts and twice as many while"
                f" they change; a connection may have {CONTRACTS_MAX}",
                hint="Choose a smaller STRIKE_RANGE.",
            )

    def follow(self, spot_milli: int) -> None:
        """Spot is there now (0.001 USD)."""
        self.spot_milli = spot_milli
        if not _within(spot_milli, self._range_milli) <= self._strikes:
            kept = self._strikes & _within(spot_milli, self._range_milli + KEPT_MILLI)
            self._strikes = kept | _within(spot_milli, self._range_milli + AHEAD_MILLI)

    def subscriptions(self, now_ns: int) -> frozenset[str]:
        """Trades and quotes of the contracts to listen to at that time; none before spot is known."""
        return _subscriptions(self._underlying, expiries(now_ns), self._strikes)


@lru_cache(maxsize=4)
def _subscriptions(underlying: str, days: tuple[int, ...], strikes: frozenset[int]) -> frozenset[str]:
    return frozenset(
        f"{kind}.{OptionSymbol(underlying, day, right, strike)}"
        for kind in "TQ"
        for day in days
        for right in (CALL, PUT)
        for strike in strikes
    )


def _within(spot_milli: int, distance_milli: int) -> frozenset[int]:
    first = -(-(spot_milli - distance_milli) // STRIKE_STEP_MILLI) * STRIKE_STEP_MILLI
    return frozenset(range(max(first, STRIKE_STEP_MILLI), spot_milli + distance_milli + 1, STRIKE_STEP_MILLI))


def expiries(now_ns: int) -> tuple[int, ...]:
    """The next two days on which SPY options expire, as days since the epoch: today until its options close."""
    days, closes_ns = nyse_closes()
    first = int(np.searchsorted(closes_ns + LATE_CLOSE_NS, now_ns, side="right"))
    return tuple(int(day) for day in days[first : first + EXPIRIES])


def day_name(day: int) -> str:
    """A day since the epoch as yyyy-mm-dd."""
    return str(dt.date(1970, 1, 1) + dt.timedelta(days=day))
