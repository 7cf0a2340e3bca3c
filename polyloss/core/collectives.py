"""What the members of a group compute together: the contract of an adapter, and rows that are split over a group.

A group is whatever the framework has for one: processes, an axis of a mesh of devices, replicas.
"""

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .typing import Array, KernelResult, Namespace


class Group(ABC):
    """Members that call the same functions at the same time, each with arrays of its own."""

    @property
    @abstractmethod
    def size(self) -> Any:
        """How many members there are."""

    def common_dtype(self, dtype: Any) -> Any:
        """One that numbers of this dtype can travel in where other members may have another one."""
        return dtype

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
    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        """Where a member's part of a row starts that is so long, and how long the row is."""

    def longest(self, part: int) -> int | None:
        """How long the longest part of a row is; None where that cannot be known now."""
        return part

    def agreed(self, part: int, alike: Mapping[str, Any]) -> "Group":
        """This group, whose members know how long their parts of rows are: in one message for all that comes.

        Parameters
        ----------
        part : int
            How long the one of this member is.
        alike : mapping
            Numbers and dtypes that must be the same for all members; by what an error says of them, with ``{}`` for
            each.

        Raises
        ------
        ValueError
            If they are not, for all members; or if the call of another one is an error.
        """
        return self

    def withdraw(self) -> None:  # noqa: B027
        """Tell the others, who may be about to agree, that the call of this member is an error."""

    def check(self, parts: Mapping[str, Array], others: Mapping[str, Array]) -> None:  # noqa: B027
        """Raise ValueError where some cannot be parts of rows that are split, or others differ between members.

        As far as that can be told without asking them.
        """

    @abstractmethod
    def lengths(self, arrays: Mapping[str, Array | None]) -> Mapping[str, Any]:
        """How many entries along the first axis each member has of each array, as the functions below want it.

        Raises
        ------
        ValueError
            For all members, if the arrays are not those of one array that is split along its first axis.
        """

    @abstractmethod
    def start(self, lengths: Any) -> Any:
        """How many entries the members before this one have."""

    @abstractmethod
    def gather(self, array: Array, lengths: Any) -> Array:
        """The members' arrays one behind the other. The gradient by a part is the sum of those by all its copies."""

    @abstractmethod
    def reduce_scatter(self, array: Array, lengths: Any) -> Array:
        """This member's part of the sum of arrays that are as long as all parts together."""

    @abstractmethod
    def shift(self, block: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of the member before this one, the last before the first, while its own go to the next one."""

    def repeat(self, times: Any, step: Callable[[Any, Any], tuple[Any, Any]], so_far: Any, block: Any) -> Any:
        """Make results and a block from those before, a number of times."""
        for _ in range(times):
            so_far, block = step(so_far, block)
        return so_far, block


class Alone(Group):
    """The group of a process that has no others."""

    size = 1

    def sum(self, array: Array) -> Array:
        return array

    replicated_sum = maximum = sum

    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        return 0, part

    def lengths(self, arrays: Mapping[str, Array | None]) -> Mapping[str, Any]:
        return dict.fromkeys(arrays)

    def start(self, lengths: Any) -> Any:
        return 0

    def gather(self, array: Array, lengths: Any) -> Array:
        return array

    reduce_scatter = gather

    def shift(self, block: Mapping[str, Array]) -> dict[str, Array]:
        return dict(block)


_DTYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("bfloat16", "float16", "float32", "float64"),
)


def layout_of(arrays: Mapping[str, Array | None]) -> list[list[int]]:
    """What members must know of each other's arrays before they exchange these: length, features, and dtype."""

    def numbers(array: Array | None) -> list[int]:
        if array is None:
            return [0, 0, -1]
        dtype = re.search(r"bool|[a-z]+\d+", str(array.dtype))
        features = 0 if array.ndim < 2 else int(array.shape[1])
        return [int(array.shape[0]), features, _DTYPES.index(dtype[0]) if dtype else -1]

    return list(map(numbers, arrays.values()))


def lengths_of(member: str, names: Iterable[str], layouts: Sequence[Sequence[Sequence[int]]]) -> dict[str, list[int]]:
    """How long each array is for each member, by the layouts of all members.

    Raises
    ------
    ValueError
        The same for all members, where these have different kinds of arrays.
    """

    def words(features: int, dtype: int) -> str:
        if dtype < 0:
            return "none"
        return f"{features} features of {_DTYPES[dtype]}" if features else _DTYPES[dtype]

    found = {}
    for name, *of_members in zip(names, *layouts, strict=True):
        _, *first = of_members[0]
        for place, (_, *other) in enumerate(of_members):
            if other != first:
                raise ValueError(
                    f"{'where' if name == 'mask' else name} must be the same kind of array for all members of the "
                    f"group, but {member} 0 has {words(*first)}, and {member} {place} {words(*other)}"
                )
        found[name] = [length for length, *_ in of_members]
    return found


GroupOf: TypeAlias = Callable[[Array], Group]
"""The group that an array's framework makes of what the user named."""


class WholeRowsError(TypeError):
    """A kernel would see a part of a row where it needs all of it."""


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

    def __init__(self, xp: Namespace, group_of: GroupOf, array: Array, loss: str) -> None:
        self.group_of, self.group = group_of, group_of(array)
        self._xp, self._loss = xp, loss
        self._start, self.row_length = self.group.offset_and_length(array.shape[-1])

    def __getattr__(self, name: str) -> Any:
        if name == "take_along_axis":
            # The entry may be another member's: who asks whether there is this function knows a way without.
            raise AttributeError(f"{self._loss} needs whole rows, for its kernel uses {name}: gather them first")
        if name.startswith("_") or name not in self._BY_ELEMENT:
            raise WholeRowsError(f"{self._loss} needs whole rows, for its kernel uses {name}: gather them first")
        return getattr(self._xp, name)

    def arange(self, *bounds: Any, **keywords: Any) -> Array:
        """The places of a member's entries within the whole row."""
        found, start = self._xp.arange(*bounds, **keywords), self._start
        return found + (start if isinstance(start, int) else self._xp.astype(start, found.dtype))

    def sum(self, x: Array, /, **keywords: Any) -> Array:
        return self._over(x, self._xp.sum(x, **keywords), self.group.sum, **keywords)

    def max(self, x: Array, /, **keywords: Any) -> Array:
        if x.shape[-1] == 0:
            # A member may have nothing of the rows.
            x = self._xp.sum(x, axis=-1, keepdims=True) - math.inf
        return self._over(x, self._xp.max(x, **keywords), self._maximum, **keywords)

    def min(self, x: Array, /, **keywords: Any) -> Array:
        return -self.max(-x, **keywords)

    def _maximum(self, found: Array) -> Array:
        xp = self._xp
        if not xp.isdtype(found.dtype, "real floating"):
            return self.group.maximum(found)
        # A NaN is the largest of all: it travels as a flag.
        nan = xp.isnan(found)
        both = self.group.maximum(xp.stack([xp.where(nan, -math.inf, found), xp.astype(nan, found.dtype)]))
        return xp.where(both[1, ...] > 0, math.nan, both[0, ...])

    def any(self, x: Array, /, **keywords: Any) -> Array:
        found = self._xp.astype(self._xp.any(x, **keywords), self._xp.int32)
        return self._over(x, found, self.group.maximum, **keywords) > 0

    def all(self, x: Array, /, **keywords: Any) -> Array:
        return ~self.any(~x, **keywords)

    def _over(self, x: Array, found: Array, over: Callable[[Array], Array], *, axis: Any = None, **_: Any) -> Array:
        axes = axis if isinstance(axis, tuple) else (axis,)
        if {-2, x.ndim - 2}.intersection(axes):
            raise WholeRowsError(
                f"{self._loss} needs whole rows, for its kernel pairs their entries: gather them first"
            )
        return over(found) if {None, -1, x.ndim - 1}.intersection(axes) else found


def split_namespace(xp: Namespace, loss: Any, array: Array) -> Namespace:
    """`xp`, for rows of which `array` has a part if those of the loss are split."""
    return xp if loss.group_of is None else SplitRows(xp, loss.group_of, array, loss.__name__)


def split_kernel(kernel: Callable[..., KernelResult], group_of: GroupOf) -> Callable[..., KernelResult]:
    """`kernel` for rows that are split over a group."""

    @functools.wraps(kernel)
    def run(xp: Namespace, array: Array, *arrays: Array, **parameters: Any) -> KernelResult:
        return kernel(SplitRows(xp, group_of, array, kernel.__name__), array, *arrays, **parameters)

    # Of a pair, an adapter has no more than the kernel: see `split_over`.
    run.group_of, run.whole = group_of, kernel  # type: ignore[attr-defined]
    return run


def split_over(pair: Any, array: Array) -> Group | None:
    """The group that the rows of what has a kernel are split over, if they are."""
    group_of = getattr(getattr(pair, "kernel", None), "group_of", None)
    return None if group_of is None else group_of(array)


def agreed(kernel: Any, array: Array, part: int) -> Any:
    """`kernel`; if its rows are split, its members know from now on how long the others' parts are."""
    if not hasattr(kernel, "group_of"):
        return kernel
    group = kernel.group_of(array)
    known = group.agreed(part, {})
    return kernel if known is group else split_kernel(kernel.whole, lambda _: known)
