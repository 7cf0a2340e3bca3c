"""What a kernel computes, written down by running it once on symbols.

A kernel is a function of arrays without branches on their values. So the operations that it does on symbols are those
that it does on any arrays, and they can be done on a few rows at a time: see `_blocks`.
"""

import contextlib
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from .code import ROW
from .symbols import BOOL, ROWS, Shape, Symbol, Unseen, UntraceableError, broadcast, is_product, limits_of

Scalar = bool | int | float
Flag = bool
Axis = int | tuple[int, ...]

_BITS: dict[int, Any] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}
_FLOATING = {"add", "subtract", "multiply", "divide", "negative", "absolute", "power", "maximum", "minimum", "clip"}
_FLOATING |= {"exp", "log", "log1p", "expm1", "sqrt", "sinh", "cosh", "tanh"}
_ORDERING = {"maximum", "minimum", "clip"}
"""What whole numbers have too, and nothing can overflow in."""
_TESTING = {"isfinite", "isnan", "isinf"}
_COMPARING = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
_LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
IN_PLACE = _FLOATING | _LOGICAL | {"bitwise_and", "bitwise_xor"}
"""What may write its result over an operand."""
_COMMUTATIVE = {"add", "multiply", "equal", "not_equal", "logical_and", "logical_or", "bitwise_and", "bitwise_xor"}


class Trace:
    """The Array API namespace of symbols, as far as kernels need it. It holds every operation once."""

    __name__ = __name__
    __array_api_version__ = "2024.12"
    float32, float64, int32, int64 = (np.dtype(t) for t in ("float32", "float64", "int32", "int64"))
    bool = BOOL
    inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
    isdtype = staticmethod(np.isdtype)
    finfo = staticmethod(np.finfo)
    iinfo = staticmethod(np.iinfo)

    def __init__(self, base: int | None = None) -> None:
        """`base` is the number of axes of the arrays of an element-wise kernel; None for a kernel of rows."""
        self.base = base
        self.symbols: list[Symbol] = []
        self.in_kernel = False
        self._known: dict[Any, Symbol] = {}
        self._within: dict[Symbol, tuple[int, int]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in _FLOATING or name in _TESTING or name in _LOGICAL:
            return lambda *arrays: self.apply(name, *arrays)
        raise UntraceableError(name)

    def make(self, op: str, args: tuple[Symbol, ...], shape: Shape, dtype: Any, value: Any = None) -> Symbol:
        """The symbol of an operation: the same one for the same operation."""
        names = sorted(map(id, args)) if op in _COMMUTATIVE else map(id, args)
        key = (op, *names, shape, dtype, None if value is None else repr(value))
        if key not in self._known:
            self._known[key] = Symbol(self, op, args, shape, dtype, value)
            self.symbols.append(self._known[key])
        return self._known[key]

    def input(self, number: int, shape: Shape, dtype: Any) -> Symbol:
        return self.make("input", (), shape, np.dtype(dtype), number)

    def constant(self, value: Any, shape: Shape, dtype: Any) -> Symbol:
        return self.make("constant", (), shape, np.dtype(dtype), np.dtype(dtype).type(value))

    def view(self, x: Symbol, shape: Shape, dtype: Any = None) -> Symbol:
        """The same memory in another shape or as another dtype."""
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

    @contextlib.contextmanager
    def kernel(self) -> Iterator[None]:
        """A context in which a kernel runs: it must not look at shapes, since examples are laid out anew."""
        self.in_kernel = True
        try:
            yield
        finally:
            self.in_kernel = False

    def promise(self, flag: Symbol) -> None:
        """Take it that `flag` is True nowhere: so it is known of class ids within which limits they are."""
        outside, mask = flag.args if flag.op == "logical_and" else (flag, None)
        limits = limits_of(outside)
        if limits is not None and limits[0].dtype.kind == "i":
            ids, low, high = limits
            if mask is not None:
                # What does not count is 0, as in `Plan.prepare`.
                ids, low, high = self.where(mask, ids, self.zeros_like(ids)), min(low, 0), max(high, 0)
            self._within[ids] = (low, high)

    def vouch(self, ids: Symbol) -> None:
        """Take it that `ids` are those of classes that exist, however many these are."""
        self._within[ids] = (0, 0)

    def _exist(self, ids: Symbol, count: int) -> Flag:
        """Whether all ids are known to be in [0, count)."""
        while ids not in self._within and ids.op in ("view", "cast") and ids.args[0].dtype.kind == "i":
            (ids,) = ids.args
        low, high = self._within.get(ids, (-1, 0))
        return low >= 0 and high < count

    def apply(self, op: str, *operands: Any) -> Symbol:
        """A function of NumPy, element by element."""
        dtype = self._common(op, operands)
        args = tuple(self.astype(self._symbol(o, dtype), dtype) for o in operands)
        shape = self._meet(*args)
        args = tuple(a.args[0] if a.op == "splat" else a for a in args)
        result = dtype if op in _FLOATING or op.startswith("bitwise") else BOOL
        if all(a.op == "constant" for a in args):
            with np.errstate(all="ignore"):
                value = np.clip(*(a.value for a in args)) if op == "clip" else getattr(np, op)(*(a.value for a in args))
            return self.constant(value, shape, result)
        args = tuple(self.view(a, ()) if a.op == "constant" else a for a in args)
        enough = broadcast(*(a.lengths for a in args))
        if enough != shape:
            return self.broadcast_to(self.apply(op, *args), shape)
        if op == "multiply":
            for x, factor in (args, args[::-1]):
                simple = self._scaled(x, factor, shape)
                if simple is not None:
                    return simple
        if op == "equal":
            for ids, other in (args, args[::-1]):
                if other.op == "arange" and ids.lengths == (ROWS, 1) and self._exist(ids, other.lengths[0]):
                    return self.make("chosen", (self._clipped(ids, other.lengths[0]), other), shape, BOOL)
        return self.make(op, args, shape, result)

    def _common(self, op: str, operands: tuple[Any, ...]) -> Any:
        """The dtype that an operation is done in."""
        dtypes = {o.dtype for o in operands if isinstance(o, Symbol)}
        if len(dtypes) > 1:
            dtypes.discard(BOOL)
        if dtypes == {self.int32, self.int64}:
            dtypes = {self.int64}
        if len(dtypes) != 1:
            raise UntraceableError(f"{op} of {dtypes}")
        (dtype,) = dtypes
        wrong = op in _FLOATING and dtype.kind != "f" and (op not in _ORDERING or dtype.kind != "i")
        if wrong or (op in _LOGICAL and dtype != BOOL):
            raise UntraceableError(f"{op} of {dtype}")
        return dtype

    def _meet(self, *args: Symbol) -> Shape:
        """The common shape. In an element-wise kernel, what belongs to the last axes of examples, which are laid out as
        one, must not meet axes that the kernel made itself."""
        shape = broadcast(*(a.lengths for a in args))
        if self.base == 2:
            for a in args:
                alike = a.op in ("constant", "splat") or a.lengths == (1,)
                if len(a.lengths) == 1 < len(shape) and not alike and _is_given(a) == (len(shape) > 2):
                    raise UntraceableError(f"broadcasting {[a.lengths for a in args]}")
        return shape

    def _scaled(self, x: Symbol, factor: Symbol, shape: Shape) -> Symbol | None:
        """``x * factor`` with fewer operations, where that changes no bit."""
        if factor.op == "constant" and factor.value == 1.0 and shape == x.lengths:
            return x
        if x.op == "negative" and x.lengths and not factor.lengths and shape == x.lengths:
            return self.apply("multiply", x.args[0], self.apply("negative", factor))
        return None

    def _clipped(self, ids: Symbol, count: int) -> Symbol:
        # A class that does not exist is told of elsewhere; until then it must not be looked up.
        low, high = (self.constant(bound, (), ids.dtype) for bound in (0, count - 1))
        return self.make("clip", (ids, low, high), ids.lengths, ids.dtype)

    def power(self, x: Symbol, power: Any) -> Symbol:
        if isinstance(power, Symbol):
            return self.apply("power", x, power)
        if power == 1:
            return x
        if power == 2:
            return self.apply("multiply", x, x)
        return self.apply("sqrt", x) if power == 0.5 else self.apply("power", x, power)

    def pow(self, x: Any, power: Any, /) -> Symbol:
        return self.apply("power", x, power)

    def abs(self, x: Symbol, /) -> Symbol:
        return self.apply("absolute", x)

    def clip(self, x: Symbol, /, min: Any = None, max: Any = None) -> Symbol:
        _symbols(x)
        ends = (-math.inf, math.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        return self.apply("clip", x, ends[0] if min is None else min, ends[1] if max is None else max)

    def sign(self, x: Symbol, /) -> Symbol:
        # Far faster than NumPy's: what is not 0 or NaN becomes at least 1, subnormal numbers too.
        large = 2.0**127 if x.dtype == np.float32 else 2.0**1023
        return self.clip(self.apply("multiply", self.apply("multiply", x, large), 2.0**52), -1.0, 1.0)

    def where(self, condition: Symbol, x1: Any, x2: Any, /) -> Symbol:
        """A choice, made of operations on bits: they take the same time whatever is chosen."""
        _symbols(condition)
        kinds = [o.dtype for o in (x1, x2) if isinstance(o, Symbol)]
        if not kinds or any(kind != kinds[0] for kind in kinds) or condition.dtype != BOOL:
            raise UntraceableError(f"where of {kinds}")
        dtype = kinds[0]
        if dtype != BOOL and dtype.itemsize not in _BITS:
            raise UntraceableError(f"where of {dtype}")
        yes, no = self._symbol(x1, dtype), self._symbol(x2, dtype)
        shape = self._meet(condition, yes, no)
        if condition.op == "constant":
            return self.broadcast_to(yes if condition.value else no, shape)
        if condition.op == "chosen":
            return self.make("hot", (condition, yes, no), shape, dtype)
        if dtype == BOOL:
            one = self.apply("logical_and", condition, yes)
            return self.apply("logical_or", one, self.apply("logical_and", self.apply("logical_not", condition), no))
        bits = _BITS[dtype.itemsize]
        raw_yes, raw_no = (self.view(o, o.lengths, bits) for o in (yes, no))
        if _is_zero(yes):
            chosen = self.apply("bitwise_and", raw_no, self._mask("unmask", condition, bits))
        elif _is_zero(no):
            chosen = self.apply("bitwise_and", raw_yes, self._mask("mask", condition, bits))
        else:
            # Of a number and its negative, only the sign is chosen.
            sign = np.iinfo(bits).min
            opposite = _negates(yes, no) or _negates(no, yes)
            different = sign if opposite else self.apply("bitwise_xor", raw_yes, raw_no)
            changed = self.apply("bitwise_and", different, self._mask("mask", condition, bits))
            chosen = self.apply("bitwise_xor", changed, raw_no)
        if chosen.lengths != shape:
            raise UntraceableError("where of a constant")
        return self.view(chosen, shape, dtype)

    def _mask(self, op: str, condition: Symbol, bits: Any) -> Symbol:
        if condition.op in _COMPARING:
            return self.make(op, condition.args, condition.lengths, bits, condition.op)
        return self.make(op, (condition,), condition.lengths, bits)

    def astype(self, x: Symbol, dtype: Any, /) -> Symbol:
        _symbols(x)
        x, dtype = self.settle(x), np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.op == "constant":
            return self.constant(x.value, x.lengths, dtype)
        if x.op == "splat":
            return self.splat(self.astype(x.args[0], dtype), x.lengths)
        return self.make("cast", (x,), x.lengths, dtype)

    def sum(self, x: Symbol, /, *, axis: Axis | None = None, dtype: Any = None, keepdims: Flag = False) -> Symbol:
        if dtype is not None:
            raise UntraceableError("a sum in another dtype")
        return self._reduce("add", x, axis, keepdims)

    def max(self, x: Symbol, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("maximum", x, axis, keepdims)

    def min(self, x: Symbol, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("minimum", x, axis, keepdims)

    def any(self, x: Symbol, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("logical_or", x, axis, keepdims)

    def all(self, x: Symbol, /, *, axis: Axis | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("logical_and", x, axis, keepdims)

    def _reduce(self, op: str, x: Symbol, axis: Axis | None, keepdims: Flag) -> Symbol:
        _symbols(x)
        # Never along an axis of examples: these are laid out anew.
        axes = len(x.lengths)
        kind = "b" if op in _LOGICAL else "f"
        if axis not in (-1, axes - 1) or axes <= (self.base or 1) or x.lengths[0] is not ROWS or x.dtype.kind != kind:
            raise UntraceableError(f"{op} along axis {axis} of {x.dtype}")
        kept = (*x.lengths[:-1], 1)
        if x.op == "hot" and op == "add" and _is_zero(x.args[2]):
            reduced = self._picked(x.args[0], x.args[1])
        elif op == "add" and is_product(x) and x.lengths[-1] <= ROW:
            reduced = self.make("dot.reduce", x.args, kept, x.dtype)
        else:
            reduced = self.make(f"{op}.reduce", (self.whole(x),), kept, x.dtype)
        return reduced if keepdims else self.view(reduced, kept[:-1])

    def _picked(self, chosen: Symbol, x: Symbol) -> Symbol:
        """The entry of each row that is chosen by a class id, shape (rows, 1)."""
        ids, classes = chosen.args
        kept = (ids.lengths[0], 1)
        if x.op in ("constant", "splat"):
            x = self.view(x, ())
        if x.lengths in ((), kept):
            return self.broadcast_to(x, kept)
        if x.lengths == classes.lengths:
            return self.make("pick", (x, self.view(ids, kept[:1])), kept, x.dtype)
        if x.lengths == chosen.lengths:
            return self.make("pick", (x, self._index(chosen)), kept, x.dtype)
        raise UntraceableError(f"one entry of {x.lengths}")

    def _index(self, chosen: Symbol) -> Symbol:
        ids, classes = chosen.args
        return self.make("index", (self.view(ids, ids.lengths[:1]),), ids.lengths[:1], self.int64, classes.lengths[0])

    def take(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x, indices)
        fits = self.base is None and len(x.lengths) == 1 and x.lengths[0] is not ROWS and indices.lengths == (ROWS,)
        if not fits or not self._exist(indices, x.lengths[0]):
            raise UntraceableError("take")
        return self.make("pick", (x, self._clipped(indices, x.lengths[0])), indices.lengths, x.dtype)

    def whole(self, x: Symbol) -> Symbol:
        """`x` with memory for each of its elements."""
        x = self.settle(x)
        return self.make("full", (x,), x.lengths, x.dtype) if x.op in ("constant", "splat") else x

    def take_along_axis(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x, indices)
        fits = self.base is None and axis == -1 and len(x.lengths) == 2 and indices.lengths == (ROWS, 1)
        if not fits or not self._exist(indices, x.lengths[1]):
            raise UntraceableError("take_along_axis")
        classes = self.arange(x.lengths[1], dtype=indices.dtype)
        return self._picked(self.apply("equal", indices, classes), self.settle(x))

    def settle(self, x: Symbol) -> Symbol:
        """`x`, where a choice by class ids is still open: written into a copy."""
        if x.op == "hot":
            chosen, yes, no = x.args
            base = self.whole(no) if no.lengths == x.lengths else self.make("full", (no,), x.lengths, x.dtype)
            return self.make("put", (base, self._picked(chosen, yes), self._index(chosen)), x.lengths, x.dtype)
        return x

    def ones_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 1, dtype=dtype)

    def zeros_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 0, dtype=dtype)

    def full_like(self, x: Symbol, value: Scalar, /, *, dtype: Any = None) -> Symbol:
        _symbols(x)
        return self.constant(value, x.lengths, x.dtype if dtype is None else dtype)

    def asarray(self, value: Scalar, /, *, dtype: Any, device: Any = None) -> Symbol:
        if not isinstance(value, (bool, int, float, np.generic)):
            raise UntraceableError(f"an array of {type(value).__name__}")
        return self.constant(value, (), dtype)

    def arange(self, count: int, /, *, dtype: Any, device: Any = None) -> Symbol:
        return self.make("arange", (), (operator.index(count),), np.dtype(dtype))

    def broadcast_to(self, x: Symbol, shape: Shape | Unseen, /) -> Symbol:
        _symbols(x)
        shape = shape.lengths if isinstance(shape, Unseen) else shape
        if broadcast(x.lengths, shape) != shape:
            raise UntraceableError(f"broadcasting {x.lengths} to {shape}")
        if x.lengths == shape:
            return x
        x = self.settle(x)
        if x.op == "constant":
            return self.constant(x.value, shape, x.dtype)
        return self.splat(x, shape) if not x.lengths else self.make("full", (x,), shape, x.dtype)

    def expand_dims(self, x: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x)
        if axis != -1 and (self.in_kernel or axis != len(x.lengths)):
            raise UntraceableError("expand_dims")
        return self.view(x, (*x.lengths, 1))

    def _symbol(self, operand: Any, dtype: Any) -> Symbol:
        if isinstance(operand, Symbol):
            return self.settle(operand)
        if not _is_exact(operand, dtype):
            raise UntraceableError(f"{operand!r} beside {dtype}")
        return self.constant(operand, (), dtype)


def _symbols(*operands: Any) -> None:
    for operand in operands:
        if not isinstance(operand, Symbol):
            raise UntraceableError(f"an operand of {type(operand).__name__}")


def _is_exact(number: Any, dtype: Any) -> bool:
    """Whether a number beside an array of this dtype is computed with in this dtype, in every framework."""
    if type(number) not in (bool, int, float):
        return isinstance(number, np.generic) and number.dtype == dtype
    if dtype.kind == "f":
        return True
    if number != number or abs(number) == math.inf or number != int(number):
        return False
    if isinstance(number, float) and abs(number) >= 2.0**24:
        # There, some compare in float32.
        return False
    return number in (0, 1) if dtype == BOOL else bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


def _is_given(x: Symbol) -> bool:
    """Whether `x` is made of an argument of the kernel, and not of its own numbers alone."""
    return x.op == "input" or any(map(_is_given, x.args))


def _is_zero(x: Symbol) -> bool:
    return x.op == "constant" and x.value == 0 and math.copysign(1.0, float(x.value)) > 0


def _negates(one: Symbol, other: Symbol) -> bool:
    return one.op == "negative" and one.args[0] is other
