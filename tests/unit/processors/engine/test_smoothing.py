"""Plan §5.6 and DESIGN §4.8: smoothing in event time; DESIGN §4.12: its exponential is the same on every machine.

Spec: plan 5.6; core Smoothing.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest

from processors.engine.elementary import exp, expm1
from processors.engine.smoothing import ROBUST_MAX, capped_ratio, decay_together, ewma, ewma_alpha, rolling_median


def arguments(seed: int) -> list[float]:
    rng = random.Random(seed)
    near = [sign * 10.0 ** rng.uniform(-16, 0) for sign in (-1, 1) for _ in range(400)]
    wide = [rng.uniform(-745, 709) for _ in range(600)]
    # Where the reduction changes its branch, and the powers of two around it.
    edges = [
        sign * k * math.log(2) / 2 * (1 + e) for sign in (-1, 1) for k in range(1, 120) for e in (-1e-15, 0, 1e-15)
    ]
    return near + wide + edges


def error_ulp(got: float, exact: Decimal) -> float:
    return float(abs(Decimal(got) - exact) / Decimal(math.ulp(float(exact))))


@pytest.mark.parametrize(("function", "less"), [(exp, 0), (expm1, 1)])
def test_the_exponentials_are_within_one_ulp_of_the_exact_value(function: Callable[[float], float], less: int) -> None:
    with localcontext() as context:
        context.prec = 60
        worst = max((error_ulp(function(x), Decimal(x).exp() - less), x) for x in arguments(1))
    assert worst[0] < 1.0, f"{worst[0]} ulp at {worst[1]!r}"


def test_the_exponentials_know_their_limits() -> None:
    assert exp(0.0) == 1.0 and expm1(0.0) == 0.0
    assert exp(709.8) == math.inf and expm1(709.8) == math.inf
    assert exp(709.78) == math.exp(709.78) and expm1(709.78) == math.expm1(709.78)
    assert exp(-745.2) == 0.0 and exp(-745.0) == 5e-324
    assert expm1(-50.0) == -1.0 and expm1(1e-300) == 1e-300
    assert math.isnan(exp(math.nan)) and math.isnan(expm1(math.nan))


def test_known_bits_of_the_exponentials_do_not_move() -> None:
    assert [exp(x).hex() for x in (1.0, -0.125, 50.0)] == [
        "0x1.5bf0a8b14576ap+1",
        "0x1.c3d6a24ed8222p-1",
        "0x1.19103e4080b45p+72",
    ]
    assert [expm1(x).hex() for x in (-0.125, -1 / 12, 1.0)] == [
        "-0x1.e14aed893eef4p-4",
        "-0x1.477f8204cb21bp-4",
        "0x1.b7e151628aed2p+0",
    ]


def test_alpha_is_one_minus_exp_of_minus_dt_over_tau() -> None:
    assert ewma_alpha(250_000_000, 2.0) == pytest.approx(1 - math.exp(-0.125), rel=1e-15)
    assert ewma_alpha(0, 2.0) == 0.0
    assert ewma_alpha(10**15, 2.0) == 1.0


def test_after_one_time_constant_a_step_is_63_percent_there() -> None:
    alpha, value = ewma_alpha(250_000_000, 2.0), 0.0
    for _ in range(8):
        value = ewma(value, 1.0, alpha)
    assert value == pytest.approx(1 - math.exp(-1), rel=1e-12)


def test_the_order_of_operations_is_alpha_x_plus_the_rest() -> None:
    assert ewma(1.1, 2.3, 0.3) == 0.3 * 2.3 + (1.0 - 0.3) * 1.1


def test_an_average_never_leaves_what_it_is_of() -> None:
    alphas = np.linspace(0.0, 1.0, 1_001)
    assert all(ewma(value, value, alpha) == value for value in (0.1, 40.0, 60.0, 100.0) for alpha in alphas)
    assert max(ewma(99.99999999999999, 100.0, alpha) for alpha in alphas) == 100.0


def test_a_ratio_is_capped() -> None:
    assert capped_ratio(30.0, 2.0, 10.0) == 10.0
    assert capped_ratio(3.0, 2.0, 10.0) == 1.5


def test_over_nothing_removed_the_ratio_is_the_cap_or_zero() -> None:
    assert capped_ratio(1.0, 0.0, 10.0) == 10.0
    assert capped_ratio(0.0, 0.0, 10.0) == 0.0


def test_a_quiet_level_keeps_its_ratio_until_both_parts_vanish_together() -> None:
    added, removed, alpha = 40.0, 20.0, ewma_alpha(250_000_000, 3.0)
    seen = set()
    for _ in range(10_000):
        added, removed = decay_together(ewma(added, 0.0, alpha), ewma(removed, 0.0, alpha))
        seen.add(round(capped_ratio(added, removed, 10.0), 6))
    assert seen == {2.0, 0.0}
    assert (added, removed) == (0.0, 0.0)


def medians(samples: list[float], window: int) -> list[float]:
    rings = np.full((3, 2, ROBUST_MAX), math.nan)
    scratch = np.full(ROBUST_MAX, math.nan)
    out = [
        rolling_median(rings, 1, 0, min(seen, window), window, sample, scratch) for seen, sample in enumerate(samples)
    ]
    others = rings[[0, 0, 1, 2, 2], [0, 1, 1, 0, 1]]
    assert np.isnan(others).all()
    return out


def test_the_rolling_median_is_of_the_last_samples_and_of_fewer_at_first() -> None:
    """core.md §7, RobustRollingMedian; of an even number the mean of the two middle ones."""
    assert medians([5.0, 1.0, 9.0, 2.0, 2.0, 100.0], 3) == [5.0, 3.0, 5.0, 2.0, 2.0, 2.0]
    assert medians([5.0, 1.0, 9.0, 2.0, 2.0], 4) == [5.0, 3.0, 5.0, 3.5, 2.0]


def test_one_outlier_does_not_move_the_median() -> None:
    assert medians([7.0, 7.0, -1e9, 7.0, 7.0], 5)[2:] == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("window", range(1, ROBUST_MAX + 1))
def test_the_rolling_median_is_that_of_a_sorted_list(window: int) -> None:
    rng = random.Random(window)
    samples = [rng.choice((rng.gauss(0, 1), 0.5, -0.5)) for _ in range(60)]
    expected = [statistics.median(samples[max(0, n + 1 - window) : n + 1]) for n in range(len(samples))]
    assert medians(samples, window) == expected
