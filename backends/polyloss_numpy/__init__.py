"""Arrays without automatic differentiation: NumPy, CuPy, Dask, ndonnx, array-api-strict. Closed forms are their
gradients."""

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from polyloss.adapters import closed_form
from polyloss.core.backend import Alike
from polyloss.core.checks import is_half
from polyloss.engine.blocks import InMemory, Memory

_NEW = ("take_along_axis",)
"""Functions of the standard of 2024.12 that kernels do without, where they are missing."""

_NO_NUMBERS = ("O", "S", "U", "M", "m")
"""Kinds of dtypes: objects, text and times."""


class _WithScalars:
    """A namespace of a standard before 2024.12, where functions take arrays alone, with functions that take numbers."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        if name in _NEW:
            raise AttributeError(name)
        return getattr(self._xp, name)

    def _arrays(self, *values: Any) -> list[Any]:
        like = next(v for v in values if not isinstance(v, (bool, int, float)))
        device = array_api_compat.device(like)
        return [
            self._xp.asarray(v, dtype=like.dtype, device=device) if isinstance(v, (bool, int, float)) else v
            for v in values
        ]

    def where(self, condition: Any, x1: Any, x2: Any, /) -> Any:
        return self._xp.where(condition, *self._arrays(x1, x2))

    def maximum(self, x1: Any, x2: Any, /) -> Any:
        return self._xp.maximum(*self._arrays(x1, x2))

    def minimum(self, x1: Any, x2: Any, /) -> Any:
        return self._xp.minimum(*self._arrays(x1, x2))


class _InChunks:
    """The namespace of Dask, with functions that keep the chunks of `x`.

    Those of array-api-compat make constants as long as `x`, in one chunk; the pieces of these exist all at once.
    """

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def clip(self, x: Any, /, min: Any = None, max: Any = None) -> Any:
        above = x if min is None else self._xp.maximum(x, min)
        return above if max is None else self._xp.minimum(above, max)

    def cumulative_sum(self, x: Any, /, *, axis: int, include_initial: bool = False) -> Any:
        sums = self._xp.cumulative_sum(x, axis=axis)
        if not include_initial:
            return sums
        first = x[(*(slice(None),) * (axis % x.ndim), slice(0, 1))]
        return self._xp.concat([self._xp.zeros_like(first), sums], axis=axis)


class _OfGraphs:
    """The namespace of ndonnx, with functions that take lengths that a graph learns when it is run, and short ids."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def _shape(self, shape: Sequence[Any]) -> Any:
        if all(isinstance(length, int) for length in shape):
            return tuple(shape)
        return self._xp.stack([self._xp.astype(self._xp.asarray(length), self._xp.int64) for length in shape])

    def reshape(self, x: Any, /, shape: Sequence[Any]) -> Any:
        return self._xp.reshape(x, self._shape(shape))

    def broadcast_to(self, x: Any, /, shape: Sequence[Any]) -> Any:
        return self._xp.broadcast_to(x, self._shape(shape))

    def take(self, x: Any, indices: Any, /, *, axis: int) -> Any:
        return self._xp.take(x, self._xp.astype(indices, self._xp.int64), axis=axis)

    def take_along_axis(self, x: Any, indices: Any, /, *, axis: int = -1) -> Any:
        return self._xp.take_along_axis(x, self._xp.astype(indices, self._xp.int64), axis=axis)


_with_scalars = functools.cache(_WithScalars)
_in_chunks = functools.cache(_InChunks)
_of_graphs = functools.cache(_OfGraphs)


_MANY = 1 << 10
"""From so many on, numbers that are added one after the other lose too much."""


def _sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """``np.sum``, in pairs along any axes: NumPy adds in pairs only what lies side by side in memory."""
    if x.dtype.kind == "f" and x.ndim > 1 and axis is not None:
        axes = [number % x.ndim for number in (axis if isinstance(axis, tuple) else (axis,))]
        if math.prod(x.shape[number] for number in axes) >= _MANY:
            rows = np.moveaxis(x, axes, range(-len(axes), 0))
            if not rows.flags.c_contiguous:
                lead = rows.shape[: x.ndim - len(axes)]
                total = np.sum(np.ascontiguousarray(rows).reshape(*lead, -1), axis=-1, dtype=dtype)
                return np.expand_dims(total, tuple(axes)) if keepdims else total
    return np.sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


class _Memory(Memory):
    """Arrays of NumPy as they are."""

    def see(self, array: Any) -> Any:
        return array

    def empty(self, shape: Sequence[int], dtype: Any) -> tuple[Any, Any]:
        found = np.empty(shape, dtype)
        return found, found


_MEMORY = _Memory()


class NumpyBackend(InMemory):
    """The adapter of every array that cannot differentiate."""

    name = "numpy"
    constructor = "np.asarray"

    @functools.cached_property
    def _numpy(self) -> Any:
        """The namespace of NumPy's own arrays. Other arrays do without: it takes longer to import than all of this."""
        found = ModuleType("array_api_compat.numpy")
        found.__dict__.update(vars(import_module("array_api_compat.numpy")), sum=_sum)
        return found

    def namespace(self, array: Any) -> Any:
        if isinstance(array, (np.ndarray, np.generic)):
            return self._numpy
        xp = array_api_compat.array_namespace(array)
        if array_api_compat.is_dask_array(array):
            return _in_chunks(xp)
        if xp.__name__ == "ndonnx":
            return _of_graphs(xp)
        return _with_scalars(xp) if getattr(xp, "__array_api_version__", "2024.12") < "2024.12" else xp

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if type(like) is np.ndarray and isinstance(value, (int, float)):
            return np.asarray(value, dtype or like.dtype)
        if isinstance(value, np.ndarray):
            if not value.dtype.isnative:
                value = value.astype(value.dtype.newbyteorder("="))
            if like is None or type(like) is np.ndarray or not array_api_compat.is_dask_array(like):
                return value
            # NumPy's own functions, as `take_along_axis`, would compute what is lazy beside it.
            return self.namespace(like).asarray(value)
        if array_api_compat.is_array_api_obj(value):
            return value
        return self.namespace(like).asarray(value, dtype=dtype or like.dtype, device=array_api_compat.device(like))

    def leading(self, arguments: Sequence[Any]) -> Any:
        for argument in arguments:
            if not isinstance(argument, (np.ndarray, int, float)) and array_api_compat.is_dask_array(argument):
                # Beside what is lazy, all is.
                return argument
        return super().leading(arguments)

    def refusal(self, array: Any) -> str | None:
        if isinstance(array, np.ma.MaskedArray):
            return "a masked array: pass array.data, and where=~np.ma.getmaskarray(array)"
        if isinstance(array, np.matrix):
            return "a matrix: pass np.asarray(matrix)"
        if isinstance(array, np.ndarray) and array.dtype.kind in _NO_NUMBERS:
            hint = "; in the place of None, NaN is a number" if array.dtype.kind == "O" else ""
            return f"dtype {array.dtype}, which is not one of numbers{hint}"
        if isinstance(array, np.ndarray) and array.dtype.kind == "V" and not is_half(array.dtype):
            return f"dtype {array.dtype}, in which no loss is computed: convert it, as with astype(np.float32)"
        if type(array).__module__.startswith("sparse."):
            return "a sparse array: pass array.todense()"
        if (
            type(array) is not np.ndarray
            and array_api_compat.is_dask_array(array)
            and any(map(math.isnan, array.shape))
        ):
            return "one whose length is not known before it is computed: call its compute_chunk_sizes() first"
        return None

    def refusal_beside(self, array: Any, other: Any) -> str | None:
        if isinstance(array, np.ndarray) and isinstance(other, np.ndarray):
            return None
        kinds = [type(one).__module__.partition(".")[0] for one in (array, other)]
        if "dask" in kinds:
            # It takes those of others for its own.
            return None
        if kinds[0] != kinds[1]:
            return f"one of {kinds[0]} beside one of {kinds[1]}; make it one of these"
        places = [array_api_compat.device(one) for one in (array, other)]
        return None if places[0] == places[1] else f"one on {places[0]} beside one on {places[1]}; move it there"

    def readable(self, *arrays: Any) -> bool:
        for array in arrays:
            if type(array) is np.ndarray:
                continue
            on_cpu = "cpu" in str(array_api_compat.device(array)).lower()
            if not on_cpu or array_api_compat.is_lazy_array(array):
                return False
        return True

    def length(self, array: Any, axis: int, dtype: Any) -> Any:
        known = array.shape[axis]
        return self.namespace(array).astype(array.dynamic_shape[axis], dtype) if known is None else known

    def agree(self, loss: str, axes: Alike) -> Any:
        found, expected = axes.array.dynamic_shape[axes.axis], axes.other.dynamic_shape[axes.other_axis]
        return (found == expected) | (axes.or_one & (found == 1))

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        found = []
        for array in arrays:
            if type(array) is not np.ndarray or not array.dtype.isnative:
                return None
            found += [array.dtype, array.shape]
        return tuple(found)

    def blockwise(self, inputs: Sequence[Any], options: Sequence[Any]) -> bool:
        return {np.ndarray}.issuperset(map(type, (*inputs, *options)))

    def memory(self, arrays: Sequence[Any]) -> Memory:
        return _MEMORY

    def wrap(self, number: Any) -> Any:
        return number

    def attach(self, pair: Callable[..., tuple[Any, ...]], arrays: Sequence[Any]) -> Any:
        return pair(*arrays)[0]

    def writable(self, *arrays: Any) -> bool:
        return not any(array_api_compat.is_lazy_array(a) for a in arrays)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        return closed_form(function, argnums)

    def differentiate(self, function: Callable[..., Any], arrays: Sequence[Any], argnums: Sequence[int]) -> Any:
        from polyloss_autodiff import backwards

        return backwards(function, arrays, argnums)


backend = NumpyBackend()

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name; and not imported before somebody asks.
        from polyloss.compat.names import no_attribute

        raise no_attribute(__name__, name)


__all__ = ["NumpyBackend", "backend"]
