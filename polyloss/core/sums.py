"""Products of two matrices summed over very many rows, which do not drift.

A library may add the terms of a long sum one after the other. Where they are alike, each addition rounds the same way:
of a million terms, thousands of eps. Here a library sums few terms at a time; what it finds is summed in pairs, and
from chunk to chunk what an addition rounded away is added to the next.
"""

from .backend import Backend, strips
from .dtypes import working
from .typing import Array

NARROW = 1 << 15
"""Up to so many elements, a total is summed like this. It is there twice, beside the sums of few terms."""
_BLOCK = 1 << 17
"""So many elements of sums of few terms exist at a time, where rows can be cut: they stay in the cache."""


def is_narrow(total: int) -> bool:
    """Whether a total of so many elements is summed as said above, or by `Backend.add_product`."""
    return total <= NARROW


def terms(total: int) -> int:
    """So many terms a library sums for a narrow total of so many elements.

    A quarter of an eps each is rounded away, if all are alike: with 32 that is 8 eps, what a gradient may be off by. Of
    more than 2**14 elements they are more, as sums of few terms would cost too much beside the product itself.
    """
    return max(32, total >> 9)


def nothing(backend: Backend, total: Array) -> Array:
    """Zeros of the shape of `total`, for `add_product` to begin with. Halves are summed in float32."""
    xp = backend.namespace(total)
    zeros = xp.zeros_like(total, dtype=working(xp, total.dtype))
    return xp.stack([zeros, zeros]) if is_narrow(total.shape[0] * total.shape[1]) else zeros


def result(total: Array) -> Array:
    """What `add_product` has summed."""
    return total[0, ...] if total.ndim == 3 else total


def add_product(backend: Backend, total: Array, left: Array, right: Array, most: int) -> Array:
    """The sum of `total` and the product of the transpose of `left` with `right`. It may take the place of `total`.

    Parameters
    ----------
    total : array
        From `nothing`, or from here.
    left, right : array
        Of as many rows.
    most : int
        There are no more rows; while tracing, their number may be unknown.
    """
    if total.ndim == 2:
        return backend.add_product(total, left, right)
    if isinstance(left.shape[0], int):
        most = left.shape[0]
    elements = total.shape[1] * total.shape[2]
    few = min(most, terms(elements))
    size = few * max(1, _BLOCK // elements)
    # What is traced stays in one piece: it would be one operation more for each.
    if not backend.readable(left) or most <= size:
        return _added(backend, total, _product(backend, left, right, few, most))
    for rows in strips(most, size):
        total = _added(backend, total, _product(backend, left[rows, :], right[rows, :], few, size))
    return total


def _added(backend: Backend, total: Array, part: Array) -> Array:
    """The sum of `total` and `part`, and beside it what that rounds away (W. Kahan, 1965)."""
    xp = backend.namespace(total)
    before, part = total[0, ...], part + total[1, ...]
    after = before + part
    # What an infinite sum lost is no number.
    return xp.stack([after, xp.where(xp.isfinite(after), part - (after - before), 0.0)])


def _product(backend: Backend, left: Array, right: Array, few: int, most: int) -> Array:
    """The product of the transpose of `left` with `right`, of `most` rows or fewer; `few` at a time."""
    xp = backend.namespace(left)
    parts = backend.product(xp.matrix_transpose(backend.in_groups(left, few)), backend.in_groups(right, few))
    number = -(-most // few)
    while number > 1:
        pairs = backend.in_groups(parts, 2)
        parts, number = pairs[:, 0, ...] + pairs[:, 1, ...], -(-number // 2)
    return parts[0, ...]
