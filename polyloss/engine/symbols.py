"""Symbols: arrays that are not there, which a kernel is run on to see what it does."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import numpy as np


class Rows:
    """The number of rows in a block: unknown, and the length of the first axis."""

    def __repr__(self) -> str:
        return "rows"


ROWS = Rows()
Shape = tuple[Any, ...]
BOOL = np.dtype(np.bool_)
COMPARING = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}


class UntraceableError(Exception):
    """The call does what blocks cannot: it is for whole arrays."""


class _Foreign:
    """A context for code that is not ours: what it raises at symbols says only that it needs arrays.

    If it is wrong, it will say so at whole arrays. Anything else, such as running out of memory, is not about symbols.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (TypeError, AttributeError, ValueError, OverflowError)):
            raise UntraceableError(f"{type(error).__name__}: {error}") from error


foreign = _Foreign()


class Namespace(Protocol):
    """What symbols need of the namespace that they belong to."""

    in_kernel: bool
    base: int | None
    symbols: list["Symbol"]

    def apply(self, op: str, *operands: Any) -> "Symbol":
        """The result of an operation."""

    def power(self, x: "Symbol", power: Any) -> "Symbol":
        """A power."""

    def view(self, x: "Symbol", shape: Shape) -> "Symbol":
        """The same elements in another shape."""

    def whole(self, x: "Symbol") -> "Symbol":
        """The same with memory for each element."""


class Symbol:
    """An array that is not there: an operation, and the symbols that it is done to.

    Operations have the names of NumPy's functions, and besides: ``input``; ``constant``, one number for all elements;
    ``splat``, the same for a symbol without axes; ``view`` of the same memory; ``cast``; ``round``, a cast to halves;
    ``full``, with memory for every element; ``mask``, all bits where True, and ``unmask``, all bits where False, of a
    boolean or, where they have a comparison as their value, of what it is of; ``chosen``, True at class ids; ``hot``,
    the choice between two arrays there; ``index`` of class ids in a flat row-by-row array; ``pick`` and ``put`` there.
    """

    __slots__ = ("args", "dtype", "lengths", "op", "trace", "value")

    def __init__(self, trace: Namespace, op: str, args: tuple["Symbol", ...], lengths: Shape, dtype: Any, value: Any):
        self.trace, self.op, self.args, self.lengths, self.dtype, self.value = trace, op, args, lengths, dtype, value

    device = "cpu"
    __array_ufunc__ = None
    __hash__ = object.__hash__

    @property
    def shape(self) -> Any:
        return Unseen(self) if self.trace.in_kernel else self.lengths

    @property
    def ndim(self) -> int:
        if self.trace.in_kernel:
            raise UntraceableError("a look at the number of axes")
        return len(self.lengths)

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return self.trace

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UntraceableError(f"the attribute {name} of an array")

    def __getitem__(self, key: Any) -> "Symbol":
        if isinstance(key, tuple) and key and key[0] is Ellipsis:
            if all(k is None for k in key[1:]):
                return self.trace.view(self, self.lengths + (1,) * (len(key) - 1))
            if key[1:] == (0,) and self.lengths[-1:] == (1,):
                return self.trace.view(self, self.lengths[:-1])
        raise UntraceableError(f"the index {key!r}")

    def __neg__(self) -> "Symbol":
        return self.trace.apply("negative", self)

    def __abs__(self) -> "Symbol":
        return self.trace.apply("absolute", self)

    def __invert__(self) -> "Symbol":
        return self.trace.apply("logical_not", self)

    def __pow__(self, power: Any) -> "Symbol":
        return self.trace.power(self, power)

    def __rpow__(self, number: Any) -> "Symbol":
        return self.trace.apply("power", number, self)

    @classmethod
    def __torch_function__(cls, function: Any, *_: Any) -> NoReturn:
        raise UntraceableError(f"a function of a framework, {function}")


class Unseen:
    """The shape of an array, as a kernel meets it: to hand on, not to look at. The axes of examples are laid out anew.

    In a row, only the number of its entries is what it would be.
    """

    def __init__(self, symbol: Symbol) -> None:
        self.lengths, self.rowwise = symbol.lengths, symbol.trace.base is None

    def __getitem__(self, key: Any) -> Any:
        if key == -1 and self.rowwise and self.lengths and self.lengths[-1] is not ROWS:
            return self.lengths[-1]
        return _look(self)


def _look(*_: Any) -> NoReturn:
    raise UntraceableError("a look at a shape, or at values")


for _name in ("bool", "float", "int", "index", "complex", "array", "array_function", "setitem", "contains"):
    setattr(Symbol, f"__{_name}__", _look)
for _name in ("add", "sub", "mul", "truediv", "pow", "and", "or", "xor"):
    # Whole arrays would be written to.
    setattr(Symbol, f"__i{_name}__", _look)
for _name in ("len", "iter"):
    setattr(Symbol, f"__{_name}__", _look)
for _name in ("len", "iter", "bool", "eq", "ne", "add", "radd", "mul", "rmul", "contains"):
    setattr(Unseen, f"__{_name}__", _look)


def _binary(name: str) -> tuple[Callable[[Symbol, Any], Symbol], Callable[[Symbol, Any], Symbol]]:
    return lambda one, other: one.trace.apply(name, one, other), lambda one, other: one.trace.apply(name, other, one)


for _name, _function in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}.items():
    _forward, _backward = _binary(_function)
    setattr(Symbol, f"__{_name}__", _forward)
    setattr(Symbol, f"__r{_name}__", _backward)
for _name, _function in {
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}.items():
    setattr(Symbol, f"__{_name}__", _binary(_function)[0])


def broadcast(one: Shape, other: Shape) -> Shape:
    """The common shape, as NumPy finds it. Rows stay first."""
    if one == other or not other:
        return one
    if not one:
        return other
    # So far, axes are counted from the end.
    common: list[Any] = []
    for length, beside in itertools.zip_longest(reversed(one), reversed(other), fillvalue=1):
        if length != beside and length != 1 and beside != 1:
            raise UntraceableError(f"broadcasting {one} and {other}")
        common.append(beside if length == 1 else length)
    if ROWS in common[:-1]:
        raise UntraceableError(f"broadcasting {one} and {other}")
    return tuple(reversed(common))


_LIMITS = {"less": (True, True), "less_equal": (True, False), "greater": (False, True), "greater_equal": (False, False)}
"""Comparisons with a constant: whether it is the lower limit, and whether that itself is inside."""


def limits_of(flag: Symbol) -> tuple[Symbol, Any, Any] | None:
    """The limits that `flag` is True outside of, and of what, where it says no more than that."""
    low, high = -math.inf, math.inf
    terms = flag.args if flag.op == "logical_or" else (flag,)
    x = terms[0].args[0] if terms[0].args else flag
    for term in terms:
        if term.op not in _LIMITS or term.args[0] is not x or term.args[1].op != "constant":
            return None
        limit, (lower, strict) = term.args[1].value, _LIMITS[term.op]
        if not strict:
            away = math.inf if lower else -math.inf
            limit = np.nextafter(limit, away, dtype=x.dtype) if x.dtype.kind == "f" else limit + (1 if lower else -1)
        low, high = (max(low, limit.item()), high) if lower else (low, min(high, limit.item()))
    return x, low, high


def is_product(x: Symbol) -> bool:
    if x.op != "multiply":
        return False
    one, other = x.args
    return one.lengths == other.lengths == x.lengths and "constant" not in (one.op, other.op)
