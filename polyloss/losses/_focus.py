"""Powers of 1 - p, which make easy examples count less: the modulating factor of focal losses.

T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017. Here 1 - p is called the miss: the probability
that is given to wrong answers.

The relative error of ``x^gamma`` is `gamma` times that of ``x``. And where a derivative is a product of powers, a
factor may overflow or become 0 although the product would not.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.typing import Array, Namespace

_LARGE = 8.0
"""Around p = 1/2, ``(1 - p)^gamma`` is a power of 1/2 times a factor. It is computed so only while the logarithm of
that factor is below this: above, the power of 1/2 may be 0 and the factor infinite."""
WHOLE = (0.0, 1.0, 2.0)
"""Values of `gamma` for which ``(1 - p)^gamma`` is computed as a product, without a power."""


class Focus(NamedTuple):
    """``miss^gamma`` as a product, so that it does not vanish before what it is multiplied with."""

    outer: Array | float
    inner: Array
    slope: Callable[[], Array]
    """``gamma miss^(gamma - 1)`` times the cross entropy, without `outer`."""
    slope_by_logit: Callable[[], Array]
    """The same times ``odds / (1 + odds)``."""
    log_miss: Callable[[], Array]


def focus_of_two(
    xp: Namespace,
    likely_target: Array,
    unlikely_target: Array,
    log_odds: Array,
    odds: Array,
    cross_entropy: Array,
    gamma: float | Array,
) -> Focus:
    """The focus of one logit, whose target is a share of the likely and a share of the unlikely answer."""
    total = 1.0 + odds
    # The answers have the probabilities 1 / total and odds / total.
    total_miss = unlikely_target + likely_target * odds
    if numeric.is_number(gamma) and gamma in WHOLE:
        miss = total_miss / total if gamma else xp.ones_like(odds)
        outer = miss if gamma == 2 else 1.0
        return Focus(
            outer,
            miss,
            lambda: gamma * cross_entropy,
            lambda: gamma * odds / total * cross_entropy,
            lambda: xp.log(miss),
        )

    tiny, largest = float(xp.finfo(odds.dtype).smallest_normal), float(xp.finfo(odds.dtype).max)
    # An infinite logit may meet a gamma of 0.
    odds_minus_1, finite_log_odds = xp.expm1(log_odds), xp.clip(log_odds, -(largest**0.875), None)
    # The logarithm of the miss by what is exact where, so that it is small where a power would multiply its rounding:
    # around a logit of 0 it is the distance to log(1/2).
    right, wrong, undecided = unlikely_target == 0, likely_target < unlikely_target, log_odds > -1.0
    log_total_miss = xp.log(xp.where(right | wrong | (total_miss == 0), 1.0, total_miss))
    log_total_miss = xp.where(wrong, xp.log1p(xp.where(wrong, likely_target, 0.0) * odds_minus_1), log_total_miss)
    log_miss = xp.where(right, finite_log_odds, log_total_miss) - xp.log1p(odds)
    # 2 miss = 1 + (likely - unlikely) (odds - 1) / (1 + odds), for the shares sum to 1.
    log_twice_miss = xp.log1p(xp.where(undecided, (likely_target - unlikely_target) * odds_minus_1, 0.0) / total)
    # A power of 1/2 that vanishes must not meet one that overflows.
    undecided = undecided & (gamma * log_twice_miss < _LARGE)
    exponent = xp.where(undecided, log_twice_miss, log_miss)
    vanished = (odds < tiny) & (total_miss < tiny)
    miss = xp.where(vanished, tiny, total_miss) / total

    base = xp.where(undecided, 0.5, xp.ones_like(exponent))

    def power(degree: float | Array, logarithm: Array) -> Array:
        return base**degree * xp.exp(degree * logarithm)

    # That is the value. The derivatives are those of powers: in their factors nothing vanishes or overflows too early.
    exact = power(gamma, exponent)
    focus = xp.where(vanished, stop_gradient(exact), _graft(exact, lambda: miss**gamma))

    def slope() -> Array:
        zero = vanished | (cross_entropy == 0)
        entropy = xp.where(zero, 1.0, cross_entropy)
        value = power(gamma - 1.0, xp.where(vanished, 0.0, exponent)) * entropy

        def product() -> Array:
            # miss^(gamma - 1) entropy = miss^(gamma - m) (entropy / miss)^(1 - m) entropy^m, with m = min(gamma, 1).
            m = 1.0 - xp.where(gamma < 1.0, 1.0 - gamma, xp.zeros_like(miss))
            # Its own slope is too large below that.
            ratio = xp.exp(xp.log(xp.clip(entropy, 128.0 * tiny, None)) - xp.log(xp.clip(miss, 128.0 * tiny, None)))
            return miss ** (gamma - m) * ratio ** (1.0 - m) * entropy**m

        return gamma * xp.where(zero, 0.0, _graft(value, product))

    def slope_by_logit() -> Array:
        # gamma focus cross_entropy odds / total_miss, whose slope by the target stays in range. The cross entropy is
        # log(1 + odds) - unlikely log(odds), and odds - total_miss = unlikely (odds - 1).
        zero = odds < tiny
        log_total = xp.log(xp.log1p(xp.where(zero, 1.0, odds)))
        log_total_by_odds = xp.exp(log_total - xp.where(zero, math.log(math.log(2.0)), log_odds))
        log_divisor = xp.log(xp.where(right | vanished, 1.0, total_miss))
        odds_by_total_miss = xp.where(right, 1.0, xp.exp(finite_log_odds - log_divisor))
        change = odds_minus_1 * log_total_by_odds - finite_log_odds
        return gamma * focus * (xp.log1p(odds) + unlikely_target * odds_by_total_miss * change)

    def log() -> Array:
        return _graft(xp.where(undecided, exponent - math.log(2.0), exponent), lambda: xp.log(miss))

    return Focus(1.0, focus, slope, slope_by_logit, log)


def _graft(value: Array, other: Callable[[], Array]) -> Array:
    """`value`, with the derivatives of `other`, which is about the same."""
    if stop_gradient(value) is value:
        # Nobody differentiates it.
        return value
    differentiable = other()
    return differentiable + stop_gradient(value - differentiable)


def focus_of_many(xp: Namespace, logits: Array, row: numeric.Softmax, gamma: float | Array) -> tuple[Any, ...]:
    """``miss^gamma`` of entries of a row and, on demand, ``log(miss)``.

    Of n logits that are about equal, the miss is about (n - 1) / n. A power multiplies the rounding of what it is taken
    of: so it is taken of n / (n - 1), and the logarithm of what remains is small.
    """
    _, shift, terms = numeric.exponentials(xp, logits)
    near, entry_near = shift > -1.0, row.shift > -1.0
    n = xp.sum(xp.astype(near, shift.dtype), axis=-1, keepdims=True)
    undecided = entry_near & (n > 1.5)
    # The terms are 1 + expm1(shift), and sum to n (1 + mean).
    mean = xp.sum(xp.where(near, xp.expm1(xp.where(near, shift, 0.0)), terms), axis=-1, keepdims=True)
    mean = mean / xp.maximum(n, 1.0)
    others = xp.where(n > 1.5, n - 1.0, 1.0)
    base = 1.0 + 1.0 / others
    rounding = (1.0 - base) + 1.0 / others
    excess = xp.expm1(xp.where(entry_near, row.shift, 0.0))
    # miss n / (n - 1) = 1 + (mean - excess) / ((n - 1) (1 + mean))
    log_remainder = xp.log1p(xp.where(undecided, (mean - excess) / (others * (1.0 + mean)), 0.0)) - rounding / base
    # A power that vanishes must not meet one that overflows.
    undecided = undecided & (gamma * log_remainder < _LARGE)

    majority = numeric.has_majority(xp, row)
    certain = majority & (row.rest == 0)
    log_rest = xp.log(xp.where(majority & ~certain, row.rest / row.total, 1.0))
    log_miss = xp.where(majority, log_rest, xp.log1p(-xp.where(majority, 0.0, row.terms / row.total)))
    exponent = xp.where(undecided, log_remainder, log_miss)
    power = xp.where(certain, 0.0, xp.exp(gamma * exponent))
    focus = xp.where(undecided, base ** (-gamma) * power, power)
    return focus, lambda: xp.where(undecided, exponent - xp.log1p(1.0 / others), exponent)
