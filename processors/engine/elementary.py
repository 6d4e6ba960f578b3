"""exp and expm1 in plain float64 operations, so that their bytes agree between machines (a libm's do not).

Ports of FreeBSD's ``e_exp.c`` and ``s_expm1.c`` (Sun Microsystems, 1993: "Permission to use, copy, modify, and
distribute this software is freely granted, provided that this notice is preserved"). Errors stay below 1 ulp. Only
+, -, *, / and comparisons are used, each correctly rounded by IEEE 754; a kernel that calls them must not be compiled
with fastmath.
"""

from __future__ import annotations

import numpy as np

from common.jit import kernel

_OVERFLOW = 7.09782712893383973096e02
_UNDERFLOW = -7.45133219101941108420e02
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_INV_LN2 = 1.44269504088896338700e00
_HALF_LN2 = 0.34657359027997264
_THREE_HALVES_LN2 = 1.0397207708399179

_P1 = 1.66666666666666019037e-01
_P2 = -2.77777777770155933842e-03
_P3 = 6.61375632143793436117e-05
_P4 = -1.65339022054652515390e-06
_P5 = 4.13813679705723846039e-08

_Q1 = -3.33333333333331316428e-02
_Q2 = 1.58730158725481460165e-03
_Q3 = -7.93650757867487942473e-05
_Q4 = 4.00821782732936239552e-06
_Q5 = -2.01099218183624371326e-07

_LEAST_EXPONENT = -1074
_POWERS_OF_TWO = np.ldexp(1.0, np.arange(_LEAST_EXPONENT, 1024))
"""2**k for every k that float64 holds, at index k + 1074; ldexp is exact."""


@kernel
def _power_of_two(k: int) -> float:
    return float(_POWERS_OF_TWO[k - _LEAST_EXPONENT])


@kernel
def exp(x: float) -> float:
    """e**x; inf above 709.78, 0 below -745.13, nan for nan."""
    if np.isnan(x):
        return x
    if x > _OVERFLOW:
        return np.inf
    if x < _UNDERFLOW:
        return 0.0
    high = x
    low = 0.0
    k = 0
    if abs(x) > _HALF_LN2:
        if abs(x) < _THREE_HALVES_LN2:
            k = 1 if x > 0 else -1
        else:
            k = int(_INV_LN2 * x + (0.5 if x > 0 else -0.5))
        high = x - k * _LN2_HIGH
        low = k * _LN2_LOW
        x = high - low
    elif abs(x) < 2.0**-28:
        return 1.0 + x
    t = x * x
    c = x - t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * _P5))))
    if k == 0:
        return 1.0 - ((x * c) / (c - 2.0) - x)
    y = 1.0 - ((low - (x * c) / (2.0 - c)) - high)
    if k == 1024:
        return y * 2.0 * _power_of_two(1023)
    if k >= -1021:
        return y * _power_of_two(k)
    return y * _power_of_two(k + 1000) * _power_of_two(-1000)


@kernel
def expm1(x: float) -> float:
    """e**x - 1 without cancellation near 0; inf above 709.78, nan for nan."""
    if np.isnan(x):
        return x
    if x > _OVERFLOW:
        return np.inf
    if x < -38.816242111356935:  # 56 ln 2: nothing of e**x is left beside -1
        return -1.0
    correction = 0.0
    k = 0
    if abs(x) > _HALF_LN2:
        if abs(x) < _THREE_HALVES_LN2:
            k = 1 if x > 0 else -1
        else:
            k = int(_INV_LN2 * x + (0.5 if x > 0 else -0.5))
        high = x - k * _LN2_HIGH
        low = k * _LN2_LOW
        x = high - low
        correction = (high - x) - low
    elif abs(x) < 2.0**-54:
        return x
    half = 0.5 * x
    square = x * half
    r = 1.0 + square * (_Q1 + square * (_Q2 + square * (_Q3 + square * (_Q4 + square * _Q5))))
    t = 3.0 - r * half
    e = square * ((r - t) / (6.0 - x * t))
    if k == 0:
        return x - (x * e - square)
    e = x * (e - correction) - correction
    e -= square
    if k == -1:
        return 0.5 * (x - e) - 0.5
    if k == 1:
        if x < -0.25:
            return -2.0 * (e - (x + 0.5))
        return 1.0 + 2.0 * (x - e)
    if k <= -2 or k > 56:
        y = 1.0 - (e - x)
        y = y * 2.0 * _power_of_two(1023) if k == 1024 else y * _power_of_two(k)
        return y - 1.0
    if k < 20:
        return ((1.0 - _power_of_two(-k)) - (e - x)) * _power_of_two(k)
    return ((x - (e + _power_of_two(-k))) + 1.0) * _power_of_two(k)
