"""Powers of 1 - p, which make easy examples count less.

The relative error of ``x^gamma`` is `gamma` times that of ``x``. And where a derivative is a product of powers, a
factor may overflow or become 0 although the product would not.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.typing import Array, Namespace, Pair

_LARGE = 8.0
"""Around p = 1/2, ``(1 - p)^gamma`` is a power of 1/2 times a factor. It is computed so only while the logarithm of
that factor is below this: above, the power of 1/2 may be 0 and the factor infinite."""
WHOLE = (0.0, 1.0, 2.0)
"""Values of `gamma` for which ``(1 - p)^gamma`` is computed as a product, without a power."""


class Focus(NamedTuple):
    """``(1 - p)^gamma`` as a product, so that it does not vanish before what it is multiplied with."""

    outer: Array | float
    inner: Array
    below: Callable[[], Array]
    """``gamma (1 - p)^(gamma - 1)`` times the entropy, without `outer`."""
    turn: Callable[[], Array]
    """The same times ``tail / (1 + tail)``."""
    log: Callable[[], Array]
    """log(1 - p)"""


def focus_of_two(
    xp: Namespace, near: Array, far: Array, fall: Array, tail: Array, entropy: Array, gamma: float | Array
) -> Focus:
    """The focus of one logit. Its label is `near` on the side where the logit is, and `far` on the other."""
    one = 1.0 + tail
    wrong = far + near * tail
    if numeric.is_number(gamma) and gamma in WHOLE:
        rest = wrong / one if gamma else xp.ones_like(tail)
        outer = rest if gamma == 2 else 1.0
        return Focus(outer, rest, lambda: gamma * entropy, lambda: gamma * tail / one * entropy, lambda: xp.log(rest))

    tiny, largest = float(xp.finfo(tail.dtype).smallest_normal), float(xp.finfo(tail.dtype).max)
    # An infinite distance may meet a gamma of 0.
    step, depth = xp.expm1(fall), xp.clip(fall, -(largest**0.875), None)
    # The logarithm of the rest by what is exact where, so that it is small where a power would multiply its rounding:
    # around a logit of 0 it is the distance to log(1/2).
    right, mistaken, middle = far == 0, near < far, fall > -1.0
    log_wrong = xp.log(xp.where(right | mistaken | (wrong == 0), 1.0, wrong))
    log_wrong = xp.where(mistaken, xp.log1p(xp.where(mistaken, near, 0.0) * step), log_wrong)
    exponent = xp.where(right, depth, log_wrong) - xp.log1p(tail)
    nearly = xp.log1p(xp.where(middle, (near - far) * step, 0.0) / one)
    # A power of 1/2 that vanishes must not meet one that overflows.
    middle = middle & (gamma * nearly < _LARGE)
    exponent = xp.where(middle, nearly, exponent)
    gone = (tail < tiny) & (wrong < tiny)
    rest = xp.where(gone, tiny, wrong) / one

    base = xp.where(middle, 0.5, xp.ones_like(exponent))

    def power(degree: float | Array, logarithm: Array) -> Array:
        return base**degree * xp.exp(degree * logarithm)

    # That is the value. The derivatives are those of powers: in their factors nothing vanishes or overflows too early.
    exact = power(gamma, exponent)
    focus = xp.where(gone, stop_gradient(exact), _graft(exact, lambda: rest**gamma))

    def below() -> Array:
        nothing = gone | (entropy == 0)
        some = xp.where(nothing, 1.0, entropy)
        value = power(gamma - 1.0, xp.where(gone, 0.0, exponent)) * some

        def product() -> Array:
            least = 1.0 - xp.where(gamma < 1.0, 1.0 - gamma, xp.zeros_like(rest))
            # Its own slope is too large below that.
            odds = xp.exp(xp.log(xp.clip(some, 128.0 * tiny, None)) - xp.log(xp.clip(rest, 128.0 * tiny, None)))
            return rest ** (gamma - least) * odds ** (1.0 - least) * some**least

        return gamma * xp.where(nothing, 0.0, _graft(value, product))

    def turn() -> Array:
        # entropy * tail / wrong, whose slope by the label stays in range.
        # log(1 + tail) / tail
        none = tail < tiny
        grown = xp.exp(xp.log(xp.log1p(xp.where(none, 1.0, tail))) - xp.where(none, math.log(math.log(2.0)), fall))
        share = xp.where(right, 1.0, xp.exp(depth - xp.log(xp.where(right | gone, 1.0, wrong))))
        return gamma * focus * (xp.log1p(tail) + far * share * (step * grown - depth))

    def log() -> Array:
        return _graft(xp.where(middle, exponent - math.log(2.0), exponent), lambda: xp.log(rest))

    return Focus(1.0, focus, below, turn, log)


def _graft(value: Array, other: Callable[[], Array]) -> Array:
    """`value`, with the derivatives of `other`, which is about the same."""
    if stop_gradient(value) is value:
        # Nobody differentiates it.
        return value
    found = other()
    return found + stop_gradient(value - found)


def focus_of_many(xp: Namespace, logits: Array, row: numeric.Softmax, gamma: float | Array) -> Pair:
    """``(1 - p)^gamma`` of entries of a row and, on demand, ``log(1 - p)``.

    Of n logits that are about equal, 1 - p is about (n - 1) / n. A power multiplies the rounding of what it is taken
    of: so it is taken of n / (n - 1), and the logarithm of what remains is small.
    """
    _, shift, terms = numeric._exponentials(xp, logits)
    near, own_near = shift > -1.0, row.shift > -1.0
    count = xp.sum(xp.astype(near, shift.dtype), axis=-1, keepdims=True)
    usual = own_near & (count > 1.5)
    mean = xp.sum(xp.where(near, xp.expm1(xp.where(near, shift, 0.0)), terms), axis=-1, keepdims=True)
    mean = mean / xp.maximum(count, 1.0)
    others = xp.where(count > 1.5, count - 1.0, 1.0)
    base = 1.0 + 1.0 / others
    lost = (1.0 - base) + 1.0 / others
    own = xp.expm1(xp.where(own_near, row.shift, 0.0))
    change = xp.log1p(xp.where(usual, (mean - own) / (others * (1.0 + mean)), 0.0)) - lost / base
    # A power that vanishes must not meet one that overflows.
    usual = usual & (gamma * change < _LARGE)

    top = numeric.ahead(row)
    certain = top & (row.rest == 0)
    alone = xp.log(xp.where(top & ~certain, row.rest / row.total, 1.0))
    small = xp.log1p(-xp.where(top, 0.0, row.terms / row.total))
    exponent = xp.where(usual, change, xp.where(top, alone, small))
    power = xp.where(certain, 0.0, xp.exp(gamma * exponent))
    focus = xp.where(usual, base ** (-gamma) * power, power)
    return focus, lambda: xp.where(usual, exponent - xp.log1p(1.0 / others), exponent)
