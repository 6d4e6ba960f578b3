"""DESIGN §4.12: log and the normal distribution are the same on every machine, and right."""

from __future__ import annotations

import math
import random

import mpmath
import pytest

from processors.engine.elementary import erfc, log, normal_cdf, normal_density


def error_ulp(got: float, exact: mpmath.mpf) -> float:
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(math.ulp(float(exact))))


@pytest.fixture(autouse=True)
def precision() -> None:
    mpmath.mp.dps = 60


def positives(seed: int) -> list[float]:
    rng = random.Random(seed)
    near_one = [1.0 + sign * 10.0 ** rng.uniform(-16, -0.5) for sign in (-1, 1) for _ in range(500)]
    wide = [math.exp(rng.uniform(-745, 709)) for _ in range(800)]
    # where the reduction changes its branch, and the powers of two around it
    edges = [m * 2.0**k * (1 + e) for k in range(-60, 61) for m in (1.0, math.sqrt(2)) for e in (-3e-16, 0.0, 3e-16)]
    extremes = [5e-324, 1e-310, 2.0**-1022, 1.7976931348623157e308]
    return near_one + wide + edges + extremes


def test_the_logarithm_is_within_one_ulp_of_the_exact_value() -> None:
    worst = max((error_ulp(log(x), mpmath.log(x)), x) for x in positives(1))
    assert worst[0] < 1.0, f"{worst[0]} ulp at {worst[1]!r}"


def test_the_logarithm_knows_its_limits() -> None:
    assert log(1.0) == 0.0
    assert log(0.0) == -math.inf and log(math.inf) == math.inf
    assert math.isnan(log(-1.0)) and math.isnan(log(math.nan))


def arguments(seed: int) -> list[float]:
    rng = random.Random(seed)
    edges = [
        sign * edge * (1 + e)
        for sign in (-1, 1)
        for edge in (0.25, 0.84375, 1.25, 1 / 0.35, 6.0, 26.0)
        for e in (-1e-15, 0.0, 1e-15)
    ]
    return [
        0.0,
        1e-300,
        -1e-300,
        *(rng.uniform(-27, 27) for _ in range(1500)),
        *(rng.gauss(0, 1) for _ in range(1500)),
        *edges,
    ]


def test_the_complementary_error_function_is_right_to_1e_15_of_itself_and_absolutely() -> None:
    for x in arguments(2):
        exact = mpmath.erfc(x)
        if exact > 1e-300:
            assert abs(mpmath.mpf(erfc(x)) - exact) <= 1e-15 * exact, x
        assert abs(mpmath.mpf(erfc(x)) - exact) <= 1e-15, x


def test_the_complementary_error_function_knows_its_limits() -> None:
    assert erfc(0.0) == 1.0
    assert erfc(math.inf) == 0.0 and erfc(-math.inf) == 2.0
    assert erfc(30.0) == 0.0 and erfc(-30.0) == 2.0
    assert math.isnan(erfc(math.nan))


def test_the_normal_distribution_agrees_with_mpmath_in_the_middle_and_in_the_tail() -> None:
    for x in arguments(3):
        assert abs(normal_cdf(x) - mpmath.ncdf(x)) <= 1e-15
        if -10 < x < 10:
            # the argument's own rounding, x / sqrt 2, weighs x**2 times as much in the tail
            assert abs(normal_cdf(x) - mpmath.ncdf(x)) <= (4 + x * x) * 2.3e-16 * mpmath.ncdf(x), x
            assert abs(normal_density(x) - mpmath.npdf(x)) <= (4 + x * x) * 2.3e-16 * mpmath.npdf(x), x


def test_known_bits_do_not_move() -> None:
    assert [log(x).hex() for x in (2.0, 0.1, 601.25)] == [float(mpmath.log(x)).hex() for x in (2.0, 0.1, 601.25)]
    assert [normal_cdf(x).hex() for x in (0.0, -1.0, 2.5)] == [
        "0x1.0000000000000p-1",
        "0x1.44ed0bb7cb20ap-3",
        "0x1.fcd21635036c6p-1",
    ]
