"""An adapter of polyloss for the arrays of array-api-strict: import this package, and losses take them."""

from collections.abc import Callable, Sequence
from typing import Any

import array_api_strict

from polyloss import Backend, register_backend
from polyloss.adapters import Array, Namespace, Pair, closed_form


class StrictBackend(Backend):
    """What polyloss knows of array-api-strict: arrays of the standard, and no automatic differentiation."""

    name = "array-api-strict"
    constructor = "array_api_strict.asarray"

    def namespace(self, array: Array) -> Namespace:
        found: Namespace = array_api_strict
        return found

    def asarray(self, value: Any, like: Array, dtype: Any = None) -> Array:
        if hasattr(value, "__array_namespace__"):
            return value
        return array_api_strict.asarray(value, dtype=dtype or like.dtype, device=like.device)

    def readable(self, *arrays: Array) -> bool:
        # To look at values that are elsewhere costs time: there, a bad one makes its example NaN instead.
        return all(array.device == array_api_strict.Device("CPU_DEVICE") for array in arrays)

    def attach(self, pair: Pair, arrays: Sequence[Array]) -> Array:
        # Nothing here follows what is done to arrays: the value alone.
        return pair(*arrays)[0]

    def value_and_grad(self, function: Callable[..., Array], argnums: Sequence[int]) -> Callable[..., Any]:
        return closed_form(function, argnums)


backend = StrictBackend()

register_backend("array_api_strict", __name__)

__all__ = ["StrictBackend", "backend"]
