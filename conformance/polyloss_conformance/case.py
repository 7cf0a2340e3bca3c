"""A call of a loss, as data: deterministic sample, edge and error cases, and how they are written.

Every array is a float64 (or int64, bool) master; `Case.at` rounds the float ones to the dtype under test, and the
exact result is that of exactly those rounded numbers.

A note says why a case is there: `built-in` what some library's own loss gives, `trap` an error that is common in
formulas or code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import DTYPES, Shape, has_bfloat16, numpy_dtype

Raises = type[Exception] | tuple[type[Exception], ...]

Place = int | str
"""Where an array is in a call: its position, or its keyword."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a loss is called.

    Parameters
    ----------
    arrays : tuple of str
        The positional ones.
    rowwise : bool
        An example is a row.
    axis : bool
        The axis of a row can be chosen, where it is a row.
    batch : bool
        An example sees the rows of all others: their losses have one axis, and each has a gradient in every row.
    differentiable : tuple of int or str
        The arrays that it has a gradient in, keywords among them.
    shared : tuple of int or str
        The arrays, beside numbers and parameters of classes, that all examples have in common: their gradient is a sum
        over the examples.
    letters : int
        How many axes a kernel sees of a row: beside one, of classes, a region or the steps of a sequence.
    """

    arrays: tuple[str, ...]
    rowwise: bool = False
    axis: bool = True
    batch: bool = False
    differentiable: tuple[Place, ...] = (0, 1)
    shared: tuple[Place, ...] = ()
    letters: int = 1

    def axes(self, parameters: Mapping[str, Any], ndim: int) -> tuple[int, ...]:
        """The axes of a row in the first array, counted from the front."""
        if not self.rowwise:
            return ()
        axis = parameters.get("axis", tuple(range(-self.letters, 0)))
        return tuple(one % ndim for one in (axis if isinstance(axis, tuple) else (axis,)))

    @property
    def own(self) -> tuple[int, ...]:
        """The positions of the arrays of which each example has a part."""
        return tuple(place for place in range(len(self.arrays)) if place not in self.shared)

    @property
    def summed(self) -> tuple[Place, ...]:
        """The arrays whose gradient is a sum over the examples."""
        return (*range(len(self.arrays)), *self.shared) if self.batch else self.shared

    @property
    def table(self) -> Shape:
        """The shape of the per-example losses of most cases."""
        return (4,) if self.batch else (4, 3)

    def name(self, place: Place) -> str:
        """What an argument is called."""
        return self.arrays[place] if isinstance(place, int) else place


class RowAxes(NamedTuple):
    """Where the rows of an array are.

    Parameters
    ----------
    axes : tuple of int
        Those of a row.
    classes : bool
        Whether the last of them is one of classes, behind those of a region.
    """

    axes: tuple[int, ...]
    classes: bool

    @staticmethod
    def of(entry: Entry, axes: tuple[int, ...], count: int, ndim: int) -> "RowAxes":
        """Those of an array with `ndim` axes, where the examples have `count`, and rows of the first array `axes`."""
        if ndim == count:
            return RowAxes((), False)
        if ndim == count + len(axes):
            return RowAxes(axes, entry.letters > 1)
        # Class ids within a region.
        return RowAxes(tuple(one - (one > axes[-1]) for one in axes[:-1]), False)

    def last(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array with its rows last: an axis for a region, and one for its classes."""
        if not self.axes:
            return array
        array = np.moveaxis(array, self.axes, range(-len(self.axes), 0))
        start, end = array.ndim - len(self.axes), array.ndim - self.classes
        return array.reshape(*array.shape[:start], int(np.prod(array.shape[start:end])), *array.shape[end:])

    def back(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The inverse of `last`, for an array of a shape; it may have more axes in front."""
        if not self.axes:
            return array
        lead = array.shape[: array.ndim - (len(shape) - len(self.axes) + 1 + self.classes)]
        others = [length for axis, length in enumerate(shape) if axis not in self.axes]
        array = array.reshape(*lead, *others, *(shape[axis] for axis in self.axes))
        return np.moveaxis(array, range(-len(self.axes), 0), [len(lead) + axis for axis in self.axes])


class Arguments(NamedTuple):
    """What a loss is called with, at one dtype."""

    arrays: tuple[Any, ...]
    parameters: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """One call of one loss, at every dtype of `dtypes`.

    Parameters
    ----------
    loss, name : str
        The public name of the loss, and a name of the case that is unique within it.
    kind : str
        ``"sample"``, ``"edge"`` or ``"error"``.
    arrays : tuple
        Positional arguments. Error cases may hold anything, lists too.
    parameters, options : mapping
        The loss's own keywords; and ``reduction``, ``sample_weight``, ``where``, ``denominator``.
    note : str
        Why the case is here.
    error : tuple or None
        The exception that is expected, and a regular expression that its message contains (ignoring case).
    value_check : bool
        The error depends on values, so it is only raised where these can be read: eagerly, on the CPU.
    """

    loss: str
    name: str
    kind: str
    arrays: tuple[Any, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = DTYPES
    note: str = ""
    error: tuple[Raises, str] | None = None
    value_check: bool = False

    @property
    def id(self) -> str:
        return f"{self.loss}-{self.name}"

    def at(self, dtype: str) -> Arguments:
        """The arguments with all float arrays rounded to `dtype`."""
        arrays, parameters, options = _rounded(self, dtype)
        return Arguments(arrays, dict(parameters), dict(options))


@cache
def _rounded(case: Case, dtype: str) -> Arguments:
    target = numpy_dtype(dtype)

    def to(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            with np.errstate(over="ignore", under="ignore"):
                value = value.astype(target)
            value.flags.writeable = False
        return value

    return Arguments(
        tuple(map(to, case.arrays)),
        {key: to(value) for key, value in case.parameters.items()},
        {key: to(value) for key, value in case.options.items()},
    )


_OPTIONS = ("reduction", "sample_weight", "where", "denominator")


class Cases:
    """The cases of one loss, while they are written.

    Where a case does not say otherwise, it looks at each example: ``reduction="none"``.

    Parameters
    ----------
    loss : str
        Its name.
    ordinary : callable
        Makes ordinary arrays, from the shape of the per-example losses.
    """

    def __init__(self, loss: str, ordinary: Callable[[Shape], tuple[Any, ...]]) -> None:
        self.loss, self.ordinary = loss, ordinary
        self.written: dict[str, Case] = {}

    def sample(self, name: str, *arrays: Any, note: str = "", **parameters: Any) -> None:
        """Ordinary input."""
        self._add("sample", name, arrays, note, parameters)

    def edge(self, name: str, *arrays: Any, note: str = "", **parameters: Any) -> None:
        """Input where formulas break."""
        self._add("edge", name, arrays, note, parameters)

    def refuse(
        self,
        name: str,
        raises: Raises,
        says: str,
        *arrays: Any,
        note: str = "",
        values: bool = False,
        **parameters: Any,
    ) -> None:
        """Bad input. `values`: only the values tell."""
        self._add("error", name, arrays, note, {"dtypes": ("float32",), **parameters}, (raises, says), values)

    def _add(
        self,
        kind: str,
        name: str,
        arrays: tuple[Any, ...],
        note: str,
        parameters: dict[str, Any],
        error: tuple[Raises, str] | None = None,
        value_check: bool = False,
    ) -> None:
        dtypes = parameters.pop("dtypes", DTYPES)
        options: dict[str, Any] = {key: parameters.pop(key) for key in _OPTIONS if key in parameters}
        if kind != "error" and options.setdefault("reduction", "none") == "default":
            del options["reduction"]
        if not has_bfloat16:
            dtypes = tuple(dtype for dtype in dtypes if dtype != "bfloat16")
        assert name not in self.written, f"two cases {self.loss}-{name}"
        self.written[name] = Case(self.loss, name, kind, arrays, parameters, options, dtypes, note, error, value_check)
