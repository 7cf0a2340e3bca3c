"""Numbers of 60 digits, and the way from arrays of a dtype to them and back."""

import math
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

LD = NDArray[np.longdouble]
Number = Any
"""An mpf."""

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
"""The spacing at 1."""

mp = mpmath.MPContext()  # our own: the precision of others is not touched
mp.dps = 60
ZERO, ONE = mp.mpf(0), mp.mpf(1)
HUGE = mp.mpf(10) ** 2000
"""What stands for infinity."""
INFINITE = mp.mpf(10) ** 1500
"""What is larger is infinite."""
_NEGLIGIBLE = mp.mpf(10) ** 7


def exp(x: Number) -> Number:
    """exp of a number that is at most moderately positive; what underflows everything is 0."""
    return ZERO if x < -_NEGLIGIBLE else mp.exp(x)


def to_longdouble(array: Any) -> LD:
    """Any float array, exactly."""
    return np.asarray(np.asarray(array, dtype=np.float64), dtype=np.longdouble)


def number(value: float) -> Number:
    """Exactly; an infinity as `HUGE`."""
    return mp.mpf(value) if math.isfinite(value) else HUGE * int(math.copysign(1, value))


def numbers(array: NDArray[Any]) -> list[Any]:
    """The numbers of an array, nested as they are there."""
    return [numbers(part) if part.ndim else number(float(part)) for part in array]


def longdouble(value: Any) -> Any:
    """Rounded to 64 bits; what stands for an infinity is one, and what stands for its inverse is 0."""
    if value is None or mp.isnan(value):
        return np.longdouble("nan")
    if mp.isinf(value) or abs(value) > INFINITE:
        return np.longdouble("inf") if value > 0 else np.longdouble("-inf")
    man, exponent = (+value).man_exp
    if man == 0 or abs(value) * INFINITE < 1:
        return np.longdouble(0)
    sign = -1 if value < 0 else 1  # man_exp has none
    excess = man.bit_length() - 64
    if excess > 0:
        man = (man + (1 << (excess - 1))) >> excess
        exponent += excess
    high, low = divmod(man, 1 << 32)
    return np.ldexp(np.ldexp(np.longdouble(high), 32) + np.longdouble(low), exponent) * sign


def longdoubles(nested: Any) -> LD:
    """Numbers in nested lists, rounded to 64 bits, in one row."""
    if not isinstance(nested, list):
        return np.array([longdouble(nested)])
    return np.concatenate([longdoubles(part) for part in nested]) if nested else np.zeros(0, dtype=np.longdouble)
