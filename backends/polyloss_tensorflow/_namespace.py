"""The Python array API standard (2024.12, real numbers) for TensorFlow tensors, as a plain module.

Functions take and return `tf.Tensor`; there is no wrapper class, and no global NumPy behaviour is switched on. They
run eagerly, inside `tf.function` and under XLA, and accept Python scalars where the standard does. Beside the dtypes of
the standard they take float16 and bfloat16, whose sums are accumulated in float32.

Left out rather than half right: complex numbers, `from_dlpack` and the extensions `linalg` and `fft`.
"""

from __future__ import annotations

import builtins as py
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np
import tensorflow as tf

# fmt: off
__all__ = [  # noqa: RUF022
    "__array_api_version__", "__array_namespace_info__", "abs", "acos", "acosh", "add", "all", "any", "arange",
    "argmax", "argmin", "argsort", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh", "bfloat16",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "bool", "broadcast_arrays", "broadcast_to", "can_cast", "ceil", "clip", "concat", "copysign", "cos", "cosh",
    "count_nonzero", "cumulative_prod", "cumulative_sum", "diff", "divide", "e", "empty", "empty_like", "equal",
    "exp", "expand_dims", "expm1", "eye", "finfo", "flip", "float16", "float32", "float64", "floor",
    "floor_divide", "full", "full_like", "greater", "greater_equal", "hypot", "iinfo", "inf", "int16", "int32",
    "int64", "int8", "isdtype", "isfinite", "isinf", "isnan", "less", "less_equal", "linspace", "log", "log10",
    "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "matmul",
    "matrix_transpose", "max", "maximum", "mean", "meshgrid", "min", "minimum", "moveaxis", "multiply", "nan",
    "negative", "newaxis", "nextafter", "nonzero", "not_equal", "ones", "ones_like", "permute_dims", "pi",
    "positive", "pow", "prod", "reciprocal", "remainder", "repeat", "reshape", "result_type", "roll", "round",
    "searchsorted", "sign", "signbit", "sin", "sinh", "sort", "sqrt", "square", "squeeze", "stack", "std",
    "subtract", "sum", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "tril", "triu", "trunc",
    "uint16", "uint32", "uint64", "uint8", "unique_all", "unique_counts", "unique_inverse", "unique_values",
    "unstack", "var", "vecdot", "where", "zeros", "zeros_like",
]
# fmt: on

Array: TypeAlias = Any
DType: TypeAlias = Any
Scalar: TypeAlias = "py.bool | int | float"
Axes: TypeAlias = "int | tuple[int, ...] | None"
Shape: TypeAlias = "int | Sequence[int]"
Function: TypeAlias = Callable[..., Array]

__array_api_version__ = "2024.12"

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None

bool = tf.bool
int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64

_KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float16, bfloat16, float32, float64),
    "complex floating": (tf.complex64, tf.complex128),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]
_FLOATING, _INTEGRAL = frozenset(_KINDS["real floating"]), frozenset(_KINDS["integral"])
_UNSIGNED, _HALF = frozenset(_KINDS["unsigned integer"]), frozenset((float16, bfloat16))
_SCALARS = (py.bool, int, float)


# ---------------------------------------------------------------------------------------------------------- data types


def _promotions() -> dict[tuple[DType, DType], DType]:
    table = {(d, d): d for kind in _KINDS.values() for d in kind}
    for kind in (_KINDS["integral"], _KINDS["real floating"]):
        for a in kind:
            for b in kind:
                if bfloat16 in (a, b):
                    other = b if a == bfloat16 else a
                    table[a, b] = float32 if other == float16 else other
                elif (common := tf.as_dtype(np.promote_types(a.as_numpy_dtype, b.as_numpy_dtype))) in kind:
                    table[a, b] = common
    return table


_PROMOTIONS = _promotions()


def _dtype(x: Any) -> DType:
    return x if isinstance(x, tf.DType) else x.dtype


def _default(scalar: Scalar) -> DType:
    return bool if isinstance(scalar, py.bool) else int64 if isinstance(scalar, int) else float32


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The data type that arrays, data types and Python scalars have in common; scalars never widen one."""
    scalars = [a for a in arrays_and_dtypes if isinstance(a, _SCALARS)]
    dtypes = [_dtype(a) for a in arrays_and_dtypes if not isinstance(a, _SCALARS)]
    if not dtypes:
        dtypes, scalars = [_default(s) for s in scalars], []
    if not dtypes:
        raise ValueError("result_type needs at least one array or data type")
    common = dtypes[0]
    for dtype in dtypes[1:]:
        if (common, dtype) not in _PROMOTIONS:
            raise TypeError(f"no data type holds both {common.name} and {dtype.name}: convert one with astype")
        common = _PROMOTIONS[common, dtype]
    for scalar in scalars:
        wrong = (common != bool) if isinstance(scalar, py.bool) else (common == bool)
        if wrong or (isinstance(scalar, float) and common in _INTEGRAL):
            raise TypeError(f"a Python {type(scalar).__name__} does not combine with {common.name} arrays")
    return common


def can_cast(from_: Any, to: DType, /) -> py.bool:
    return (_dtype(from_), to) in _PROMOTIONS and py.bool(_PROMOTIONS[_dtype(from_), to] == to)


def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> py.bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return py.any(dtype in _KINDS[k] if isinstance(k, str) else dtype == k for k in kinds)


class FloatInfo(NamedTuple):
    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IntegerInfo(NamedTuple):
    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> FloatInfo:
    dtype = _dtype(type)
    kind: Any = ml_dtypes.finfo  # NumPy's own does not know bfloat16
    info = kind(dtype.as_numpy_dtype)
    eps, highest, lowest, normal = (float(v) for v in (info.eps, info.max, info.min, info.smallest_normal))
    return FloatInfo(int(info.bits), eps, highest, lowest, normal, dtype)


def iinfo(type: Any, /) -> IntegerInfo:
    dtype = _dtype(type)
    return IntegerInfo(8 * dtype.size, dtype.max, dtype.min, dtype)


def astype(x: Array, dtype: DType, /, *, copy: py.bool = True, device: Any = None) -> Array:
    """The array in another data type. Tensors are immutable, so nothing is copied when it has that type already."""
    with _on(device):
        return tf.cast(x, dtype)


def _on(device: Any) -> AbstractContextManager[Any]:
    context: AbstractContextManager[Any] = nullcontext() if device is None else tf.device(device)
    return context


def _tensor(x: Any) -> Array:
    return x if isinstance(x, tf.Tensor) else tf.convert_to_tensor(x)


def _scalar(value: Scalar, dtype: DType) -> Array:
    # TensorFlow's cache of scalars takes 0.0 for -0.0; it does not see NumPy arrays.
    zero = value == 0 and dtype in _FLOATING
    return tf.constant(np.asarray(value, dtype.as_numpy_dtype) if zero else value, dtype)


def _like(value: Array | Scalar, dtype: DType) -> Array:
    # tf.cast takes a Python number through float32 or int32, and a cast to the same type takes its time.
    if isinstance(value, _SCALARS):
        return _scalar(value, dtype)
    value = _tensor(value)
    return value if value.dtype == dtype else tf.cast(value, dtype)


def _together(*values: Any) -> list[Array]:
    """Arrays and Python scalars as tensors of the data type they have in common."""
    arrays = [v if isinstance(v, _SCALARS) else _tensor(v) for v in values]
    dtype = result_type(*arrays)
    return [_like(a, dtype) for a in arrays]


def _wide(dtype: DType) -> DType:
    """The type in which a kernel surely exists; the result, cast back, is right modulo the range of the integer."""
    return int64 if dtype in _INTEGRAL else int32 if dtype == bool else dtype


# --------------------------------------------------------------------------------------------------------- elementwise


def _table(others: Mapping[str, Function] | None) -> dict[DType, Function]:
    return {dtype: function for kind, function in (others or {}).items() for dtype in _KINDS[kind]}


def _unary(operation: Function, others: Mapping[str, Function] | None = None) -> Callable[[Array], Array]:
    """A function of one array: `operation`, or another one for the kinds of data in `others`."""
    table = _table(others)

    def function(x: Array, /) -> Array:
        x = _tensor(x)
        return table.get(x.dtype, operation)(x)

    return function


def _binary(
    operation: Function, others: Mapping[str, Function] | None = None
) -> Callable[[Array | Scalar, Array | Scalar], Array]:
    """A function of two arrays, or an array and a Python scalar, in the data type they have in common."""
    table = _table(others)

    def function(x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        if not (isinstance(x1, tf.Tensor) and isinstance(x2, tf.Tensor) and x1.dtype is x2.dtype):
            x1, x2 = _together(x1, x2)
        return table.get(x1.dtype, operation)(x1, x2)

    return function


def _same(x: Array) -> Array:
    return x


def _never(x: Array) -> Array:
    return tf.zeros_like(x, bool)


def _always(x: Array) -> Array:
    return tf.ones_like(x, bool)


def _minus(x: Array) -> Array:
    return tf.bitwise.invert(x) + tf.ones_like(x)  # 0 - x is turned into a negation that does not exist


def _nonzero(x: Array) -> Array:
    return tf.cast(x != tf.zeros_like(x), x.dtype)


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


def _left_shift(x1: Array, x2: Array) -> Array:
    # Both shifts stop one bit short of shifting everything out.
    return tf.where(x2 < 8 * x1.dtype.size, tf.bitwise.left_shift(x1, x2), tf.zeros_like(x1))


def _right_shift_unsigned(x1: Array, x2: Array) -> Array:
    return tf.where(x2 < 8 * x1.dtype.size, tf.bitwise.right_shift(x1, x2), tf.zeros_like(x1))


def _remainder(x1: Array, x2: Array) -> Array:
    rest = tf.math.floormod(x1, x2)
    zero = tf.zeros_like(rest)
    return tf.where(x2 < 0, -(zero - rest), zero + rest)  # a zero takes the sign of the divisor


def _pow_unsigned(x1: Array, x2: Array) -> Array:
    return tf.cast(tf.pow(tf.cast(x1, int64), tf.cast(x2, int64)), x1.dtype)


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
        upstream = _tensor(upstream)  # it may be sparse
        return upstream * tf.sigmoid(difference), upstream * tf.sigmoid(-difference)

    return tf.maximum(x1, x2) + tf.math.log1p(tf.exp(-tf.abs(difference))), gradient


def _logaddexp(x1: Array, x2: Array) -> Array:
    return _log_of_sum(*broadcast_arrays(x1, x2))


_EXACT = {"integral": _same}

abs = _unary(tf.abs, {"unsigned integer": _same})
acos = _unary(tf.acos)
acosh = _unary(tf.acosh)
asin = _unary(tf.asin)
asinh = _unary(tf.asinh)
atan = _unary(tf.atan)
atanh = _unary(tf.atanh)
bitwise_invert = _unary(tf.bitwise.invert, {"bool": tf.logical_not})
ceil = _unary(tf.math.ceil, _EXACT)
cos = _unary(tf.cos)
cosh = _unary(tf.cosh)
exp = _unary(tf.exp)
expm1 = _unary(tf.math.expm1)
floor = _unary(tf.floor, _EXACT)
isfinite = _unary(tf.math.is_finite, {"integral": _always})
isinf = _unary(tf.math.is_inf, {"integral": _never})
isnan = _unary(tf.math.is_nan, {"integral": _never})
log = _unary(tf.math.log)
log10 = _unary(_log10)
log1p = _unary(tf.math.log1p)
log2 = _unary(_log2)
logical_not = _unary(tf.logical_not)
negative = _unary(tf.negative, {"unsigned integer": _minus})
positive = _unary(_same)
reciprocal = _unary(_reciprocal)
round = _unary(tf.round, _EXACT)
sign = _unary(tf.sign, {"unsigned integer": _nonzero})
signbit = _unary(_signbit)
sin = _unary(tf.sin)
sinh = _unary(tf.sinh)
sqrt = _unary(tf.sqrt)
square = _unary(tf.square)
tan = _unary(tf.tan)
tanh = _unary(tf.tanh)
trunc = _unary(_trunc, _EXACT)

add = _binary(tf.add)
atan2 = _binary(tf.atan2)
bitwise_and = _binary(tf.bitwise.bitwise_and, {"bool": tf.logical_and})
bitwise_left_shift = _binary(_left_shift)
bitwise_or = _binary(tf.bitwise.bitwise_or, {"bool": tf.logical_or})
bitwise_right_shift = _binary(tf.bitwise.right_shift, {"unsigned integer": _right_shift_unsigned})
bitwise_xor = _binary(tf.bitwise.bitwise_xor, {"bool": tf.math.logical_xor})
copysign = _binary(_copysign)
divide = _binary(tf.divide)
equal = _binary(tf.equal)
floor_divide = _binary(tf.math.floordiv)
greater = _binary(tf.greater)
greater_equal = _binary(tf.greater_equal)
hypot = _binary(_hypot)
less = _binary(tf.less)
less_equal = _binary(tf.less_equal)
logaddexp = _binary(_logaddexp)
logical_and = _binary(tf.logical_and)
logical_or = _binary(tf.logical_or)
logical_xor = _binary(tf.math.logical_xor)
maximum = _binary(tf.maximum)
minimum = _binary(tf.minimum)
multiply = _binary(tf.multiply)
nextafter = _binary(tf.math.nextafter)
not_equal = _binary(tf.not_equal)
pow = _binary(tf.pow, {"unsigned integer": _pow_unsigned})
remainder = _binary(_remainder, {"integral": tf.math.floormod})
subtract = _binary(tf.subtract)


def clip(x: Array, /, min: Array | Scalar | None = None, max: Array | Scalar | None = None) -> Array:
    """`x` limited to [min, max]; either bound may be missing, a number or an array."""
    x = _tensor(x)
    if min is not None:
        x = tf.maximum(x, _like(min, x.dtype))
    if max is not None:
        x = tf.minimum(x, _like(max, x.dtype))
    return x


def where(condition: Array, x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
    """`x1` where the condition holds, elsewhere `x2`."""
    if isinstance(x1, float) and x1 == inf and isinstance(x2, tf.Tensor):
        # No such constant: a debugger of numbers would find it, whether the condition ever holds or not.
        nothing = tf.where(condition, tf.zeros((), x2.dtype), tf.ones((), x2.dtype))
        return tf.where(condition, -tf.math.log(nothing), x2)
    if not (isinstance(x1, tf.Tensor) and isinstance(x2, tf.Tensor) and x1.dtype is x2.dtype):
        x1, x2 = _together(x1, x2)
    return tf.where(condition, x1, x2)


# ---------------------------------------------------------------------------------------------------------- reductions

_BLOCK = 64
_PLAIN, _PLAIN_EAGER = 128, 1024


def _axes(x: Array, axis: Axes) -> tuple[int, ...]:
    rank = x.shape.rank
    if axis is None:
        return tuple(range(rank))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -rank <= a < rank:
            raise IndexError(f"axis {a} is out of range for an array of {rank} dimensions")
    if len({a % rank for a in axes}) < len(axes):
        raise ValueError(f"axes {axes} name an axis twice")
    return tuple(a % rank for a in axes)


def _shape(x: Array) -> list[Any]:
    """Sizes, as numbers where they are known and as tensors where they are not."""
    static = x.shape.as_list()
    if None not in static:
        return static  # type: ignore[no-any-return]
    dynamic = tf.shape(x, int64)
    return [dynamic[i] if n is None else n for i, n in enumerate(static)]


def _count(x: Array, axis: Axes) -> Any:
    sizes = _shape(x)
    count: Any = 1
    for a in _axes(x, axis):
        count = count * sizes[a]
    return count


def _total_along(x: Array, axis: int) -> Array:
    """The sum along one axis of sums of short blocks: no long sequential sum, and no float32 sum of many partial sums.

    XLA merges a reduction of a reduction into one long loop; halving the partial sums, which is exact, prevents it.
    """
    dtype, scale = x.dtype, 1
    for _ in range(3 if dtype == float64 else 1):
        shape = _shape(x)
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


def _total(x: Array, axis: Axes, keepdims: py.bool) -> Array:
    axes = _axes(x, axis)
    shape, size = _shape(x), _count(x, axis)
    enough = _PLAIN_EAGER if tf.executing_eagerly() else _PLAIN
    if x.dtype not in _FLOATING or (isinstance(size, int) and size <= enough):
        return tf.reduce_sum(x, axis=axes, keepdims=keepdims)
    before = [a for a in range(py.min(axes)) if a not in axes]
    after = [a for a in range(py.min(axes), len(shape)) if a not in axes]
    order = [*before, *sorted(axes), *after]
    if order != sorted(order):
        x = tf.transpose(x, order)
    x = tf.reshape(x, [*(shape[a] for a in before), size, *(shape[a] for a in after)])
    total = _total_along(x, len(before))
    return tf.reshape(total, [1 if a in axes else n for a, n in enumerate(shape)]) if keepdims else total


def _sum_dtype(dtype: DType, wanted: DType | None) -> DType:
    if wanted is not None:
        return wanted
    return uint64 if dtype in _UNSIGNED else int64 if dtype in _INTEGRAL else dtype


def sum(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: py.bool = False) -> Array:
    """The sum, in blocks; float16 and bfloat16 are accumulated in float32."""
    x = _tensor(x)
    dtype = _sum_dtype(x.dtype, dtype)
    working = float32 if dtype in _HALF else dtype
    return _like(_total(_like(x, working), axis, keepdims), dtype)


def mean(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    """The arithmetic mean, in blocks; float16 and bfloat16 are accumulated in float32."""
    x = _tensor(x)
    wide = tf.cast(x, float32) if x.dtype in _HALF else x
    return _like(_total(wide, axis, keepdims) / _like(_count(x, axis), wide.dtype), x.dtype)


def var(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: py.bool = False) -> Array:
    """The variance: the sum of squared deviations over the number of elements less `correction`."""
    x = _tensor(x)
    wide = tf.cast(x, float32) if x.dtype in _HALF else x
    deviation = wide - mean(wide, axis=axis, keepdims=True)
    count = _like(_count(x, axis), wide.dtype) - _scalar(correction, wide.dtype)
    return _like(_total(tf.square(deviation), axis, keepdims) / count, x.dtype)


def std(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: py.bool = False) -> Array:
    """The standard deviation: the square root of `var`."""
    return tf.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def prod(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    dtype = _sum_dtype(x.dtype, dtype)
    working = float32 if dtype in _HALF else dtype
    return tf.cast(tf.reduce_prod(tf.cast(x, working), axis=_axes(x, axis), keepdims=keepdims), dtype)


def max(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    return tf.reduce_max(x, axis=_axes(x, axis), keepdims=keepdims)


def min(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    return tf.reduce_min(x, axis=_axes(x, axis), keepdims=keepdims)


def any(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    return tf.reduce_any(tf.cast(x, bool), axis=_axes(x, axis), keepdims=keepdims)


def all(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    return tf.reduce_all(tf.cast(x, bool), axis=_axes(x, axis), keepdims=keepdims)


def count_nonzero(x: Array, /, *, axis: Axes = None, keepdims: py.bool = False) -> Array:
    x = _tensor(x)
    return tf.reduce_sum(tf.cast(x != tf.zeros_like(x), int64), axis=_axes(x, axis), keepdims=keepdims)


def _position(operation: Function, x: Array, axis: int | None, keepdims: py.bool) -> Array:
    x = _tensor(x)
    if axis is None:
        index = operation(tf.reshape(x, (-1,)), axis=0)
        return tf.reshape(index, (1,) * x.shape.rank) if keepdims else index
    (axis,) = _axes(x, axis)
    index = operation(x, axis=axis)
    return tf.expand_dims(index, axis) if keepdims else index


def argmax(x: Array, /, *, axis: int | None = None, keepdims: py.bool = False) -> Array:
    return _position(tf.argmax, x, axis, keepdims)


def argmin(x: Array, /, *, axis: int | None = None, keepdims: py.bool = False) -> Array:
    return _position(tf.argmin, x, axis, keepdims)


def _cumulative(operation: Function, x: Array, axis: int | None, dtype: DType | None, start: int | None) -> Array:
    x = _tensor(x)
    if axis is None:
        if x.shape.rank != 1:
            raise ValueError("an array that is not one-dimensional needs an axis")
        axis = 0
    (axis,) = _axes(x, axis)
    dtype = _sum_dtype(x.dtype, dtype)
    working = float32 if dtype in _HALF else _wide(dtype)
    total = tf.cast(operation(tf.cast(x, working), axis=axis), dtype)
    if start is None:
        return total
    shape = _shape(x)
    shape[axis] = 1
    return tf.concat([tf.fill(shape, tf.constant(start, dtype)), total], axis)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: py.bool = False
) -> Array:
    return _cumulative(tf.cumsum, x, axis, dtype, 0 if include_initial else None)


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: py.bool = False
) -> Array:
    return _cumulative(tf.math.cumprod, x, axis, dtype, 1 if include_initial else None)


# ---------------------------------------------------------------------------------------------- sorting and searching


def argsort(x: Array, /, *, axis: int = -1, descending: py.bool = False, stable: py.bool = True) -> Array:
    x = _tensor(x)
    direction = "DESCENDING" if descending else "ASCENDING"
    _axes(x, axis)
    return tf.cast(tf.argsort(tf.cast(x, _wide(x.dtype)), axis=axis, direction=direction, stable=stable), int64)


def sort(x: Array, /, *, axis: int = -1, descending: py.bool = False, stable: py.bool = True) -> Array:
    x = _tensor(x)
    direction = "DESCENDING" if descending else "ASCENDING"
    _axes(x, axis)
    return tf.cast(tf.sort(tf.cast(x, _wide(x.dtype)), axis=axis, direction=direction), x.dtype)


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    x1, x2 = _together(x1, x2)
    if sorter is not None:
        x1 = take(x1, sorter, axis=0)
    found = tf.searchsorted(x1, tf.reshape(x2, (-1,)), side=side, out_type=int64)
    return tf.reshape(found, _shape(x2))


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """The indices of the elements that are not zero, one array for each axis."""
    x = _tensor(x)
    if x.shape.rank == 0:
        raise ValueError("nonzero needs an array of at least one dimension")
    return tuple(tf.unstack(tf.where(x != tf.zeros_like(x)), axis=1))


class UniqueAll(NamedTuple):
    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    values: Array
    inverse_indices: Array


def unique_all(x: Array, /) -> UniqueAll:
    """The distinct values in order of appearance, where each comes first, where each element went, and the counts."""
    x = _tensor(x)
    values, inverse, counts = tf.unique_with_counts(tf.reshape(x, (-1,)), out_idx=int64)
    places = tf.range(tf.size(inverse, int64), dtype=int64)
    first = tf.math.unsorted_segment_min(places, inverse, tf.size(values, int64))
    return UniqueAll(values, first, tf.reshape(inverse, _shape(x)), counts)


def unique_counts(x: Array, /) -> UniqueCounts:
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Array, /) -> UniqueInverse:
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Array, /) -> Array:
    return tf.unique(tf.reshape(_tensor(x), (-1,)))[0]


def _wrapped(indices: Array, size: Any) -> Array:
    indices = _tensor(indices)
    if indices.dtype in _UNSIGNED:
        return tf.cast(indices, int64)
    return tf.where(indices < 0, indices + _like(size, indices.dtype), indices)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The slices of `x` at `indices` along an axis; negative indices count from the end."""
    x = _tensor(x)
    if axis is None:
        if x.shape.rank != 1:
            raise ValueError("an array that is not one-dimensional needs an axis")
        axis = 0
    (axis,) = _axes(x, axis)
    return tf.gather(x, _wrapped(indices, _shape(x)[axis]), axis=axis)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """One element of `x` for each index, along an axis; the other axes are broadcast."""
    x, indices = _tensor(x), _tensor(indices)
    (axis,) = _axes(x, axis)
    last = x.shape.rank - 1
    x, indices = moveaxis(x, axis, last), moveaxis(indices, axis, last)
    indices = _wrapped(indices, _shape(x)[last])
    if x.shape[:last].as_list() != indices.shape[:last].as_list() or None in x.shape[:last].as_list():
        batch = tf.broadcast_dynamic_shape(tf.shape(x)[:last], tf.shape(indices)[:last])
        x = tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[last:]], 0))
        indices = tf.broadcast_to(indices, tf.concat([batch, tf.shape(indices)[last:]], 0))
    return moveaxis(tf.gather(x, indices, axis=last, batch_dims=last), last, axis)


# ------------------------------------------------------------------------------------------------------------ creation


def _size(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else shape


def asarray(obj: Any, /, *, dtype: DType | None = None, device: Any = None, copy: py.bool | None = None) -> Array:
    """A tensor of a tensor, a NumPy array, a Python scalar or nested sequences of scalars."""
    with _on(device):
        if isinstance(obj, (tf.Tensor, tf.Variable)):
            if copy is False and dtype not in (None, obj.dtype):
                raise ValueError(f"an array of {obj.dtype.name} becomes {dtype.name} only by a copy")
            x = tf.convert_to_tensor(obj)
            x = x if dtype is None else tf.cast(x, dtype)
            return tf.identity(x) if copy else x
        if copy is False:
            raise ValueError(f"a {type(obj).__name__} becomes a tensor only by a copy")
        if isinstance(obj, (*_SCALARS, list, tuple)):
            if py.any(isinstance(leaf, (tf.Tensor, tf.Variable)) for leaf in tf.nest.flatten(obj)):
                return tf.convert_to_tensor(obj, dtype)
            obj = np.asarray(obj, dtype and dtype.as_numpy_dtype)
            dtype = dtype or {"i": int64, "f": float32}.get(obj.dtype.kind)
        return tf.convert_to_tensor(obj, dtype)


def full(shape: Shape, fill_value: Scalar, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.fill(_size(shape), _scalar(fill_value, dtype or _default(fill_value)))


def zeros(shape: Shape, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.zeros(_size(shape), dtype or float32)


def ones(shape: Shape, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.ones(_size(shape), dtype or float32)


empty = zeros


def full_like(x: Array, /, fill_value: Scalar, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.fill(tf.shape(x, int64), _scalar(fill_value, dtype or x.dtype))


def zeros_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.zeros_like(x, dtype)


def ones_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    with _on(device):
        return tf.ones_like(x, dtype)


empty_like = zeros_like


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
    with _on(device):
        whole = isinstance(start, int) and isinstance(step, int)
        steps = tf.range(size, dtype=int64)
        working = int64 if whole else float64
        return tf.cast(tf.cast(steps, working) * _scalar(step, working) + _scalar(start, working), dtype)


def linspace(
    start: float, stop: float, /, num: int, *, dtype: DType | None = None, device: Any = None, endpoint: py.bool = True
) -> Array:
    with _on(device):
        return tf.cast(tf.constant(np.linspace(start, stop, num, endpoint=endpoint)), dtype or float32)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType | None = None, device: Any = None
) -> Array:
    columns = n_rows if n_cols is None else n_cols
    k = py.max(-n_rows, py.min(k, columns))  # any other integer need not fit into a tensor
    with _on(device):
        return tf.cast(_diagonals(n_rows, columns) == k, dtype or float32)


def _diagonals(rows: Any, columns: Any) -> Array:
    return tf.range(columns, dtype=int64) - tf.range(rows, dtype=int64)[:, None]


def tril(x: Array, /, *, k: int = 0) -> Array:
    x = _tensor(x)
    return tf.where(_diagonals(*_shape(x)[-2:]) <= k, x, tf.zeros_like(x))


def triu(x: Array, /, *, k: int = 0) -> Array:
    x = _tensor(x)
    return tf.where(_diagonals(*_shape(x)[-2:]) >= k, x, tf.zeros_like(x))


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    return list(tf.meshgrid(*arrays, indexing=indexing))


# -------------------------------------------------------------------------------------------------------- manipulation


def reshape(x: Array, /, shape: Shape, *, copy: py.bool | None = None) -> Array:
    return tf.reshape(x, _size(shape))


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    return tf.transpose(x, axes)


def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Array:
    x = _tensor(x)
    here, there = _axes(x, source), _axes(x, destination)
    if len(here) != len(there):
        raise ValueError(f"{len(here)} axes cannot move to {len(there)} places")
    if here == there:
        return x
    rest = [a for a in range(x.shape.rank) if a not in here]
    for target, origin in sorted(zip(there, here, strict=True)):
        rest.insert(target, origin)
    return tf.transpose(x, rest)


def expand_dims(x: Array, /, axis: int = 0) -> Array:
    x = _tensor(x)
    if not -x.shape.rank - 1 <= axis <= x.shape.rank:
        raise IndexError(f"axis {axis} is out of range for a new axis of an array of {x.shape.rank} dimensions")
    return tf.expand_dims(x, axis)


def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    x = _tensor(x)
    axes = _axes(x, axis)
    if py.any(x.shape[a] not in (1, None) for a in axes):
        raise ValueError(f"axes {axes} of an array of shape {tuple(x.shape)} are not all of size 1")
    return tf.squeeze(x, axes) if axes else x


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    return tf.stack(_together(*arrays), axis=axis)


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    joined = _together(*arrays)
    if axis is None:
        return tf.concat([tf.reshape(a, (-1,)) for a in joined], 0)
    return tf.concat(joined, axis)


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    _axes(x, axis)
    return tuple(tf.unstack(x, axis=axis))


def flip(x: Array, /, *, axis: Axes = None) -> Array:
    x = _tensor(x)
    return tf.reverse(x, _axes(x, axis)) if x.shape.rank else x


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: Axes = None) -> Array:
    x = _tensor(x)
    if axis is None:
        return tf.reshape(tf.roll(tf.reshape(x, (-1,)), shift, 0), _shape(x))
    axes = _axes(x, axis)
    return tf.roll(x, (shift,) * len(axes) if isinstance(shift, int) else shift, axes)


def broadcast_to(x: Array, /, shape: Shape) -> Array:
    return tf.broadcast_to(x, _size(shape))


def broadcast_arrays(*arrays: Array) -> list[Array]:
    tensors = [_tensor(a) for a in arrays]
    static = tensors[0].shape
    for t in tensors[1:]:
        static = tf.broadcast_static_shape(static, t.shape)
    shape: Any = static
    if not static.is_fully_defined():
        shape = tf.shape(tensors[0])
        for t in tensors[1:]:
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(t))
    return [tf.broadcast_to(t, shape) for t in tensors]


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    x = _tensor(x)
    missing = x.shape.rank - len(repetitions)
    if missing < 0:
        x = tf.reshape(x, [1] * -missing + _shape(x))
    narrow = tf.cast(x, int32) if x.dtype == uint16 else x
    return tf.cast(tf.tile(narrow, (1,) * missing + tuple(repetitions)), x.dtype)


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    x = _tensor(x)
    if axis is None:
        x, axis = tf.reshape(x, (-1,)), 0
    (axis,) = _axes(x, axis)
    narrow = tf.cast(x, int32) if x.dtype == uint16 else x
    return tf.cast(tf.repeat(narrow, repeats, axis=axis), x.dtype)


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """Differences of neighbours along an axis, taken `n` times."""
    x = concat([a for a in (prepend, x, append) if a is not None], axis=axis)
    (axis,) = _axes(x, axis)
    for _ in range(n):
        before = (slice(None),) * axis
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


# ------------------------------------------------------------------------------------------------------ linear algebra


def _products(operation: Function, x1: Array, x2: Array) -> Array:
    x1, x2 = _together(x1, x2)
    wide = _wide(x1.dtype)
    return tf.cast(operation(tf.cast(x1, wide), tf.cast(x2, wide)), x1.dtype)


def _matmul(x1: Array, x2: Array) -> Array:
    if x1.shape.rank == 1 and x2.shape.rank == 1:
        return tf.tensordot(x1, x2, 1)
    if x1.shape.rank == 1:
        return tf.squeeze(tf.matmul(x1[None, :], x2), -2)
    return tf.linalg.matvec(x1, x2) if x2.shape.rank == 1 else tf.matmul(x1, x2)


def matmul(x1: Array, x2: Array, /) -> Array:
    return _products(_matmul, x1, x2)


def matrix_transpose(x: Array, /) -> Array:
    return tf.linalg.matrix_transpose(x)


def tensordot(x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    def operation(a: Array, b: Array) -> Array:
        return tf.tensordot(a, b, axes)

    return _products(operation, x1, x2)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The sum of products of elements along an axis, which counts from the end and has one size in both arrays."""
    x1, x2 = _together(x1, x2)
    if not x1.shape[axis : axis + 1 or None].is_compatible_with(x2.shape[axis : axis + 1 or None]):
        raise ValueError(f"vectors of sizes {x1.shape[axis]} and {x2.shape[axis]} have no product")
    return sum(x1 * x2, axis=axis, dtype=x1.dtype)


# ---------------------------------------------------------------------------------------------------------- inspection


class Info:
    """What the namespace can do, as `__array_namespace_info__` reports it."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": False, "data-dependent shapes": True, "max dimensions": 8}

    def default_device(self) -> Any:
        return None

    def devices(self) -> list[Any]:
        return [device.name for device in tf.config.list_logical_devices()]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        return {
            "real floating": float32,
            "complex floating": tf.complex64,
            "integral": int64,
            "indexing": int64,
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, DType]:
        kinds = ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        standard = [d for k in kinds for d in _KINDS[k] if d not in _HALF and not d.is_complex]
        return {d.name: d for d in standard}


def __array_namespace_info__() -> Info:  # noqa: N807
    return Info()
