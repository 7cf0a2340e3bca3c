"""How the operations of a block are written down: by templates, in NumPy or in a framework that does them faster."""

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PIECE = 512
"""Products that are added one by one."""
ROW = 1024
"""The longest row whose products are."""
_LARGE = 1 << 14
"""Elements from which on a sum is a sum of products with 1."""
ALIGNMENT = 64
"""Bytes that memory starts at a multiple of."""


class Scratch(threading.local):
    """What a thread keeps between calls: its scratch memory, and the arrays that were laid out in it."""

    def __init__(self) -> None:
        self.memory: Any = ()
        self.layouts: dict[tuple[Any, int], list[Any]] = {}
        self.busy = False


class Code:
    """Operations in NumPy. An adapter may have operations of its own, on arrays of its own.

    A template is one or more lines. ``{a[0]}``, ``{a[1]}`` ... are the operands, ``{a}`` all of them; ``{out}`` is
    where the result goes. ``{spare}`` is memory of its shape in the dtype of the first operand, ``{flag}`` the same
    for booleans, and ``{compare}`` a comparison.
    """

    xp: Any = np
    parallel = False
    """Whether every function makes use of all threads."""
    templates: Mapping[str, Sequence[str]] = {
        "clip": ("{a[0]}.clip({a[1]}, {a[2]}, {out})",),
        "maximum": ("maximum({a}, out={out})",),
        "minimum": ("minimum({a}, out={out})",),
        "cast": ("copyto({out}, {a[0]}, 'unsafe')",),
        "full": ("copyto({out}, {a[0]})",),
        "mask": ("copyto({out}, {a[0]})", "negative({out}, {out})"),
        "mask.compared": ("{compare}({a}, {flag})", "copyto({out}, {flag})", "negative({out}, {out})"),
        "unmask": ("copyto({out}, {a[0]})", "subtract({out}, 1, {out})"),
        "unmask.compared": ("{compare}({a}, {flag})", "copyto({out}, {flag})", "subtract({out}, 1, {out})"),
        "chosen": ("equal({a}, {out})",),
        "index": ("add({a}, {out})",),
        "pick": ("{a[0]}.reshape(-1).take({a[1]}, None, {out}.reshape(-1), 'clip')",),
        "put": ("{out}.reshape(-1)[{a[2]}] = {a[1]}.reshape(-1)",),
        "add.reduce": ("sum_rows({a[0]}, {out})",),
        "dot.reduce": ("vecdot({a}, {out}[..., 0])",),
        "maximum.reduce": ("max_rows({a[0]}, -1, None, {out}, True)",),
        "logical_or.reduce": ("any_row({a[0]}, -1, None, {out}, True)",),
    }
    other = ("{op}({a}, {out})",)
    """The template of any other operation."""
    total = "total({a[0]})"
    """The sum of a whole block."""
    products: str | None = "dot({a})"
    """The sum of products, or None where there is no better way than to add them up, in a row too."""
    numbers: frozenset[str] = frozenset()
    """Operations whose constants are numbers of Python."""

    def __init__(self) -> None:
        self.scratch = Scratch()

    def named(self) -> dict[str, Any]:
        """The functions that templates name."""
        return {name: found for name, found in vars(np).items() if isinstance(found, np.ufunc)} | {
            "copyto": np.copyto,
            "dot": _dot,
            "total": _total,
            "sum_rows": _sum_rows,
            "max_rows": np.maximum.reduce,
            "any_row": np.logical_or.reduce,
            "any_of": np.ndarray.any,
            "outside": _outside,
        }

    def memory(self, array: Any) -> Any:
        """`array`, or the array on its memory, as operations take it."""
        return array

    def empty(self, shape: Sequence[int], kind: np.dtype[Any]) -> tuple[Any, Any]:
        """A new array, and its memory."""
        found = np.empty(shape, kind)
        return found, found

    def kind(self, array: Any) -> np.dtype[Any]:
        """The dtype of `memory`, as NumPy calls it."""
        found: np.dtype[Any] = array.dtype
        return found

    def dtype(self, kind: np.dtype[Any]) -> Any:
        """The dtype that NumPy calls `kind`."""
        return kind

    def asarray(self, array: Any) -> Any:
        """A NumPy array or number as an array that nobody writes to."""
        found = np.array(array)
        found.flags.writeable = False
        return found

    def bytes(self, count: int) -> Any:
        """New memory that starts where any vector instruction may."""
        return aligned((count,), np.uint8)

    def split(self, array: Any, step: int) -> Sequence[Any]:
        """`step` rows at a time."""
        return [array[start : start + step] for start in range(0, array.shape[0], step)]


def aligned(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """New memory that starts where any vector instruction may."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    found: np.ndarray[Any, Any] = memory[start : start + size].view(dtype).reshape(shape)
    return found


def _outside(array: Any, low: Any, high: Any) -> bool:
    """Whether not all of `array` is known to be within limits."""
    return not (array.min() >= low and array.max() <= high)


def _sum_rows(array: Any, out: Any) -> None:
    if array.shape[-1] <= ROW:
        np.vecdot(array, _ones[array.dtype][: array.shape[-1]], out[..., 0])
    else:
        np.add.reduce(array, axis=-1, out=out, keepdims=True)


def _total(array: Any) -> float:
    if array.size % PIECE or array.size < _LARGE:
        return float(np.add.reduce(array, None))
    return float(np.add.reduce(np.vecdot(array.reshape(-1, PIECE), _ones[array.dtype][:PIECE])))


def _dot(one: Any, other: Any) -> float:
    """The sum of products: short dot products, which are then added in pairs. A long one would add one by one."""
    if one.size % PIECE == 0:
        return float(np.add.reduce(np.vecdot(one.reshape(-1, PIECE), other.reshape(-1, PIECE))))
    one, other = one.reshape(-1), other.reshape(-1)
    whole = one.size - one.size % PIECE
    total = float(np.add.reduce(one[whole:] * other[whole:]))
    return total + _dot(one[:whole], other[:whole]) if whole else total


_ones = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
"""Products with 1 are added faster than numbers are."""
