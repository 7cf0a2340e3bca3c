"""Arrays that carry derivatives: forwards from a direction to all results, or backwards from one to all inputs."""

import heapq
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from polyloss.adapters import Array, Namespace
from polyloss.core.backend import backend_of
from polyloss.engine.symbols import Unseen


class Link(NamedTuple):
    """How a result depends on one operand."""

    operand: "Lifted"
    push: Callable[[Array], Array]
    """The change of the result, from that of the operand."""
    pull: Callable[[Array], Array]
    """The derivative by the operand, from that by the result."""


_NAMES = {"power": "pow", "absolute": "abs", "true_divide": "divide"}
"""Functions of NumPy that have another name in the standard."""
_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
_COMPARISONS |= {"logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or"}


def primal_of(value: Any, kind: type["Lifted"]) -> Any:
    """The values of an array of this kind; anything else as it is."""
    return value.primal if isinstance(value, kind) else value


def _operation(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """An operator, and the same with this array on the right."""

    def forwards(self: Any, other: Any) -> Any:
        return self._xp().elementwise(name, self, other)

    def reflected(self: Any, other: Any) -> Any:
        return self._xp().elementwise(name, other, self)

    return forwards, reflected


def _constant(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that has no derivative."""

    def apply(self: Any, other: Any) -> Any:
        return type(self)(run(self.primal, primal_of(other, type(self))))

    return apply


class Lifted:
    """An array of some library, with what is needed to differentiate by it.

    Attributes
    ----------
    primal : array
        Its values.
    """

    __slots__ = ("primal",)
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(self, primal: Array) -> None:
        self.primal = primal

    @property
    def tracked(self) -> bool:
        """Whether anything is differentiated through it."""
        raise NotImplementedError

    @classmethod
    def made(cls, primal: Array, links: Sequence[Link]) -> Self:
        """A result of operands that are tracked."""
        raise NotImplementedError

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return backend_of(self).namespace(self)

    @property
    def shape(self) -> Any:
        # As it is: where a kernel is traced, lengths are not to be looked at.
        return self.primal.shape

    @property
    def ndim(self) -> int:
        count: int = self.primal.ndim
        return count

    @property
    def dtype(self) -> Any:
        return self.primal.dtype

    @property
    def device(self) -> Any:
        return getattr(self.primal, "device", None)

    @property
    def size(self) -> Any:
        return self.primal.size

    def __bool__(self) -> bool:
        return bool(self.primal)

    def __float__(self) -> float:
        return float(self.primal)

    def __int__(self) -> int:
        return int(self.primal)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.primal!r})"

    def __getitem__(self, key: Any) -> Any:
        return self._xp().entries(self, key)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **keywords: Any) -> Any:
        # What is written with NumPy's own functions, and arrays of NumPy on the left of an operator.
        if method != "__call__" or keywords:
            return NotImplemented
        if ufunc.__name__ in _COMPARISONS:
            return type(self)(ufunc(*(primal_of(operand, type(self)) for operand in operands)))
        return getattr(self._xp(), _NAMES.get(ufunc.__name__, ufunc.__name__))(*operands)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        return getattr(self._xp(), function.__name__)(*arguments, **keywords)

    def _xp(self) -> Any:
        return backend_of(self).namespace(self)

    def __neg__(self) -> Any:
        return self._xp().negative(self)

    def __abs__(self) -> Any:
        return self._xp().abs(self)

    def __invert__(self) -> Any:
        return type(self)(~self.primal)

    __add__, __radd__ = _operation("add")
    __sub__, __rsub__ = _operation("subtract")
    __mul__, __rmul__ = _operation("multiply")
    __truediv__, __rtruediv__ = _operation("divide")
    __pow__, __rpow__ = _operation("pow")
    __eq__, __ne__ = _constant(operator.eq), _constant(operator.ne)
    __lt__, __le__ = _constant(operator.lt), _constant(operator.le)
    __gt__, __ge__ = _constant(operator.gt), _constant(operator.ge)
    __and__, __or__, __xor__ = _constant(operator.and_), _constant(operator.or_), _constant(operator.xor)
    __mod__, __rmod__ = _operation("remainder")
    __floordiv__ = _constant(operator.floordiv)

    def __matmul__(self, other: Any) -> Any:
        return self._xp().matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._xp().matmul(other, self)


class Dual(Lifted):
    """An array and its change, along one direction in which the inputs change.

    Attributes
    ----------
    tangent : array or None
        The change, of the shape of the values; None for none.
    """

    __slots__ = ("tangent",)

    def __init__(self, primal: Array, tangent: Array | None = None) -> None:
        super().__init__(primal)
        self.tangent = tangent

    @property
    def tracked(self) -> bool:
        return self.tangent is not None

    @classmethod
    def made(cls, primal: Array, links: Sequence[Link]) -> "Dual":
        tangent: Any = None
        for link in links:
            change = link.push(link.operand.tangent)  # type: ignore[attr-defined]
            tangent = change if tangent is None else tangent + change
        shape = primal.shape
        # While a kernel is traced, there are no lengths to look at.
        if tangent is not None and (isinstance(shape, Unseen) or tuple(tangent.shape) != tuple(shape)):
            tangent = backend_of(primal).namespace(primal).broadcast_to(tangent, shape)
        return cls(primal, tangent)


_counter = itertools.count()


class Recorded(Lifted):
    """An array and how it was computed.

    Attributes
    ----------
    links : tuple of Link
        By the operands that are recorded too.
    number : int
        Operands have smaller ones than results; None for constants.
    """

    __slots__ = ("links", "number")

    def __init__(self, primal: Array, links: Sequence[Link] = (), number: int | None = None) -> None:
        super().__init__(primal)
        self.links, self.number = tuple(links), number

    @property
    def tracked(self) -> bool:
        return self.number is not None

    @classmethod
    def made(cls, primal: Array, links: Sequence[Link]) -> "Recorded":
        return cls(primal, links, next(_counter)) if links else cls(primal)

    @classmethod
    def start(cls, primal: Array) -> "Recorded":
        """An input."""
        return cls(primal, (), next(_counter))


def derivatives(result: Recorded, inputs: Sequence[Recorded]) -> tuple[Array, ...]:
    """Those of a number by arrays."""
    xp = backend_of(result.primal).namespace(result.primal)
    found: dict[int, Any] = {}
    if result.number is not None:
        found[result.number] = xp.ones_like(result.primal)
        nodes, waiting = {result.number: result}, [-result.number]
        while waiting:
            # Results before their operands: all that is known of a result is known when its turn comes.
            node = nodes.pop(-heapq.heappop(waiting))
            for link in node.links:
                number = link.operand.number  # type: ignore[attr-defined]
                part = link.pull(found[node.number])  # type: ignore[index]
                if number in found:
                    found[number] = found[number] + part
                else:
                    found[number] = part
                    nodes[number] = link.operand  # type: ignore[assignment]
                    heapq.heappush(waiting, -number)
    return tuple(found[one.number] if one.number in found else xp.zeros_like(one.primal) for one in inputs)
