"""What a kernel computes, written down by running it once on symbols.

A kernel is a function of arrays without branches on their values. So the operations that it does on symbols are those
that it does on any arrays, and they can be done on a few rows at a time: see `_blocks`.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ._code import ROW


class Rows:
    """The number of rows in a block: unknown, and the length of the first axis."""

    def __repr__(self) -> str:
        return "rows"


ROWS = Rows()
Shape = tuple[Any, ...]
Scalar = bool | int | float
Flag = bool

_BITS: dict[int, Any] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}
BOOL = np.dtype(np.bool_)


class UntraceableError(Exception):
    """The kernel does what blocks cannot."""


class Symbol:
    """An array that is not there: an operation, and the symbols that it is done to.

    Operations have the names of NumPy's functions, and besides: ``input``; ``constant``, one number for all elements;
    ``splat``, the same for a symbol without axes; ``view`` of the same memory; ``cast``; ``full``, with memory for
    every element; ``mask``, all bits where True, and ``unmask``, all bits where False, of a boolean or, where they have
    a comparison as their value, of what it is of; ``chosen``, True at class ids;
    ``hot``, the choice between two arrays there; ``index`` of class ids in a flat row-by-row array; ``pick`` and
    ``put`` there.
    """

    __slots__ = ("args", "dtype", "op", "shape", "trace", "value")

    def __init__(self, trace: "Trace", op: str, args: tuple["Symbol", ...], shape: Shape, dtype: Any, value: Any):
        self.trace, self.op, self.args, self.shape, self.dtype, self.value = trace, op, args, shape, dtype, value

    device = "cpu"
    __array_ufunc__ = None
    __hash__ = object.__hash__

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array_namespace__(self, api_version: str | None = None) -> "Trace":
        return self.trace

    def __getitem__(self, key: Any) -> "Symbol":
        if isinstance(key, tuple) and key and key[0] is Ellipsis:
            if all(k is None for k in key[1:]):
                return self.trace.view(self, self.shape + (1,) * (len(key) - 1))
            if key[1:] == (0,) and self.shape[-1] == 1:
                return self.trace.view(self, self.shape[:-1])
        raise UntraceableError(f"index {key!r}")

    def __bool__(self) -> bool:
        raise UntraceableError("a branch on a value")

    def __neg__(self) -> "Symbol":
        return self.trace.apply("negative", self)

    def __abs__(self) -> "Symbol":
        return self.trace.apply("absolute", self)

    def __invert__(self) -> "Symbol":
        return self.trace.apply("logical_not", self)

    def __pow__(self, power: Any) -> "Symbol":
        return self.trace.power(self, power)


def _binary(name: str) -> tuple[Callable[[Symbol, Any], Symbol], Callable[[Symbol, Any], Symbol]]:
    return lambda one, other: one.trace.apply(name, one, other), lambda one, other: one.trace.apply(name, other, one)


for _name, _function in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}.items():
    _forward, _backward = _binary(_function)
    setattr(Symbol, f"__{_name}__", _forward)
    setattr(Symbol, f"__r{_name}__", _backward)
for _name, _function in {"and": "logical_and", "or": "logical_or", "xor": "logical_xor"}.items():
    setattr(Symbol, f"__{_name}__", _binary(_function)[0])
for _name, _function in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}.items():
    setattr(Symbol, f"__{_name}__", _binary(_function)[0])

_FLOATING = {"add", "subtract", "multiply", "divide", "negative", "absolute", "power", "maximum", "minimum", "clip"}
_FLOATING |= {"exp", "log", "log1p", "expm1", "sqrt", "sinh", "cosh", "tanh"}
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

    def __init__(self) -> None:
        self.symbols: list[Symbol] = []
        self._known: dict[Any, Symbol] = {}

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
        return x if (shape, dtype) == (x.shape, x.dtype) else self.make("view", (x,), shape, dtype)

    def splat(self, x: Symbol, shape: Shape) -> Symbol:
        """A number for all elements."""
        return x if not shape else self.make("splat", (x,), shape, x.dtype)

    def apply(self, op: str, *operands: Any) -> Symbol:
        """A function of NumPy, element by element."""
        floats = op in _FLOATING
        dtypes = {o.dtype for o in operands if isinstance(o, Symbol)}
        if len(dtypes) > 1:
            dtypes.discard(BOOL)
        if len(dtypes) != 1:
            raise UntraceableError(f"{op} of {dtypes}")
        (dtype,) = dtypes
        args = tuple(self.astype(self._symbol(o, dtype), dtype) for o in operands)
        if (floats and dtype.kind != "f") or (op in _LOGICAL and dtype != BOOL):
            raise UntraceableError(f"{op} of {dtype}")
        shape = _broadcast(*(a.shape for a in args))
        args = tuple(a.args[0] if a.op == "splat" else a for a in args)
        result = dtype if floats or op.startswith("bitwise") else BOOL
        if all(a.op == "constant" for a in args):
            with np.errstate(all="ignore"):
                found = np.clip(*(a.value for a in args)) if op == "clip" else getattr(np, op)(*(a.value for a in args))
            return self.constant(found, shape, result)
        args = tuple(self.view(a, ()) if a.op == "constant" else a for a in args)
        enough = _broadcast(*(a.shape for a in args))
        if enough != shape:
            return self.broadcast_to(self.apply(op, *args), shape)
        if op == "multiply":
            for x, factor in (args, args[::-1]):
                simple = self._scaled(x, factor, shape)
                if simple is not None:
                    return simple
        if op == "multiply":
            # What is one number per row is multiplied first.
            for x, factor in (args, args[::-1]):
                if x.op in ("multiply", "divide") and x.shape == shape and _row(factor) and not _row(x):
                    inner, number = x.args
                    if x.op == "multiply" and _row(inner):
                        inner, number = number, inner
                    if _row(number) and inner.shape == shape and number.op != "constant" != factor.op:
                        both = (factor, number)
                        return self.apply("multiply", inner, self.apply(x.op, *both))
        if op == "equal" and dtype.kind == "i":
            for ids, other in (args, args[::-1]):
                if other.op == "arange":
                    return self.make("chosen", (self._clipped(ids, other.shape[0]), other), shape, BOOL)
        return self.make(op, args, shape, result)

    def _scaled(self, x: Symbol, factor: Symbol, shape: Shape) -> Symbol | None:
        """``x * factor`` with fewer operations, where that changes no bit."""
        if factor.op == "constant" and factor.value == 1.0 and shape == x.shape:
            return x
        # Powers of two move from an array to a number.
        if x.op == "multiply" and x.ndim and not factor.ndim and shape == x.shape:
            for inner, number in (x.args, x.args[::-1]):
                exact = number.op == "constant" and math.frexp(float(number.value))[0] in (0.5, -0.5)
                if exact and inner.shape == shape and 0.25 <= abs(float(number.value)) <= 4.0:
                    return self.apply("multiply", inner, self.apply("multiply", self.view(number, ()), factor))
        if x.op == "negative" and x.ndim and not factor.ndim and shape == x.shape:
            return self.apply("multiply", x.args[0], self.apply("negative", factor))
        return None

    def _clipped(self, ids: Symbol, count: int) -> Symbol:
        # A class that does not exist is told of elsewhere; until then it must not be looked up.
        low, high = (self.constant(bound, (), ids.dtype) for bound in (0, count - 1))
        return self.make("clip", (ids, low, high), ids.shape, ids.dtype)

    def power(self, x: Symbol, power: Any) -> Symbol:
        if isinstance(power, Symbol):
            return self.apply("power", x, power)
        if power == 1:
            return x
        if power == 2:
            return self.apply("multiply", x, x)
        return self.apply("sqrt", x) if power == 0.5 else self.apply("power", x, power)

    pow = power

    def abs(self, x: Symbol, /) -> Symbol:
        return self.apply("absolute", x)

    def clip(self, x: Symbol, /, min: Any = None, max: Any = None) -> Symbol:
        return self.apply("clip", x, -math.inf if min is None else min, math.inf if max is None else max)

    def sign(self, x: Symbol, /) -> Symbol:
        # Far faster than NumPy's: what is not 0 or NaN becomes at least 1, subnormal numbers too.
        large = 2.0**127 if x.dtype == np.float32 else 2.0**1023
        return self.clip(self.apply("multiply", self.apply("multiply", x, large), 2.0**52), -1.0, 1.0)

    def where(self, condition: Symbol, x1: Any, x2: Any, /) -> Symbol:
        """A choice, made of operations on bits: they take the same time whatever is chosen."""
        kinds = [o.dtype for o in (x1, x2) if isinstance(o, Symbol)]
        if not kinds or any(kind != kinds[0] for kind in kinds) or condition.dtype != BOOL:
            raise UntraceableError(f"where of {kinds}")
        dtype = kinds[0]
        yes, no = self._symbol(x1, dtype), self._symbol(x2, dtype)
        shape = _broadcast(condition.shape, yes.shape, no.shape)
        if condition.op == "constant":
            return self.broadcast_to(yes if condition.value else no, shape)
        if condition.op == "chosen":
            return self.make("hot", (condition, yes, no), shape, dtype)
        if dtype == BOOL:
            one = self.apply("logical_and", condition, yes)
            return self.apply("logical_or", one, self.apply("logical_and", self.apply("logical_not", condition), no))
        bits = _BITS[dtype.itemsize]
        raw_yes, raw_no = (self.view(o, o.shape, bits) for o in (yes, no))
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
        if chosen.shape != shape:
            raise UntraceableError("where of a constant")
        return self.view(chosen, shape, dtype)

    def _mask(self, op: str, condition: Symbol, bits: Any) -> Symbol:
        if condition.op in _COMPARING:
            return self.make(op, condition.args, condition.shape, bits, condition.op)
        return self.make(op, (condition,), condition.shape, bits)

    def astype(self, x: Symbol, dtype: Any, /) -> Symbol:
        x, dtype = self.settle(x), np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.op == "constant":
            return self.constant(x.value, x.shape, dtype)
        if x.op == "splat":
            return self.splat(self.astype(x.args[0], dtype), x.shape)
        return self.make("cast", (x,), x.shape, dtype)

    def sum(self, x: Symbol, /, *, axis: int | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("add", x, axis, keepdims)

    def max(self, x: Symbol, /, *, axis: int | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("maximum", x, axis, keepdims)

    def any(self, x: Symbol, /, *, axis: int | None = None, keepdims: Flag = False) -> Symbol:
        return self._reduce("logical_or", x, axis, keepdims)

    def _reduce(self, op: str, x: Symbol, axis: int | None, keepdims: Flag) -> Symbol:
        if axis not in (-1, x.ndim - 1) or x.ndim < 2 or (op == "add" and x.dtype.kind != "f"):
            raise UntraceableError(f"{op} along axis {axis} of {x.dtype}")
        kept = (*x.shape[:-1], 1)
        if x.op == "hot" and op == "add" and _is_zero(x.args[2]):
            found = self._picked(x.args[0], x.args[1])
        elif op == "add" and is_product(x) and x.shape[-1] <= ROW:
            found = self.make("dot.reduce", x.args, kept, x.dtype)
        else:
            found = self.make(f"{op}.reduce", (self.whole(x),), kept, x.dtype)
        return found if keepdims else self.view(found, kept[:-1])

    def _picked(self, chosen: Symbol, x: Symbol) -> Symbol:
        """The entry of each row that is chosen by a class id, shape (rows, 1)."""
        ids, classes = chosen.args
        kept = (ids.shape[0], 1)
        if x.op in ("constant", "splat") or x.shape in ((), kept):
            return self.broadcast_to(x, kept)
        if x.shape == classes.shape:
            return self.make("pick", (x, self.view(ids, kept[:1])), kept, x.dtype)
        if x.shape == chosen.shape:
            return self.make("pick", (x, self._index(chosen)), kept, x.dtype)
        raise UntraceableError(f"one entry of {x.shape}")

    def _index(self, chosen: Symbol) -> Symbol:
        ids, classes = chosen.args
        return self.make("index", (self.view(ids, ids.shape[:1]),), ids.shape[:1], self.int64, classes.shape[0])

    def take(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        if x.ndim != 1 or indices.ndim != 1 or x.shape[0] is ROWS:
            raise UntraceableError("take")
        return self.make("pick", (x, self._clipped(indices, x.shape[0])), indices.shape, x.dtype)

    def whole(self, x: Symbol) -> Symbol:
        """`x` with memory for each of its elements."""
        x = self.settle(x)
        return self.make("full", (x,), x.shape, x.dtype) if x.op in ("constant", "splat") else x

    def take_along_axis(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        if axis != -1 or x.ndim != 2 or indices.shape != (ROWS, 1):
            raise UntraceableError("take_along_axis")
        classes = self.arange(x.shape[1], dtype=indices.dtype)
        return self._picked(self.apply("equal", indices, classes), self.settle(x))

    def settle(self, x: Symbol) -> Symbol:
        """`x`, where a choice by class ids is still open: written into a copy."""
        if x.op == "hot":
            chosen, yes, no = x.args
            base = self.whole(no) if no.shape == x.shape else self.make("full", (no,), x.shape, x.dtype)
            return self.make("put", (base, self._picked(chosen, yes), self._index(chosen)), x.shape, x.dtype)
        return x

    def ones_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 1, dtype=dtype)

    def zeros_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 0, dtype=dtype)

    def full_like(self, x: Symbol, value: Scalar, /, *, dtype: Any = None) -> Symbol:
        return self.constant(value, x.shape, x.dtype if dtype is None else dtype)

    def asarray(self, value: Scalar, /, *, dtype: Any) -> Symbol:
        return self.constant(value, (), dtype)

    def arange(self, count: int, /, *, dtype: Any, device: Any = None) -> Symbol:
        return self.make("arange", (), (operator.index(count),), np.dtype(dtype))

    def broadcast_to(self, x: Symbol, shape: Shape, /) -> Symbol:
        if x.shape == shape:
            return x
        x = self.settle(x)
        if x.op == "constant":
            return self.constant(x.value, shape, x.dtype)
        return self.splat(x, shape) if not x.shape else self.make("full", (x,), shape, x.dtype)

    def expand_dims(self, x: Symbol, /, *, axis: int) -> Symbol:
        if axis not in (-1, x.ndim):
            raise UntraceableError("expand_dims")
        return self.view(x, (*x.shape, 1))

    def _symbol(self, operand: Any, dtype: Any) -> Symbol:
        if isinstance(operand, Symbol):
            return self.settle(operand)
        if not isinstance(operand, (bool, int, float, np.generic)):
            raise UntraceableError(f"an operand of {type(operand).__name__}")
        return self.constant(operand, (), dtype)


def _is_zero(x: Symbol) -> bool:
    return x.op == "constant" and x.value == 0 and math.copysign(1.0, float(x.value)) > 0


def is_product(x: Symbol) -> bool:
    return x.op == "multiply" and all(a.shape == x.shape and a.op != "constant" for a in x.args)


def _negates(one: Symbol, other: Symbol) -> bool:
    return one.op == "negative" and one.args[0] is other


def _row(x: Symbol) -> bool:
    """Whether `x` is one number, for all rows or for each."""
    return not x.shape or x.shape == (ROWS, 1)


def _broadcast(*shapes: Shape) -> Shape:
    """The common shape, as NumPy finds it."""
    ndim = max(map(len, shapes))
    found: list[Any] = []
    for axis in range(-ndim, 0):
        lengths = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(lengths) > 1:
            raise UntraceableError(f"broadcasting {shapes}")
        found.append(lengths.pop() if lengths else 1)
    return tuple(found)
