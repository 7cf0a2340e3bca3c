"""Numbers that carry their derivatives along, and the functions that exact rules are made of.

The rule at a kink is written here once: the sub-gradient of least norm. The slope of ``|x|`` and of ``max(x, 0)`` at 0
is 0, and numbers that tie for a maximum share its slope.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .numbers import HUGE, ONE, ZERO, Number, exp, mp

Place = Any
"""Names an input: the position of its array, and where it is there."""


class Rounding(NamedTuple):
    """Names something that is rounded.

    Parameters
    ----------
    name : hashable
    of : frozenset or None
        What it is counted in: ``"value"``, and the positions of the arrays whose gradients have it. None is all.
    """

    name: Any
    of: frozenset[Any] | None = None

    def counts(self, what: Any) -> bool:
        """Whether it is counted in something."""
        return self.of is None or what in self.of


class Jet:
    """A number with its derivatives, and whether it has a kink there.

    Parameters
    ----------
    value : mpf
    slopes : dict
        The derivative by each input that it depends on.
    noise : dict
        By each rounding that it depends on, what an error of 1 there adds to the value: the size of what was rounded
        times the derivative by it.
    bends : dict
        By each pair of an input and a rounding, what an error of 1 there adds to the slope.
    kinks : dict
        By each kink that it depends on, how much of that is left here.
    """

    __slots__ = ("bends", "kinks", "noise", "slopes", "value")

    def __init__(
        self,
        value: Number,
        slopes: dict[Place, Number] | None = None,
        noise: dict[Rounding, Number] | None = None,
        bends: dict[tuple[Place, Rounding], Number] | None = None,
        kinks: dict[Any, Number] | None = None,
    ) -> None:
        self.value, self.slopes, self.noise = value, slopes or {}, noise or {}
        self.bends, self.kinks = bends or {}, kinks or {}

    @property
    def kink(self) -> bool:
        """Whether it has no derivative here."""
        return any(left != 0 for left in self.kinks.values())

    def rounded(self, size: Number, name: Any, of: frozenset[Any] | None = None) -> "Jet":
        """The same number after a rounding of `size`, in units of eps."""
        if not size:
            return self
        return Jet(self.value, self.slopes, {**self.noise, Rounding(name, of): size}, self.bends, self.kinks)

    def lift(self, value: Number, slope: Number, bend: Number, kink: bool = False) -> "Jet":
        """A function of this number, from its value and its two derivatives."""
        bends = {key: slope * b for key, b in self.bends.items()}
        if bend != 0:
            for i, a in self.slopes.items():
                for k, e in self.noise.items():
                    bends[i, k] = bends.get((i, k), ZERO) + bend * a * e
        kinks = {key: slope * left for key, left in self.kinks.items()}
        if kink:
            kinks[object()] = ONE
        return Jet(
            value,
            {i: slope * a for i, a in self.slopes.items()},
            {k: slope * e for k, e in self.noise.items()},
            bends,
            kinks,
        )

    def __add__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.slopes, self.noise, self.bends, self.kinks)
        return Jet(
            self.value + other.value,
            _added(self.slopes, other.slopes),
            _added(self.noise, other.noise),
            _added(self.bends, other.bends),
            _added(self.kinks, other.kinks),
        )

    def __mul__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return self.lift(self.value * other, mp.mpf(other), ZERO)
        one, two = self.lift(ZERO, other.value, ZERO), other.lift(ZERO, self.value, ZERO)
        product = one + two
        product.value = self.value * other.value
        for a, b in ((self, other), (other, self)):
            for i, slope in a.slopes.items():
                for k, e in b.noise.items():
                    product.bends[i, k] = product.bends.get((i, k), ZERO) + slope * e
        return product

    def __truediv__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            return self.__mul__(1 / mp.mpf(other))
        return self.__mul__(other.inverse())

    def __rtruediv__(self, other: Any) -> "Jet":
        return self.inverse().__mul__(other)

    def inverse(self) -> "Jet":
        """1/x"""
        v = self.value
        return self.lift(1 / v, -1 / v**2, 2 / v**3)

    def __neg__(self) -> "Jet":
        return self * -1

    def __sub__(self, other: Any) -> "Jet":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Jet":
        return (-self).__add__(other)

    def __abs__(self) -> "Jet":
        if self.value == 0:
            return self.lift(ZERO, ZERO, ZERO, kink=True)
        return self if self.value > 0 else -self

    __radd__ = __add__
    __rmul__ = __mul__


def _added(one: dict[Any, Number], two: dict[Any, Number]) -> dict[Any, Number]:
    both = dict(one)
    for key, value in two.items():
        both[key] = both[key] + value if key in both else value
    return both


def plain(x: Any) -> Number:
    """The value of a number that may be a jet."""
    return x.value if isinstance(x, Jet) else x


def _function(x: Any, value: Number, slope: Number, bend: Number) -> Any:
    return x.lift(value, slope, bend) if isinstance(x, Jet) else value


def positive_part(x: Any) -> Any:
    """max(x, 0)"""
    if plain(x) > 0:
        return x
    return x.lift(ZERO, ZERO, ZERO, kink=plain(x) == 0) if isinstance(x, Jet) else ZERO


def maximum(numbers: Sequence[Any]) -> Any:
    """The largest; those that tie share its slope."""
    return _extreme(numbers, max)


def minimum(numbers: Sequence[Any]) -> Any:
    """The smallest; those that tie share its slope."""
    return _extreme(numbers, min)


def _extreme(numbers: Sequence[Any], choose: Callable[[Iterable[Number]], Number]) -> Any:
    best = choose(map(plain, numbers))
    ties = [x for x in numbers if plain(x) == best]
    if len(ties) == 1:
        return ties[0]
    total = sum(ties[1:], ties[0])
    if not isinstance(total, Jet):
        return best
    shared = total.lift(best, ONE / len(ties), ZERO, kink=True)
    # Any of them may become the one: the value moves as far as one of them does.
    noise = max((x.noise for x in ties if isinstance(x, Jet)), key=lambda noise: sum(map(abs, noise.values()), ZERO))
    return Jet(best, shared.slopes, noise, shared.bends, shared.kinks)


def power(x: Any, exponent: Any) -> Any:
    """x to a power, x >= 0. 0 to the power 0 is 1."""
    v = plain(x)
    if exponent == 0:
        return _function(x, ONE, ZERO, ZERO)
    if v == 0:
        slope = ONE if exponent == 1 else ZERO
        return _function(x, ZERO, slope, mp.mpf(2) if exponent == 2 else ZERO)
    y = v**exponent
    return _function(x, y, exponent * y / v, exponent * (exponent - 1) * y / v**2)


def exponential(x: Any) -> Any:
    """exp(x)"""
    y = exp(plain(x))
    return _function(x, y, y, y)


def exponential_minus_1(x: Any) -> Any:
    """exp(x) - 1"""
    v = plain(x)
    y = exp(v)
    return _function(x, mp.expm1(v) if y else -ONE, y, y)


def logarithm(x: Any) -> Any:
    """log(x), x > 0"""
    v = plain(x)
    return _function(x, mp.log(v), 1 / v, -1 / v**2)


def logarithm_of_rest(x: Any) -> Any:
    """log(1 - x), x < 1"""
    v = plain(x)
    return _function(x, mp.log1p(-v), -1 / (1 - v), -1 / (1 - v) ** 2)


def logarithm_of_factorial(x: Any) -> Any:
    """log(x!), x >= 0"""
    v = plain(x) + 1
    return _function(x, mp.loggamma(v), mp.psi(0, v), mp.psi(1, v))


def times_logarithm(x: Any) -> Any:
    """x log(x), and 0 at 0, where its slope is infinite: nobody is asked for it."""
    v = plain(x)
    if v == 0:
        return _function(x, ZERO, mp.nan, mp.nan)
    log = mp.log(v)
    return _function(x, v * log, log + 1, 1 / v)


def log_sum_exp(numbers: Sequence[Any]) -> Any:
    """log(sum exp x), of one number and more."""
    top = max(map(plain, numbers))
    return logarithm(sum((exponential(x - top) for x in numbers), ZERO)) + top


def logistic(x: Any) -> Any:
    """1/(1 + exp(-x))"""
    v = plain(x)
    e = exp(-abs(v))
    small, large = e / (1 + e), 1 / (1 + e)
    s, c = (large, small) if v >= 0 else (small, large)
    return _function(x, s, s * c, s * c * (c - s))


def soft_plus(x: Any) -> Any:
    """log(1 + exp(x))"""
    v = plain(x)
    s = logistic(v)
    return _function(x, max(v, ZERO) + mp.log1p(exp(-abs(v))), s, s * logistic(-v))


def hyperbolic_tangent(x: Any) -> Any:
    """tanh(x)"""
    v = plain(x)
    e = exp(-2 * abs(v))
    tanh = mp.sign(v) * (-mp.expm1(-2 * abs(v)) if e else ONE) / (1 + e)
    slope = 4 * e / (1 + e) ** 2
    return _function(x, tanh, slope, -2 * tanh * slope)


def logarithm_of_cosh(x: Any) -> Any:
    """log(cosh(x))"""
    v = abs(plain(x))
    e = exp(-2 * v)
    value = mp.log1p(2 * mp.sinh(v / 2) ** 2) if v < 50 else v - mp.log(2) + mp.log1p(e)
    tanh = -mp.expm1(-2 * v) / (1 + e) if v < 50 else (1 - e) / (1 + e)
    return _function(x, value, tanh if plain(x) >= 0 else -tanh, 4 * e / (1 + e) ** 2)


def norm(numbers: Sequence[Any], p: Any = 2, *, squared: bool = False) -> Any:
    """The p-norm of a row, or its square."""
    if p == mp.inf:
        largest = maximum([abs(x) for x in numbers])
        return largest * largest if squared else largest
    e = mp.mpf(p)
    total = sum((power(abs(x), e) for x in numbers), ZERO)
    exponent = (2 if squared else 1) / e
    if plain(total) == 0 and not squared:
        return total.lift(ZERO, ZERO, ZERO, kink=True) if isinstance(total, Jet) else ZERO
    return power(total, exponent)


def dot(one: Sequence[Jet], two: Sequence[Jet], name: Any) -> Jet:
    """The sum of the products of two rows; each product is rounded."""
    products = [a * b for a, b in zip(one, two, strict=True)]
    return sum(products, Jet(ZERO)).rounded(sum((abs(p.value) for p in products), ZERO), name)


def is_possible(log_probability: Any) -> bool:
    """Whether a logit or log-probability is not -inf."""
    return bool(plain(log_probability) > -HUGE)
