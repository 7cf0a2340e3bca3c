"""The values that an argument may take."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .typing import Array, Namespace


@dataclass(frozen=True)
class Domain:
    """The values that an argument may take.

    Parameters
    ----------
    low, high : float
        Ends of the interval. A NaN in an array argument is let through, since it shows in the result; in a parameter it
        is refused.
    open_low, open_high : bool
        Whether that end itself is outside.
    ends_only : bool
        Whether nothing lies between: only `low` and `high` themselves.
    per_example : bool
        For an array argument of a row-wise loss: one value per row, not one per entry.
    named : mapping or None
        For a parameter: names that stand for a value computed from the data, each with its function
        ``(xp, *arrays, mask) -> array``.
    static : bool
        For a parameter: a Python number and never an array, because the kernel branches on it.
    special : tuple of float
        For a parameter: values that the kernel has a way of its own for. With these it gets the Python number, with any
        other value an array without axes.
    scalar : bool
        For a parameter: one number for all examples.
    choices : tuple
        For a parameter that is a name, or False or True: those that there are.
    unless : str or None
        For an array argument: a parameter of the loss that, when true, puts `instead` in the place of this.
    instead : Domain or None
        The domain where `unless` is true; None for all values.
    of_class : bool
        For an array argument of a row-wise loss: beside class ids, only the entries that these name are looked at.
    hint : str or mapping
        The way out for somebody whose values are outside, or such ways by the value that is. ``{name}`` in it is the
        name of the argument.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> @polyloss.elementwise(q=polyloss.Domain(low=0, high=1))
    ... def pinball(xp, prediction, target, *, q=0.5, **call):
    ...     error = target - prediction
    ...     return xp.where(error > 0, q * error, (q - 1) * error), lambda: xp.where(error > 0, -q, 1 - q)
    >>> pinball(np.asarray([1.0]), np.asarray([0.0]), q=2.0)
    Traceback (most recent call last):
        ...
    ValueError: pinball: q must be in [0, 1], got 2.0
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    ends_only: bool = False
    per_example: bool = False
    named: Mapping[str, Callable[..., Array]] | None = None
    static: bool = False
    special: tuple[float, ...] = ()
    scalar: bool = False
    choices: tuple[bool | str, ...] = ()
    unless: str | None = None
    instead: "Domain | None" = None
    of_class: bool = False
    hint: str | Mapping[float, str] = ""

    __hash__ = object.__hash__

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.ends_only:
            return f"{self.low:g} or {self.high:g}"
        if self.low == 0 and self.high == math.inf:
            return ("positive" if self.open_low else "zero or positive") + (" and finite" if self.open_high else "")
        if self.low == -math.inf:
            return f"{'below' if self.open_high else 'at most'} {self.high:g}"
        if self.high == math.inf and self.open_low and not self.open_high:
            return f"above {self.low:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    @property
    def everything(self) -> bool:
        return self.low == -math.inf and self.high == math.inf and not self.open_high and not self.choices

    @property
    def safe(self) -> float:
        """A value in the domain, for what does not count: 0 if that is one."""
        return next((value for value in (0.0, 1.0, self.low, self.high) if self.holds(value)), 0.0)

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        """True where a value is not in the domain. False at NaN."""
        if self.ends_only:
            return (array != self.low) & (array != self.high) & (array == array)
        return self._outside(xp, array, array)

    def refuses(self, xp: Namespace, parameter: Array) -> Array:
        """True where a parameter is not in the domain. NaN is in none."""
        return self.outside(xp, parameter) | (parameter != parameter)

    def _outside(self, xp: Namespace, least: Array, largest: Array) -> Array:
        # No comparison with infinity: a debugger would find the constant.
        below = None if self.low == -math.inf else (least <= self.low) if self.open_low else (least < self.low)
        if self.high == math.inf:
            above = xp.isinf(largest) & (largest > 0) if self.open_high else None
        else:
            above = (largest >= self.high) if self.open_high else (largest > self.high)
        if below is None or above is None:
            return above if below is None else below
        return below | above

    def outside_in_row(self, xp: Namespace, array: Array) -> Array:
        """True where a row has a value that is not in the domain. A NaN in the row may hide that."""
        if self.ends_only:
            return xp.any(self.outside(xp, array), axis=-1)
        # Compilers write a boolean for each entry to memory before they ask for any.
        if self.low == -math.inf:
            return self.outside(xp, xp.max(array, axis=-1))
        least = xp.min(array, axis=-1)
        one_end = self.high == math.inf and not self.open_high
        return self._outside(xp, least, least if one_end else xp.max(array, axis=-1))

    def expected(self, classes: int | None = None) -> str:
        return str(self)

    def holds(self, number: float) -> bool:
        if number != number:
            return False
        if self.ends_only:
            return number in (self.low, self.high)
        low = self.low < number or (number == self.low and not self.open_low)
        return low and (number < self.high or (number == self.high and not self.open_high))


REAL = Domain()
POSITIVE = Domain(low=0, open_low=True)
NONNEGATIVE = Domain(low=0)
UNIT = Domain(low=0, high=1)
SIGN = Domain(low=-1, high=1, ends_only=True, hint={0.0: "2 * {name} - 1 makes these of labels 0 and 1"})
LABELS = replace(UNIT, hint={-1.0: "({name} + 1) / 2 makes these of labels -1 and 1"})
HARD_LABELS = replace(LABELS, ends_only=True)
ONE_OR_TWO = Domain(low=1, high=2, ends_only=True, static=True)


@dataclass(frozen=True)
class Classes(Domain):
    """A target that is class ids (integers, one per row) or class probabilities (floats, one per entry).

    Parameters
    ----------
    ids_only : bool
        Whether probabilities are refused.
    """

    low: float = 0
    high: float = 1
    ids_only: bool = False
    __hash__ = object.__hash__

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        return super().outside(xp, array) if classes is None else (array < 0) | (array >= classes)

    def expected(self, classes: int | None = None) -> str:
        if classes is None and not self.ids_only:
            return f"probabilities {self}"
        return f"class ids in [0, {'C' if classes is None else classes})"


CLASSES = Classes()
CLASS_IDS = Classes(ids_only=True)
ANY_IDS = Classes(low=-math.inf, high=math.inf, ids_only=True)
"""Ids that are compared with each other, and name no class of a row."""


@dataclass(frozen=True)
class ClassSequences(Classes):
    """A target that is a row of class ids, of which the first ones count: what comes behind is never looked at.

    Parameters
    ----------
    count : str
        The argument that says how many count.
    blank : str
        The parameter that is a class id, and none of these.
    """

    ids_only: bool = True
    count: str = ""
    blank: str = ""
    __hash__ = object.__hash__

    def expected(self, classes: int | None = None) -> str:
        return f"{super().expected(classes)} other than `{self.blank}`"


@dataclass(frozen=True)
class Lengths(Domain):
    """How many entries count along an axis that others have too.

    Parameters
    ----------
    of : str
        The letter of that axis.
    """

    of: str = ""
    low: float = 0
    __hash__ = object.__hash__

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        return (array < 0) | (array > classes)

    def expected(self, classes: int | None = None) -> str:
        return f"lengths in [0, {self.of.upper() if classes is None else classes}]"


@dataclass(frozen=True)
class LogProbabilities(Domain):
    """Logarithms of probabilities, which are at most 0 but for rounding.

    In bfloat16, a logit minus the logarithm of a sum is off by 1/16 for logits up to 32, and the logarithm of the
    number next to 1 is 1/128. Logits soon exceed the bound.
    """

    high: float = 0.1
    of_class: bool = True
    hint: str = "log makes log-probabilities of probabilities, log_softmax of logits"
    __hash__ = object.__hash__

    def expected(self, classes: int | None = None) -> str:
        return f"at most 0 ({self.high:g} for rounding)"


LOG_PROBABILITIES = LogProbabilities()


@dataclass(frozen=True)
class Weight(Domain):
    """What a weight may be: any number that is one."""

    __hash__ = object.__hash__

    @property
    def everything(self) -> bool:
        return False

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        """True where a value is infinite or NaN."""
        return ~xp.isfinite(array)

    def expected(self, classes: int | None = None) -> str:
        return "finite"


WEIGHT = Weight()


def per_example(domain: Domain) -> Domain:
    """`domain`, for an array with one value per row of a row-wise loss."""
    return replace(domain, per_example=True)


def static(domain: Domain) -> Domain:
    """`domain`, for a parameter that is a Python number and never an array."""
    return replace(domain, static=True)


def scalar(domain: Domain) -> Domain:
    """`domain`, for a parameter that is one number for all examples."""
    return replace(domain, scalar=True)


def special(domain: Domain, *values: float) -> Domain:
    """`domain`, for a parameter that the kernel has a way of its own for where it has one of these values."""
    return replace(domain, special=values)


def one_of(*choices: bool | str) -> Domain:
    """What a parameter may be that is a name, or False or True."""
    return Domain(static=True, choices=choices)


def finite(domain: Domain) -> Domain:
    """`domain` without infinity."""
    return replace(domain, open_high=True)


def named(domain: Domain, **functions: Callable[..., Array]) -> Domain:
    """`domain`, for a parameter that may also name a value computed from the data, a constant for the gradient."""
    return replace(domain, named=functions)
