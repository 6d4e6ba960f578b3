"""Black-Scholes without interest, on a smooth smile: what an option of the made-up session is worth.

Nothing here asks the machine's mathematical library, so that the same seed writes the same prices everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from producers.simulator.elementary import log, normal, normal_density

NS_PER_YEAR = 365 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Value:
    """Price and greeks as the vendor gives them: theta per day, vega per point of volatility."""

    price: float
    delta: float
    gamma: float
    theta: float
    vega: float
    sigma: float


def smile(spot: float, strike: float) -> float:
    """Implied volatility: 16 % at the money, more for puts far below than for calls far above."""
    away = strike / spot - 1.0
    return 0.16 - 0.9 * away + 20.0 * away * away


def value(spot: float, strike: float, left_ns: int, *, is_put: bool) -> Value:
    """An option's value with ``left_ns`` to its expiry."""
    sigma = smile(spot, strike)
    years = left_ns / NS_PER_YEAR
    deviation = sigma * math.sqrt(years)
    d1 = log(spot / strike) / deviation + 0.5 * deviation
    density = normal_density(d1)
    above, stays_above = normal(d1), normal(d1 - deviation)
    call = spot * above - strike * stays_above
    return Value(
        price=call - spot + strike if is_put else call,
        delta=above - 1.0 if is_put else above,
        gamma=density / (spot * deviation),
        theta=-spot * density * sigma / (2.0 * math.sqrt(years)) / 365.0,
        vega=spot * density * math.sqrt(years) / 100.0,
        sigma=sigma,
    )
