"""What a kernel computes, written down as a list of operations that any language can do.

A kernel is a function of arrays without branches on their values. Run once on symbols, it leaves the operations that it
does on any arrays. A page can then do them with numbers that carry their derivative along. So what is shown is what
the library computes, and nothing has to be written twice.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from polyloss.adapters import Array, Backend, Pair, register_backend

Length = int | str | tuple[str, int]
"""Of an axis: 1; ``"n"``, of the examples; or the classes and how many more or fewer there are."""
Shape = tuple[Length, ...]

FLOAT, INT, BOOL = (np.dtype(kind) for kind in ("float64", "int64", "bool"))
EXAMPLES: Length = "n"
CLASSES: Length = ("c", 0)


class UnrecordableError(Exception):
    """The kernel does what cannot be written down."""


class Symbol:
    """An array that is not there: the number of the operation that it is the result of."""

    __slots__ = ("dtype", "number", "shape", "tape")
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, tape: "Tape", number: int, shape: Shape, dtype: Any) -> None:
        self.tape, self.number, self.shape, self.dtype = tape, number, shape, dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array_namespace__(self, api_version: str | None = None) -> "Tape":
        return self.tape

    def __bool__(self) -> NoReturn:
        raise UnrecordableError("a look at values")

    def __getitem__(self, key: Any) -> "Symbol":
        keys = key if isinstance(key, tuple) else (key,)
        if keys == (..., None):
            return self._like(self.number, (*self.shape, 1))
        last, rest = keys[-1], keys[:-1]
        if self.shape and (rest == (...,) or (not rest and self.ndim == 1)):
            if last == 0:
                number = self.number if self.shape[-1] == 1 else self.tape.node("entry", self.number, 0)
                return self._like(number, self.shape[:-1])
            if isinstance(last, slice) and last.step is None and isinstance(self.shape[-1], tuple):
                start, stop = last.start or 0, last.stop or 0
                if start >= 0 >= stop:
                    letter, more = self.shape[-1]
                    number = self.tape.node("slice", self.number, start, stop)
                    return self._like(number, (*self.shape[:-1], (letter, more - start + stop)))
        raise UnrecordableError(f"the index {key!r} of {self.shape}")

    def _like(self, number: int, shape: Shape) -> "Symbol":
        return Symbol(self.tape, number, shape, self.dtype)

    def __neg__(self) -> "Symbol":
        return self.tape.apply("neg", self)

    def __abs__(self) -> "Symbol":
        return self.tape.apply("abs", self)

    def __invert__(self) -> "Symbol":
        return self.tape.apply("not", self)


def _operator(op: str, *, reflected: bool = False) -> Callable[[Symbol, Any], Symbol]:
    if reflected:
        return lambda one, other: one.tape.apply(op, other, one)
    return lambda one, other: one.tape.apply(op, one, other)


for _name, _op in {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow"}.items():
    setattr(Symbol, f"__{_name}__", _operator(_op))
    setattr(Symbol, f"__r{_name}__", _operator(_op, reflected=True))
for _name in ("and", "or", "xor", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Symbol, f"__{_name}__", _operator(_name))

_COMPARE = {"lt", "le", "gt", "ge", "eq", "ne"}
_TEST = {"isfinite", "isinf", "isnan"}
_LOGIC = {"and", "or", "xor", "not"}


class Tape:
    """The Array API namespace of symbols, as far as kernels need it: it keeps what is done to them."""

    __name__ = __name__
    bool, int64, float64 = BOOL, INT, FLOAT
    inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
    isdtype = staticmethod(np.isdtype)
    finfo = staticmethod(np.finfo)
    iinfo = staticmethod(np.iinfo)

    _functions: ClassVar[set[str]] = {
        *("abs", "exp", "expm1", "floor", "isfinite", "isinf", "isnan", "log", "log1p", "maximum", "minimum", "pow"),
        *("sign", "sinh", "sqrt", "tanh"),
    }

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._functions:
            # Kernels ask whether there is a function.
            raise AttributeError(name)
        return lambda *operands: self.apply(name, *operands)

    def node(self, op: str, *args: Any) -> int:
        """The number of an operation: what was done before is not done again."""
        # By their text, 0 and -0 differ, and NaN equals itself.
        key = (op, *map(repr, args))
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append([op, *args])
        return self._numbers[key]

    def input(self, name: str, shape: Shape = (), dtype: Any = FLOAT) -> Symbol:
        """A symbol for an array or a parameter that is known later."""
        return Symbol(self, self.node("input", name), shape, dtype)

    def constant(self, value: Any, dtype: Any = FLOAT) -> Symbol:
        """A number that is known."""
        return Symbol(self, self.node("const", float(value)), (), dtype)

    def apply(self, op: str, *operands: Any) -> Symbol:
        """An operation, element by element."""
        args = [operand if isinstance(operand, Symbol) else self.constant(operand) for operand in operands]
        shape: Shape = ()
        for arg in args:
            shape = _broadcast(shape, arg.shape)
        dtype = BOOL if op in _COMPARE | _TEST | _LOGIC else max((arg.dtype for arg in args), key=_rank)
        return Symbol(self, self.node(op, *(arg.number for arg in args)), shape, dtype)

    def where(self, condition: Symbol, x1: Any, x2: Any, /) -> Symbol:
        return self.apply("where", condition, x1, x2)

    def clip(self, x: Symbol, /, min: Any = None, max: Any = None) -> Symbol:
        x = x if min is None else self.apply("maximum", x, min)
        return x if max is None else self.apply("minimum", x, max)

    def astype(self, x: Symbol, dtype: Any, /) -> Symbol:
        # What is true is 1.
        if _rank(np.dtype(dtype)) < _rank(x.dtype):
            raise UnrecordableError(f"{x.dtype} as {dtype}")
        return Symbol(self, x.number, x.shape, np.dtype(dtype))

    def zeros_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 0, dtype=dtype)

    def ones_like(self, x: Symbol, /, *, dtype: Any = None) -> Symbol:
        return self.full_like(x, 1, dtype=dtype)

    def full_like(self, x: Symbol, value: Any, /, *, dtype: Any = None) -> Symbol:
        number = self.node("spread", self.constant(value).number, x.number)
        return Symbol(self, number, x.shape, x.dtype if dtype is None else np.dtype(dtype))

    def arange(self, count: Symbol, /, *, dtype: Any, device: Any = None) -> Symbol:
        if self.nodes[count.number] != ["classes"]:
            raise UnrecordableError("numbers below another one than that of the classes")
        return Symbol(self, self.node("arange"), (CLASSES,), np.dtype(dtype))

    def sum(self, x: Symbol, /, *, axis: Any = None, keepdims: Any = False) -> Symbol:
        return self._reduce("sum", x, axis, keepdims)

    def max(self, x: Symbol, /, *, axis: Any = None, keepdims: Any = False) -> Symbol:
        return self._reduce("max", x, axis, keepdims)

    def min(self, x: Symbol, /, *, axis: Any = None, keepdims: Any = False) -> Symbol:
        return self._reduce("min", x, axis, keepdims)

    def sort(self, x: Symbol, /, *, axis: int = -1) -> Symbol:
        _along_rows("sort", x, axis)
        return Symbol(self, self.node("sort", x.number), x.shape, x.dtype)

    def cumulative_sum(self, x: Symbol, /, *, axis: int, include_initial: Any = False) -> Symbol:
        letter, more = _along_rows("cumulative_sum", x, axis)
        number = self.node("cumsum", x.number, int(include_initial))
        return Symbol(self, number, (*x.shape[:-1], (letter, more + include_initial)), x.dtype)

    def _reduce(self, op: str, x: Symbol, axis: Any, keepdims: Any) -> Symbol:
        _along_rows(op, x, axis)
        kept = x.shape[:-1]
        return Symbol(self, self.node(op, x.number), (*kept, 1) if keepdims else kept, x.dtype)

    def graph(self, *results: Symbol) -> dict[str, Any]:
        """What it takes to compute some results: operations in order, and where the results are among them."""
        needed: set[int] = set()
        waiting = [result.number for result in results]
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                waiting += _operands(self.nodes[number])
        places = {number: place for place, number in enumerate(sorted(needed))}
        nodes = []
        for number in places:
            op, *args = self.nodes[number]
            count = len(_operands(self.nodes[number]))
            nodes.append([op, *(places[arg] for arg in args[:count]), *args[count:]])
        return {"nodes": nodes, "results": [places[result.number] for result in results]}


class _Symbols(Backend):
    """What kernels ask of the framework that symbols come from."""

    name = "symbols"

    def namespace(self, array: Symbol) -> Any:
        return array.tape

    def stop_gradient(self, array: Symbol) -> Symbol:
        return Symbol(array.tape, array.tape.node("stop", array.number), array.shape, array.dtype)

    def length(self, array: Symbol, axis: int, dtype: Any) -> Symbol:
        _, more = _along_rows("length", array, axis)
        classes = Symbol(array.tape, array.tape.node("classes"), (), np.dtype(dtype))
        return array.tape.apply("add", classes, more) if more else classes

    def asarray(self, value: Any, like: Array, dtype: Any = None) -> NoReturn:
        raise UnrecordableError("an array")

    def readable(self, *arrays: Array) -> bool:
        return False

    def attach(self, pair: Pair, arrays: Sequence[Array]) -> NoReturn:
        raise UnrecordableError("a loss within a loss")

    def value_and_grad(self, function: Callable[..., Array], argnums: Sequence[int]) -> NoReturn:
        raise UnrecordableError("a derivative")


backend = _Symbols()
register_backend(__name__, __name__)


def record(
    kernel: Callable[..., Any], arrays: Mapping[str, tuple[Shape, Any]], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The value of a kernel, and its gradient by the first array, as operations.

    Parameters
    ----------
    kernel : callable
        That of a loss.
    arrays : mapping
        Shape and dtype of each, by its name.
    parameters : mapping
        What the kernel may branch on; for one that is any number `NUMBER`.

    Returns
    -------
    dict
        ``nodes``: operations with the numbers of those that they are done to. ``results``: where value and gradient
        are.

    Raises
    ------
    UnrecordableError
        If the kernel does what has no name here.
    """
    tape = Tape()
    symbols = [tape.input(name, shape, dtype) for name, (shape, dtype) in arrays.items()]
    given = {name: tape.input(name) if value is NUMBER else value for name, value in parameters.items()}
    value, gradient, *_ = kernel(tape, *symbols, **given)
    return tape.graph(value, gradient())


NUMBER = object()
"""A parameter that may be any number."""


def _rank(dtype: Any) -> int:
    return (BOOL, INT, FLOAT).index(dtype)


def _along_rows(op: str, x: Symbol, axis: Any) -> tuple[str, int]:
    """How long the rows are that something is done along."""
    if axis != -1 or not x.shape or not isinstance(x.shape[-1], tuple):
        raise UnrecordableError(f"{op} along axis {axis} of {x.shape}")
    return x.shape[-1]


def _operands(node: list[Any]) -> list[int]:
    """The operations that one is done to."""
    op, *args = node
    return args[: {"input": 0, "const": 0, "entry": 1, "slice": 1, "cumsum": 1}.get(op, len(args))]


def _broadcast(one: Shape, other: Shape) -> Shape:
    """The shape that two have in common, as the standard finds it."""
    one, other = (1,) * (len(other) - len(one)) + one, (1,) * (len(one) - len(other)) + other
    if any(a != b and 1 not in (a, b) for a, b in zip(one, other, strict=True)):
        raise UnrecordableError(f"shapes {one} and {other}")
    return tuple(b if a == 1 else a for a, b in zip(one, other, strict=True))
