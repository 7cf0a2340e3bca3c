"""What kernels of users may use of the standard beside `_vocabulary`: a table of TensorFlow's own functions, as far as
these do what the standard says."""

from __future__ import annotations

import builtins as py
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ._arrays import (
    EXACT,
    HALF,
    Array,
    Axes,
    DType,
    Function,
    Scalar,
    Shape,
    axes_of,
    binary,
    constant,
    count_of,
    default_of,
    float32,
    int16,
    int32,
    int64,
    lengths,
    like,
    on,
    same,
    size_of,
    tensor,
    together,
    unary,
)
from ._vocabulary import broadcast_arrays, concat, cumulative, inf, mean, position, sum, sum_dtype, total_of

# fmt: off
__all__ = [  # noqa: RUF022
    "acos", "acosh", "add", "argmin", "argsort", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and",
    "bitwise_invert", "bitwise_or", "bitwise_xor", "ceil", "copysign", "cos", "cosh", "count_nonzero",
    "cumulative_prod", "diff", "divide", "equal", "eye", "flip", "floor_divide", "full", "greater", "greater_equal",
    "hypot", "less", "less_equal", "linspace", "log10", "log2", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "matmul", "multiply", "negative", "not_equal", "ones", "permute_dims", "positive",
    "prod", "reciprocal", "remainder", "repeat", "roll", "round", "signbit", "sin", "square", "std", "subtract",
    "tan", "tensordot", "tile", "tril", "triu", "trunc", "unstack", "var", "vecdot",
]
# fmt: on


def _signbit(x: Array) -> Array:
    return tf.bitcast(x, {2: int16, 4: int32, 8: int64}[x.dtype.size]) < 0


def _copysign(x1: Array, x2: Array) -> Array:
    return tf.where(_signbit(x1) == _signbit(x2), x1, -x1)


def _trunc(x: Array) -> Array:
    return tf.where(x < 0, tf.math.ceil(x), tf.floor(x))


def _log2(x: Array) -> Array:
    return tf.math.log(x) / tf.constant(math.log(2), x.dtype)


def _log10(x: Array) -> Array:
    return tf.math.log(x) / tf.constant(math.log(10), x.dtype)


def _remainder(x1: Array, x2: Array) -> Array:
    rest = tf.math.floormod(x1, x2)
    zero = tf.zeros_like(rest)
    return tf.where(x2 < 0, -(zero - rest), zero + rest)  # a zero takes the sign of the divisor


def _reciprocal(x: Array) -> Array:
    return tf.ones_like(x) / x  # tf.math.reciprocal is an approximation


def _hypot(x1: Array, x2: Array) -> Array:
    # The result does not depend on the scale, so a constant scale leaves every derivative exact.
    infinite = tf.math.is_inf(x1) | tf.math.is_inf(x2)
    x1, x2 = tf.where(infinite, tf.ones_like(x1), x1), tf.where(infinite, tf.ones_like(x2), x2)
    size = tf.stop_gradient(tf.maximum(tf.abs(x1), tf.abs(x2)))
    scale = tf.where(size > 0, size, tf.ones_like(size))
    total = tf.square(x1 / scale) + tf.square(x2 / scale)
    root = tf.sqrt(tf.where(total == 0, tf.ones_like(total), total))
    return tf.where(infinite, tf.constant(inf, x1.dtype), scale * tf.where(total == 0, total, root))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _log_of_sum(x1: Array, x2: Array) -> tuple[Array, Function]:
    tie = tf.math.is_inf(x1) & (x1 == x2)
    difference = tf.where(tie, tf.zeros_like(x1), x1) - tf.where(tie, tf.zeros_like(x2), x2)

    def gradient(upstream: Array) -> tuple[Array, Array]:
        upstream = tensor(upstream)  # it may be sparse
        return upstream * tf.sigmoid(difference), upstream * tf.sigmoid(-difference)

    return tf.maximum(x1, x2) + tf.math.log1p(tf.exp(-tf.abs(difference))), gradient


def _logaddexp(x1: Array, x2: Array) -> Array:
    return _log_of_sum(*broadcast_arrays(x1, x2))


acos = unary(tf.acos)
acosh = unary(tf.acosh)
asin = unary(tf.asin)
asinh = unary(tf.asinh)
atan = unary(tf.atan)
atanh = unary(tf.atanh)
bitwise_invert = unary(tf.bitwise.invert, {"bool": tf.logical_not})
ceil = unary(tf.math.ceil, EXACT)
cos = unary(tf.cos)
cosh = unary(tf.cosh)
log10 = unary(_log10)
log2 = unary(_log2)
logical_not = unary(tf.logical_not)
negative = unary(tf.negative)
positive = unary(same)
reciprocal = unary(_reciprocal)
round = unary(tf.round, EXACT)
signbit = unary(_signbit)
sin = unary(tf.sin)
square = unary(tf.square)
tan = unary(tf.tan)
trunc = unary(_trunc, EXACT)

add = binary(tf.add)
atan2 = binary(tf.atan2)
bitwise_and = binary(tf.bitwise.bitwise_and, {"bool": tf.logical_and})
bitwise_or = binary(tf.bitwise.bitwise_or, {"bool": tf.logical_or})
bitwise_xor = binary(tf.bitwise.bitwise_xor, {"bool": tf.math.logical_xor})
copysign = binary(_copysign)
divide = binary(tf.divide)
equal = binary(tf.equal)
floor_divide = binary(tf.math.floordiv)
greater = binary(tf.greater)
greater_equal = binary(tf.greater_equal)
hypot = binary(_hypot)
less = binary(tf.less)
less_equal = binary(tf.less_equal)
logaddexp = binary(_logaddexp)
logical_and = binary(tf.logical_and)
logical_or = binary(tf.logical_or)
logical_xor = binary(tf.math.logical_xor)
multiply = binary(tf.multiply)
not_equal = binary(tf.not_equal)
remainder = binary(_remainder, {"integral": tf.math.floormod})
subtract = binary(tf.subtract)

permute_dims = tf.transpose
tensordot = tf.tensordot


def matmul(x1: Array, x2: Array, /) -> Array:
    x1, x2 = together(x1, x2)
    if x1.shape.rank == 1:
        return tf.tensordot(x1, x2, 1) if x2.shape.rank == 1 else tf.squeeze(tf.matmul(x1[None, :], x2), -2)
    return tf.linalg.matvec(x1, x2) if x2.shape.rank == 1 else tf.matmul(x1, x2)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    x1, x2 = together(x1, x2)
    if not x1.shape[axis : axis + 1 or None].is_compatible_with(x2.shape[axis : axis + 1 or None]):
        raise ValueError(f"vectors of sizes {x1.shape[axis]} and {x2.shape[axis]} have no product")
    return sum(x1 * x2, axis=axis, dtype=x1.dtype)


def var(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: py.bool = False) -> Array:
    """The variance: the sum of squared deviations over the number of elements less `correction`."""
    x = tensor(x)
    wide = tf.cast(x, float32) if x.dtype in HALF else x
    deviation = wide - mean(wide, axis=axis, keepdims=True)
    count = like(count_of(x, axis), wide.dtype) - constant(correction, wide.dtype)
    return like(total_of(tf.square(deviation), axis, keepdims) / count, x.dtype)


def std(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: py.bool = False) -> Array:
    return tf.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def prod(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: py.bool = False) -> Array:
    x = tensor(x)
    dtype = sum_dtype(x.dtype, dtype)
    working = float32 if dtype in HALF else dtype
    return like(tf.reduce_prod(like(x, working), axis=axes_of(x, axis), keepdims=keepdims), dtype)


def count_nonzero(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    return tf.math.count_nonzero(x, axis=axes_of(tensor(x), axis), keepdims=keepdims)


def argmin(x: Array, /, *, axis: int | None = None, keepdims: py.bool = False) -> Array:
    return position(tf.argmin, x, axis, keepdims)


def argsort(x: Array, /, *, axis: int = -1, descending: py.bool = False, stable: py.bool = True) -> Array:
    direction = "DESCENDING" if descending else "ASCENDING"
    return tf.cast(tf.argsort(x, axis=axis, direction=direction, stable=stable), int64)


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: py.bool = False
) -> Array:
    return cumulative(tf.math.cumprod, x, axis, dtype, 1 if include_initial else None)


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """Differences of neighbours along an axis, taken `n` times."""
    x = concat([a for a in (prepend, x, append) if a is not None], axis=axis)
    (axis,) = axes_of(x, axis)
    for _ in range(n):
        before = (slice(None),) * axis
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


def full(shape: Shape, fill_value: Scalar, *, dtype: DType | None = None, device: str | None = None) -> Array:
    with on(device):
        return tf.fill(size_of(shape), constant(fill_value, dtype or default_of(fill_value)))


def ones(shape: Shape, *, dtype: DType | None = None, device: str | None = None) -> Array:
    return full(shape, 1, dtype=dtype or float32, device=device)


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: DType | None = None,
    device: str | None = None,
    endpoint: py.bool = True,
) -> Array:
    with on(device):
        return tf.cast(tf.constant(np.linspace(start, stop, num, endpoint=endpoint)), dtype or float32)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType | None = None, device: str | None = None
) -> Array:
    with on(device):
        return tf.cast(tf.constant(np.eye(n_rows, n_cols, k)), dtype or float32)


def _diagonals(x: Array) -> Array:
    rows, columns = lengths(x)[-2:]
    return tf.range(columns, dtype=int64) - tf.range(rows, dtype=int64)[:, None]


def tril(x: Array, /, *, k: int = 0) -> Array:
    return tf.where(_diagonals(x) <= k, x, tf.zeros_like(x))


def triu(x: Array, /, *, k: int = 0) -> Array:
    return tf.where(_diagonals(x) >= k, x, tf.zeros_like(x))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    return tuple(tf.unstack(x, axis=axis))


def flip(x: Array, /, *, axis: Axes = None) -> Array:
    x = tensor(x)
    return tf.reverse(x, axes_of(x, axis)) if x.shape.rank else x


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Array:
    x = tensor(x)
    if axis is None:
        return tf.reshape(tf.roll(tf.reshape(x, (-1,)), shift, 0), lengths(x))
    axes = axes_of(x, axis)
    return tf.roll(x, (shift,) * len(axes) if isinstance(shift, int) else shift, axes)


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    x = tensor(x)
    missing = x.shape.rank - len(repetitions)
    if missing < 0:
        x = tf.reshape(x, [1] * -missing + lengths(x))
    return tf.tile(x, (1,) * missing + tuple(repetitions))


def repeat(x: Array, repeats: int | Sequence[int] | Array, /, *, axis: int | None = None) -> Array:
    return tf.repeat(x, repeats, axis=axis)
