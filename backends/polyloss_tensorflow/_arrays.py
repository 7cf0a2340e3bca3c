"""What the functions of the namespace are made of: data types, promotion, Python scalars beside tensors."""

from __future__ import annotations

import builtins as py
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np
import tensorflow as tf

Array: TypeAlias = Any
DType: TypeAlias = Any
Scalar: TypeAlias = "py.bool | int | float"
Axes: TypeAlias = "int | tuple[int, ...] | None"
Shape: TypeAlias = "int | Sequence[int]"
Function: TypeAlias = Callable[..., Array]

bool = tf.bool
int8, int16, int32, int64 = tf.int8, tf.int16, tf.int32, tf.int64
uint8, uint16, uint32, uint64 = tf.uint8, tf.uint16, tf.uint32, tf.uint64
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64

KINDS: dict[str, tuple[DType, ...]] = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, uint16, uint32, uint64),
    "real floating": (float16, bfloat16, float32, float64),
    "complex floating": (tf.complex64, tf.complex128),
}
KINDS["integral"] = KINDS["signed integer"] + KINDS["unsigned integer"]
KINDS["numeric"] = KINDS["integral"] + KINDS["real floating"] + KINDS["complex floating"]
FLOATING, INTEGRAL = frozenset(KINDS["real floating"]), frozenset(KINDS["integral"])
UNSIGNED, HALF = frozenset(KINDS["unsigned integer"]), frozenset((float16, bfloat16))
SCALARS = (py.bool, int, float)


def _promotions() -> dict[tuple[DType, DType], DType]:
    table = {(d, d): d for kind in KINDS.values() for d in kind}
    for kind in (KINDS["integral"], KINDS["real floating"]):
        for a in kind:
            for b in kind:
                if bfloat16 in (a, b):
                    other = b if a == bfloat16 else a
                    table[a, b] = float32 if other == float16 else other
                elif (common := tf.as_dtype(np.promote_types(a.as_numpy_dtype, b.as_numpy_dtype))) in kind:
                    table[a, b] = common
    return table


PROMOTIONS = _promotions()


def dtype_of(x: Any) -> DType:
    return x if isinstance(x, tf.DType) else x.dtype


def default_of(scalar: Scalar) -> DType:
    return bool if isinstance(scalar, py.bool) else int64 if isinstance(scalar, int) else float32


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The data type that arrays, data types and Python scalars have in common; scalars never widen one."""
    scalars = [a for a in arrays_and_dtypes if isinstance(a, SCALARS)]
    dtypes = [dtype_of(a) for a in arrays_and_dtypes if not isinstance(a, SCALARS)]
    if not dtypes:
        dtypes, scalars = [default_of(s) for s in scalars], []
    if not dtypes:
        raise ValueError("result_type needs at least one array or data type")
    common = dtypes[0]
    for dtype in dtypes[1:]:
        if (common, dtype) not in PROMOTIONS:
            raise TypeError(f"no data type holds both {common.name} and {dtype.name}: convert one with astype")
        common = PROMOTIONS[common, dtype]
    for scalar in scalars:
        wrong = (common != bool) if isinstance(scalar, py.bool) else (common == bool)
        if wrong or (isinstance(scalar, float) and common in INTEGRAL):
            raise TypeError(f"a Python {type(scalar).__name__} does not combine with {common.name} arrays")
    return common


def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> py.bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return py.any(dtype in KINDS[k] if isinstance(k, str) else dtype == k for k in kinds)


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
    dtype = dtype_of(type)
    kind: Any = ml_dtypes.finfo  # NumPy's own does not know bfloat16
    info = kind(dtype.as_numpy_dtype)
    eps, highest, lowest, normal = (float(v) for v in (info.eps, info.max, info.min, info.smallest_normal))
    return FloatInfo(int(info.bits), eps, highest, lowest, normal, dtype)


def iinfo(type: Any, /) -> IntegerInfo:
    dtype = dtype_of(type)
    return IntegerInfo(8 * dtype.size, dtype.max, dtype.min, dtype)


def astype(x: Array, dtype: DType, /, *, copy: py.bool = True, device: Any = None) -> Array:
    """The array in another data type. Tensors are immutable, so nothing is copied when it has that type already."""
    with on(device):
        return tf.cast(x, dtype)


def on(device: Any) -> AbstractContextManager[Any]:
    context: AbstractContextManager[Any] = nullcontext() if device is None else tf.device(device)
    return context


def tensor(x: Any) -> Array:
    return x if isinstance(x, tf.Tensor) else tf.convert_to_tensor(x)


def constant(value: Scalar, dtype: DType) -> Array:
    # TensorFlow's cache of scalars takes 0.0 for -0.0; it does not see NumPy arrays.
    zero = value == 0 and dtype in FLOATING
    return tf.constant(np.asarray(value, dtype.as_numpy_dtype) if zero else value, dtype)


def like(value: Array | Scalar, dtype: DType) -> Array:
    # tf.cast takes a Python number through float32 or int32, and a cast to the same type takes its time.
    if isinstance(value, SCALARS):
        return constant(value, dtype)
    value = tensor(value)
    return value if value.dtype == dtype else tf.cast(value, dtype)


def together(*values: Any) -> list[Array]:
    """Arrays and Python scalars as tensors of the data type they have in common."""
    arrays = [v if isinstance(v, SCALARS) else tensor(v) for v in values]
    dtype = result_type(*arrays)
    return [like(a, dtype) for a in arrays]


def wide_of(dtype: DType) -> DType:
    """The type in which a kernel surely exists; the result, cast back, is right modulo the range of the integer."""
    return int64 if dtype in INTEGRAL else int32 if dtype == bool else dtype


def axes_of(x: Array, axis: Axes) -> tuple[int, ...]:
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


def lengths(x: Array) -> list[Any]:
    """Sizes, as numbers where they are known and as tensors where they are not."""
    static = x.shape.as_list()
    if None not in static:
        return static  # type: ignore[no-any-return]
    dynamic = tf.shape(x, int64)
    return [dynamic[i] if n is None else n for i, n in enumerate(static)]


def count_of(x: Array, axis: Axes) -> Any:
    sizes = lengths(x)
    count: Any = 1
    for a in axes_of(x, axis):
        count = count * sizes[a]
    return count


def size_of(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else shape


def _table(others: Mapping[str, Function] | None) -> dict[DType, Function]:
    return {dtype: function for kind, function in (others or {}).items() for dtype in KINDS[kind]}


def unary(operation: Function, others: Mapping[str, Function] | None = None) -> Callable[[Array], Array]:
    """A function of one array: `operation`, or another one for the kinds of data in `others`."""
    table = _table(others)

    def function(x: Array, /) -> Array:
        x = tensor(x)
        return table.get(x.dtype, operation)(x)

    return function


def binary(
    operation: Function, others: Mapping[str, Function] | None = None
) -> Callable[[Array | Scalar, Array | Scalar], Array]:
    """A function of two arrays, or an array and a Python scalar, in the data type they have in common."""
    table = _table(others)

    def function(x1: Array | Scalar, x2: Array | Scalar, /) -> Array:
        if not (isinstance(x1, tf.Tensor) and isinstance(x2, tf.Tensor) and x1.dtype is x2.dtype):
            x1, x2 = together(x1, x2)
        return table.get(x1.dtype, operation)(x1, x2)

    return function


def same(x: Array) -> Array:
    return x


EXACT = {"integral": same}
