"""How the operations of a block are written down in NumPy."""

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .dialect import Dialect, Shape, Work, aligned

PIECE = 512
"""Products that are added one by one."""
ROW = 1024
"""The longest row whose products are."""
_LARGE = 1 << 14
"""Elements from which on a sum is a sum of products with 1."""
_SHORT = 1 << 15
"""Elements of what a function computes in several steps: few enough for the first caches."""
_NARROW = 64
"""Entries of a row up to which NumPy compares whole columns faster."""


def _outside(array: Any, low: Any, high: Any) -> bool:
    """Whether not all of `array` is known to be within limits."""
    return not (np.minimum.reduce(array, None) >= low and np.maximum.reduce(array, None) <= high)


def _sum_rows(array: Any, out: Any) -> None:
    if array.shape[-1] <= ROW:
        np.vecdot(array, _ones[array.dtype][: array.shape[-1]], out[..., 0])
    else:
        np.add.reduce(array, axis=-1, out=out, keepdims=True)


def _of_columns(function: Any) -> Callable[[Any, Any], None]:
    """A reduction of rows, in which order does not matter: of short ones column by column, in a transposed copy."""

    def reduce(array: Any, out: Any) -> None:
        if array.ndim != 2 or array.shape[1] > _NARROW:
            function.reduce(array, -1, None, out, True)
            return
        step = _SHORT // array.shape[1]
        for start in range(0, len(array), step):
            columns = array[start : start + step].T.copy()
            function.reduce(columns, 0, None, out[start : start + step, 0])

    return reduce


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


def _log1p(x: Any, out: Any) -> None:
    """log(1 + x). For float32, NumPy's own takes four times as long where it has no vector instructions for it.

    The logarithm of the rounded sum, and to first order that of what was lost: W. Kahan, in N. J. Higham, "Accuracy and
    Stability of Numerical Algorithms", section 1.14.1, has the same idea. A limit instead of 0 / 0 at -1 and infinity.
    """
    if x.dtype != np.float32 or not (x.flags.c_contiguous and out.flags.c_contiguous):
        np.log1p(x, out)
        return
    x, out = x.reshape(-1), out.reshape(-1)
    memory = np.empty((2, min(x.size, _SHORT)), np.float32)
    for start in range(0, x.size, _SHORT):
        part, found = x[start : start + _SHORT], out[start : start + _SHORT]
        sums, lost = memory[:, : part.size]
        np.add(part, _ONE, sums)
        np.subtract(sums, _ONE, lost)
        np.subtract(part, lost, lost)
        np.divide(lost, sums, lost)
        np.fmax(lost, -_ONE, lost)
        np.log(sums, sums)
        # The sign of a zero as well.
        np.copysign(np.add(sums, lost, sums), part, found)


def _round_to(out: Any, x: Any) -> None:
    """Round float32 to halves.

    Of each number that is rounded below the normal float16, NumPy tells the processor, which takes 40 times as long as
    to round it. So these are rounded before: next to 3/4, numbers are as far apart as the least halves are.
    """
    if out.dtype != np.float16 or not (x.flags.c_contiguous and out.flags.c_contiguous):
        np.copyto(out, x, "unsafe")
        return
    x, out = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, _SHORT):
        part = x[start : start + _SHORT]
        small = np.absolute(part) < _LEAST_NORMAL
        if small.any():
            near = np.add(part, _NEAR)
            np.copysign(np.subtract(near, _NEAR, near), part, near)
            part = np.where(small, near, part)
        np.copyto(out[start : start + _SHORT], part, "unsafe")


class _Asking(np.ndarray[Any, Any]):
    """An array whose methods return the function that they are made of."""

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        return ufunc


def _function_of_clip() -> Callable[..., Any]:
    """The function of the method `clip`, which has no name in NumPy. Of a small array, that takes half of the time."""
    found: Any = np.zeros(1).view(_Asking).clip(0.0, 1.0)
    return found if isinstance(found, np.ufunc) else np.ndarray.clip


def _has_vectors(name: str) -> bool:
    """Whether NumPy computes a function of float32 with vector instructions beyond those of any such processor.

    NumPy 2.0 does not tell.
    """
    if not hasattr(np.lib, "introspect"):
        return False
    found = [*np.lib.introspect.opt_func_info(f"^{name}$", "float32").values()]
    return bool(found) and all("baseline" not in version["current"] for version in found[0].values())


_ONE, _NEAR, _LEAST_NORMAL = np.float32(1.0), np.float32(0.75), np.float32(2.0**-14)
_ones = {np.dtype(kind): np.ones(ROW, kind) for kind in (np.float32, np.float64)}
"""Products with 1 are added faster than numbers are."""


_TEMPLATES = {
    "maximum": ("maximum({all}, out={out})",),
    "minimum": ("minimum({all}, out={out})",),
    "cast": ("copyto({out}, {a[0]}, 'unsafe')",),
    "round": ("round_to({out}, {a[0]})",),
    "full": ("copyto({out}, {a[0]})",),
    "mask": ("copyto({out}, {a[0]})", "negative({out}, {out})"),
    "mask.compared": ("{compare}({all}, {flag})", "copyto({out}, {flag})", "negative({out}, {out})"),
    "unmask": ("copyto({out}, {a[0]})", "subtract({out}, 1, {out})"),
    "unmask.compared": ("{compare}({all}, {flag})", "copyto({out}, {flag})", "subtract({out}, 1, {out})"),
    "pick": ("{a[0]}.reshape(-1).take({a[1]}, None, {out}.reshape(-1), 'clip')",),
    "put": ("{out}.reshape(-1)[{a[2]}] = {a[1]}.reshape(-1)",),
    "add.reduce": ("sum_rows({a[0]}, {out})",),
    "dot.reduce": ("vecdot({all}, {out}[..., 0])",),
    "maximum.reduce": ("max_rows({a[0]}, {out})",),
    "minimum.reduce": ("min_rows({a[0]}, {out})",),
    "logical_or.reduce": ("any_row({a[0]}, -1, None, {out}, True)",),
    "logical_and.reduce": ("all_row({a[0]}, -1, None, {out}, True)",),
}
_OTHER = ("{op}({all}, {out})",)
_FUNCTIONS = {name: function for name, function in vars(np).items() if isinstance(function, np.ufunc)} | {
    "chosen": np.equal,
    "clip": _function_of_clip(),
    "copyto": np.copyto,
    "round_to": _round_to,
    "index": np.add,
    "dot": _dot,
    "log1p": np.log1p if _has_vectors("log1p") else _log1p,
    "total": _total,
    "sum_rows": _sum_rows,
    "max_rows": _of_columns(np.maximum),
    "min_rows": _of_columns(np.minimum),
    "any_row": np.logical_or.reduce,
    "all_row": np.logical_and.reduce,
    "any_of": np.ndarray.any,
    "outside": _outside,
}


class _NumPy(Dialect):
    """NumPy, in threads: it lets others work meanwhile."""

    def constant(self, value: Any) -> Any:
        value.flags.writeable = False
        return value

    def dtype(self, dtype: Any) -> Any:
        return dtype

    def scratch(self, size: int) -> Any:
        return aligned((size,), np.uint8)

    def part(self, memory: Any, start: int, shape: Shape, dtype: Any) -> Any:
        return memory[start : start + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def moved(self, array: Any, source: Shape, destination: Shape) -> Any:
        return np.moveaxis(array, source, destination)

    def spread(self, array: Any, shape: Shape) -> Any:
        return np.broadcast_to(array, shape)

    def each(self, work: Work, blocks: Iterable[Any], count: int, threads: Callable[[], int]) -> None:
        todo: Iterator[Any] = iter(blocks)
        others = []
        with contextlib.suppress(RuntimeError):
            # No threads start any more while the interpreter shuts down.
            for _ in range(min(threads(), count) - 1):
                others.append(_pool().submit(work, todo))
        try:
            work(todo)
        finally:
            for other in others:
                other.result()


_executor: ThreadPoolExecutor | None = None


def _pool() -> ThreadPoolExecutor:
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(max_workers=max((os.cpu_count() or 2) - 1, 1), thread_name_prefix="polyloss")
    return _executor


def _forget_threads() -> None:
    """A forked process has none of its parent's threads."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget_threads)

NUMPY = _NumPy(_TEMPLATES, _OTHER, _FUNCTIONS)
