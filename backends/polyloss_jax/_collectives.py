"""Groups of devices: the axes of a mesh, by their names."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from polyloss.core.collectives import Group

from ._private import varying, varying_axes

lax: Any = jax.lax
"""Of it, type checkers know little."""


class Axis(Group):
    """The devices along an axis of a mesh, or along several, inside of a function that is mapped over them."""

    def __init__(self, name: str | tuple[str, ...]) -> None:
        self.name = name
        self.names = (name,) if isinstance(name, str) else name

    @property
    def size(self) -> int:
        count: int = lax.axis_size(self.name)
        return count

    def sum(self, array: jax.Array) -> jax.Array:
        found: jax.Array = lax.psum(array, self.name)
        return found

    def check(self, parts: Mapping[str, jax.Array], others: Mapping[str, jax.Array]) -> None:
        along = " and ".join(map(repr, self.names))
        for name, part in parts.items():
            if not set(self.names) <= varying_axes(part):
                raise ValueError(
                    f"the rows of {name} are not split over {along}, as far as JAX knows: in_specs must say so, and "
                    "jax.shard_map must follow it (check_vma=True, its default; jax.pmap does not)"
                )
        for name, other in others.items():
            if set(self.names) & varying_axes(other):
                raise ValueError(
                    f"{name} must be the same on all devices along {along}, and may differ: in_specs must not split "
                    "it over that"
                )

    def replicated_sum(self, array: jax.Array) -> jax.Array:
        # What is the same on all devices is whole already.
        apart = tuple(name for name in self.names if name in varying_axes(array))
        return lax.psum(array, apart) if apart else array

    def replicated(self, array: jax.Array) -> jax.Array:
        if not set(self.names) <= varying_axes(lax.axis_index(self.name)):
            raise ValueError(
                "replicated: JAX must follow what differs between devices, to sum gradients by what does not: "
                "jax.shard_map with check_vma=True, its default, does; jax.pmap does not"
            )
        return array

    def maximum(self, array: jax.Array) -> jax.Array:
        # JAX does not know its derivative, and asks for it even where it is not used.
        found: jax.Array = lax.pmax(lax.stop_gradient(array), self.name)
        return found

    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        # Shapes are the same on all devices.
        return lax.axis_index(self.name) * part, part * self.size

    def lengths(self, arrays: Mapping[str, jax.Array | None]) -> Mapping[str, Any]:
        for name, array in arrays.items():
            floating = array is not None and jnp.issubdtype(array.dtype, jnp.floating)
            if floating and not set(self.names) <= varying_axes(array):
                raise ValueError(
                    f"{name} must be split over {' and '.join(map(repr, self.names))}, and is not as far as JAX knows: "
                    "in_specs must say so, and jax.shard_map must follow it (check_vma=True, its default; jax.pmap "
                    "does not)"
                )
        # The same on all devices.
        return {name: None if array is None else array.shape[0] for name, array in arrays.items()}

    def start(self, lengths: Any) -> Any:
        return lax.axis_index(self.name) * lengths

    def gather(self, array: jax.Array, lengths: Any) -> jax.Array:
        found: jax.Array = lax.all_gather(varying(array, self.names), self.name, tiled=True)
        return found

    def reduce_scatter(self, array: jax.Array, lengths: Any) -> jax.Array:
        found: jax.Array = lax.psum_scatter(array, self.name, tiled=True)
        return found

    def shift(self, block: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        ways = [(place, (place + 1) % self.size) for place in range(self.size)]
        return {name: lax.ppermute(varying(array, self.names), self.name, ways) for name, array in block.items()}

    def repeat(self, times: Any, step: Callable[[Any, Any], tuple[Any, Any]], so_far: Any, block: Any) -> Any:
        start = jax.tree.map(lambda array: varying(array, self.names), (so_far, block))
        return lax.fori_loop(0, times, lambda _, found: step(*found), start)


def group_of(name: Any) -> Group:
    """The devices that a user named by an axis."""
    axes = name if isinstance(name, tuple) else (name,)
    if not axes or not all(isinstance(axis, str) for axis in axes):
        raise TypeError(f"group must be the name of an axis that jax.shard_map or jax.pmap maps over, got {name!r}")
    group = Axis(name)
    try:
        _ = group.size
    except NameError:
        raise ValueError(
            f"group: there is no axis {name!r} here; call it inside of a function that jax.shard_map maps over it"
        ) from None
    return group


__all__ = ["Axis", "group_of"]
