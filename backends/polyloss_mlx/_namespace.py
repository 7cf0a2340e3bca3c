"""The Array API for MLX arrays: the names that kernels use, as `mlx.core` has them, except where it has them otherwise.

Arrays of MLX have no device: operations have, and follow the default one.
"""

import builtins as py
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np
from mlx.core import (
    abs,
    all,
    any,
    astype,
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    expm1,
    finfo,
    float32,
    float64,
    floor,
    full_like,
    inf,
    int32,
    int64,
    isdtype,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    matrix_transpose,
    max,
    min,
    ones_like,
    reshape,
    result_type,
    sinh,
    sort,
    sqrt,
    squeeze,
    stack,
    tanh,
    zeros_like,
)
from mlx.core import bool_ as bool

from polyloss.adapters import sum_to

from ._custom import Arrays, Tangents, custom

# fmt: off
__all__ = [
    "abs", "all", "any", "arange", "argmax", "asarray", "astype", "bool", "broadcast_arrays", "broadcast_to", "clip",
    "concat", "cumulative_sum", "exp", "expand_dims", "expm1", "finfo", "float32", "float64", "floor", "full_like",
    "iinfo", "inf", "int32", "int64", "isdtype", "isfinite", "isinf", "isnan", "log", "log1p", "matrix_transpose",
    "max", "maximum", "mean", "min", "minimum", "moveaxis", "ones_like", "pow", "reshape", "result_type", "sign",
    "sinh", "sort", "sqrt", "squeeze", "stack", "sum", "take", "take_along_axis", "tanh", "where", "zeros_like",
]
# fmt: on

NAMESPACE: Any = sys.modules[__name__]
"""This module: to type checkers, a module with functions of MLX is no `polyloss.adapters.Namespace`."""

Axes: TypeAlias = int | Sequence[int] | None
Scalar: TypeAlias = py.bool | int | float

_FEW = 16
"""So many terms are added one after the other: of 10 million that are alike, the sum is off by 3 eps."""


def iinfo(type: mx.Dtype, /) -> Any:
    """The limits of an integer dtype. Those of MLX do not say how many bits it has."""
    return np.iinfo(str(type).rpartition(".")[2])


def arange(stop: int, /, *, dtype: mx.Dtype, device: Any = None) -> mx.array:
    """The whole numbers below `stop`."""
    return mx.arange(stop, dtype=dtype)


def asarray(obj: Any, /, *, dtype: mx.Dtype, device: Any = None) -> mx.array:
    """A number as an array without axes."""
    return mx.array(obj, dtype=dtype)


def _exponential(x: mx.array) -> mx.array:
    # That of MLX has the digits of float32 alone, whatever the dtype, and loses some of these far below 0.
    grown = expm1(abs(x)) + 1
    return mx.where(x < 0, 1 / grown, grown)


_exp = custom(
    _exponential,
    lambda arrays, upstream: [upstream * exp(*arrays)],
    lambda arrays, tangents: tangents[0] * exp(*arrays),
)


def exp(x: mx.array, /) -> mx.array:
    """The exponential."""
    return _exp(x)


# To differentiate a choice, MLX multiplies by the condition: NaN would reach what was not chosen.


def _share(condition: mx.array, upstream: mx.array, x1: mx.array, x2: mx.array) -> Arrays:
    chosen = where(condition, upstream, 0.0), where(condition, 0.0, upstream)
    return [sum_to(NAMESPACE, part, x.shape) for part, x in zip(chosen, (x1, x2), strict=True)]


def _move(condition: mx.array, arrays: Arrays, tangents: Tangents) -> mx.array:
    moves = (mx.zeros_like(x) if move is None else move for x, move in zip(arrays, tangents, strict=True))
    return where(condition, *moves)


_where = custom(
    mx.where,
    lambda arrays, upstream: [mx.zeros_like(arrays[0]), *_share(arrays[0], upstream, *arrays[1:])],
    lambda arrays, tangents: _move(arrays[0], arrays[1:], tangents[1:]),
)


def _choosing(operation: Callable[..., mx.array], is_first: Callable[..., mx.array]) -> Callable[..., mx.array]:
    return custom(
        operation,
        lambda arrays, upstream: _share(is_first(*arrays), upstream, *arrays),
        lambda arrays, tangents: _move(is_first(*arrays), arrays, tangents),
    )


_maximum, _minimum = _choosing(mx.maximum, mx.greater), _choosing(mx.minimum, mx.less)


def _both(x1: mx.array | Scalar, x2: mx.array | Scalar) -> tuple[mx.array, mx.array]:
    """Two arrays of one dtype, made of two or of one and a number."""
    first = x1 if isinstance(x1, mx.array) else _number(x1, x2)
    second = x2 if isinstance(x2, mx.array) else _number(x2, first)
    if first.dtype == second.dtype:
        return first, second
    dtype = mx.result_type(first, second)
    return first.astype(dtype), second.astype(dtype)


def _number(value: Scalar, beside: Any) -> mx.array:
    """A number as an array of the dtype that it has beside an array."""
    alike = mx.issubdtype(beside.dtype, mx.floating) or not isinstance(value, float)
    return mx.array(value, beside.dtype if alike else None)


def where(condition: mx.array, x1: mx.array | Scalar, x2: mx.array | Scalar, /) -> mx.array:
    """`x1` where the condition holds, elsewhere `x2`."""
    return _where(condition, *_both(x1, x2))


def maximum(x1: mx.array | Scalar, x2: mx.array | Scalar, /) -> mx.array:
    """The larger one of each two."""
    return _maximum(*_both(x1, x2))


def minimum(x1: mx.array | Scalar, x2: mx.array | Scalar, /) -> mx.array:
    """The smaller one of each two."""
    return _minimum(*_both(x1, x2))


def clip(x: mx.array, /, min: mx.array | Scalar | None = None, max: mx.array | Scalar | None = None) -> mx.array:
    """`x` within bounds."""
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)


def take(x: mx.array, indices: mx.array, /, *, axis: int) -> mx.array:
    """The slices at `indices`. By these MLX would differentiate too, and cannot."""
    return mx.take(x, mx.stop_gradient(indices), axis=axis)


def take_along_axis(x: mx.array, indices: mx.array, /, *, axis: int) -> mx.array:
    """The entry at each index."""
    return mx.take_along_axis(x, mx.stop_gradient(indices), axis=axis)


def sign(x: mx.array, /) -> mx.array:
    """-1, 0 or 1, and NaN of NaN."""
    return where(isnan(x), x, mx.sign(x))


def pow(x1: mx.array | Scalar, x2: mx.array | Scalar, /) -> mx.array:
    """``x1 ** x2``."""
    return mx.power(x1, x2)


def argmax(x: mx.array, /, *, axis: int | None = None, keepdims: py.bool = False) -> mx.array:
    """The place of the largest."""
    return mx.argmax(x, axis=axis, keepdims=keepdims).astype(int64)


def moveaxis(x: mx.array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> mx.array:
    """`x` with axes in other places."""
    here, there = (
        tuple(p % x.ndim for p in (places if isinstance(places, tuple) else (places,)))
        for places in (source, destination)
    )
    order = [axis for axis in range(x.ndim) if axis not in here]
    for place, axis in sorted(zip(there, here, strict=True)):
        order.insert(place, axis)
    return mx.transpose(x, order)


def cumulative_sum(x: mx.array, /, *, axis: int, include_initial: py.bool = False) -> mx.array:
    """What the entries up to each one sum to; and before these a 0."""
    found = mx.cumsum(x, axis=axis)
    if not include_initial:
        return found
    shape = list(x.shape)
    shape[axis] = 1
    return concat([mx.zeros(shape, found.dtype), found], axis=axis)


def sum(x: mx.array, /, *, axis: Axes = None, dtype: mx.Dtype | None = None, keepdims: py.bool = False) -> mx.array:
    """The sum, of a few terms at a time: MLX adds them one after the other, and of 10 million is off by 9 %."""
    if dtype is None:
        dtype = int64 if isdtype(x.dtype, ("bool", "integral")) else x.dtype
    return astype(_total(x, axis, keepdims), dtype)


def mean(x: mx.array, /, *, axis: Axes = None, keepdims: py.bool = False) -> mx.array:
    """The mean."""
    count = math.prod(x.shape[place] for place in _places(axis, x.ndim))
    return astype(_total(x, axis, keepdims) / count, x.dtype)


def _total(x: mx.array, axis: Axes, keepdims: py.bool) -> mx.array:
    """The sum of whole numbers in int64, that of halves in float32."""
    if isdtype(x.dtype, ("bool", "integral")):
        return mx.sum(astype(x, int64), axis=axis, keepdims=keepdims)
    if x.dtype in (mx.float16, mx.bfloat16):
        x = astype(x, float32)
    places, shape = _places(axis, x.ndim), x.shape
    count = math.prod([shape[place] for place in places])
    lengths = [1 if place in places else n for place, n in enumerate(shape) if keepdims or place not in places]
    if count == 0:
        # MLX 0.32 counts to 2**32 where rows are empty.
        return mx.zeros(lengths, x.dtype)
    if count <= _FEW:
        return mx.sum(x, axis=places, keepdims=keepdims)
    first, behind = places[0], places[-1] + 1
    if places != tuple(range(first, behind)):
        kept = [place for place in range(x.ndim) if place not in places]
        x, first, behind = mx.transpose(x, (*kept, *places)), len(kept), x.ndim
    # What is kept before, what is summed, what is kept behind.
    before, after = math.prod(x.shape[:first]), math.prod(x.shape[behind:])
    x = reshape(x, (before, count, after))
    while count > _FEW:
        groups = count // _FEW
        whole = groups * _FEW
        parts = mx.sum(reshape(x[:, :whole], (before, _FEW, groups, after)), axis=1)
        x = parts if whole == count else concat([parts, x[:, whole:]], axis=1)
        count = x.shape[1]
    return reshape(mx.sum(x, axis=1), lengths)


def _places(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(place % ndim for place in axes))
