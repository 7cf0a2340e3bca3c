"""What a kernel computes, written down by running it once on symbols.

A kernel is a function of arrays without branches on their values. So the operations that it does on symbols are those
that it does on any arrays, and they can be done on a few rows at a time.
"""

import functools
import math
import operator
from typing import Any

import numpy as np

from .choices import choose, has_choice
from .code import ROW
from .graph import Graph, is_zero
from .symbols import BOOL, ROWS, Shape, Symbol, Unseen, UntraceableError, broadcast, is_product, limits_of

Scalar = bool | int | float
Flag = bool
Axis = int | tuple[int, ...]

_FLOATING = {"add", "subtract", "multiply", "divide", "negative", "absolute", "power", "maximum", "minimum", "clip"}
_FLOATING |= {"exp", "log", "log1p", "expm1", "sqrt", "sinh", "cosh", "tanh"}
_ORDERING = {"maximum", "minimum", "clip"}
"""What whole numbers have too, and nothing can overflow in."""
_TESTING = {"isfinite", "isnan", "isinf"}
_LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
IN_PLACE = _FLOATING | _LOGICAL | {"bitwise_and", "bitwise_or", "bitwise_xor"}
"""What may write its result over an operand."""
_KINDS = {**dict.fromkeys(_FLOATING, "f"), **dict.fromkeys(_ORDERING, "fi"), **dict.fromkeys(_LOGICAL, "b")}
"""The kinds of dtypes that an operation is done in. Any other takes all."""


class Trace(Graph):
    """The Array API namespace of symbols, as far as kernels need it."""

    __name__ = __name__
    __array_api_version__ = "2024.12"
    float32, float64, int32, int64 = (np.dtype(t) for t in ("float32", "float64", "int32", "int64"))
    bool = BOOL
    inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
    isdtype = staticmethod(np.isdtype)
    finfo = staticmethod(np.finfo)
    iinfo = staticmethod(np.iinfo)

    def __getattr__(self, name: str) -> Any:
        if name in _FLOATING or name in _TESTING or name in _LOGICAL:
            return functools.partial(self.apply, name)
        raise UntraceableError(name)

    def promise(self, flag: Symbol) -> None:
        """Take it that `flag` is True nowhere: so it is known of class ids within which limits they are."""
        outside, mask = flag.args if flag.op == "logical_and" else (flag, None)
        limits = limits_of(outside)
        if limits is not None and limits[0].dtype.kind == "i":
            ids, low, high = limits
            if mask is not None:
                # What does not count is 0, as in `Plan.prepare`.
                ids, low, high = self.where(mask, ids, self.zeros_like(ids)), min(low, 0), max(high, 0)
            self.know(ids, low, high)

    def apply(self, op: str, *operands: Any) -> Symbol:
        """A function of NumPy, element by element."""
        # Loops, for kernels have many operations: a function for each of these steps would take longer than they do.
        dtypes = set()
        for operand in operands:
            if isinstance(operand, Symbol):
                dtypes.add(operand.dtype)
        dtype = dtypes.pop() if len(dtypes) == 1 else _common(dtypes)
        if dtype.kind not in _KINDS.get(op, dtype.kind):
            raise UntraceableError(f"{op} of {dtype}")
        args: list[Symbol] = []
        shape: Shape = ()
        for operand in operands:
            fits = isinstance(operand, Symbol) and operand.dtype == dtype and operand.op != "hot"
            arg = operand if fits else self._symbol(operand, dtype)
            args.append(arg)
            if arg.lengths and arg.lengths != shape:
                shape = broadcast(shape, arg.lengths) if shape else arg.lengths
        if self.base == 2:
            self._check_axes(args, shape)
        result = dtype if op in IN_PLACE else BOOL
        constant, fewer = True, False
        for place, arg in enumerate(args):
            if arg.op == "full":
                # What is broadcast is computed with before that.
                arg, fewer = arg.args[0], True
                args[place] = arg
            constant = constant and arg.op == "constant"
            if arg.lengths and arg.op in ("constant", "splat"):
                # Numbers are not computed with once for each element.
                args[place], fewer = self.view(arg, ()), True
        if constant:
            return self.constant(_of_constants(op, args), shape, result)
        if fewer and _shape_of(args) != shape:
            return self.spread(self.apply(op, *args), shape)
        if op == "multiply":
            return self._product(args[0], args[1], shape)
        adds = op == "subtract" or (op == "add" and args[0].op == "add.reduce")
        if adds and is_zero(args[1]):
            # Not where 0 is added to anything else: that makes 0 of -0.
            return self.spread(args[0], shape)
        found = None
        if op == "equal":
            found = self.chosen(args[0], args[1])
        elif self.assumes_finite and op in ("clip", "less", "greater"):
            found = self.if_finite(op, args)
        if found is None:
            found = self.make(op, tuple(args), shape, result)
            if op == "subtract":
                self.rows_have_shift(found)
        return found

    def _check_axes(self, args: list[Symbol], shape: Shape) -> None:
        """In an element-wise kernel, what belongs to the last axes of examples, which are laid out as one, must not
        meet axes that the kernel made itself."""
        for arg in args:
            alike = arg.op in ("constant", "splat") or arg.lengths == (1,)
            if len(arg.lengths) == 1 < len(shape) and not alike and _is_given(arg) == (len(shape) > 2):
                raise UntraceableError(f"broadcasting {arg.lengths} to {shape}")

    def _product(self, one: Symbol, other: Symbol, shape: Shape) -> Symbol:
        """``one * other`` with fewer operations, where that changes no bit."""
        for x, factor in ((one, other), (other, one)):
            if factor.op == "constant" and factor.value == 1.0 and shape == x.lengths:
                return x
            if x.op == "negative" and x.lengths and not factor.lengths and shape == x.lengths:
                return self.apply("multiply", x.args[0], self.apply("negative", factor))
        return self.make("multiply", (one, other), shape, one.dtype)

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
        # Far faster than NumPy's: what is not 0 or NaN becomes at least the inverse of `rest`, subnormal numbers too.
        large, rest = (2.0**127, 2.0**22) if x.dtype == np.float32 else (2.0**1023, 2.0**51)
        return self.apply("multiply", self.clip(self.apply("multiply", x, large), -1.0 / rest, 1.0 / rest), rest)

    def where(self, condition: Symbol, x1: Any, x2: Any, /) -> Symbol:
        _symbols(condition)
        dtype = x1.dtype if isinstance(x1, Symbol) else x2.dtype if isinstance(x2, Symbol) else None
        other = x2.dtype if isinstance(x2, Symbol) else dtype
        if condition.dtype != BOOL or dtype != other or not has_choice(dtype):
            raise UntraceableError(f"where of {dtype} and {other}")
        yes, no = self._symbol(x1, dtype), self._symbol(x2, dtype)
        choice = [condition, yes, no]
        shape = _shape_of(choice)
        if self.base == 2:
            self._check_axes(choice, shape)
        if condition.op == "constant":
            return self.spread(yes if condition.value else no, shape)
        if yes.op == no.op == "constant" and yes.value.tobytes() == no.value.tobytes():
            return self.spread(yes, shape)
        if condition.op == "chosen":
            return self.make("hot", (condition, yes, no), shape, dtype)
        return choose(self, condition, yes, no, shape)

    def astype(self, x: Symbol, dtype: Any, /) -> Symbol:
        _symbols(x)
        dtype = np.dtype(dtype)
        x = self.settle(x) if x.op == "hot" else x
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
        if x.op == "constant" and op == "add":
            reduced = self.constant(x.value * x.lengths[-1], kept, x.dtype)
        elif x.op == "hot" and op == "add" and is_zero(x.args[2]):
            reduced = self.picked(x.args[0], x.args[1])
        elif op == "add" and is_product(x) and x.lengths[-1] <= ROW:
            reduced = self.make("dot.reduce", x.args, kept, x.dtype)
        else:
            reduced = self.make(f"{op}.reduce", (self.whole(x),), kept, x.dtype)
            if op == "maximum":
                self.rows_have_largest(x, reduced)
        return reduced if keepdims else self.view(reduced, kept[:-1])

    def take(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x, indices)
        fits = self.base is None and len(x.lengths) == 1 and x.lengths[0] is not ROWS and indices.lengths == (ROWS,)
        if not fits or not self.exist(indices, x.lengths[0]):
            raise UntraceableError("take")
        return self.make("pick", (x, self.clipped(indices, x.lengths[0])), indices.lengths, x.dtype)

    def take_along_axis(self, x: Symbol, indices: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x, indices)
        fits = self.base is None and axis == -1 and len(x.lengths) == 2 and indices.lengths == (ROWS, 1)
        if not fits or not self.exist(indices, x.lengths[1]):
            raise UntraceableError("take_along_axis")
        classes = self.arange(x.lengths[1], dtype=indices.dtype)
        return self.picked(self.apply("equal", indices, classes), self.settle(x))

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
        return self.spread(x, shape.lengths if isinstance(shape, Unseen) else shape)

    def expand_dims(self, x: Symbol, /, *, axis: int) -> Symbol:
        _symbols(x)
        if axis != -1 and (self.in_kernel or axis != len(x.lengths)):
            raise UntraceableError("expand_dims")
        return self.view(x, (*x.lengths, 1))

    def _symbol(self, operand: Any, dtype: Any) -> Symbol:
        """An operand as a symbol of this dtype."""
        if isinstance(operand, Symbol):
            return self.astype(operand, dtype)
        if not _is_exact(operand, dtype):
            raise UntraceableError(f"{operand!r} beside {dtype}")
        return self.constant(operand, (), dtype)


def _common(dtypes: set[Any]) -> Any:
    """The dtype that operands of several are computed in."""
    found = dtypes - {BOOL}
    if found == {Trace.int32, Trace.int64}:
        return Trace.int64
    if len(found) != 1:
        raise UntraceableError(f"operands of {dtypes}")
    return found.pop()


def _shape_of(args: list[Symbol]) -> Shape:
    """The shape that some broadcast to."""
    shape: Shape = ()
    for arg in args:
        if arg.lengths != shape:
            shape = broadcast(shape, arg.lengths)
    return shape


def _of_constants(op: str, args: list[Symbol]) -> Any:
    """The result of an operation that is done to numbers that are known."""
    values = [arg.value for arg in args]
    with np.errstate(all="ignore"):
        return np.clip(*values) if op == "clip" else getattr(np, op)(*values)


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
