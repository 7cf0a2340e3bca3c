"""Shapes, dtypes and domains: every message names the argument, what came, and what was expected."""

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ._backend import Backend, find_backend
from ._typing import Array, Namespace

Shape: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True)
class Domain:
    """The values that an argument may take.

    Parameters
    ----------
    low, high : float
        Ends of the interval. A NaN is let through: it shows in the result.
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
        For a parameter: a Python number and never an array, because the code depends on it.
    special : tuple of float
        For a parameter: numbers for which the kernel has a way of its own. It gets these as they are.
    scalar : bool
        For a parameter of a row-wise loss: one number for all examples, where others may have one per class.
    unless : str or None
        For an array argument: a parameter of the loss that, when true, lifts all limits.

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
    unless: str | None = None

    __hash__ = object.__hash__

    def __str__(self) -> str:
        if self.ends_only:
            return f"{self.low:g} or {self.high:g}"
        if self.low == 0 and self.high == math.inf:
            return ("positive" if self.open_low else "zero or positive") + (" and finite" if self.open_high else "")
        if self.low == -math.inf:
            return f"{'below' if self.open_high else 'at most'} {self.high:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"

    @property
    def everything(self) -> bool:
        return self.low == -math.inf and self.high == math.inf and not self.open_high

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        """True where a value is not in the domain. False at NaN."""
        if self.ends_only:
            return (array != self.low) & (array != self.high) & (array == array)
        return self._outside(array, array)

    def _outside(self, least: Array, largest: Array) -> Array:
        below = (least <= self.low) if self.open_low else (least < self.low)
        if self.high == math.inf and not self.open_high:
            return below
        above = (largest >= self.high) if self.open_high else (largest > self.high)
        return above if self.low == -math.inf else below | above

    def outside_in_row(self, xp: Namespace, array: Array) -> Array:
        """True where a row has a value that is not in the domain. A NaN in the row may hide that."""
        if self.ends_only:
            return xp.any(self.outside(xp, array), axis=-1)
        # Compilers write a boolean for each entry to memory before they ask for any.
        if self.low == -math.inf:
            return self.outside(xp, xp.max(array, axis=-1))
        least = xp.min(array, axis=-1)
        return self._outside(least, least if self.high == math.inf else xp.max(array, axis=-1))

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
SIGN = Domain(low=-1, high=1, ends_only=True)


@dataclass(frozen=True)
class Classes(Domain):
    """A target that is class ids (integers, one per row) or class probabilities (floats, one per entry)."""

    low: float = 0
    high: float = 1
    __hash__ = object.__hash__

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        return super().outside(xp, array) if classes is None else (array < 0) | (array >= classes)

    def expected(self, classes: int | None = None) -> str:
        return f"probabilities {self}" if classes is None else f"class ids in [0, {classes})"


CLASSES = Classes()


def per_example(domain: Domain) -> Domain:
    """`domain`, for an array with one value per row of a row-wise loss."""
    return replace(domain, per_example=True)


def static(domain: Domain) -> Domain:
    """`domain`, for a parameter that is a Python number and never an array."""
    return replace(domain, static=True)


def special(domain: Domain, *values: float) -> Domain:
    """`domain`, for a parameter whose kernel has a way of its own for some values."""
    return replace(domain, special=values)


def scalar(domain: Domain) -> Domain:
    """`domain`, for a parameter of a row-wise loss that is one number for all examples."""
    return replace(domain, scalar=True)


def finite(domain: Domain) -> Domain:
    """`domain` without infinity."""
    return replace(domain, open_high=True)


def named(domain: Domain, **functions: Callable[..., Array]) -> Domain:
    """`domain`, for a parameter that may also name a value computed from the data, a constant for the gradient."""
    return replace(domain, named=functions)


def describe(value: Any) -> str:
    """What came, in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return f"{type(value).__name__} {value!r}" if isinstance(value, numbers.Number | str) else type(value).__name__
    return f"{type(value).__name__} of shape {tuple(shape)} and dtype {dtype}"


def common_backend(loss: str, arguments: Mapping[str, Any]) -> Backend:
    """The one backend of all arrays among the arguments. Python numbers belong to any."""
    found: list[tuple[str, Backend]] = []
    for name, value in arguments.items():
        backend = find_backend(type(value))
        if backend is not None:
            if all(backend is not other for _, other in found):
                found.append((name, backend))
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{loss}: {name} must be an array, got {describe(value)}")
    if not found:
        raise TypeError(f"{loss}: expected at least one array, got only {', '.join(map(describe, arguments.values()))}")
    if len(found) > 1:
        others = [backend for _, backend in found if backend.name != "numpy"]
        if len(others) != 1 or not others[0].welcomes_numpy:
            names = ", ".join(f"{name} is {backend.name}" for name, backend in found)
            raise TypeError(f"{loss}: all arrays must come from one framework, but {names}")
        return others[0]
    return found[0][1]


def is_integer(xp: Namespace, array: Array) -> bool:
    return bool(xp.isdtype(array.dtype, "integral"))


def real_floating(loss: str, name: str, xp: Namespace, array: Array) -> None:
    """A prediction must be real floating."""
    if not is_half(array.dtype) and not xp.isdtype(array.dtype, "real floating"):
        raise TypeError(f"{loss}: {name} must be real floating, got dtype {array.dtype}")


def real(loss: str, name: str, xp: Namespace, array: Array) -> None:
    """A target or a weight may be integer or boolean too, but not complex."""
    if not is_half(array.dtype) and not xp.isdtype(array.dtype, ("real floating", "integral", "bool")):
        raise TypeError(f"{loss}: {name} must be real, got dtype {array.dtype}")


def boolean(loss: str, name: str, xp: Namespace, array: Array) -> None:
    if not xp.isdtype(array.dtype, "bool"):
        raise TypeError(f"{loss}: {name} must be boolean, got dtype {array.dtype}")


def axis_of(loss: str, axis: Any, ndim: int) -> int:
    """An axis, counted from the front."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"{loss}: axis must be an integer, got {describe(axis)}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{loss}: axis must be in [{-ndim}, {ndim}), got {axis}")
    return axis % ndim


def is_half(dtype: Any) -> bool:
    """Whether a dtype has 16 bits: such arrays are computed in float32."""
    return "float16" in str(dtype)


def same_length(one: int | None, other: int | None) -> bool:
    """Whether two lengths agree. A length that is unknown while tracing agrees with any."""
    return one is None or other is None or one == other


def same_shape(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(map(same_length, one, other))


def shape_is(loss: str, name: str, shape: Shape, expected: Shape, why: str) -> None:
    if not same_shape(shape, expected):
        raise ValueError(f"{loss}: {name} must have {why} {expected}, got {shape}; nothing is broadcast")


def shape_ends(loss: str, name: str, shape: Shape, last: Shape, rowwise: bool) -> None:
    """A parameter that is an array belongs to the last axes; in a row-wise loss, to the entries of a row."""
    if len(shape) > len(last) or not same_shape(shape, last[len(last) - len(shape) :]):
        expected = "one number per class," if rowwise else "the shape of the last axes of"
        raise ValueError(f"{loss}: {name} must have {expected} {last}, or be a number; got shape {shape}")


def shape_starts(loss: str, name: str, shape: Shape, examples: Shape) -> None:
    """A weight or a mask may lack trailing axes."""
    if len(shape) > len(examples) or not same_shape(shape, examples[: len(shape)]):
        raise ValueError(
            f"{loss}: {name} must have the shape of the per-example losses {examples} or lack trailing axes of it, "
            f"got {shape}; nothing is broadcast along other axes"
        )


def not_empty(loss: str, name: str, shape: Shape) -> None:
    if 0 in shape:
        raise ValueError(f"{loss}: {name} must not be empty, got shape {shape}")


def number_in(loss: str, name: str, value: Any, domain: Domain) -> None:
    """A parameter given as a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{loss}: {name} must be a real number or an array, got {describe(value)}")
    if not domain.holds(value):
        raise ValueError(f"{loss}: {name} must be {domain}, got {value!r}")


def none_outside(loss: str, name: str, xp: Namespace, array: Array, outside: Array, expected: str) -> None:
    """Raise where `outside` is True anywhere, and show the first such value."""
    if not bool(xp.any(outside)):
        return
    first = int(xp.argmax(xp.astype(xp.reshape(outside, (-1,)), xp.int32)))
    value = xp.reshape(array, (-1,))[first]
    raise ValueError(
        f"{loss}: {name} must be {expected}, got {float(value):g} (element {first} of shape {tuple(array.shape)})"
    )


def one_of(loss: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{loss}: {name} must be one of {', '.join(choices)}, got {value!r}")
