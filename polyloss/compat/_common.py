"""What the translations share."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from polyloss import _checks as checks
from polyloss._backend import backend_of, find_backend, unwrapped
from polyloss._checks import Domain
from polyloss._typing import Array, Namespace

P = ParamSpec("P")


def of_arrays(function: Callable[P, Array]) -> Callable[P, Array]:
    """`function` of plain arrays: a variable is what it holds, and what is no array of numbers is refused by name."""
    names = tuple(inspect.signature(function).parameters)

    def plain(name: str, value: Any) -> Any:
        value = unwrapped(value)
        if find_backend(type(value)) is None or not hasattr(value, "shape"):
            return value
        return checks.common_backend(function.__name__, {name: value}).asarray(value, None)

    def called(*args: Any, **kwargs: Any) -> Array:
        given = (*map(plain, names, args), *args[len(names) :])
        return function(*given, **{name: plain(name, value) for name, value in kwargs.items()})

    return functools.wraps(function)(called)


def namespace(array: Array) -> Namespace:
    """The Array API namespace of an array."""
    return backend_of(array).namespace(array)


def widened(function: Callable[..., Array], *arrays: Array) -> Array:
    """`function` of arrays in at least float32, its result rounded once to the dtype of the first."""
    xp, dtype = namespace(arrays[0]), backend_of(arrays[0]).result_dtype(arrays[0])
    if not checks.is_half(arrays[0].dtype):
        return function(*arrays)
    wide = [xp.astype(a, xp.float32) if checks.is_half(a.dtype) else a for a in arrays]
    return xp.astype(function(*wide), dtype)


def as_probabilities(target: Array, like: Array) -> Array:
    """A target in the dtype of the prediction: an integer one-hot target is not class ids."""
    backend = checks.common_backend("probabilities", {"prediction": like, "target": target})
    checks.real("probabilities", "target", backend_of(target).namespace(target), target)
    return backend.namespace(like).astype(backend.asarray(target, like), like.dtype)


def only(loss: str, name: str, array: Array, domain: Domain) -> Array:
    """`array`, with an error where a value is outside `domain`; NaN there where values cannot be looked at."""
    backend = backend_of(array)
    xp = backend.namespace(array)
    checks.real(loss, name, xp, array)
    outside = domain.outside(xp, array)
    if backend.readable(array):
        checks.none_outside(loss, name, xp, array, outside, str(domain))
        return array
    if checks.is_integer(xp, array):
        array = xp.astype(array, xp.float32)
    return xp.where(outside, xp.full_like(array, float("nan")), array)


def needs(loss: str, **arguments: Any) -> None:
    """Refuse None."""
    for name, value in arguments.items():
        if value is None:
            raise TypeError(f"{loss}: missing {name}")


def last(array: Array, axis: int | Sequence[int] | None) -> Array:
    """`array` with one axis or several (None: all) as its last one, in the order given."""
    xp = namespace(array)
    axes = tuple(range(array.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    moved = xp.moveaxis(array, axes, tuple(range(-len(axes), 0)))
    return xp.reshape(moved, (*moved.shape[: array.ndim - len(axes)], -1)) if len(axes) > 1 else moved
