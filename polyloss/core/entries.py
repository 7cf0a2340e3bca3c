"""The entries of rows that class ids name."""

from typing import Any

from .backend import backend_of
from .collectives import SplitRows
from .dtypes import cast_count
from .typing import Array, Namespace


def one_hot(xp: Namespace, ids: Array, classes: Array) -> Array:
    """Class ids of shape ``(...)`` as a boolean array of shape ``(..., C)``: as long as `classes` on its last axis."""
    return ids[..., None] == positions(xp, classes, -1, ids.dtype)


def width(array: Array) -> Any:
    """The length of the last axis: a number, or an array where that is unknown while tracing."""
    return backend_of(array).length(array, -1, array.dtype)


def row_length(xp: Namespace, array: Array) -> Any:
    """How many entries a row has, of which `array` may have a part."""
    rows: Any = xp
    if not isinstance(rows, SplitRows):
        return width(array)
    return cast_count(xp, rows.row_length, array.dtype)


def positions(xp: Namespace, array: Array, axis: int, dtype: Any) -> Array:
    """0, 1 and so on, one for each entry of an axis."""
    count = backend_of(array).length(array, axis, dtype)
    # While tracing there may be no device to ask for, and none needed.
    return xp.arange(count, dtype=dtype, device=getattr(array, "device", None) or None)


def pick_several(xp: Namespace, x: Array, ids: Array) -> Array:
    """The entries that class ids of shape ``(N, S)`` name in each row of `x`, which has the shape ``(N, T, C)``."""
    if hasattr(xp, "take_along_axis"):
        return xp.take_along_axis(x, ids[:, None, :] + xp.zeros_like(x[..., :1], dtype=ids.dtype), axis=-1)
    hot = one_hot(xp, ids, x)[:, None, :, :]
    return xp.sum(xp.where(hot, x[:, :, None, :], 0.0), axis=-1)


def pick(xp: Namespace, x: Array, ids: Array, hot: Array | None = None) -> Array:
    """The entry of each row that a class id names, the axis kept. `hot` are the ids as `one_hot` has them."""
    if hasattr(xp, "take_along_axis"):
        return xp.take_along_axis(x, ids[..., None], axis=-1)
    # Before the standard of 2024.12.
    return xp.sum(xp.where(one_hot(xp, ids, x) if hot is None else hot, x, 0.0), axis=-1, keepdims=True)
