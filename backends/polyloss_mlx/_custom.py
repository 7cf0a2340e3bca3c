"""Functions with derivatives of their own: what `mx.custom_function` makes, mapped over batches as well.

`mx.vmap` of such a function would be differentiated by MLX. Here it is one again, whose derivatives are mapped.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import mlx.core as mx

Arrays: TypeAlias = Sequence[mx.array]
Tangents: TypeAlias = Sequence[Any]
"""None for an array that does not move."""


def custom(
    value: Callable[..., mx.array],
    pull: Callable[[Arrays, mx.array], Arrays],
    push: Callable[[Arrays, Tangents], mx.array],
) -> Callable[..., mx.array]:
    """`value` with derivatives of its own, of any order.

    Parameters
    ----------
    value : callable
        Takes arrays.
    pull : callable
        Takes these, and the gradient by the value; returns one by each array. Nobody knows which of them are wanted: of
        a lazy library, the others are not computed.
    push : callable
        Takes the arrays, and the tangent of each that moves; returns that of the value.
    """
    run: Any = mx.custom_function(value)

    @run.vjp  # type: ignore[untyped-decorator]
    def _(arrays: Any, upstream: mx.array, value: mx.array) -> Any:
        if isinstance(arrays, mx.array):
            return pull((arrays,), upstream)[0]
        return tuple(pull(arrays, upstream))

    @run.jvp  # type: ignore[untyped-decorator]
    def _(arrays: Any, tangents: Any) -> mx.array:
        return push((arrays,), (tangents,)) if isinstance(arrays, mx.array) else push(arrays, tangents)

    @run.vmap  # type: ignore[untyped-decorator]
    def _(arrays: Any, axes: Any) -> tuple[mx.array, int]:
        if isinstance(arrays, mx.array):
            arrays, axes = (arrays,), (axes,)
        return _mapped(value, pull, push, tuple(axes))(*arrays), 0

    found: Callable[..., mx.array] = run
    return found


def _mapped(value: Any, pull: Any, push: Any, axes: tuple[int | None, ...]) -> Callable[..., mx.array]:
    """The same over an axis of each array, or of some."""

    def mapped_pull(arrays: Arrays, upstream: mx.array) -> Arrays:
        each = mx.vmap(lambda upstream, *arrays: tuple(pull(arrays, upstream)), in_axes=(0, *axes))
        return [_put_back(gradient, axis) for gradient, axis in zip(each(upstream, *arrays), axes, strict=True)]

    def mapped_push(arrays: Arrays, tangents: Tangents) -> mx.array:
        moving = [place for place, tangent in enumerate(tangents) if tangent is not None]

        def pushed(*given: mx.array) -> Any:
            moved = dict(zip(moving, given[len(arrays) :], strict=True))
            return push(given[: len(arrays)], [moved.get(place) for place in range(len(arrays))])

        each: Any = mx.vmap(pushed, in_axes=(*axes, *(axes[place] for place in moving)))
        found: mx.array = each(*arrays, *(tangents[place] for place in moving))
        return found

    return custom(mx.vmap(value, in_axes=axes), mapped_pull, mapped_push)


def _put_back(gradient: mx.array, axis: int | None) -> mx.array:
    """A gradient by what was mapped over this axis; or by what all have in common."""
    if axis is not None:
        return mx.moveaxis(gradient, 0, axis)
    from ._namespace import sum

    return sum(gradient, axis=0)


__all__ = ["Arrays", "Tangents", "custom"]
