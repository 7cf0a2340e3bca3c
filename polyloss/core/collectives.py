"""What the members of a group compute together: the contract of an adapter, and rows that are split over a group.

A group is whatever the framework has for one: processes, an axis of a mesh of devices, replicas.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .domains import Classes
from .typing import Array, KernelResult, Namespace


class Group(ABC):
    """Members that call the same functions at the same time, each with arrays of its own."""

    @property
    @abstractmethod
    def size(self) -> Any:
        """How many members there are."""

    @abstractmethod
    def sum(self, array: Array) -> Array:
        """All-reduce. Members may use the result differently, so that the gradient by it is all-reduced too."""

    @abstractmethod
    def replicated_sum(self, array: Array) -> Array:
        """All-reduce, where all members use the result alike: the gradient by it is the same for all, and passes on."""

    def replicated(self, array: Array) -> Array:
        """An array that is the same for all members, before they use it differently: the gradient is all-reduced.

        Where a framework follows by itself what is the same for all, nothing is to be done.
        """
        return array

    @abstractmethod
    def maximum(self, array: Array) -> Array:
        """The largest entries of all members' arrays, as constants. Which of NaN and a number is larger is open."""

    @abstractmethod
    def offset_and_length(self, shape: tuple[Any, ...]) -> tuple[Any, Any]:
        """Where a member's part of a row starts, and how long the row is: the last axis of arrays of this shape.

        Raises
        ------
        ValueError
            If the other axes are not the same for all members, as far as that can be seen now.
        """

    def check(self, part: Array, ids: Array | None) -> None:  # noqa: B027
        """Raise ValueError where `part` cannot be one of rows that are split, or ids differ between members.

        As far as that can be told without asking the others.
        """


class Alone(Group):
    """The group of a process that has no others."""

    size = 1

    def sum(self, array: Array) -> Array:
        return array

    replicated_sum = maximum = sum

    def offset_and_length(self, shape: tuple[Any, ...]) -> tuple[Any, Any]:
        return 0, shape[-1]


GroupOf: TypeAlias = Callable[[Array], Group]
"""The group that an array's framework makes of what the user named."""


class SplitRows:
    """The namespace of arrays whose last axis is split over a group: what is reduced along it is reduced over all.

    Element by element, a part of a row is as a whole one. All else is refused: it might see the part alone.
    """

    _BY_ELEMENT = frozenset(
        (
            *("abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "clip", "copysign", "cos"),
            *("cosh", "equal", "exp", "expm1", "floor", "greater", "greater_equal", "hypot", "isfinite", "isinf"),
            *("isnan", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logical_and"),
            *("logical_not", "logical_or", "logical_xor", "maximum", "minimum", "negative", "not_equal", "positive"),
            *("pow", "reciprocal", "remainder", "round", "sign", "signbit", "sin", "sinh", "sqrt", "square", "tan"),
            *("tanh", "trunc", "where", "add", "subtract", "multiply", "divide", "floor_divide", "nextafter"),
            *("astype", "asarray", "broadcast_to", "expand_dims", "full", "full_like", "ones", "ones_like", "zeros"),
            *("zeros_like", "finfo", "iinfo", "isdtype", "result_type", "bool", "int32", "int64", "float32", "float64"),
            *("e", "inf", "nan", "pi", "newaxis"),
        )
    )

    def __init__(self, xp: Namespace, group: Group, shape: tuple[Any, ...], loss: str) -> None:
        self._xp, self._group, self._loss = xp, group, loss
        self._start, self.row_length = group.offset_and_length(shape)

    def __getattr__(self, name: str) -> Any:
        if name == "take_along_axis":
            # The entry may be another member's: who asks whether there is this function knows a way without.
            raise AttributeError(f"{self._loss} needs whole rows, for its kernel uses {name}: gather them first")
        if name.startswith("_") or name not in self._BY_ELEMENT:
            raise TypeError(f"{self._loss} needs whole rows, for its kernel uses {name}: gather them first")
        return getattr(self._xp, name)

    def arange(self, *bounds: Any, **keywords: Any) -> Array:
        """The places of a member's entries within the whole row."""
        found, start = self._xp.arange(*bounds, **keywords), self._start
        return found + (start if isinstance(start, int) else self._xp.astype(start, found.dtype))

    def sum(self, x: Array, /, **keywords: Any) -> Array:
        return self._over(x, self._xp.sum(x, **keywords), self._group.sum, **keywords)

    def max(self, x: Array, /, **keywords: Any) -> Array:
        return self._over(x, self._xp.max(x, **keywords), self._maximum, **keywords)

    def min(self, x: Array, /, **keywords: Any) -> Array:
        return self._over(x, self._xp.min(x, **keywords), lambda found: -self._maximum(-found), **keywords)

    def _maximum(self, found: Array) -> Array:
        xp = self._xp
        if not xp.isdtype(found.dtype, "real floating"):
            return self._group.maximum(found)
        # A NaN is the largest of all: it travels as a flag.
        nan = xp.isnan(found)
        both = self._group.maximum(xp.stack([xp.where(nan, -math.inf, found), xp.astype(nan, found.dtype)]))
        return xp.where(both[1, ...] > 0, math.nan, both[0, ...])

    def any(self, x: Array, /, **keywords: Any) -> Array:
        found = self._xp.astype(self._xp.any(x, **keywords), self._xp.int32)
        return self._over(x, found, self._group.maximum, **keywords) > 0

    def all(self, x: Array, /, **keywords: Any) -> Array:
        return ~self.any(~x, **keywords)

    def _over(self, x: Array, found: Array, over: Callable[[Array], Array], *, axis: Any = None, **_: Any) -> Array:
        axes = axis if isinstance(axis, tuple) else (axis,)
        if {-2, x.ndim - 2}.intersection(axes):
            raise TypeError(f"{self._loss} needs whole rows, for its kernel pairs their entries: gather them first")
        return over(found) if {None, -1, x.ndim - 1}.intersection(axes) else found


def split_namespace(xp: Namespace, loss: Any, array: Array) -> Namespace:
    """`xp`, for rows of which `array` has a part if those of the loss are split."""
    return xp if loss.group_of is None else SplitRows(xp, loss.group_of(array), tuple(array.shape), loss.__name__)


def split_kernel(kernel: Callable[..., KernelResult], group_of: GroupOf) -> Callable[..., KernelResult]:
    """`kernel` for rows that are split over a group."""

    @functools.wraps(kernel)
    def run(xp: Namespace, array: Array, *arrays: Array, **parameters: Any) -> KernelResult:
        rows = SplitRows(xp, group_of(array), tuple(array.shape), kernel.__name__)
        return kernel(rows, array, *arrays, **parameters)

    # Of a pair, an adapter has no more than the kernel: see `split_over`.
    run.group_of = group_of  # type: ignore[attr-defined]
    return run


def split_over(pair: Any, array: Array) -> Group | None:
    """The group that the rows of a pair are split over, if they are."""
    group_of = getattr(getattr(pair, "kernel", None), "group_of", None)
    return None if group_of is None else group_of(array)


@dataclass(frozen=True)
class SplitClasses(Classes):
    """A target beside rows that are split over a group: its class ids are those of whole rows."""

    group_of: GroupOf = lambda array: Alone()
    # As of every domain: it is known by itself.
    __hash__ = object.__hash__

    def outside(self, xp: Namespace, array: Array, classes: int | None = None) -> Array:
        whole = None if classes is None else self.group_of(array).offset_and_length((classes,))[1]
        return super().outside(xp, array, whole)

    def expected(self, classes: int | None = None) -> str:
        # The number that is known here is that of one member.
        return super().expected() if classes is None else "class ids in [0, C), with the C classes of all members"
