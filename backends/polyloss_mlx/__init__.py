"""MLX: a pair becomes an `mx.custom_function`. The namespace is our own, close to `mlx.core`."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from polyloss.adapters import Backend, Namespace, Pair, lacks_closed_form, pull, push, scalar, sum_to
from polyloss.core.backend import TERMS, strips

from ._compile import compiled
from ._custom import Arrays, Tangents, custom
from ._namespace import NAMESPACE, sum


class MlxBackend(Backend):
    """The adapter of `mx.array`, traced or not."""

    name = "mlx"
    constructor = "mx.array"

    def namespace(self, array: Any) -> Namespace:
        xp: Namespace = NAMESPACE
        return xp

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        if isinstance(value, mx.array):
            return value
        dtype = dtype or like.dtype
        # As a whole number, it must fit into int64.
        return mx.array(float(value) if mx.issubdtype(dtype, mx.floating) else value, dtype)

    def readable(self, *arrays: Any) -> bool:
        # Arrays have no device, and nothing says whether one is traced; but then MLX refuses to evaluate it.
        if mx.default_device() != mx.cpu:
            return False
        try:
            mx.eval(*arrays)
        except ValueError:
            return False
        return True

    def look(self, array: Any) -> Any:
        # NumPy is quicker. It has no bfloat16, and warns of the NaN that MLX has in float16.
        return np.asarray(array.astype(mx.float32) if array.dtype in (mx.float16, mx.bfloat16) else array)

    def refusal(self, array: Any) -> str | None:
        if not isinstance(array, mx.array):
            return f"a {type(array).__name__}; give an mx.array"
        if array.dtype == mx.float64 and mx.default_device() != mx.cpu:
            return "float64, which MLX has on the CPU alone; call it within mx.stream(mx.cpu), or give float32"
        return None

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        found: list[Any] = []
        for array in arrays:
            if type(array) is not mx.array:
                return None
            found += [array.dtype, array.shape]
        return (*found, self.readable(*arrays))

    def is_one(self, array: Any) -> bool:
        # It may be 1 and yet be what is differentiated by.
        return False

    def attach(self, pair: Pair, arrays: Sequence[mx.array]) -> mx.array:
        def pulled(arrays: Arrays, upstream: mx.array) -> Arrays:
            found = []
            for place, gradient in enumerate(pair(*arrays)[1:]):
                if gradient is None:
                    found.append(_pulled_by_framework(lambda *a: pair(*a)[0], arrays, place, upstream))
                    continue
                by = pull(upstream, gradient())
                found.append(by if place < pair.inputs else sum_to(NAMESPACE, by, arrays[place].shape))
            return found

        def pushed(arrays: Arrays, tangents: Tangents) -> mx.array:
            value, *gradients = pair(*arrays)
            change = mx.zeros_like(value)
            for place, (gradient, tangent) in enumerate(zip(gradients, tangents, strict=True)):
                if tangent is None or not _is_floating(arrays[place]):
                    continue
                if gradient is None:
                    change = change + _pushed_by_framework(lambda *a: pair(*a)[0], arrays, {place: tangent})
                else:
                    change = change + push(NAMESPACE, gradient(), tangent, value.ndim)
            return change

        return custom(lambda *arrays: pair(*arrays)[0], pulled, pushed)(*arrays)

    def attach_fused(self, fused: Any, arrays: Sequence[mx.array]) -> mx.array:
        if not fused.scalar:
            value: mx.array = fused.plain(*arrays)
            return value
        nothing = (False,) * len(arrays)

        def gradients(arrays: Arrays, wanted: Sequence[bool], upstream: mx.array) -> Sequence[Any]:
            found: Sequence[Any] = fused.backward(arrays, fused.forward(arrays, wanted)[1], upstream, wanted)
            return found

        def pulled(arrays: Arrays, upstream: mx.array) -> Arrays:
            wanted = [closed and _is_floating(array) for closed, array in zip(fused.closed, arrays, strict=True)]
            return [
                _pulled_by_framework(fused.plain, arrays, place, upstream) if gradient is None else gradient
                for place, gradient in enumerate(gradients(arrays, wanted, upstream))
            ]

        def pushed(arrays: Arrays, tangents: Tangents) -> mx.array:
            moving = {place: t for place, t in enumerate(tangents) if t is not None and _is_floating(arrays[place])}
            wanted = [place in moving for place in range(len(arrays))]
            if lacks_closed_form(fused.closed, wanted):
                return _pushed_by_framework(fused.plain, arrays, moving)
            one = mx.ones((), fused.forward(arrays, nothing)[0].dtype)
            found = gradients(arrays, wanted, one)
            change = mx.zeros_like(one)
            for place, tangent in moving.items():
                change = change + sum(found[place] * tangent)
            return change

        return custom(lambda *arrays: fused.forward(arrays, nothing)[0], pulled, pushed)(*arrays)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        # MLX returns gradients in the order of the arguments, and a single one as it is.
        places = sorted(set(argnums))
        differentiated = mx.value_and_grad(scalar(function), argnums=places)

        def run(*arguments: Any, **keywords: Any) -> tuple[mx.array, tuple[mx.array, ...]]:
            value, found = differentiated(*arguments, **keywords)
            gradients = found if len(places) > 1 else (found,)
            return value, tuple(gradients[places.index(number)] for number in argnums)

        return run

    def each_row(self, function: Callable[[Any], Any], rows: Any) -> Any:
        return mx.vmap(function)(rows) if rows.shape[0] else super().each_row(function, rows)

    def add_product(self, total: mx.array, left: mx.array, right: mx.array) -> mx.array:
        # MLX adds the terms of a product one after the other.
        for rows in strips(left.shape[0], TERMS // 2):
            total = total + left[rows].T @ right[rows]
        return total

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(function)

    def stop_gradient(self, array: mx.array) -> mx.array:
        return mx.stop_gradient(array)


def _is_floating(array: mx.array) -> bool:
    return bool(mx.issubdtype(array.dtype, mx.floating))


def _pulled_by_framework(function: Callable[..., mx.array], arrays: Arrays, place: int, upstream: mx.array) -> mx.array:
    """The gradient by an array without a closed form."""
    if not _is_floating(arrays[place]):
        return mx.zeros_like(arrays[place])

    def value(array: mx.array) -> mx.array:
        return function(*arrays[:place], array, *arrays[place + 1 :])

    return mx.vjp(value, [arrays[place]], [upstream])[1][0]


def _pushed_by_framework(function: Callable[..., mx.array], arrays: Arrays, moving: dict[int, mx.array]) -> mx.array:
    """The change of the value by arrays that move, where one has no closed form."""

    def value(*moved: mx.array) -> mx.array:
        named = dict(zip(moving, moved, strict=True))
        return function(*(named.get(place, array) for place, array in enumerate(arrays)))

    return mx.jvp(value, [arrays[place] for place in moving], list(moving.values()))[1][0]


backend = MlxBackend()

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Not for type checkers, which would take it that there is every name; and not imported before somebody asks.
        from polyloss.compat.names import no_attribute

        raise no_attribute(__name__, name)


__all__ = ["MlxBackend", "backend"]
