"""What losses share that find their gradients together with their value: see `backend.Fused`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .backend import Named, backend_of
from .reduction import expand
from .typing import Array, Namespace


class FusedLoss:
    """The losses of all rows or, where they have shares, the sum of them times their shares.

    Attributes
    ----------
    name : str
        That of the loss.
    names : tuple of str
        What the arrays are, in their order.
    """

    name: str
    names: tuple[str, ...]

    @property
    def __name__(self) -> str:
        return self.name

    @property
    def scalar(self) -> bool:
        """Whether the losses are summed."""
        return "share" in self.names

    def _named(self, arrays: Iterable[Any]) -> Named:
        return dict(zip(self.names, arrays, strict=True))

    def _chosen(self, wanted: Sequence[bool]) -> tuple[str, ...]:
        """The names of the arrays whose gradients are wanted."""
        return tuple(name for name, want in zip(self.names, wanted, strict=True) if want)


def namespace_of(call: Named) -> Namespace:
    """The namespace of the arrays of a call."""
    first = next(iter(call.values()))
    return backend_of(first).namespace(first)


def kept_rows(xp: Namespace, row: Mapping[str, Array], array: Array) -> Array:
    """`array`, and 0 in the rows that do not count."""
    return xp.where(expand(row["mask"], array.ndim), array, 0.0) if "mask" in row else array


def scaled(gradient: Array, upstream: Array) -> Array:
    """``upstream * gradient``, where nobody needs the gradient itself any more."""
    backend = backend_of(gradient)
    if backend.is_one(upstream):
        return gradient
    if not backend.writable(gradient, upstream):
        return upstream * gradient
    gradient *= upstream
    return gradient
