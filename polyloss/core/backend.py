"""What an adapter is, and which adapter an array belongs to.

Asking never imports a framework: whoever holds an array of it has imported it already, so its class tells.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple, ParamSpec, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from .collectives import Alone, Group
from .typing import Array, Namespace

P = ParamSpec("P")
T = TypeVar("T")

_ADAPTERS = {
    "numpy": "polyloss_numpy",
    "cupy": "polyloss_numpy",
    "torch": "polyloss_torch",
    "jax": "polyloss_jax",
    "jaxlib": "polyloss_jax",
    "tensorflow": "polyloss_tensorflow",
    "mlx": "polyloss_mlx",
    "polyloss_autodiff": "polyloss_autodiff",
}
_GENERIC = "polyloss_numpy"

_packages: dict[type, str | None] = {}
_backends = SimpleNamespace()
"""The adapters that were imported. The compiler of PyTorch looks at an attribute when it is asked for; of a dict it
would keep what was in it before."""


def at_trace_time(function: Callable[P, T]) -> Callable[P, T]:
    """`function` of constants, which the compiler of PyTorch could not follow: it asks once, and keeps the answer."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


Named: TypeAlias = dict[str, Array]
Step: TypeAlias = Callable[[Named, Named], tuple[Named, Named]]

_STRIP = 1 << 10
"""So many rows of a matrix are added to at a time."""
TERMS = 1 << 9
"""So many products are summed at a time: of a long sum, libraries may add one after the other, and round as often."""


def strips(count: int, size: int) -> Iterator[slice]:
    """`count` rows, `size` of them at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class Alike(NamedTuple):
    """Two axes that must have one length, where that is unknown while tracing."""

    name: str
    array: Array
    axis: int
    other_name: str
    other: Array
    other_axis: int
    or_one: bool = False
    """Whether a length of 1 will do for the first."""


class Pair(Protocol):
    """A kernel as a function of arrays alone: first its inputs, then its parameters that are arrays."""

    @property
    def inputs(self) -> int:
        """How many of the arrays are inputs."""

    def __call__(self, *arrays: Array) -> tuple[Any, ...]:
        """The losses; and for each array a function that returns the local derivative by it, or None."""


class Evaluation(Protocol):
    """A call without its arrays: a compiler may treat it as constant."""

    @property
    def loss(self) -> Any:
        """The loss, with the names of its `arrays`."""

    @property
    def axis(self) -> int | None:
        """The axis of a row; None for an elementwise loss."""

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """Name and value of each parameter that is no array."""

    @property
    def memory(self) -> dict[str, Any]:
        """What an adapter keeps of such calls."""

    def with_parameters(self, parameters: tuple[tuple[str, Any], ...]) -> Self:
        """The same with others in their place."""

    def __call__(self, arrays: Sequence[Array]) -> Array:
        """The reduced loss, differentiable by the framework as often as it likes."""


class Bound(Protocol):
    """A call."""

    @property
    def plan(self) -> Any:
        """The `Evaluation`."""

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays, numbers among the parameters too."""

    def check_values(self) -> None:
        """Raise for values outside their domains, where these can be looked at now."""

    def value_and_gradients(self, argnums: Sequence[int | str]) -> tuple[Array, tuple[Array, ...]]:
        """The value and its gradients in closed form, computed on whole arrays."""


class Fused(Protocol):
    """A function that finds its gradients together with its value."""

    @property
    def closed(self) -> Sequence[bool]:
        """By which of the arrays there is a gradient in closed form."""

    def forward(self, arrays: Sequence[Array], wanted: Sequence[bool]) -> tuple[Array, Any]:
        """The value, and what `backward` needs of the gradients that are wanted: of a scalar, the gradients."""

    def backward(
        self, arrays: Sequence[Array], kept: Any, upstream: Array, wanted: Sequence[bool]
    ) -> Sequence[Array | None]:
        """The gradients. They may be those in `kept` themselves, which nobody looks at again."""

    def plain(self, *arrays: Array) -> Array:
        """The same value by the ordinary means of the framework, which can differentiate it any number of times."""


class OfRows(Protocol):
    """Something that computes results of rows, as its equals do."""

    def __hash__(self) -> int:
        """Equals have the same."""

    def block(
        self, xp: Any, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: Sequence[str]
    ) -> Mapping[str, Array]:
        """Results that have the rows along their first axis."""


def lacks_closed_form(closed: Sequence[bool], wanted: Sequence[bool]) -> bool:
    """Whether a gradient is wanted that is not found together with the value: `plain` alone has it."""
    return any(want and not found for want, found in zip(wanted, closed, strict=True))


class Backend(ABC):
    """Everything that polyloss needs to know of one framework. An adapter package holds one, called ``backend``."""

    name: str
    welcomes_numpy: bool = False
    """Whether the framework's own functions take NumPy arrays beside its own."""
    static_hint: str = ""
    """How to tell its compiler that the parameter ``{name}`` is a constant."""

    constructor: str = "asarray"
    """How its users call what makes an array of a number."""

    @abstractmethod
    def namespace(self, array: Array) -> Namespace:
        """The Array API namespace of `array`."""

    @abstractmethod
    def asarray(self, value: Any, like: Array, dtype: Any = None) -> Array:
        """`value` (a number, an array, or one of NumPy where those are welcome) as an array on the device of `like`.

        A number has the `dtype`, or that of `like`, which is an array. Beside an array, `like` may be None.
        """

    def keeps(self, array: Array) -> bool:
        """Whether what `asarray` made of a number may be used in another call: as far as can be seen, it was not
        modified in place, nor made in a mode that forbids to save it for a gradient."""
        return False

    @abstractmethod
    def readable(self, *arrays: Array) -> bool:
        """Whether the values can be looked at now, at no great cost: not traced, not lazy, not on an accelerator."""

    def leading(self, arguments: Sequence[Any]) -> Array:
        """The array among the arguments of a call whose library and device the others are converted to."""
        for argument in arguments:
            if find_backend(type(argument)) is not None:
                return argument
        raise TypeError("there is no array")

    def look(self, array: Array) -> Array:
        """An array with the values of one that is readable, to compare and to show."""
        return array

    @abstractmethod
    def attach(self, pair: Pair, arrays: Sequence[Array]) -> Array:
        """The value of `pair` at `arrays`, with its closed-form gradients as its derivative."""

    @abstractmethod
    def value_and_grad(self, function: Callable[..., Array], argnums: Sequence[int]) -> Callable[..., Any]:
        """A function that returns the value of `function` and a tuple of its gradients."""

    def differentiate(self, function: Callable[..., Array], arrays: Sequence[Array], argnums: Sequence[int]) -> Any:
        """The value of a function of arrays, which is a number, and its derivatives by some of them, where there is no
        closed form."""
        name, kind = getattr(function, "__name__", repr(function)), type(arrays[0]).__name__
        raise TypeError(f"{name} has no closed-form gradient here, and {kind} none of its own")

    def scalar(self, value: Any) -> Any:
        """A scalar of NumPy as a number, which it is beside an array; where a compiler shows an array in its place, as
        an array of this framework. Anything else as it is."""
        return value.item() if isinstance(value, np.generic) else value

    def refusal(self, array: Array) -> str | None:
        """What kind of array this is and what to do with it, where no loss takes it."""
        return None

    def refusal_beside(self, array: Array, other: Array) -> str | None:
        """The same of an array that no loss takes together with `other`."""
        return None

    def result_dtype(self, prediction: Array) -> Any:
        """The dtype of a loss of `prediction`."""
        return prediction.dtype

    def poison(self, bad: Array, dtype: Any) -> Array:
        """A factor for what could not be looked at: NaN where it is `bad`, else 1."""
        xp = self.namespace(bad)
        return xp.where(bad, float("nan"), xp.ones_like(bad, dtype=dtype))

    def attach_fused(self, fused: Fused, arrays: Sequence[Array]) -> Array:
        """The value of `fused` at `arrays`, with its gradients as its derivative."""
        return fused.forward(arrays, (False,) * len(arrays))[0]

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        """All that a call depends on, besides values; None where these cannot be looked at now, or one is no array.

        Of each array its shape is a tuple, and nothing else is: calls are compared without their number of examples.
        """
        return None

    def by_rows(
        self, work: OfRows, rows: Mapping[str, Array], fixed: Mapping[str, Array], wanted: tuple[str, ...]
    ) -> dict[str, Array] | None:
        """What `work` results in, in blocks; None where it is better done as a whole."""
        return None

    def is_one(self, array: Array) -> bool:
        """Whether a scalar is 1, as far as can be told now."""
        return self.readable(array) and float(array) == 1.0

    def scan(self, step: Step, totals: Named, rows: Named, size: int) -> tuple[Named, Named]:
        """The last totals, and the results of all rows, where `step` takes `size` of these at a time.

        Parameters
        ----------
        step : callable
            Takes totals and some of the rows; returns the next totals, and results that have the same rows. Rows of
            zeros change no total.
        """
        any_row = next(iter(rows.values()))
        # While tracing, not every array may know its own length.
        count = next((row.shape[0] for row in rows.values() if row.shape[0] is not None), None)
        if count is size or (count is not None and count <= size):
            return step(totals, rows)
        if count is None:
            raise TypeError("steps that follow each other must have a known number, got an axis of unknown length")
        xp = self.namespace(any_row)
        pieces = []
        for here in strips(count, size):
            totals, results = step(totals, {name: array[here, ...] for name, array in rows.items()})
            pieces.append(results)
        return totals, {name: xp.concat([piece[name] for piece in pieces]) for name in pieces[0]}

    def chunk(self, count: Any, size: int) -> Any:
        """So many of `count` rows are computed at a time, of which `size` are enough: all, where no loop of the
        library takes a number that is unknown while tracing."""
        return size if isinstance(count, int) else count

    def each_row(self, function: Callable[[Array], Array], rows: Array) -> Array:
        """The numbers that a function of one row makes of all rows of a matrix."""
        xp = self.namespace(rows)
        if rows.shape[0] == 0:
            return xp.sum(rows, axis=-1)
        return xp.stack([self.asarray(function(rows[place, ...]), rows) for place in range(rows.shape[0])])

    def multiplies_halves(self, array: Array) -> bool:
        """Whether `product` takes matrices of the half precision of `array` as they are, and sums in float32."""
        return False

    def rounded(self, array: Array, dtype: Any) -> Array:
        """`array` with the numbers that another dtype has, in its own."""
        xp = self.namespace(array)
        return xp.astype(xp.astype(array, dtype), array.dtype)

    def product(self, left: Array, right: Array) -> Array:
        """The product of two matrices, or of each of two stacks. Of those that it takes as they are: in float32."""
        return left @ right

    def project(self, rows: Array, matrix: Array) -> Array:
        """The same of `rows` with the transpose of `matrix`."""
        return self.product(rows, self.namespace(rows).matrix_transpose(matrix))

    def in_groups(self, array: Array, size: int) -> Array:
        """The rows in groups of `size`, in the shape ``(groups, size, ...)``. Zeros fill up the last one."""
        xp = self.namespace(array)
        rest = -array.shape[0] % size
        each = self.lengths(array)[1:]
        if rest:
            zeros = xp.zeros_like(array[:1, ...])
            array = xp.concat([array, xp.broadcast_to(zeros, (rest, *each))])
        return xp.reshape(array, (-1, size, *each))

    def add_product(self, total: Array, left: Array, right: Array) -> Array:
        """The sum of `total` and the product of the transpose of `left` with `right`. It may take the place of `total`.

        Nothing else of the size of `total` should exist for it: for totals that are not narrow (see `sums`).
        """
        xp = self.namespace(total)
        if left.shape[0] is None:
            # A length that is unknown while tracing cannot be cut.
            return total + xp.matrix_transpose(left) @ right
        for rows in strips(left.shape[0], TERMS):
            for here in strips(total.shape[0], _STRIP):
                total[here, ...] += xp.matrix_transpose(left[rows, here]) @ right[rows, :]
        return total

    def accelerated(self, array: Array) -> bool:
        """Whether `array` is on a device whose products are so fast that moving a matrix takes longer."""
        return False

    def writable(self, *arrays: Array) -> bool:
        """Whether arrays that were computed from `arrays` may be written to."""
        return False

    def checkpoint(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """`function`, which is differentiated by computing it once more instead of keeping what it computed."""
        return function

    def group(self, group: Any, array: Array) -> Group:
        """The members that `array` is computed with, of what the framework has for a group."""
        if group is not None:
            raise TypeError(f"group must be None, for arrays of {self.name} are in one process, got {group!r}")
        return Alone()

    def length(self, array: Array, axis: int, dtype: Any) -> Any:
        """The length of an axis; where it is unknown while tracing, as an array of this dtype."""
        return array.shape[axis]

    def lengths(self, array: Array) -> tuple[Any, ...]:
        """The lengths of all axes, as functions of the namespace take a shape."""
        int32 = self.namespace(array).int32
        return tuple(self.length(array, axis, int32) for axis in range(array.ndim))

    def agree(self, loss: str, axes: Alike) -> Array | None:
        """Whether two lengths agree, once they are known; None where a length is always known."""
        return None

    def evaluate(self, call: Bound) -> Array:
        """The value of a call, differentiable by the framework."""
        call.check_values()
        return self.whole(call)

    def whole(self, call: Bound) -> Array:
        """The same of whole arrays, once its values are checked. The place to compile it, where a framework gains."""
        # By its name: before torch 2.13 the compiler hashes an object that it calls, which has no content yet.
        value: Array = call.plan.__call__(call.arrays)
        return value

    def value_and_gradients(self, call: Bound, argnums: Sequence[int | str]) -> tuple[Array, tuple[Array, ...]]:
        """The value of a call and its gradients in closed form, detached."""
        return call.value_and_gradients(argnums)

    def compile(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """`function` behind the framework's own compiler, if it has one."""
        return function

    def stop_gradient(self, array: Array) -> Array:
        """`array` as a constant."""
        return array


def register_backend(framework: str, package: str) -> None:
    """Let `package` serve the arrays whose class comes from the top-level package `framework`.

    Parameters
    ----------
    framework : str
        Top-level import package of the array class, such as ``"cupy"``.
    package : str
        Import package with an attribute ``backend``, an instance of `polyloss.Backend`. It is imported when
        the first array of that framework arrives.

    Examples
    --------
    >>> import polyloss
    >>> polyloss.register_backend("numpy", "polyloss_numpy")
    """
    _ADAPTERS[framework] = package
    _packages.clear()


def find_backend(kind: type) -> "Backend | None":
    """The adapter of an array class, or None where it is no array."""
    package = _package(kind)
    return None if package is None else getattr(_backends, package)


@at_trace_time
def _package(kind: type) -> str | None:
    """The package of the adapter of an array class, imported."""
    try:
        return _packages[kind]
    except KeyError:
        pass
    frameworks = (base.__module__.partition(".")[0] for base in kind.__mro__)
    package = next((_ADAPTERS[framework] for framework in frameworks if framework in _ADAPTERS), None)
    if package is None and (hasattr(kind, "__array_namespace__") or kind.__module__.startswith("dask.array")):
        package = _GENERIC
    if package is not None:
        setattr(_backends, package, import_module(package).backend)
    _packages[kind] = package
    return package


def without_scalars(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call without scalars of NumPy: beside an array, each is a number like any other."""
    owner = None
    for value in (*arguments, *keywords.values()):
        if owner is None or owner.name == "numpy":
            owner = (None if isinstance(value, np.generic) else find_backend(type(value))) or owner
    if owner is None:
        return arguments, keywords
    return tuple(map(owner.scalar, arguments)), {key: owner.scalar(value) for key, value in keywords.items()}


def unwrapped(value: Any) -> Any:
    """The array in a variable of Keras; anything else as it is."""
    return value.value if _is_variable(type(value)) else value


@at_trace_time
def _is_variable(kind: type) -> bool:
    return kind.__module__.startswith("keras.") and hasattr(kind, "value")


def backend_of(array: Array) -> Backend:
    """The adapter of an array."""
    found = find_backend(type(array))
    if found is None:
        raise TypeError(f"expected an array, got {type(array).__name__}")
    return found


def stop_gradient(array: Array) -> Array:
    """`array` as a constant: nothing is differentiated through it.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.stop_gradient(np.asarray([1.0, 2.0]))
    array([1., 2.])
    """
    return backend_of(array).stop_gradient(array)
