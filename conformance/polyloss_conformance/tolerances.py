"""The one table of tolerances: dtype by kind. None depends on the size of an array.

The unit is ``k = |error| / (eps * scale)``: the scale of a result is its own magnitude plus what a relative change of
each input moves it: about 1 is what one rounding of every input costs already. Half precision is computed in float32
and rounded once, so it is judged in units in the last place of the output, without conditioning.
"""

from typing import Any, Literal

Kind = Literal["value", "gradient"]

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
LARGEST = {
    "float16": (2 - 2.0**-10) * 2.0**15,
    "bfloat16": (2 - 2.0**-7) * 2.0**127,
    "float32": (2 - 2.0**-23) * 2.0**127,
    "float64": (2 - 2.0**-52) * 2.0**1023,
}
NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
HALVES = ("float16", "bfloat16")

CONDITIONED: dict[Kind, float] = {"value": 4.0, "gradient": 8.0}
"""float32 and float64: the largest k."""

OWN: dict[Kind, float] = {"value": 16.0, "gradient": 64.0}
"""For a loss without a reference: the largest k of a value, and the error of a gradient in eps of its largest element.
What these are compared with, NumPy's float64 and difference quotients, is not exact itself."""

PLAIN_ULP = 8.0
"""float32 and float64, besides: the largest error in units in the last place where the scale is at most
`WELL_CONDITIONED` times the result."""

WELL_CONDITIONED = 4.0

HALF_ULP = 1.0
"""float16 and bfloat16: the largest error in units in the last place of the output."""

HALF_CONDITIONED = 8.0
"""What the float32 computation before that one rounding may cost, in eps of float32 times scale."""

KINK_ULP = 2.0
"""At a kink the sub-gradient is a choice, which must be met: only its product with a coefficient rounds."""

SECOND_ORDER = 1e-6
"""float64: the largest difference of a Hessian-vector product from a difference quotient, relative to the largest
entry, or to 1. The quotient itself is good to about 1e-9."""

CURVATURE = 256.0
"""Second derivatives in any dtype: the largest error in eps of the largest entry, of what is computed in."""

QUOTIENT = 1e-9
"""How good the one-sided difference quotients are that these are compared with, relative to the largest entry."""


def curvature(dtype: str, largest: float, size: Any, flushes: bool) -> Any:
    """The largest error of second derivatives, where that of the largest entry is `largest`, and theirs is `size`."""
    computed = EPS["float32"] if dtype in HALVES else EPS[dtype]
    rounded = HALF_ULP * EPS[dtype] * size if dtype in HALVES else 0.0
    return (QUOTIENT + CURVATURE * computed) * largest + rounded + floor(dtype, flushes)


def bound(dtype: str, kind: Kind) -> float:
    """The limit of the number that the report shows: k, or units in the last place for half precision."""
    return HALF_ULP if dtype in HALVES else CONDITIONED[kind]


def step(dtype: str) -> float:
    """The smallest subnormal number: among those it takes the place of eps times scale."""
    return NORMAL[dtype] * EPS[dtype]


def floor(dtype: str, flushes: bool) -> float:
    """The absolute error that is always allowed: one subnormal step, or more where subnormal numbers become zero."""
    if flushes and dtype != "float16":
        return 2.0**8 * NORMAL[dtype]
    return step(dtype)
