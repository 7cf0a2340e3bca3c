"""What kernels are made of: exponentials and logarithms that are right far out, in value and in every gradient.

Each takes the namespace, works along the last axis, and is safe to differentiate.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .core.backend import stop_gradient
from .core.entries import one_hot, pick
from .core.typing import Array, KernelResult, Namespace


def is_number(value: Any) -> bool:
    """Whether a parameter is one number, not an array. Compilers have number types of their own."""
    return not hasattr(value, "shape")


def is_infinite(xp: Namespace, array: Array, sign: int) -> Array:
    """Where `array` is infinity of this sign. No such constant, which a debugger would find."""
    limit = sign * float(xp.finfo(array.dtype).max)
    return array > limit if sign > 0 else array < limit


def is_zero(value: Any) -> bool:
    """Whether a parameter is the number 0, and not an array that may hold it."""
    return is_number(value) and not value


def at_least(xp: Namespace, value: Array | float, bound: float) -> Array | float:
    """The larger one of a parameter and a number."""
    return max(value, bound) if is_number(value) else xp.maximum(value, bound)


def times(xp: Namespace, factor: Array | float, array: Array) -> Array:
    """``factor * array``, where a factor of 0 wins over anything: even over infinity and NaN."""
    if is_number(factor):
        return factor * array if factor else xp.zeros_like(array)
    return factor * xp.where(factor == 0, 0.0, array)


def times_slope(xp: Namespace, factor: Array | float, slope: Array) -> Array:
    """The same of a derivative, which may be differentiated by the factor: that gives the slope, also by a factor of 0,
    unless the slope is not finite."""
    if is_number(factor):
        return times(xp, factor, slope)
    return factor * xp.where((factor != 0) | xp.isfinite(slope), slope, 0.0)


def positive_part(xp: Namespace, x: Array) -> Array:
    """``max(x, 0)``. A NaN is neither above nor below, and stays."""
    return xp.where(x <= 0, 0.0, x)


def exp_minus_line_near_0(xp: Namespace, x: Array) -> Array:
    """``exp(x) - 1 - x`` of numbers between -1 and 1, which starts as ``x^2 / 2``. There nothing cancels."""
    # x^2 / 2 (1 + x/3 (1 + x/4 (1 + ...)))
    series = xp.ones_like(x)
    for n in range(20, 2, -1):
        series = 1.0 + x / n * series
    return 0.5 * x * x * series


class LogFactorial(NamedTuple):
    """The logarithm of the factorial, ``t log t - t + rest``: the rest grows as half of the logarithm of t does."""

    rest: Array
    slope_of_rest: Callable[[], Array]
    """Of positive numbers."""
    slope: Callable[[], Array]
    """That of the whole."""


_FACTORIAL = (
    *(0.09579718655078194, -0.016992639177311114, 2.57738164866848e-3, -3.7597930385627036e-4, 6.602678118848778e-5),
    *(-1.2030426753817865e-5, 1.809293131503276e-6, -3.5910251205680207e-7, 7.487950898563829e-8),
    *(-6.6478066195490305e-9, 3.050791951936663e-9, -5.182513084087735e-10, -1.192748737303887e-10),
    *(-1.1412123960514362e-10, -1.760269852756182e-11, 1.2126388378920265e-11, 6.619502145699148e-12),
)
"""Of the powers of ``(t - 1.5) / (t + 1.5)`` in `log_factorial_of`: interpolated at Chebyshev's points, to 1e-17."""


def log_factorial_of(xp: Namespace, t: Array) -> LogFactorial:
    """The logarithm of t!, which is that of the gamma function at t + 1, for t from 0 on. The rest is within 2 eps.

    The rest is ``t log(1 + 1/t) + log(1 + t) / 2 - d(t)``, and ``d`` grows from 0 to no more than 0.0811: a polynomial.
    """
    share = t / (t + 1.5)
    turn, polynomial, slope = share - 1.5 / (t + 1.5), xp.zeros_like(t), xp.zeros_like(t)
    for factor in reversed(_FACTORIAL):
        polynomial, slope = turn * polynomial + factor, turn * slope + polynomial
    small, one_more = t < 1.0, xp.log1p(t)
    # log(1 + 1/t), whose inverse may be too large.
    growth = xp.where(small, one_more - xp.log(_not_0(xp, t)), xp.log1p(1.0 / xp.where(small, 1.0, t)))

    def decrease() -> Array:
        return -0.5 / (1.0 + t) - 1.5 / (t + 1.5) * ((polynomial + 2.0 * share * slope) / (t + 1.5))

    rest = t * growth + 0.5 * one_more - share * polynomial
    return LogFactorial(rest, lambda: growth + decrease(), lambda: one_more + decrease())


def log_factorial_of_stirling(xp: Namespace, t: Array) -> LogFactorial:
    """Stirling's approximation of numbers above 1; that of any other one is 0."""
    above, log = t > 1.0, xp.log(_not_0(xp, t))
    rest = xp.where(above, 0.5 * (math.log(2.0 * math.pi) + log), t * (1.0 - log))
    inverse = 0.5 / xp.where(above, t, 1.0)
    return LogFactorial(rest, lambda: xp.where(above, inverse, -log), lambda: xp.where(above, log + inverse, 0.0))


def _not_0(xp: Namespace, t: Array) -> Array:
    return xp.where(t == 0, 1.0, t)


class Softmax(NamedTuple):
    """Entries of rows, as their distance to the largest of the row; and what the whole row sums to.

    The softmax is ``terms / total``, and nothing overflows. P. Blanchard, D. J. Higham and N. J. Higham, "Accurately
    computing the log-sum-exp and softmax functions", IMA Journal of Numerical Analysis 41, 2021.
    """

    shift: Array
    """x - max x."""
    terms: Array
    """exp(shift)"""
    total: Array
    """The sum of all terms of the row."""
    rest: Array
    """The same without the entry that has the majority, or without the one that was picked."""
    others: Array
    """The sum of all terms but this one, for each entry. It does not cancel."""
    infinity: Array
    """inf where the largest is, else 0: what the others are away from it."""


def shifted(xp: Namespace, x: Array) -> tuple[Array, Array]:
    """The largest entry of each row, and the distances to it. That of the largest is 0, even of an infinite one."""
    largest = stop_gradient(xp.max(x, axis=-1, keepdims=True))
    limit = float(xp.finfo(x.dtype).max)
    return largest, xp.clip(x, None, limit) - xp.clip(largest, -limit, limit)


def exponentials(xp: Namespace, x: Array) -> tuple[Array, Array, Array]:
    """The largest entry of each row, the distances to it, and their exponentials."""
    largest, shift = shifted(xp, x)
    return largest, shift, xp.exp(shift)


def softmax_of(xp: Namespace, x: Array) -> Softmax:
    """Shifted exponentials along the last axis, the axis kept.

    Infinite entries have their limits: one of +inf takes everything, one of -inf nothing.
    """
    largest, shift, terms = exponentials(xp, x)
    total = xp.sum(terms, axis=-1, keepdims=True) + _nothing(xp, largest)
    majority = _has_majority(xp, shift, total)
    rest = xp.sum(xp.where(majority, 0.0, terms), axis=-1, keepdims=True)
    others = xp.where(majority, rest, total - terms)
    return Softmax(shift, terms, total, rest, others, _infinity(xp, largest))


class Picked(NamedTuple):
    """The softmax of one entry of each row."""

    entry: Softmax
    hot: Array
    """Where it is."""
    unpicked: Array
    """The terms of all others, else 0."""
    shift: Array
    """That of all entries."""


def softmax_at(xp: Namespace, x: Array, ids: Array) -> Picked:
    """That of the entries of `x` that class ids name.

    What the others sum to is summed without it, so nothing cancels, and the row is summed once.
    """
    largest, shift, terms = exponentials(xp, x)
    hot = one_hot(xp, ids, x)
    picked = pick(xp, shift, ids, hot)
    term, unpicked = xp.exp(picked), xp.where(hot, 0.0, terms)
    rest = xp.sum(unpicked, axis=-1, keepdims=True)
    others = rest + _nothing(xp, largest)
    return Picked(Softmax(picked, term, others + term, rest, others, _infinity(xp, largest)), hot, unpicked, shift)


def _nothing(xp: Namespace, largest: Array) -> Array:
    """1 in a row of nothing but -inf, else 0. There nothing would be divided by 0: all shares are 0."""
    return xp.astype(is_infinite(xp, largest, -1), largest.dtype)


def _infinity(xp: Namespace, largest: Array) -> Array:
    limit = float(xp.finfo(largest.dtype).max)
    return xp.clip(largest, limit, None) - limit


def has_majority(xp: Namespace, row: Softmax) -> Array:
    """True at an entry with more than half of the total."""
    return _has_majority(xp, row.shift, row.total)


def _has_majority(xp: Namespace, shift: Array, total: Array) -> Array:
    # The largest, if the total is less than 2: one comparison of each entry.
    return shift >= xp.where(total < 2, xp.zeros_like(total), 1.0)


_NEAR = 60.0
"""Further from the largest entry, the negative logarithm of a share is a straight line in any precision."""


def minus_log_softmax(xp: Namespace, row: Softmax) -> Array:
    """The negative logarithm of each entry's share of the total."""
    # -log p = log(1 + (1 - p) / p) does not round to 0 where p rounds to 1. Far out p vanishes: the distance is added.
    near = xp.clip(row.shift, -_NEAR, None)
    far = (row.shift - near) - xp.where(row.shift == 0, 0.0, row.infinity)
    return xp.log1p(row.others / xp.exp(near)) - far


def mixed_minus_log_softmax(xp: Namespace, row: Softmax, mass: Array) -> Array:
    """``sum(mass * minus_log_softmax)`` along a row, of a mass that is nowhere negative."""
    # log(total) sum(mass) - sum(mass * shift): both are positive, so that nothing cancels, and of each row there is one
    # logarithm.
    masked = is_infinite(xp, row.shift, -1)
    distance = 0.0 - xp.sum(mass * xp.where(masked, 0.0, row.shift), axis=-1)
    on_masked = xp.sum(xp.where(masked, mass, 0.0), axis=-1) > 0
    # Infinity, which is not written down: see `is_infinite`.
    infinite = xp.where(on_masked, 0.0 - xp.min(row.shift, axis=-1), 0.0)
    further = xp.where(distance > 0, row.infinity[..., 0], 0.0)
    return times(xp, xp.sum(mass, axis=-1), _log_total(xp, row)[..., 0]) + (distance + further + infinite)


def minus_log_softmax_slope(xp: Namespace, row: Softmax, mass: Array) -> Array:
    """The derivative of ``sum(mass * minus_log_softmax)`` along a row by the entries, with `mass` a constant."""
    # p_c sum(mass) - mass_c. Where p_c is almost 1, p_c mass_c - mass_c is taken for -(1 - p_c) mass_c.
    majority, whole_mass = has_majority(xp, row), xp.sum(mass, axis=-1, keepdims=True)
    mass_of_others = xp.sum(xp.where(majority, 0.0, mass), axis=-1, keepdims=True)
    # Its term is 1, and has the derivative of total - rest.
    own = (row.total - row.rest) * mass_of_others - row.rest * (whole_mass - mass_of_others)
    return xp.where(majority, own / row.total, row.terms * (whole_mass / row.total) - mass)


class Logistic(NamedTuple):
    """Logits of yes and no, as the odds of the unlikely answer.

    The likely answer has the probability ``1 / (1 + odds)``, the unlikely one ``odds / (1 + odds)``.
    """

    yes: Array
    """Whether yes is the likely answer: x > 0."""
    log_odds: Array
    """-|x|"""
    odds: Array
    """exp(-|x|)"""


def logistic_of(xp: Namespace, x: Array) -> Logistic:
    # Not abs: its derivative at 0, where training starts, is everybody's own.
    yes = x > 0
    log_odds = xp.where(yes, -x, x)
    return Logistic(yes, log_odds, xp.exp(log_odds))


def _sigmoid(xp: Namespace, x: Array) -> Array:
    """1 / (1 + exp(-x))"""
    yes, _, odds = logistic_of(xp, x)
    return xp.where(yes, 1.0, odds) / (1.0 + odds)


def softplus_of(xp: Namespace, x: Array) -> KernelResult:
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
    yes, _, odds = logistic_of(xp, x)
    return xp.where(yes, x, 0.0) + xp.log1p(odds), lambda: _sigmoid(xp, x)


def log_sigmoid_of(xp: Namespace, x: Array) -> KernelResult:
    yes, _, odds = logistic_of(xp, x)
    return xp.where(yes, 0.0, x) - xp.log1p(odds), lambda: _sigmoid(xp, -x)


def sigmoid_of(xp: Namespace, x: Array) -> KernelResult:
    odds = logistic_of(xp, x).odds
    return _sigmoid(xp, x), lambda: odds / ((1.0 + odds) * (1.0 + odds))


def log_sum_exp_of(xp: Namespace, x: Array) -> KernelResult:
    row = softmax_of(xp, x)
    return (xp.max(x, axis=-1, keepdims=True) + _log_total(xp, row))[..., 0], lambda: row.terms / row.total


def log_share_of(xp: Namespace, x: Array) -> KernelResult:
    """The distance of log_sum_exp to the entry with the majority or, where none has it, to a constant: the largest."""
    row = softmax_of(xp, x)

    def gradient() -> Array:
        return xp.where(has_majority(xp, row), -row.rest, row.terms) / row.total

    return _log_total(xp, row)[..., 0], gradient


def _log_total(xp: Namespace, row: Softmax) -> Array:
    exact = stop_gradient(xp.log1p(xp.where(row.total < 2, row.rest, row.total - 1.0)))
    # The term of the largest entry is 1, and not in the rest. For the derivative it counts too.
    log = xp.log(row.total)
    return exact + (log - stop_gradient(log))
