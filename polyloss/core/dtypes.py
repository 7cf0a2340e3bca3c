"""The dtypes that losses are computed in."""

from typing import Any

from . import checks
from .backend import backend_of
from .typing import Array, Namespace


def floating(xp: Namespace, array: Array, first: Array) -> Any:
    """The dtype of `array`, where that is floating, else the one that is computed in."""
    return array.dtype if is_floating(xp, array) else working(xp, first.dtype)


def is_floating(xp: Namespace, array: Array) -> bool:
    return checks.is_kind(xp, array, "real floating")


def working(xp: Namespace, dtype: Any) -> Any:
    """The dtype that is computed in."""
    return xp.float32 if checks.is_half(dtype) else dtype


def widened(array: Any) -> Any:
    """`array` in the dtype that is computed in, where it is one of half precision; itself, where not."""
    if not checks.is_half(getattr(array, "dtype", "")):
        return array
    return astype(array, backend_of(array).namespace(array).float32)


def astype(array: Array, dtype: Any) -> Array:
    """`array` of any framework in another dtype."""
    return cast(backend_of(array).namespace(array), array, dtype)


def cast(xp: Namespace, array: Array, dtype: Any) -> Array:
    """`array` in another dtype; itself, where it has that already."""
    return array if array.dtype == dtype else xp.astype(array, dtype)


def is_array(count: Any) -> bool:
    """Whether a number of entries is an array.

    To `torch.compile` a symbol is an `int`, of which no more must be asked; in programs that JAX exports it is neither.
    """
    return not isinstance(count, int) and hasattr(count, "dtype")


def cast_count(xp: Namespace, count: Any, dtype: Any) -> Any:
    """A number of entries, in another dtype where it is an array."""
    return cast(xp, count, dtype) if is_array(count) else count
