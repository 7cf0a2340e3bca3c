"""The functions of kernels on arrays that carry derivatives."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from polyloss.adapters import Array, Namespace, sum_to
from polyloss.core.checks import is_kind
from polyloss.core.entries import positions

from ._arrays import Lifted, Link, primal_of
from ._rules import BESIDE_CONSTANTS, RULES

_OPERATORS: dict[str, Any] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
    "pow": operator.pow,
    "remainder": operator.mod,
}
"""Operations that take numbers beside arrays in every framework."""
_AS_THEY_ARE = {"bool", "inf", "nan", "pi", "e", "finfo", "iinfo", "int32", "int64", "float32", "float64"}
_CONSTANT = {"isfinite", "isinf", "isnan", "floor", "sign", "all", "any", "argmax", "argsort"}
_CONSTANT |= {"arange", "asarray", "full_like", "ones_like", "zeros_like"}
"""What has no derivative, or none but 0."""


class Derivatives:
    """The namespace of arrays of one kind, from that of the arrays in these.

    Parameters
    ----------
    kind : type
        `Dual` or `Recorded`.
    xp : namespace
        That of what they are made of.
    """

    __array_api_version__ = "2024.12"

    def __init__(self, kind: type[Lifted], xp: Namespace) -> None:
        self.kind, self.xp = kind, xp
        # Some take an entry of each row without it, and ask whether it is there.
        if hasattr(xp, "take_along_axis"):
            self.take_along_axis = self._take_along_axis

    def __getattr__(self, name: str) -> Any:
        if name in RULES:
            return functools.partial(self.elementwise, name)
        if name in _CONSTANT:
            return functools.partial(self._constant, getattr(self.xp, name))
        if name in _AS_THEY_ARE:
            return getattr(self.xp, name)
        if name.startswith("__") or name == "take_along_axis":
            raise AttributeError(name)
        raise AttributeError(
            f"{name}: no derivative of it is known; a kernel may use the names of polyloss.adapters.Namespace"
        )

    def _primal(self, value: Any) -> Any:
        return primal_of(value, self.kind)

    def _lift(self, value: Any) -> Lifted:
        return value if isinstance(value, self.kind) else self.kind(value)

    def _constant(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Lifted:
        keywords = {name: self._primal(value) for name, value in keywords.items()}
        return self.kind(function(*map(self._primal, arguments), **keywords))

    def elementwise(self, name: str, *operands: Any) -> Lifted:
        """One of `RULES`."""
        values = [self._primal(operand) for operand in operands]
        run = _OPERATORS.get(name) or getattr(self.xp, name)
        out = run(*values)
        tracked = [isinstance(operand, self.kind) and operand.tracked for operand in operands]
        rules = RULES[name] if all(tracked) else BESIDE_CONSTANTS.get(name, RULES[name])
        links = [
            self._by(operand, functools.partial(rule, self.xp, out, *values))
            for operand, rule, moves in zip(operands, rules, tracked, strict=True)
            if moves
        ]
        return self.kind.made(out, links)

    def _by(self, operand: Lifted, slope: Callable[[], Any]) -> Link:
        """A link by a derivative of each element, which is found where it is needed."""
        shape = operand.shape

        def push(tangent: Array) -> Array:
            by = slope()
            return tangent if _is(by, 1.0) else -tangent if _is(by, -1.0) else by * tangent

        def pull(cotangent: Array) -> Array:
            by = slope()
            part = cotangent if _is(by, 1.0) else -cotangent if _is(by, -1.0) else by * cotangent
            return sum_to(self.xp, part, shape)

        return Link(operand, push, pull)

    def _linear(self, x: Any, apply: Callable[[Array], Array], transpose: Callable[[Array], Array]) -> Lifted:
        """A function that is linear in `x`."""
        x = self._lift(x)
        return self.kind.made(apply(x.primal), [Link(x, apply, transpose)] if x.tracked else [])

    def isdtype(self, dtype: Any, kind: Any) -> bool:
        return self.xp.isdtype(dtype, kind)

    def result_type(self, *values: Any) -> Any:
        return self.xp.result_type(*map(self._primal, values))

    def astype(self, x: Any, dtype: Any, /) -> Lifted:
        x = self._lift(x)
        cast = self.xp.astype(x.primal, dtype)
        if not x.tracked or not is_kind(self.xp, cast, "real floating"):
            return self.kind(cast)
        return self._linear(x, lambda t: self.xp.astype(t, dtype), lambda c: self.xp.astype(c, x.dtype))

    def clip(self, x: Any, /, min: Any = None, max: Any = None) -> Lifted:
        if any(isinstance(bound, self.kind) and bound.tracked for bound in (min, max)):
            x = x if min is None else self.elementwise("maximum", x, min)
            return self._lift(x if max is None else self.elementwise("minimum", x, max))
        x, low, high = self._lift(x), self._primal(min), self._primal(max)
        values = x.primal

        def inside() -> Array:
            kept = self.xp.ones_like(values)
            kept = kept if low is None else self.xp.where(values > low, kept, 0.0)
            return kept if high is None else self.xp.where(values < high, kept, 0.0)

        clipped = self.xp.clip(values, low, high)
        return self.kind.made(clipped, [self._by(x, inside)] if x.tracked else [])

    def where(self, condition: Any, x1: Any, x2: Any, /) -> Lifted:
        condition, xp, links = self._primal(condition), self.xp, []
        for operand, first in ((x1, True), (x2, False)):
            if isinstance(operand, self.kind) and operand.tracked:
                push = functools.partial(_chosen, xp, condition, first)
                links.append(Link(operand, push, functools.partial(_summed, xp, push, operand.shape)))
        return self.kind.made(xp.where(condition, self._primal(x1), self._primal(x2)), links)

    # ------------------------------------------------------------------------------------------------------ reductions

    def sum(self, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Lifted:
        x = self._lift(x)
        options = {} if dtype is None else {"dtype": dtype}
        if not x.tracked:
            return self.kind(self.xp.sum(x.primal, axis=axis, keepdims=keepdims, **options))
        x = self.astype(x, dtype) if dtype is not None else x
        return self._linear(
            x, lambda t: self.xp.sum(t, axis=axis, keepdims=keepdims), lambda c: self._spread(c, x, axis, keepdims)
        )

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Lifted:
        x = self._lift(x)

        def spread(cotangent: Array) -> Array:
            return self._spread(cotangent, x, axis, keepdims) / _count(x.shape, axis)

        return self._linear(x, lambda t: self.xp.mean(t, axis=axis, keepdims=keepdims), spread)

    def _spread(self, cotangent: Array, x: Lifted, axis: Any, keepdims: bool) -> Array:
        """What was reduced, in the shape of `x` again."""
        if not keepdims:
            cotangent = self.xp.reshape(cotangent, _kept(x.shape, axis))
        return self.xp.broadcast_to(cotangent, x.shape)

    def max(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Lifted:
        return self._extreme(self.xp.max, x, axis, keepdims)

    def min(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Lifted:
        return self._extreme(self.xp.min, x, axis, keepdims)

    def _extreme(self, function: Callable[..., Array], x: Any, axis: Any, keepdims: bool) -> Lifted:
        x, xp = self._lift(x), self.xp
        out = function(x.primal, axis=axis, keepdims=keepdims)
        if not x.tracked:
            return self.kind(out)

        def share() -> Array:
            # No shape is looked at: while a kernel is traced, there is none.
            largest = function(x.primal, axis=axis, keepdims=True)
            reached = xp.where(x.primal == largest, xp.ones_like(x.primal), 0.0)
            return reached / xp.sum(reached, axis=axis, keepdims=True)

        def push(tangent: Array) -> Array:
            return xp.sum(share() * tangent, axis=axis, keepdims=keepdims)

        return self.kind.made(out, [Link(x, push, lambda c: share() * self._spread(c, x, axis, keepdims))])

    # ------------------------------------------------------------------------------------------------ order and entries

    def cumulative_sum(self, x: Any, /, *, axis: int, include_initial: bool = False) -> Lifted:
        x, xp = self._lift(x), self.xp
        place = axis % x.ndim

        def backwards(cotangent: Array) -> Array:
            if include_initial:
                cotangent = cotangent[(*(slice(None),) * place, slice(1, None))]
            # From behind: a difference to the sum of all would cancel.
            return turned(xp.cumulative_sum(turned(cotangent), axis=axis))

        def turned(array: Array) -> Array:
            return xp.take(array, array.shape[place] - 1 - positions(xp, array, place, xp.int32), axis=axis)

        return self._linear(x, lambda t: xp.cumulative_sum(t, axis=axis, include_initial=include_initial), backwards)

    def sort(self, x: Any, /, *, axis: int = -1) -> Lifted:
        x, xp = self._lift(x), self.xp
        if not x.tracked:
            return self.kind(xp.sort(x.primal, axis=axis))
        order = xp.argsort(x.primal, axis=axis)  # type: ignore[attr-defined]
        place = xp.argsort(order, axis=axis)  # type: ignore[attr-defined]
        return self._linear(
            x, lambda t: xp.take_along_axis(t, order, axis=axis), lambda c: xp.take_along_axis(c, place, axis=axis)
        )

    def take(self, x: Any, indices: Any, /, *, axis: int) -> Lifted:
        x, xp, indices = self._lift(x), self.xp, self._primal(indices)

        def put(cotangent: Array) -> Array:
            hot = xp.astype(indices[:, None] == positions(xp, x.primal, axis, indices.dtype), x.dtype)
            last = xp.moveaxis(cotangent, axis, -1)
            return xp.moveaxis((last[..., None, :] @ hot)[..., 0, :], -1, axis)

        return self._linear(x, lambda t: xp.take(t, indices, axis=axis), put)

    def _take_along_axis(self, x: Any, indices: Any, /, *, axis: int) -> Lifted:
        x, xp, indices = self._lift(x), self.xp, self._primal(indices)

        def put(cotangent: Array) -> Array:
            last, ids = xp.moveaxis(cotangent, axis, -1), xp.moveaxis(indices, axis, -1)
            hot = ids[..., :, None] == positions(xp, x.primal, axis, ids.dtype)
            found = xp.sum(xp.where(hot, last[..., :, None], 0.0), axis=-2)
            return sum_to(xp, xp.moveaxis(found, -1, axis), x.shape)

        return self._linear(x, lambda t: xp.take_along_axis(t, indices, axis=axis), put)

    def entries(self, x: Lifted, key: Any) -> Lifted:
        """``x[key]``"""
        keys = tuple(map(self._primal, key)) if isinstance(key, tuple) else (self._primal(key),)
        if not all(one is None or one is Ellipsis or isinstance(one, (slice, int)) for one in keys):
            if x.tracked:
                raise TypeError("entries at an array have no derivative here; take them with xp.take")
            return self.kind(x.primal[keys])
        return self._linear(x, lambda t: t[keys], lambda c: self._put(c, x.primal, keys))

    def _put(self, cotangent: Array, x: Array, keys: tuple[Any, ...]) -> Array:
        """Zeros of the shape of `x`, with these entries. Nothing is written in place: not all libraries can."""
        xp, shape = self.xp, tuple(x.shape)
        spans, zeros = _spans(keys, shape), xp.zeros_like(x)
        here = [slice(*span) for span in spans]
        cotangent = xp.reshape(cotangent, tuple(stop - start for start, stop in spans))
        for axis, (start, stop) in enumerate(spans):
            before, after = list(here), list(here)
            before[axis], after[axis] = slice(0, start), slice(stop, shape[axis])
            if (start, stop) != (0, shape[axis]):
                cotangent = xp.concat([zeros[tuple(before)], cotangent, zeros[tuple(after)]], axis=axis)
            here[axis] = slice(0, shape[axis])
        return cotangent

    # ---------------------------------------------------------------------------------------------------------- shapes

    def broadcast_to(self, x: Any, /, shape: Any) -> Lifted:
        x = self._lift(x)
        return self._linear(x, lambda t: self.xp.broadcast_to(t, tuple(shape)), lambda c: sum_to(self.xp, c, x.shape))

    def broadcast_arrays(self, *arrays: Any) -> list[Lifted]:
        shape = tuple(self.xp.broadcast_arrays(*map(self._primal, arrays))[0].shape)
        return [self.broadcast_to(array, shape) for array in arrays]

    def reshape(self, x: Any, /, shape: Any) -> Lifted:
        x = self._lift(x)
        return self._linear(x, lambda t: self.xp.reshape(t, tuple(shape)), lambda c: self.xp.reshape(c, x.shape))

    def expand_dims(self, x: Any, /, *, axis: int) -> Lifted:
        x = self._lift(x)
        return self._linear(x, lambda t: self.xp.expand_dims(t, axis=axis), lambda c: self.xp.reshape(c, x.shape))

    def squeeze(self, x: Any, /, axis: Any) -> Lifted:
        x = self._lift(x)
        return self._linear(x, lambda t: self.xp.squeeze(t, axis), lambda c: self.xp.reshape(c, x.shape))

    def moveaxis(self, x: Any, source: Any, destination: Any, /) -> Lifted:
        return self._linear(
            x,
            lambda t: self.xp.moveaxis(t, source, destination),
            lambda c: self.xp.moveaxis(c, destination, source),
        )

    def matrix_transpose(self, x: Any, /) -> Lifted:
        return self._linear(x, self.xp.matrix_transpose, self.xp.matrix_transpose)

    def concat(self, arrays: Sequence[Any], /, *, axis: int | None = 0) -> Lifted:
        if axis is None:
            return self.concat([self.reshape(array, (-1,)) for array in arrays])
        arrays, xp, start, links = [self._lift(array) for array in arrays], self.xp, 0, []
        values = [array.primal for array in arrays]
        place = axis % arrays[0].ndim
        for number, array in enumerate(arrays):
            stop = start + array.shape[place]
            if array.tracked:
                key = (*(slice(None),) * place, slice(start, stop))
                links.append(
                    Link(array, functools.partial(_among_zeros, xp, values, number, axis), operator.itemgetter(key))
                )
            start = stop
        return self.kind.made(xp.concat(values, axis=axis), links)

    def stack(self, arrays: Sequence[Any], /, *, axis: int = 0) -> Lifted:
        return self.concat([self.expand_dims(array, axis=axis) for array in arrays], axis=axis)

    def matmul(self, one: Any, other: Any) -> Lifted:
        xp, transposed = self.xp, self.xp.matrix_transpose
        left, right = self._primal(one), self._primal(other)
        if left.ndim < 2 or right.ndim < 2:
            raise TypeError("a product of matrices needs two axes or more of each")
        links = []
        if isinstance(one, self.kind) and one.tracked:
            links.append(Link(one, lambda t: t @ right, lambda c: sum_to(xp, c @ transposed(right), tuple(left.shape))))
        if isinstance(other, self.kind) and other.tracked:
            links.append(
                Link(other, lambda t: left @ t, lambda c: sum_to(xp, transposed(left) @ c, tuple(right.shape)))
            )
        return self.kind.made(left @ right, links)


def _is(value: Any, number: float) -> bool:
    return isinstance(value, float) and value == number


def _chosen(xp: Namespace, condition: Array, first: bool, change: Array) -> Array:
    """The change of a choice, by that of one of the arrays."""
    zeros = xp.zeros_like(change)
    return xp.where(condition, change, zeros) if first else xp.where(condition, zeros, change)


def _summed(xp: Namespace, function: Callable[[Array], Array], shape: tuple[Any, ...], cotangent: Array) -> Array:
    """What a function makes of a derivative, summed over all that shares an entry of an operand of this shape."""
    return sum_to(xp, function(cotangent), shape)


def _among_zeros(xp: Namespace, values: Sequence[Array], number: int, axis: int, change: Array) -> Array:
    """The change of arrays one behind the other, by that of one of them."""
    return xp.concat(
        [change if place == number else xp.zeros_like(value, dtype=change.dtype) for place, value in enumerate(values)],
        axis=axis,
    )


def _axes(shape: tuple[Any, ...], axis: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(len(shape)))
    return tuple(one % len(shape) for one in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(shape: tuple[Any, ...], axis: Any) -> tuple[Any, ...]:
    """The shape after a reduction that keeps its axes."""
    axes = _axes(shape, axis)
    return tuple(1 if place in axes else length for place, length in enumerate(shape))


def _count(shape: tuple[Any, ...], axis: Any) -> int:
    return functools.reduce(operator.mul, (shape[place] for place in _axes(shape, axis)), 1)


def _spans(keys: tuple[Any, ...], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where along each axis the entries are."""
    given = [key for key in keys if key is not None]
    if Ellipsis not in given:
        given.append(Ellipsis)
    place = given.index(Ellipsis)
    given[place : place + 1] = [slice(None)] * (len(shape) - len(given) + 1)
    spans = []
    for key, length in zip(given, shape, strict=True):
        start, stop, step = key.indices(length) if isinstance(key, slice) else (key % length, key % length + 1, 1)
        if step != 1:
            raise TypeError(f"entries in steps of {step} have no derivative here")
        spans.append((start, max(start, stop)))
    return spans
