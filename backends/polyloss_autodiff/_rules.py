"""The derivatives of operations on single elements, by each of their operands.

A rule takes the namespace, the result, and the operands. What is constant around a point, as a sign, has no rule and no
derivative. At a kink it is the derivative of least norm: at a tie of two entries each has half, and one that meets a
constant has nothing.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from polyloss.adapters import Array, Namespace

Rule: TypeAlias = Callable[..., Any]
"""Returns the derivative by one operand, an array or a number."""


def _one(xp: Namespace, out: Array, *values: Any) -> float:
    return 1.0


def _minus_one(xp: Namespace, out: Array, *values: Any) -> float:
    return -1.0


def _by_base(xp: Namespace, out: Array, x: Any, power: Any) -> Any:
    if isinstance(power, (int, float)):
        # At 0 the general rule would divide by it.
        return float(power) if power in (0, 1) else 2.0 * x if power == 2 else power * x ** (power - 1)
    # To the power of 0 all is 1, 0 too.
    return power * x ** (xp.where(power == 0, 1.0, power) - 1.0)


def _by_power(xp: Namespace, out: Array, x: Any, power: Any) -> Any:
    if isinstance(x, (int, float)):
        return out * float(xp.log(xp.asarray(float(x), dtype=out.dtype))) if x > 0 else 0.0 * out
    positive = x > 0
    # At 0 the power is 0 or infinite, whatever a small change of the exponent is.
    return xp.where(positive, out * xp.log(xp.where(positive, x, 1.0)), 0.0)


def _tanh(xp: Namespace, out: Array, x: Array) -> Array:
    # 1 - tanh^2 would cancel.
    odds = xp.exp(-2.0 * xp.abs(x))
    return 4.0 * odds / ((1.0 + odds) * (1.0 + odds))


def _sinh(xp: Namespace, out: Array, x: Array) -> Array:
    return 0.5 * (xp.exp(x) + xp.exp(-x))


def _share_of_larger(xp: Namespace, x: Any, y: Any, like: Array, at_ties: float = 0.5) -> Array:
    return xp.where(x > y, xp.ones_like(like), xp.where(x == y, xp.full_like(like, at_ties), xp.zeros_like(like)))


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (_one, _one),
    "subtract": (_one, _minus_one),
    "multiply": (lambda xp, out, x, y: y, lambda xp, out, x, y: x),
    "divide": (lambda xp, out, x, y: 1.0 / y, lambda xp, out, x, y: -(out / y)),
    "remainder": (_one, lambda xp, out, x, y: -xp.floor(x / y)),
    "negative": (_minus_one,),
    "pow": (_by_base, _by_power),
    "abs": (lambda xp, out, x: xp.sign(x),),
    "exp": (lambda xp, out, x: out,),
    "expm1": (lambda xp, out, x: xp.exp(x),),
    "log": (lambda xp, out, x: 1.0 / x,),
    "log1p": (lambda xp, out, x: 1.0 / (1.0 + x),),
    "sqrt": (lambda xp, out, x: 0.5 / out,),
    "sinh": (_sinh,),
    "tanh": (_tanh,),
    "maximum": (
        lambda xp, out, x, y: _share_of_larger(xp, x, y, out),
        lambda xp, out, x, y: _share_of_larger(xp, y, x, out),
    ),
    "minimum": (
        lambda xp, out, x, y: _share_of_larger(xp, y, x, out),
        lambda xp, out, x, y: _share_of_larger(xp, x, y, out),
    ),
}

BESIDE_CONSTANTS: dict[str, tuple[Rule, ...]] = {
    "maximum": (
        lambda xp, out, x, y: _share_of_larger(xp, x, y, out, 0.0),
        lambda xp, out, x, y: _share_of_larger(xp, y, x, out, 0.0),
    ),
    "minimum": (
        lambda xp, out, x, y: _share_of_larger(xp, y, x, out, 0.0),
        lambda xp, out, x, y: _share_of_larger(xp, x, y, out, 0.0),
    ),
}
"""Of operations with a kink, where the other operand is constant."""
