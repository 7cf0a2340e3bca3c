"""The symbols of a kernel, each operation once, and what is known of them: views, single numbers, class ids."""

import math
from typing import Any

import numpy as np

from .symbols import BOOL, ROWS, Namespace, Shape, Symbol, UntraceableError, broadcast

_COMMUTATIVE = {"add", "multiply", "equal", "not_equal", "logical_and", "logical_or"}
_COMMUTATIVE |= {"bitwise_and", "bitwise_or", "bitwise_xor"}


class Graph(Namespace):
    """Symbols in the order in which they were made."""

    def __init__(self, base: int | None = None, assumes_finite: bool = False) -> None:
        """`base` is the number of axes of the arrays of an element-wise kernel; None for a kernel of rows.

        `assumes_finite` is whether the largest entry of each row is taken to be finite, and where it helps the
        smallest.
        """
        self.base, self.assumes_finite = base, assumes_finite
        self.assumed: dict[Symbol, None] = {}
        """The ends of rows that something was left out for, since they are taken to be finite."""
        self.symbols: list[Symbol] = []
        self.in_kernel = False
        """Whether a kernel runs: it must not look at shapes, since examples are laid out anew."""
        self.unmasks: set[tuple[Symbol, Any]] = set()
        """The conditions that have all bits of a dtype set where they are False."""
        self._known: dict[Any, Symbol] = {}
        self._within: dict[Symbol, tuple[int, int]] = {}
        self._largest: dict[Symbol, Symbol] = {}
        self._shift: dict[Symbol, Symbol] = {}

    def make(self, op: str, args: tuple[Symbol, ...], shape: Shape, dtype: Any, value: Any = None) -> Symbol:
        """The symbol of an operation: the same one for the same operation."""
        names = sorted(map(id, args)) if op in _COMMUTATIVE else map(id, args)
        key = (op, *names, shape, dtype, None if value is None else repr(value))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Symbol(self, op, args, shape, dtype, value)
            self.symbols.append(found)
        return found

    def input(self, number: int, shape: Shape, dtype: Any) -> Symbol:
        return self.make("input", (), shape, np.dtype(dtype), number)

    def constant(self, value: Any, shape: Shape, dtype: Any) -> Symbol:
        return self.make("constant", (), shape, np.dtype(dtype), np.dtype(dtype).type(value))

    def view(self, x: Symbol, shape: Shape, dtype: Any = None) -> Symbol:
        """The same memory in another shape or as another dtype."""
        if x.op == "hot":
            x = self.settle(x)
        dtype = x.dtype if dtype is None else dtype
        if x.op == "constant":
            bits = np.asarray(x.value).view(dtype) if dtype != x.dtype else x.value
            return self.constant(bits[()] if isinstance(bits, np.ndarray) else bits, shape, dtype)
        if x.op == "splat":
            return self.splat(self.view(x.args[0], (), dtype), shape)
        if x.op == "view":
            return self.view(x.args[0], shape, dtype)
        return x if (shape, dtype) == (x.lengths, x.dtype) else self.make("view", (x,), shape, dtype)

    def splat(self, x: Symbol, shape: Shape) -> Symbol:
        """A number for all elements."""
        return x if not shape else self.make("splat", (x,), shape, x.dtype)

    def spread(self, x: Symbol, shape: Shape) -> Symbol:
        """`x`, broadcast."""
        if x.lengths == shape:
            return x
        if broadcast(x.lengths, shape) != shape:
            raise UntraceableError(f"broadcasting {x.lengths} to {shape}")
        x = self.settle(x)
        if x.op == "constant":
            return self.constant(x.value, shape, x.dtype)
        return self.splat(x, shape) if not x.lengths else self.make("full", (x,), shape, x.dtype)

    def whole(self, x: Symbol) -> Symbol:
        """`x` with memory for each of its elements."""
        x = self.settle(x) if x.op == "hot" else x
        return self.make("full", (x,), x.lengths, x.dtype) if x.op in ("constant", "splat") else x

    def chosen(self, ids: Symbol, classes: Symbol) -> Symbol | None:
        """Where `classes` are those that `ids` name; None where these are not known to be ids of some of them."""
        if classes.op != "arange" or ids.lengths != (ROWS, 1) or not self.exist(ids, classes.lengths[0]):
            return None
        clipped, shape = self.clipped(ids, classes.lengths[0]), (ROWS, *classes.lengths)
        return self.make("chosen", (clipped, classes), shape, BOOL)

    def settle(self, x: Symbol) -> Symbol:
        """`x`, where a choice by class ids is still open: written into a copy."""
        if x.op != "hot":
            return x
        chosen, yes, no = x.args
        base = self.whole(no) if no.lengths == x.lengths else self.make("full", (no,), x.lengths, x.dtype)
        return self.make("put", (base, self.picked(chosen, yes), self._index(chosen)), x.lengths, x.dtype)

    def picked(self, chosen: Symbol, x: Symbol) -> Symbol:
        """The entry of each row that is chosen by a class id, shape (rows, 1)."""
        ids, classes = chosen.args
        kept = (ids.lengths[0], 1)
        if x.op in ("constant", "splat"):
            x = self.view(x, ())
        if x.lengths in ((), kept):
            return self.spread(x, kept)
        if x.lengths == classes.lengths:
            return self.make("pick", (x, self.view(ids, kept[:1])), kept, x.dtype)
        if x.lengths == chosen.lengths:
            return self.make("pick", (x, self._index(chosen)), kept, x.dtype)
        raise UntraceableError(f"one entry of {x.lengths}")

    def _index(self, chosen: Symbol) -> Symbol:
        ids, classes = chosen.args
        index = np.dtype(np.int64)
        return self.make("index", (self.view(ids, ids.lengths[:1]),), ids.lengths[:1], index, classes.lengths[0])

    def know(self, ids: Symbol, low: int = 0, high: int = 0) -> None:
        """Take it that `ids` are within these limits; without them, that they are those of classes that exist, however
        many these are."""
        self._within[ids] = (low, high)

    def rows_have_largest(self, x: Symbol, largest: Symbol) -> None:
        """Remember the largest entries of the rows of `x`."""
        self._largest[x] = self._largest[largest] = largest

    def rows_have_shift(self, difference: Symbol) -> None:
        """Remember a difference, if it is the distance of entries to the largest of their row."""
        x, subtracted = difference.args
        if self._largest.get(x) is subtracted:
            self._shift[x] = self._shift[difference] = difference

    def if_finite(self, op: str, args: list[Symbol]) -> Symbol | None:
        """What a comparison with the largest finite number comes to, where the largest entry of a row is finite, and
        its distance to the smallest.

        In `polyloss.stable`, `shifted` and `is_infinite` make them.
        """
        x, *bounds = args
        largest, shift = self._largest.get(x), self._shift.get(x)
        if (largest is None and shift is None) or any(bound.op != "constant" for bound in bounds):
            return None
        limit = float(np.finfo(x.dtype).max)
        end, found = largest, None
        lowest = -limit if x is largest else -math.inf
        match op, *(float(bound.value) for bound in bounds):
            case ("less", bound) if shift is not None and bound == -limit:
                end = self.make("minimum.reduce", (shift,), (*shift.lengths[:-1], 1), shift.dtype)
                found = self.constant(False, x.lengths, BOOL)
            case ("clip", low, high) if largest is not None and (low, high) == (lowest, limit):
                found = x
            case ("clip", low, math.inf) if x is largest and low == limit:
                found = self.constant(limit, x.lengths, x.dtype)
            case ("less", bound) | ("greater", bound) if x is largest and bound == (-limit if op == "less" else limit):
                found = self.constant(False, x.lengths, BOOL)
        if found is not None and end is not None:
            self.assumed[end] = None
        return found

    def is_infinite(self, x: Symbol) -> Symbol:
        """Where `x` is infinite, whatever is taken of it."""
        limit = float(np.finfo(x.dtype).max)
        below = self.make("less", (x, self.constant(-limit, (), x.dtype)), x.lengths, BOOL)
        above = self.make("greater", (x, self.constant(limit, (), x.dtype)), x.lengths, BOOL)
        return self.make("logical_or", (below, above), x.lengths, BOOL)

    def exist(self, ids: Symbol, count: int) -> bool:
        """Whether all ids are known to be in [0, count)."""
        while ids not in self._within and ids.op in ("view", "cast") and ids.args[0].dtype.kind == "i":
            (ids,) = ids.args
        low, high = self._within.get(ids, (-1, 0))
        return low >= 0 and high < count

    def clipped(self, ids: Symbol, count: int) -> Symbol:
        # A class that does not exist is told of elsewhere; until then it must not be looked up.
        low, high = self.constant(0, (), ids.dtype), self.constant(count - 1, (), ids.dtype)
        return self.make("clip", (ids, low, high), ids.lengths, ids.dtype)


def is_zero(x: Symbol) -> bool:
    return x.op == "constant" and x.value == 0 and math.copysign(1.0, float(x.value)) > 0
