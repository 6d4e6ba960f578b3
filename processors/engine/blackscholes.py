"""Black and Scholes (1973) without interest and dividends: price, delta, gamma, implied volatility (DESIGN 4.7).

Spot and strike are USD, sigma a fraction per square root of a year, years of 365 days. What has no answer is NaN:
nothing is raised.
"""

from __future__ import annotations

import numpy as np

from common.jit import kernel
from processors.engine.elementary import log, normal_cdf, normal_density

LEAST_SIGMA, GREATEST_SIGMA = 1e-3, 20.0
"""Implied volatilities beyond these are a vendor's error or no answer."""

_STEPS = 64
_PRECISION = 1e-13


@kernel
def _known(spot: float, strike: float, sigma: float, years: float) -> bool:
    return spot > 0.0 and strike > 0.0 and sigma > 0.0 and years > 0.0 and sigma < np.inf


@kernel
def _d1(spot: float, strike: float, deviation: float) -> float:
    """``deviation`` is sigma times the root of the time left."""
    return log(spot / strike) / deviation + 0.5 * deviation


@kernel
def gamma(spot: float, strike: float, sigma: float, years: float) -> float:
    """Change of delta per USD of the underlying; the same for call and put."""
    if not _known(spot, strike, sigma, years):
        return np.nan
    deviation = sigma * np.sqrt(years)
    return float(normal_density(_d1(spot, strike, deviation)) / (spot * deviation))


@kernel
def delta(spot: float, strike: float, sigma: float, years: float, is_call: bool) -> float:
    """Change of the option's price per USD of the underlying: 0 to 1 for a call, -1 to 0 for a put."""
    if not _known(spot, strike, sigma, years):
        return np.nan
    d1 = _d1(spot, strike, sigma * np.sqrt(years))
    return normal_cdf(d1) if is_call else -normal_cdf(-d1)


@kernel
def price(spot: float, strike: float, sigma: float, years: float, is_call: bool) -> float:
    """Premium in USD per share."""
    if not _known(spot, strike, sigma, years):
        return np.nan
    deviation = sigma * np.sqrt(years)
    d1 = _d1(spot, strike, deviation)
    d2 = d1 - deviation
    if is_call:
        return spot * normal_cdf(d1) - strike * normal_cdf(d2)
    return strike * normal_cdf(-d2) - spot * normal_cdf(-d1)


@kernel
def implied_volatility(premium: float, spot: float, strike: float, years: float, is_call: bool) -> float:
    """The sigma at which :func:`price` is ``premium``; NaN without time value, out of bounds or beyond
    LEAST_SIGMA and GREATEST_SIGMA.

    Newton's method on the option that is out of the money (of equal time value, by put-call parity), from the price's
    inflection point (Manaster and Koehler 1982), with a bracket that a step never leaves.
    """
    if not _known(spot, strike, 1.0, years) or not premium < np.inf:
        return np.nan
    intrinsic = max(spot - strike if is_call else strike - spot, 0.0)
    value = premium - intrinsic
    if not value > 0.0 or premium >= (spot if is_call else strike):
        return np.nan
    call = strike >= spot  # the one that is out of the money
    low = LEAST_SIGMA
    high = GREATEST_SIGMA
    if price(spot, strike, low, years, call) > value or price(spot, strike, high, years, call) < value:
        return np.nan
    root = np.sqrt(years)
    sigma = min(max(np.sqrt(2.0 * abs(log(spot / strike))) / root, low), high)
    if sigma == low:
        sigma = min(max(2.5066282746310002 * value / (spot * root), low), high)
    for _ in range(_STEPS):
        error = price(spot, strike, sigma, years, call) - value
        if error > 0.0:
            high = sigma
        else:
            low = sigma
        vega = spot * normal_density(_d1(spot, strike, sigma * root)) * root
        following = sigma - error / vega if vega > 0.0 else low
        if not low < following < high:
            following = 0.5 * (low + high)
        step = abs(following - sigma)
        sigma = following
        if step <= _PRECISION * sigma:
            break
    return float(sigma)
