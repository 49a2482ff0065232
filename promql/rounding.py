"""Logarithms and powers of two that round as Go's do, so that the last digit is Prometheus's.

Go computes them with FreeBSD's polynomials and not with the C library's (math/log.go, math/exp.go);
the two differ in the last digit of a number in forty.
"""

from typing import Final

import numpy as np

from model.samples import Floats

_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_LOG: Final = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_EXP: Final = (
    1.66666666666666657415e-01,
    -2.77777777770155933842e-03,
    6.61375632143793436117e-05,
    -1.65339022054652515390e-06,
    4.13813679705723846039e-08,
)
_PER_LN2: Final = 1.4426950408889634
_PER_LN10: Final = 0.4342944819032518
_EXP2_LIMITS: Final = (-1.0740e03, 1.0239999999999999e03)


def log(values: Floats) -> Floats:
    """Return natural logarithms."""
    mantissa, exponent = np.frexp(values)
    small = mantissa < np.sqrt(2) / 2
    f = np.where(small, mantissa * 2, mantissa) - 1
    k = exponent - small.astype(np.float64)
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    l1, l2, l3, l4, l5, l6, l7 = _LOG
    rest = s2 * (l1 + s4 * (l3 + s4 * (l5 + s4 * l7))) + s4 * (l2 + s4 * (l4 + s4 * l6))
    half = 0.5 * f * f
    found = k * _LN2_HIGH - ((half - (s * (half + rest) + k * _LN2_LOW)) - f)
    return np.where(np.isfinite(values) & (values > 0), found, np.log(values))


def log2(values: Floats) -> Floats:
    """Return logarithms to base 2: the exponent and the logarithm of the mantissa apart."""
    mantissa, exponent = np.frexp(values)
    found = log(mantissa) * _PER_LN2 + exponent
    exact = np.where(mantissa == 0.5, exponent - 1.0, found)
    return np.where(np.isfinite(values) & (values > 0), exact, np.log2(values))


def log10(values: Floats) -> Floats:
    """Return logarithms to base 10."""
    return log(values) * _PER_LN10


def exp2(values: Floats) -> Floats:
    """Return powers of two."""
    least, most = _EXP2_LIMITS
    inside = (values >= least) & (values <= most)
    x = np.where(inside, values, 0.0)
    k = np.trunc(x + np.copysign(0.5, x))
    t = x - k
    high, low = t * _LN2_HIGH, -t * _LN2_LOW
    r = high - low
    t = r * r
    p1, p2, p3, p4, p5 = _EXP
    c = r - t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * p5))))
    y = 1 - ((low - (r * c) / (2 - c)) - high)
    return np.where(inside, np.ldexp(y, k.astype(np.int64)), np.exp2(values))
