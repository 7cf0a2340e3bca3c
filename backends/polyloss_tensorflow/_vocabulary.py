"""The names of `polyloss.core.vocabulary`, for tensors."""

from __future__ import annotations

import builtins as py
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ._arrays import (
    EXACT,
    FLOATING,
    HALF,
    INTEGRAL,
    SCALARS,
    UNSIGNED,
    Array,
    Axes,
    DType,
    Function,
    Scalar,
    Shape,
    astype,
    axes_of,
    binary,
    bool,
    constant,
    count_of,
    finfo,
    float32,
    float64,
    iinfo,
    int32,
    int64,
    isdtype,
    lengths,
    like,
    on,
    result_type,
    same,
    size_of,
    tensor,
    together,
    uint64,
    unary,
    wide_of,
)

# fmt: off
__all__ = [
    "abs", "all", "any", "arange", "argmax", "asarray", "astype", "bool", "broadcast_arrays", "broadcast_to", "clip",
    "concat", "cumulative_sum", "exp", "expand_dims", "expm1", "finfo", "float32", "float64", "floor", "full_like",
    "iinfo", "inf", "int32", "int64", "isdtype", "isfinite", "isinf", "isnan", "log", "log1p", "matrix_transpose",
    "max", "maximum", "mean", "min", "minimum", "moveaxis", "ones_like", "pow", "reshape", "result_type", "sign",
    "sinh", "sort", "sqrt", "squeeze", "stack", "sum", "take", "take_along_axis", "tanh", "where", "zeros_like",
]
# fmt: on

inf = math.inf

# --------------------------------------------------------------------------------------------------------- elementwise


def _never(x: Array) -> Array:
    return tf.zeros_like(x, bool)


def _always(x: Array) -> Array:
    return tf.ones_like(x, bool)


def _nonzero(x: Array) -> Array:
    return tf.cast(x != tf.zeros_like(x), x.dtype)


def _pow_unsigned(x1: Array, x2: Array) -> Array:
    return tf.cast(tf.pow(tf.cast(x1, int64), tf.cast(x2, int64)), x1.dtype)


abs = unary(tf.abs, {"unsigned integer": same})
exp = unary(tf.exp)
expm1 = unary(tf.math.expm1)
floor = unary(tf.floor, EXACT)
isfinite = unary(tf.math.is_finite, {"integral": _always})
isinf = unary(tf.math.is_inf, {"integral": _never})
isnan = unary(tf.math.is_nan, {"integral": _never})
log = unary(tf.math.log)
log1p = unary(tf.math.log1p)
sign = unary(tf.sign, {"unsigned integer": _nonzero})
sinh = unary(tf.sinh)
sqrt = unary(tf.sqrt)
tanh = unary(tf.tanh)

maximum = binary(tf.maximum)
minimum = binary(tf.minimum)
pow = binary(tf.pow, {"unsigned integer": _pow_unsigned})


def clip(x: Array, /, min: Array | Scalar | None = None, max: Array | Scalar | None = None) -> Array:
    """`x` limited to [min, max]; either bound may be missing, a number or an array."""
    x = tensor(x)
    if min is not None:
        x = tf.maximum(x, like(min, x.dtype))
    if max is not None:
        x = tf.minimum(x, like(max, x.dtype))
    return x


def where(condition: Array, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
    """`x1` where the condition holds, elsewhere `x2`."""
    if isinstance(x1, float) and x1 == inf and isinstance(x2, tf.Tensor):
        # No such constant: a debugger of numbers would find it, whether the condition ever holds or not.
        nothing = tf.where(condition, tf.zeros((), x2.dtype), tf.ones((), x2.dtype))
        return tf.where(condition, -tf.math.log(nothing), x2)
    if not (isinstance(x1, tf.Tensor) and isinstance(x2, tf.Tensor) and x1.dtype is x2.dtype):
        x1, x2 = together(x1, x2)
    return tf.where(condition, x1, x2)


# ---------------------------------------------------------------------------------------------------------- reductions

_BLOCK = 64
_PLAIN, _PLAIN_EAGER = 128, 1024


def _total_along(x: Array, axis: int) -> Array:
    """The sum along one axis of sums of short blocks: no long sequential sum, and no float32 sum of many partial sums.

    XLA merges a reduction of a reduction into one long loop; halving the partial sums, which is exact, prevents it.
    """
    dtype, scale = x.dtype, 1
    for _ in range(3 if dtype == float64 else 1):
        shape = lengths(x)
        size = shape[axis]
        padding = -size % _BLOCK
        if isinstance(size, int) and size <= _PLAIN:
            break
        if not (isinstance(size, int) and padding == 0):
            x = tf.pad(x, [[0, padding if a == axis else 0] for a in range(len(shape))])
        x = tf.reshape(x, [*shape[:axis], (size + padding) // _BLOCK, _BLOCK, *shape[axis + 1 :]])
        x = 0.5 * tf.cast(tf.reduce_sum(x, axis=axis + 1), float64)
        scale *= 2
    return tf.cast(scale * tf.reduce_sum(x, axis=axis), dtype)


def total_of(x: Array, axis: Axes, keepdims: py.bool) -> Array:
    axes = axes_of(x, axis)
    shape, size = lengths(x), count_of(x, axis)
    enough = _PLAIN_EAGER if tf.executing_eagerly() else _PLAIN
    if x.dtype not in FLOATING or (isinstance(size, int) and size <= enough):
        return tf.reduce_sum(x, axis=axes, keepdims=keepdims)
    before = [a for a in range(py.min(axes)) if a not in axes]
    after = [a for a in range(py.min(axes), len(shape)) if a not in axes]
    order = [*before, *sorted(axes), *after]
    if order != sorted(order):
        x = tf.transpose(x, order)
    x = tf.reshape(x, [*(shape[a] for a in before), size, *(shape[a] for a in after)])
    total = _total_along(x, len(before))
    return tf.reshape(total, [1 if a in axes else n for a, n in enumerate(shape)]) if keepdims else total


def sum_dtype(dtype: DType, wanted: DType | None) -> DType:
    if wanted is not None:
        return wanted
    return uint64 if dtype in UNSIGNED else int64 if dtype in INTEGRAL else dtype


def sum(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: py.bool = False) -> Array:
    """The sum, in blocks; float16 and bfloat16 are accumulated in float32."""
    x = tensor(x)
    dtype = sum_dtype(x.dtype, dtype)
    working = float32 if dtype in HALF else dtype
    return like(total_of(like(x, working), axis, keepdims), dtype)


def mean(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    """The arithmetic mean, in blocks; float16 and bfloat16 are accumulated in float32."""
    x = tensor(x)
    wide = tf.cast(x, float32) if x.dtype in HALF else x
    return like(total_of(wide, axis, keepdims) / like(count_of(x, axis), wide.dtype), x.dtype)


def max(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = tensor(x)
    return tf.reduce_max(x, axis=axes_of(x, axis), keepdims=keepdims)


def min(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = tensor(x)
    return tf.reduce_min(x, axis=axes_of(x, axis), keepdims=keepdims)


def any(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = tensor(x)
    return tf.reduce_any(tf.cast(x, bool), axis=axes_of(x, axis), keepdims=keepdims)


def all(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = tensor(x)
    return tf.reduce_all(tf.cast(x, bool), axis=axes_of(x, axis), keepdims=keepdims)


def position(operation: Function, x: Array, axis: int | None, keepdims: py.bool) -> Array:
    x = tensor(x)
    if axis is None:
        index = operation(tf.reshape(x, (-1,)), axis=0)
        return tf.reshape(index, (1,) * x.shape.rank) if keepdims else index
    (axis,) = axes_of(x, axis)
    index = operation(x, axis=axis)
    return tf.expand_dims(index, axis) if keepdims else index


def argmax(x: Array, /, *, axis: int | None = None, keepdims: py.bool = False) -> Array:
    return position(tf.argmax, x, axis, keepdims)


# --------------------------------------------------------------------------------------------------- order and entries


def cumulative(operation: Function, x: Array, axis: int | None, dtype: DType | None, start: int | None) -> Array:
    x = tensor(x)
    if axis is None and x.shape.rank != 1:
        raise ValueError("an array that is not one-dimensional needs an axis")
    (axis,) = axes_of(x, axis)
    dtype = sum_dtype(x.dtype, dtype)
    working = float32 if dtype in HALF else dtype
    total = like(operation(like(x, working), axis=axis), dtype)
    if start is None:
        return total
    shape = lengths(x)
    shape[axis] = 1
    return tf.concat([tf.fill(shape, tf.constant(start, dtype)), total], axis)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: py.bool = False
) -> Array:
    return cumulative(tf.cumsum, x, axis, dtype, 0 if include_initial else None)


def sort(x: Array, /, *, axis: int = -1, descending: py.bool = False, stable: py.bool = True) -> Array:
    x = tensor(x)
    direction = "DESCENDING" if descending else "ASCENDING"
    axes_of(x, axis)
    return tf.cast(tf.sort(tf.cast(x, wide_of(x.dtype)), axis=axis, direction=direction), x.dtype)


def _wrapped(indices: Array, size: Any) -> Array:
    indices = tensor(indices)
    if indices.dtype in UNSIGNED:
        return tf.cast(indices, int64)
    return tf.where(indices < 0, indices + like(size, indices.dtype), indices)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The slices of `x` at `indices` along an axis; negative indices count from the end."""
    x = tensor(x)
    if axis is None:
        if x.shape.rank != 1:
            raise ValueError("an array that is not one-dimensional needs an axis")
        axis = 0
    (axis,) = axes_of(x, axis)
    return tf.gather(x, _wrapped(indices, lengths(x)[axis]), axis=axis)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """One element of `x` for each index, along an axis; the other axes are broadcast."""
    x, indices = tensor(x), tensor(indices)
    (axis,) = axes_of(x, axis)
    last = x.shape.rank - 1
    x, indices = moveaxis(x, axis, last), moveaxis(indices, axis, last)
    indices = _wrapped(indices, lengths(x)[last])
    if x.shape[:last].as_list() != indices.shape[:last].as_list() or None in x.shape[:last].as_list():
        batch = tf.broadcast_dynamic_shape(tf.shape(x)[:last], tf.shape(indices)[:last])
        x = tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[last:]], 0))
        indices = tf.broadcast_to(indices, tf.concat([batch, tf.shape(indices)[last:]], 0))
    return moveaxis(tf.gather(x, indices, axis=last, batch_dims=last), last, axis)


# ------------------------------------------------------------------------------------------------------------ creation


def asarray(obj: Any, /, *, dtype: DType | None = None, device: Any = None, copy: py.bool | None = None) -> Array:
    """A tensor of a tensor, a NumPy array, a Python scalar or nested sequences of scalars."""
    with on(device):
        if isinstance(obj, (tf.Tensor, tf.Variable)):
            if copy is False and dtype not in (None, obj.dtype):
                raise ValueError(f"an array of {obj.dtype.name} becomes {dtype.name} only by a copy")
            x = tf.convert_to_tensor(obj)
            x = x if dtype is None else tf.cast(x, dtype)
            return tf.identity(x) if copy else x
        if copy is False:
            raise ValueError(f"a {type(obj).__name__} becomes a tensor only by a copy")
        if isinstance(obj, (*SCALARS, list, tuple)):
            if py.any(isinstance(leaf, (tf.Tensor, tf.Variable)) for leaf in tf.nest.flatten(obj)):
                return tf.convert_to_tensor(obj, dtype)
            obj = np.asarray(obj, dtype and dtype.as_numpy_dtype)
            dtype = dtype or {"i": int64, "f": float32}.get(obj.dtype.kind)
        return tf.convert_to_tensor(obj, dtype)


def full_like(x: Array, /, fill_value: Scalar, *, dtype: DType | None = None, device: Any = None) -> Array:
    with on(device):
        return tf.fill(tf.shape(x, int64), constant(fill_value, dtype or x.dtype))


def zeros_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    with on(device):
        return tf.zeros_like(x, dtype)


def ones_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    with on(device):
        return tf.ones_like(x, dtype)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: DType | None = None, device: Any = None
) -> Array:
    """Evenly spaced numbers. A single argument may be a tensor: a length that is unknown while tracing."""
    if stop is None and isinstance(start, tf.Tensor):
        return tf.cast(tf.range(start), dtype or start.dtype)
    if stop is None:
        start, stop = 0, start
    if dtype is None:
        dtype = int64 if py.all(isinstance(v, int) for v in (start, stop, step)) else float32
    size = py.max(math.ceil((stop - start) / step), 0)
    with on(device):
        whole = isinstance(start, int) and isinstance(step, int)
        steps = tf.range(size, dtype=int64)
        working = int64 if whole else float64
        return tf.cast(tf.cast(steps, working) * constant(step, working) + constant(start, working), dtype)


# -------------------------------------------------------------------------------------------------------------- shapes


def reshape(x: Array, /, shape: Shape, *, copy: py.bool | None = None) -> Array:
    return tf.reshape(x, size_of(shape))


def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Array:
    x = tensor(x)
    here, there = axes_of(x, source), axes_of(x, destination)
    if len(here) != len(there):
        raise ValueError(f"{len(here)} axes cannot move to {len(there)} places")
    if here == there:
        return x
    rest = [a for a in range(x.shape.rank) if a not in here]
    for target, origin in sorted(zip(there, here, strict=True)):
        rest.insert(target, origin)
    return tf.transpose(x, rest)


def expand_dims(x: Array, /, axis: int = 0) -> Array:
    x = tensor(x)
    if not -x.shape.rank - 1 <= axis <= x.shape.rank:
        raise IndexError(f"axis {axis} is out of range for a new axis of an array of {x.shape.rank} dimensions")
    return tf.expand_dims(x, axis)


def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    x = tensor(x)
    axes = axes_of(x, axis)
    if py.any(x.shape[a] not in (1, None) for a in axes):
        raise ValueError(f"axes {axes} of an array of shape {tuple(x.shape)} are not all of size 1")
    return tf.squeeze(x, axes) if axes else x


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    return tf.stack(together(*arrays), axis=axis)


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    joined = together(*arrays)
    if axis is None:
        return tf.concat([tf.reshape(a, (-1,)) for a in joined], 0)
    return tf.concat(joined, axis)


def broadcast_to(x: Array, /, shape: Shape) -> Array:
    return tf.broadcast_to(x, size_of(shape))


def broadcast_arrays(*arrays: Array) -> list[Array]:
    tensors = [tensor(a) for a in arrays]
    static = tensors[0].shape
    for t in tensors[1:]:
        static = tf.broadcast_static_shape(static, t.shape)
    shape: Any = static
    if not static.is_fully_defined():
        shape = tf.shape(tensors[0])
        for t in tensors[1:]:
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(t))
    return [tf.broadcast_to(t, shape) for t in tensors]


def matrix_transpose(x: Array, /) -> Array:
    return tf.linalg.matrix_transpose(x)
