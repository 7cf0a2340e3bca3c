"""What an adapter is, and which adapter an array belongs to.

Asking never imports a framework: whoever holds an array of it has imported it already, so its class tells.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._typing import Array, Namespace

if TYPE_CHECKING:
    from ._plan import BoundKernel

_ADAPTERS = {
    "numpy": "polyloss_numpy",
    "torch": "polyloss_torch",
    "jax": "polyloss_jax",
    "jaxlib": "polyloss_jax",
    "tensorflow": "polyloss_tensorflow",
}
_GENERIC = "polyloss_numpy"

_packages: dict[type, str | None] = {}


class Backend(ABC):
    """Everything that polyloss needs to know of one framework. An adapter package holds one, called ``backend``."""

    name: str
    welcomes_numpy: bool = False
    """Whether the framework's own functions take NumPy arrays beside its own."""

    @abstractmethod
    def namespace(self, array: Array) -> Namespace:
        """The Array API namespace of `array`."""

    @abstractmethod
    def asarray(self, value: Any, like: Array) -> Array:
        """`value` (a number, or a NumPy array where those are welcome) as an array on the device of `like`."""

    @abstractmethod
    def readable(self, *arrays: Array) -> bool:
        """Whether the values can be looked at now, at no great cost: not traced, not lazy, not on an accelerator."""

    @abstractmethod
    def attach(self, pair: "BoundKernel", arrays: Sequence[Array]) -> Array:
        """The value of `pair` at `arrays`, with its closed-form gradients as its derivative."""

    @abstractmethod
    def value_and_grad(self, function: Callable[..., Array], argnums: Sequence[int]) -> Callable[..., Any]:
        """A function that returns the value of `function` and a tuple of its gradients."""

    def length(self, array: Array, axis: int, like: Array) -> Any:
        """The length of an axis; where it is unknown while tracing, as an array of the dtype of `like`."""
        return array.shape[axis]

    def run(self, plan: Callable[..., Array], arrays: Sequence[Array], options: Mapping[str, Array]) -> Array:
        """Evaluate `plan`. The place to compile it, where a framework gains from that."""
        return plan(arrays, options)

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
        Top-level import package of the array class, such as ``"mlx"``.
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
    return None if package is None else sys.modules[package].backend


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
        import_module(package)
    _packages[kind] = package
    return package


# torch.compile cannot follow an import. By this name it knows to ask once, and to keep the answer.
_package._dynamo_marked_constant = True  # type: ignore[attr-defined]


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
