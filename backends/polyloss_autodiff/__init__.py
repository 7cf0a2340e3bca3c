"""Arrays that carry derivatives, of whatever library: where that has none of its own, and for derivatives of gradients.

They are arrays like any other to a loss, and this is their adapter: a call on `Dual` arrays finds the change of its
result, a call on `Recorded` arrays what its derivatives need. The rules are in `_rules` and `_namespace`, each once for
both directions.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from polyloss.adapters import Array, Backend, Fused, Namespace, Pair, closed_form, pull, push, scalar, sum_to
from polyloss.core.backend import Bound, backend_of

from ._along import Along
from ._arrays import Dual, Lifted, Link, Recorded, derivatives
from ._namespace import Derivatives

_namespace_of: Any = functools.lru_cache(maxsize=64)(Derivatives)


class AutodiffBackend(Backend):
    """The adapter of arrays that carry derivatives. Nearly all is asked of the arrays in them."""

    name = "autodiff"

    def namespace(self, array: Any) -> Namespace:
        found: Namespace = _namespace_of(type(array), backend_of(array.primal).namespace(array.primal))
        return found

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if isinstance(value, Lifted):
            return value
        return type(like)(backend_of(like.primal).asarray(value, like.primal, dtype))

    def readable(self, *arrays: Any) -> bool:
        return all(backend_of(array.primal).readable(array.primal) for array in arrays)

    def look(self, array: Any) -> Any:
        return backend_of(array.primal).look(array.primal)

    def length(self, array: Any, axis: int, dtype: Any) -> Any:
        return backend_of(array.primal).length(array.primal, axis, dtype)

    def result_dtype(self, prediction: Any) -> Any:
        return backend_of(prediction.primal).result_dtype(prediction.primal)

    def is_one(self, array: Any) -> bool:
        return not array.tracked and backend_of(array.primal).is_one(array.primal)

    def stop_gradient(self, array: Any) -> Any:
        return type(array)(array.primal)

    def attach(self, pair: Pair, arrays: Sequence[Any]) -> Any:
        kind = type(arrays[0])
        primals = [array.primal for array in arrays]
        value, *slopes = pair(*primals)
        if any(array.tracked and slope is None for array, slope in zip(arrays, slopes, strict=True)):
            # No closed form by one of them: that of the value is found.
            return pair(*arrays)[0]
        xp, links = backend_of(value).namespace(value), []
        for array, slope in zip(arrays, slopes, strict=True):
            if array.tracked:
                slope = functools.cache(slope)
                links.append(Link(array, *_both_ways(xp, slope, array.shape, len(value.shape))))
        return kind.made(value, links)

    def attach_fused(self, fused: Fused, arrays: Sequence[Any]) -> Any:
        return fused.plain(*arrays)

    def add_product(self, total: Any, left: Any, right: Any) -> Any:
        return total + self.product(self.namespace(left).matrix_transpose(left), right)

    def value_and_gradients(self, call: Bound, argnums: Sequence[int | str]) -> tuple[Any, tuple[Any, ...]]:
        # What is in the arrays was looked at before.
        found: tuple[Any, tuple[Any, ...]] = call.plan.value_and_gradients(call.arrays, argnums)
        return found

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        if hasattr(function, "closed_form"):
            return closed_form(function, argnums)
        return lambda *arguments, **keywords: backwards(
            functools.partial(scalar(function), **keywords), arguments, argnums
        )

    def differentiate(self, function: Callable[..., Any], arrays: Sequence[Any], argnums: Sequence[int]) -> Any:
        return backwards(function, arrays, argnums)


def _both_ways(xp: Namespace, slope: Callable[[], Array], shape: tuple[Any, ...], ndim: int) -> tuple[Any, Any]:
    """The ways of a closed form: see `Link`."""

    def forwards(tangent: Array) -> Array:
        return push(xp, slope(), tangent, ndim)

    def back(cotangent: Array) -> Array:
        return sum_to(xp, pull(cotangent, slope()), shape)

    return forwards, back


def backwards(function: Callable[..., Any], arrays: Sequence[Any], argnums: Sequence[int]) -> Any:
    """The value of a function of arrays, a number, and its derivatives by some of these, found by recording it."""
    given = [Recorded.start(array) if place in argnums else Recorded(array) for place, array in enumerate(arrays)]
    result = function(*given)
    return result.primal, derivatives(result, [given[place] for place in argnums])


backend = AutodiffBackend()

__all__ = ["Along", "AutodiffBackend", "Dual", "Recorded", "backend", "backwards"]
