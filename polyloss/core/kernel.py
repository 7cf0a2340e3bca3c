"""A kernel, and what is known of it before there is a call."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import checks
from .arguments import Argument
from .backend import backend_of
from .collectives import GroupOf, SplitRows, split_kernel
from .domains import Domain
from .dtypes import cast, is_floating
from .typing import Array, KernelResult, Namespace


class Definition:
    """What a loss is made of.

    Attributes
    ----------
    kernel : callable
        The function of the namespace, the arrays and the parameters.
    rowwise : bool
        Whether a call says along which axis its rows run.
    autodiff : bool or str
        Whether the kernel returns its value alone; or the name of a parameter with which, when it is not None, it does.
    arrays : tuple of str
        The names of its arrays.
    parameters : tuple of str
        The names of its parameters.
    defaults : dict
        Those of them that may be left out.
    domains : dict
        The values that an argument may take, by its name.
    arguments : dict
        All that may be arrays, as they are declared.
    row : tuple of str
        The letters of a row: none where each element has a loss of its own.
    static : frozenset of str
        The parameters that a kernel may branch on.
    optional, floats : frozenset of str
        The parameters that may be None, and those whose default is a float.
    origin : Definition
        The same with its first defaults.
    group_of : callable or None
        Where its rows are split over a group: makes it, of an array.
    fuse : callable or None
        Where the losses of examples share more than parameters: makes what finds the gradients together with the
        value, of this, the parameters that are no arrays, and the names of the arrays.
    """

    __name__: str
    kernel: Callable[..., Any]
    rowwise: bool
    autodiff: bool | str
    arrays: tuple[str, ...]
    parameters: tuple[str, ...]
    defaults: dict[str, Any]
    domains: dict[str, Domain]
    arguments: dict[str, Argument]
    row: tuple[str, ...]
    static: frozenset[str]
    optional: frozenset[str]
    floats: frozenset[str]
    fuse: "Fuse | None"
    origin: "Definition"
    group_of: GroupOf | None = None


Fuse: TypeAlias = Callable[[Definition, tuple[tuple[str, Any], ...], tuple[str, ...]], Any]


@dataclass(frozen=True)
class BoundKernel:
    """A kernel as a function of arrays alone: first its inputs, then its parameters that are arrays.

    `row` is how many axes a row has; None where what it returns is not looked at.
    """

    kernel: Callable[..., Any]
    inputs: int
    parameters: tuple[tuple[str, Any], ...]
    names: tuple[str, ...]
    row: int | None = None

    def __call__(self, *arrays: Array) -> tuple[Any, ...]:
        """The losses; and for each array a function that returns the local derivative by it, or None."""
        return self.within(backend_of(arrays[0]).namespace(arrays[0]), arrays)

    def within(self, xp: Namespace, arrays: Sequence[Array]) -> tuple[Any, ...]:
        """The same, where the namespace of the arrays is known."""
        found = self._run(xp, arrays)
        if not isinstance(found, tuple) or not found:
            raise self._wrong(
                f"{checks.describe(found)}; one that returns its value alone is declared with autodiff=True"
            )
        value, *gradients = found
        by_name = gradients.pop() if gradients and isinstance(gradients[-1], (dict, Mapping)) else {}
        self._check_value(value, arrays[0])
        if len(gradients) > self.inputs or not all(map(callable, (*gradients, *by_name.values()))):
            raise self._wrong(f"a value and {', '.join(map(checks.describe, (*gradients, *by_name.values())))}")
        if unknown := by_name.keys() - {*dict(self.parameters), *self.names}:
            raise self._wrong(f"derivatives by {', '.join(sorted(unknown))}, which are no parameters")
        if self.row is not None:
            # Now: where the derivative is wanted, no namespace may be known any more.
            for number, by in enumerate(gradients):
                array = arrays[number]
                gradients[number] = functools.partial(self._derivative, xp, number, by, array, tuple(array.shape))
            losses = tuple(value.shape)
            by_name = {
                name: functools.partial(self._derivative, xp, name, by, value, losses) for name, by in by_name.items()
            }
        missing = self.inputs - len(gradients)
        return value, *gradients, *(None,) * missing, *map(by_name.get, self.names)

    def alone(self, *arrays: Array) -> Array:
        """The losses of a kernel that returns nothing else."""
        found = self._run(backend_of(arrays[0]).namespace(arrays[0]), arrays)
        if isinstance(found, tuple):
            raise TypeError(f"{self.name} is declared with autodiff: it must return its value alone, got a tuple")
        self._check_value(found, arrays[0])
        return found

    @property
    def name(self) -> str:
        return getattr(self.kernel, "__name__", repr(self.kernel))

    def _run(self, xp: Namespace, arrays: Sequence[Array]) -> Any:
        extra = dict(zip(self.names, arrays[self.inputs :], strict=True))
        return self.kernel(xp, *arrays[: self.inputs], **dict(self.parameters), **extra)

    def _check_value(self, value: Array, first: Array) -> None:
        if self.row is None:
            return
        expected = tuple(first.shape)[: first.ndim - self.row]
        shape = getattr(value, "shape", None)
        if shape is None or not checks.same_shape(tuple(shape), expected):
            each = "row" if self.row else "element"
            raise self._wrong(
                f"{checks.describe(value)} where one value for each {each}, shape {expected}, was expected"
            )

    def _derivative(
        self, xp: Namespace, of: int | str, derivative: Callable[[], Array], like: Array, expected: checks.Shape
    ) -> Array:
        """The derivative of each example's loss by an array, whose shape it has, or by a parameter, for which it may
        have one more axis."""
        found = derivative()
        shape = getattr(found, "shape", None)
        if shape is not None and hasattr(found, "dtype"):
            shape, most = tuple(shape), len(expected) + isinstance(of, str)
            fits = len(shape) <= most and checks.same_shape(shape[: len(expected)], expected)
            if is_floating(xp, found) and fits:
                return cast(xp, found, like.dtype)
        if isinstance(of, int):
            of = list(inspect.signature(self.kernel).parameters)[1 + of]
        raise self._wrong(f"{checks.describe(found)} as the derivative by {of}, not real floats of shape {expected}")

    def _wrong(self, came: str) -> TypeError:
        return TypeError(
            f"{self.name}: a kernel must return (value, function, ...): the loss of each example, a function without "
            f"arguments for the derivative by each array and, in a dict at the end, by parameters; got {came}"
        )


def attached(xp: Namespace, kernel: Callable[[Namespace, Array], KernelResult], x: Array) -> Array:
    """The value of `kernel` at `x`, with its closed form as its derivative."""
    rows, backend = xp, backend_of(x)
    if not isinstance(rows, SplitRows):
        return backend.attach(BoundKernel(kernel, 1, (), ()), (x,))
    # It is the same for all members, and each may use it with what it has of a row.
    value = backend.attach(BoundKernel(split_kernel(kernel, rows.group_of), 1, (), ()), (x,))
    return rows.group.replicated(value)
