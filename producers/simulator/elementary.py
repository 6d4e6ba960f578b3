"""log, exp and the normal distribution in basic operations, which give the same bits on every machine.

Good to about 1e-12 where the simulator needs them; they may run in kernels.
"""

from __future__ import annotations

from common.jit import kernel

_LN_2 = 0.6931471805599453
_ROOT_2_PI = 2.5066282746310002
_NORMAL_END = 8.0
"""Beyond so many deviations the normal distribution is taken to be over."""


@kernel
def log(x: float) -> float:
    """Natural logarithm of a positive number."""
    exponent = 0
    while x < 0.75:
        x *= 2.0
        exponent -= 1
    while x > 1.5:
        x *= 0.5
        exponent += 1
    y = (x - 1.0) / (x + 1.0)
    term, total = y, 0.0
    for n in range(1, 30, 2):
        total += term / n
        term *= y * y
    return 2.0 * total + exponent * _LN_2


@kernel
def exp(x: float) -> float:
    """The exponential function of a number from -700 to 700."""
    halvings = int(x / _LN_2)
    rest = x - halvings * _LN_2
    term, total = 1.0, 1.0
    for n in range(1, 20):
        term *= rest / n
        total += term
    for _ in range(abs(halvings)):
        total *= 2.0 if halvings > 0 else 0.5
    return total


@kernel
def normal_density(x: float) -> float:
    """Density of the standard normal distribution."""
    return exp(-0.5 * x * x) / _ROOT_2_PI if abs(x) < 30.0 else 0.0


@kernel
def normal(x: float) -> float:
    """The standard normal distribution's function (Marsaglia 2004: its series around 0)."""
    if x > _NORMAL_END:
        return 1.0
    if x < -_NORMAL_END:
        return 0.0
    term, total, before, n = x, x, 0.0, 1.0
    while total != before:
        before = total
        n += 2.0
        term *= x * x / n
        total += term
    return 0.5 + total * normal_density(x)
