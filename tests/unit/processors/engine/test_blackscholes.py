"""DESIGN §4.7: Black-Scholes without interest, against mpmath, parity and differences; its inverse."""

from __future__ import annotations

import math

import mpmath
import pytest

from processors.engine.blackscholes import GREATEST_SIGMA, LEAST_SIGMA, delta, gamma, implied_volatility, price

MINUTE = 1 / (365 * 1440)
CASES = [
    (600.0, strike, sigma, years)
    for strike in (500.0, 590.0, 599.0, 600.0, 601.0, 612.0, 700.0)
    for sigma in (0.05, 0.15, 0.6, 2.0)
    for years in (MINUTE, 5 / (365 * 24), 1 / 365, 0.25)
]


def exact(spot: float, strike: float, sigma: float, years: float) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """Price and delta of the call, and gamma, with 40 digits."""
    mpmath.mp.dps = 40
    deviation = mpmath.mpf(sigma) * mpmath.sqrt(years)
    d1 = mpmath.log(mpmath.mpf(spot) / strike) / deviation + deviation / 2
    call = spot * mpmath.ncdf(d1) - strike * mpmath.ncdf(d1 - deviation)
    return call, mpmath.ncdf(d1), mpmath.npdf(d1) / (spot * deviation)


@pytest.mark.parametrize("case", CASES)
def test_price_delta_and_gamma_agree_with_mpmath(case: tuple[float, float, float, float]) -> None:
    call, call_delta, both_gamma = exact(*case)
    assert abs(price(*case, True) - call) <= 1e-11
    assert abs(delta(*case, True) - call_delta) <= 1e-13
    assert abs(gamma(*case) - both_gamma) <= 1e-11 * both_gamma + 1e-30


@pytest.mark.parametrize("case", CASES)
def test_put_call_parity_without_interest(case: tuple[float, float, float, float]) -> None:
    spot, strike = case[:2]
    assert price(*case, True) - price(*case, False) == pytest.approx(spot - strike, abs=1e-10)
    assert delta(*case, True) - delta(*case, False) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("case", [c for c in CASES if c[3] > 1e-4])
def test_delta_and_gamma_are_the_differences_of_price_and_delta(case: tuple[float, float, float, float]) -> None:
    spot, strike, sigma, years = case
    step = 1e-4
    up, down = ((spot + away, strike, sigma, years) for away in (step, -step))
    slope = (price(*up, True) - price(*down, True)) / (2 * step)
    bend = (delta(*up, True) - delta(*down, True)) / (2 * step)
    assert delta(*case, True) == pytest.approx(slope, abs=1e-6)
    assert gamma(*case) == pytest.approx(bend, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_implied_volatility_is_the_inverse_of_price(case: tuple[float, float, float, float], is_call: bool) -> None:
    spot, strike, sigma, years = case
    premium = price(*case, is_call)
    value = premium - max(spot - strike if is_call else strike - spot, 0.0)
    found = implied_volatility(premium, spot, strike, years, is_call)
    if value < 1e-9:  # nothing, or nothing but rounding, is left to read a volatility from
        return
    # the premium's own rounding moves sigma by as much over vega
    vega = (
        spot
        * float(mpmath.npdf(mpmath.log(spot / strike) / (sigma * years**0.5) + sigma * years**0.5 / 2))
        * years**0.5
    )
    assert found == pytest.approx(sigma, abs=1e-12 + 1e-12 / vega)


def test_a_premium_without_time_value_or_out_of_bounds_has_no_volatility() -> None:
    years = 1 / 365
    assert math.isnan(implied_volatility(10.0, 600.0, 590.0, years, True))  # intrinsic, to the cent
    assert math.isnan(implied_volatility(9.0, 600.0, 590.0, years, True))
    assert math.isnan(implied_volatility(0.0, 600.0, 610.0, years, True))
    assert math.isnan(implied_volatility(600.0, 600.0, 610.0, years, True))  # a call is worth less than spot
    assert math.isnan(implied_volatility(590.0, 600.0, 590.0, years, False))  # and a put less than its strike
    assert math.isnan(implied_volatility(math.nan, 600.0, 590.0, years, True))
    assert math.isnan(implied_volatility(math.inf, 600.0, 590.0, years, True))
    assert not math.isnan(implied_volatility(10.01, 600.0, 590.0, years, True))


def test_a_volatility_beyond_the_bounds_is_none() -> None:
    years = 1 / 365
    for sigma in (LEAST_SIGMA * 0.9, GREATEST_SIGMA * 1.1):
        assert math.isnan(implied_volatility(price(600.0, 600.0, sigma, years, True), 600.0, 600.0, years, True))
    for sigma in (LEAST_SIGMA * 1.1, GREATEST_SIGMA * 0.9):
        premium = price(600.0, 600.0, sigma, years, True)
        assert implied_volatility(premium, 600.0, 600.0, years, True) == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize(
    "case",
    [(0.0, 600.0, 0.2, 0.1), (600.0, -1.0, 0.2, 0.1), (600.0, 600.0, 0.0, 0.1), (600.0, 600.0, 0.2, 0.0),
     (600.0, 600.0, math.nan, 0.1), (600.0, 600.0, math.inf, 0.1)],
)  # fmt: skip
def test_what_has_no_answer_is_nan(case: tuple[float, float, float, float]) -> None:
    assert math.isnan(gamma(*case)) and math.isnan(delta(*case, True)) and math.isnan(price(*case, False))
