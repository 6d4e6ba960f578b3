"""exp, expm1, log and the normal distribution in plain float64 operations, so that their bytes agree between machines
(a libm's do not).

Ports of FreeBSD's ``e_exp.c``, ``s_expm1.c``, ``e_log.c`` and ``s_erf.c`` (Sun Microsystems, 1993: "Permission to use,
copy, modify, and distribute this software is freely granted, provided that this notice is preserved"). Errors stay
below 1 ulp for exp, expm1 and log. Only +, -, *, / and comparisons are used, each correctly rounded by IEEE 754; a
kernel that calls them must not be compiled with fastmath.
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


_LEAST_NORMAL = 2.0**-1022
_SQRT_TWO = 1.4142135623730951

_LG1 = 6.666666666666735130e-01
_LG2 = 3.999999999940941908e-01
_LG3 = 2.857142874366239149e-01
_LG4 = 2.222219843214978396e-01
_LG5 = 1.818357216161805012e-01
_LG6 = 1.531383769920937332e-01
_LG7 = 1.479819860511658591e-01


@kernel
def _exponent(x: float) -> int:
    """The k with 2**k <= x < 2**(k+1), for positive finite x."""
    return int(np.searchsorted(_POWERS_OF_TWO, x, side="right")) - 1 + _LEAST_EXPONENT


@kernel
def log(x: float) -> float:
    """Natural logarithm; -inf for 0, nan below 0 and for nan, inf for inf."""
    if np.isnan(x) or x < 0.0:
        return np.nan
    if x == 0.0:
        return -np.inf
    if x == np.inf:
        return x
    k = 0
    if x < _LEAST_NORMAL:
        x *= 2.0**54
        k = -54
    shift = _exponent(x)
    k += shift
    # two factors, because 2**-1023 is too small for an exact product
    half = shift // 2
    x = x * _power_of_two(-half) * _power_of_two(half - shift)
    if x > _SQRT_TWO:
        x *= 0.5
        k += 1
    f = x - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (_LG2 + w * (_LG4 + w * _LG6))
    odd = z * (_LG1 + w * (_LG3 + w * (_LG5 + w * _LG7)))
    r = odd + even
    half_square = 0.5 * f * f
    return s * (half_square + r) + k * _LN2_LOW - half_square + f + k * _LN2_HIGH


_ERX = 8.45062911510467529297e-01  # erf(1), the first bits
_PP = (
    1.28379167095512558561e-01,
    -3.25042107247001499370e-01,
    -2.84817495755985104766e-02,
    -5.77027029648944159157e-03,
    -2.37630166566501626084e-05,
)
_QQ = (
    1.0,
    3.97917223959155352819e-01,
    6.50222499887672944485e-02,
    5.08130628187576562776e-03,
    1.32494738004321644526e-04,
    -3.96022827877536812320e-06,
)
_PA = (
    -2.36211856075265944077e-03,
    4.14856118683748331666e-01,
    -3.72207876035701323847e-01,
    3.18346619901161753674e-01,
    -1.10894694282396677476e-01,
    3.54783043256182359371e-02,
    -2.16637559486879084300e-03,
)
_QA = (
    1.0,
    1.06420880400844228286e-01,
    5.40397917702171048937e-01,
    7.18286544141962662868e-02,
    1.26171219808761642112e-01,
    1.36370839120290507362e-02,
    1.19844998467991074170e-02,
)
_RA = (
    -9.86494403484714822705e-03,
    -6.93858572707181764372e-01,
    -1.05586262253232909814e01,
    -6.23753324503260060396e01,
    -1.62396669462573470355e02,
    -1.84605092906711035994e02,
    -8.12874355063065934246e01,
    -9.81432934416914548592e00,
)
_SA = (
    1.0,
    1.96512716674392571292e01,
    1.37657754143519042600e02,
    4.34565877475229228821e02,
    6.45387271733267880336e02,
    4.29008140027567833386e02,
    1.08635005541779435134e02,
    6.57024977031928170135e00,
    -6.04244152148580987438e-02,
)
_RB = (
    -9.86494292470009928597e-03,
    -7.99283237680523006574e-01,
    -1.77579549177547519889e01,
    -1.60636384855821916062e02,
    -6.37566443368389627722e02,
    -1.02509513161107724954e03,
    -4.83519191608651397019e02,
)
_SB = (
    1.0,
    3.03380607434824582924e01,
    3.25792512996573918826e02,
    1.53672958608443695994e03,
    3.19985821950859553908e03,
    2.55305040643316442583e03,
    4.74528541206955367215e02,
    -2.24409524465858183362e01,
)


@kernel
def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """Horner's scheme; the constant term stands first."""
    value = coefficients[-1]
    for n in range(len(coefficients) - 2, -1, -1):
        value = coefficients[n] + x * value
    return value


@kernel
def erfc(x: float) -> float:
    """1 - erf(x), with a small relative error also where it is tiny; nan for nan."""
    if np.isnan(x):
        return x
    size = abs(x)
    if size < 0.84375:
        z = x * x
        y = _polynomial(_PP, z) / _polynomial(_QQ, z)
        if x < 0.25:
            return 1.0 - (x + x * y)
        return 0.5 - (x - 0.5 + x * y)
    if size < 1.25:
        s = size - 1.0
        y = _polynomial(_PA, s) / _polynomial(_QA, s)
        return 1.0 - _ERX - y if x >= 0 else 1.0 + (_ERX + y)
    if size >= 28.0:
        return 0.0 if x > 0 else 2.0
    s = 1.0 / (size * size)
    if size < 1.0 / 0.35:
        y = _polynomial(_RA, s) / _polynomial(_SA, s)
    else:
        y = _polynomial(_RB, s) / _polynomial(_SB, s)
    # the upper 26 bits of x, whose square is exact
    wide = size * 134217729.0
    upper = wide - (wide - size)
    r = exp(-upper * upper - 0.5625) * exp((upper - size) * (upper + size) + y) / size
    return r if x > 0 else 2.0 - r


_SQRT_HALF = 0.7071067811865476
_INV_SQRT_TWO_PI = 0.3989422804014327


@kernel
def normal_cdf(x: float) -> float:
    """Probability that a standard normal variable is at most x."""
    return 0.5 * erfc(-x * _SQRT_HALF)


@kernel
def normal_density(x: float) -> float:
    """Density of the standard normal distribution."""
    return _INV_SQRT_TWO_PI * exp(-0.5 * x * x)
