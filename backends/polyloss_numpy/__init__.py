"""Arrays without automatic differentiation: NumPy, CuPy, Dask, array-api-strict. Their gradients are the closed forms."""

from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat

from polyloss import Backend


class NumpyBackend(Backend):
    """The adapter of every array that cannot differentiate."""

    name = "numpy"

    def namespace(self, array: Any) -> Any:
        return array_api_compat.array_namespace(array)

    def asarray(self, value: Any, like: Any) -> Any:
        if array_api_compat.is_array_api_obj(value):
            return value
        return self.namespace(like).asarray(value, dtype=like.dtype, device=array_api_compat.device(like))

    def readable(self, *arrays: Any) -> bool:
        return not any(
            array_api_compat.is_lazy_array(a) or "cpu" not in str(array_api_compat.device(a)).lower() for a in arrays
        )

    def attach(self, pair: Callable[..., tuple[Any, ...]], arrays: Sequence[Any]) -> Any:
        return pair(*arrays)[0]

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        closed_form = getattr(function, "closed_form", None)
        if closed_form is None:
            name = getattr(function, "__name__", repr(function))
            raise TypeError(f"{name} must be a loss or a sum of losses: these arrays have no automatic differentiation")
        return lambda *arguments, **keywords: closed_form(arguments, keywords, argnums)


backend = NumpyBackend()

__all__ = ["NumpyBackend", "backend"]
