"""Exponentials and logarithms that are right far out: in value, in gradient, and in the derivative of the gradient.

The public functions take one array of any framework. What losses are made of stands first: it takes the namespace,
works along the last axis, and is safe to differentiate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .core import checks
from .core.backend import Backend, find_backend, stop_gradient, unwrapped
from .core.entries import one_hot, pick
from .core.kernel import BoundKernel
from .core.typing import Array, Namespace, Pair


def is_number(value: Any) -> bool:
    """Whether a parameter is one number, not an array. Compilers have number types of their own."""
    return not hasattr(value, "shape")


def is_infinite(xp: Namespace, array: Array, sign: int) -> Array:
    """Where `array` is infinity of this sign. No such constant, which a debugger would find."""
    limit = sign * float(xp.finfo(array.dtype).max)
    return array > limit if sign > 0 else array < limit


def is_zero(value: Any) -> bool:
    """Whether a parameter is the number 0, and not an array that may hold it."""
    return is_number(value) and not value


def at_least(xp: Namespace, value: Array | float, bound: float) -> Array | float:
    """The larger one of a parameter and a number."""
    return max(value, bound) if is_number(value) else xp.maximum(value, bound)


def times(xp: Namespace, factor: Array | float, array: Array) -> Array:
    """``factor * array``, where a factor of 0 wins over anything: even over infinity and NaN."""
    if is_number(factor):
        return factor * array if factor else xp.zeros_like(array)
    return factor * xp.where(factor == 0, 0.0, array)


class Softmax(NamedTuple):
    """Entries of rows, as their distance to the largest of the row; and what the whole row sums to."""

    shift: Array
    """x - max x."""
    terms: Array
    """exp(shift)"""
    total: Array
    """The sum of all terms of the row."""
    rest: Array
    """The same without the largest, or without the entry that was picked. Right where that one is alone."""
    unreachable: Array
    """inf where the largest is, else 0: what the others are away from it."""


def _exponentials(xp: Namespace, x: Array) -> tuple[Array, Array, Array]:
    """The largest entry of each row, the distances to it, and their exponentials."""
    largest = stop_gradient(xp.max(x, axis=-1, keepdims=True))
    limit = float(xp.finfo(x.dtype).max)
    shift = xp.clip(x, None, limit) - xp.clip(largest, -limit, limit)
    return largest, shift, xp.exp(shift)


def _softmax(xp: Namespace, largest: Array, shift: Array, terms: Array, total: Array, rest: Array) -> Softmax:
    # In a row of nothing but -inf there is nothing to divide: all shares are 0.
    total = xp.where(is_infinite(xp, largest, -1), 1.0, total)
    return Softmax(shift, terms, total, rest, xp.where(is_infinite(xp, largest, 1), largest, 0.0))


def softmax_of(xp: Namespace, x: Array) -> Softmax:
    """Shifted exponentials along the last axis, the axis kept.

    Infinite entries have their limits: one of +inf takes everything, one of -inf nothing.
    """
    largest, shift, terms = _exponentials(xp, x)
    total = xp.sum(terms, axis=-1, keepdims=True)
    rest = xp.sum(xp.where(shift == 0, 0.0, terms), axis=-1, keepdims=True)
    return _softmax(xp, largest, shift, terms, total, rest)


def softmax_at(xp: Namespace, x: Array, ids: Array) -> tuple[Softmax, Array, Array]:
    """The entries of `x` that class ids name, one of each row; where they are; and the terms of all others, else 0.

    What the others sum to is summed without it, so nothing cancels, and the row is summed once.
    """
    largest, shift, terms = _exponentials(xp, x)
    hot = one_hot(xp, ids, x)
    own = pick(xp, shift, ids, hot)
    others = xp.where(hot, 0.0, terms)
    rest = xp.sum(others, axis=-1, keepdims=True)
    return _softmax(xp, largest, own, xp.exp(own), rest + xp.exp(own), rest), hot, others


def ahead(row: Softmax) -> Array:
    """True at an entry with more than half of the total."""
    return (row.shift == 0) & (row.total < 2)


def others(xp: Namespace, row: Softmax) -> Array:
    """The sum of all terms but this one, for each entry. It does not cancel."""
    return xp.where(ahead(row), row.rest, row.total - row.terms)


def minus_log(xp: Namespace, row: Softmax) -> Array:
    """The negative logarithm of each entry's share of the total."""
    top = row.shift == 0
    odds = others(xp, row) / xp.where(top, row.terms, 1.0)
    far = (xp.log(row.total) + row.unreachable) - row.shift
    return xp.where(top, xp.log1p(odds), far)


def pull_log(xp: Namespace, row: Softmax, mass: Array) -> Array:
    """The derivative of ``sum(mass * minus_log)`` along a row by the entries, with `mass` a constant."""
    share, top = row.terms / row.total, ahead(row)
    every = xp.sum(mass, axis=-1, keepdims=True)
    rest = xp.sum(xp.where(top, 0.0, mass), axis=-1, keepdims=True)
    return xp.where(top, share * rest - row.rest / row.total * mass, share * every - mass)


class Logistic(NamedTuple):
    """Numbers, as a side of 0 and a distance to it."""

    up: Array
    """Whether x > 0."""
    fall: Array
    """-|x|"""
    tail: Array
    """exp(-|x|)"""


def logistic_of(xp: Namespace, x: Array) -> Logistic:
    # Not abs: its derivative at 0, where training starts, is everybody's own.
    up = x > 0
    fall = xp.where(up, -x, x)
    return Logistic(up, fall, xp.exp(fall))


def _rise(xp: Namespace, x: Array) -> Array:
    """1 / (1 + exp(-x))"""
    up, _, tail = logistic_of(xp, x)
    return xp.where(up, 1.0, tail) / (1.0 + tail)


def _softplus(xp: Namespace, x: Array) -> Pair:
    up, _, tail = logistic_of(xp, x)
    return xp.where(up, x, 0.0) + xp.log1p(tail), lambda: _rise(xp, x)


def _log_sigmoid(xp: Namespace, x: Array) -> Pair:
    up, _, tail = logistic_of(xp, x)
    return xp.where(up, 0.0, x) - xp.log1p(tail), lambda: _rise(xp, -x)


def _sigmoid(xp: Namespace, x: Array) -> Pair:
    tail = logistic_of(xp, x).tail
    return _rise(xp, x), lambda: tail / ((1.0 + tail) * (1.0 + tail))


def _log_sum_exp(xp: Namespace, x: Array) -> Pair:
    row = softmax_of(xp, x)
    return (xp.max(x, axis=-1, keepdims=True) + _log_total(xp, row))[..., 0], lambda: row.terms / row.total


def _log_share(xp: Namespace, x: Array) -> Pair:
    """The distance of log_sum_exp to the entry that is ahead or, where none is, to a constant: the largest."""
    row = softmax_of(xp, x)

    def gradient() -> Array:
        return xp.where(ahead(row), -row.rest, row.terms) / row.total

    return _log_total(xp, row)[..., 0], gradient


def _log_total(xp: Namespace, row: Softmax) -> Array:
    return xp.log1p(xp.where(row.total < 2, row.rest, row.total - 1.0))


def log_sum_exp(x: Array, *, axis: int = -1) -> Array:
    r"""Logarithm of the sum of exponentials.

    .. math:: \operatorname{log\_sum\_exp}(x) = \log \sum_c e^{x_c}

    Parameters
    ----------
    x : array
        Real floating, of any framework. ``-inf`` takes no part.
    axis : int
        The axis to sum along; it is removed.

    Returns
    -------
    array
        Half precision is computed in float32. A row of nothing but ``-inf`` is ``-inf`` with a gradient of 0,
        where the frameworks' own have NaN; a row with ``+inf`` is ``+inf``.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.
    ValueError
        If there is no such axis.

    See Also
    --------
    log_softmax, softmax

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.log_sum_exp(np.asarray([[1000.0, 1000.0], [-np.inf, -np.inf]]))
    array([1000.69314718,          -inf])
    """
    backend, xp, ready = _prepare("log_sum_exp", x, axis)
    return xp.astype(_attach(backend, _log_sum_exp, ready), x.dtype)


def log_softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Logarithm of the softmax.

    .. math:: \operatorname{log\_softmax}(x)_c = x_c - \log \sum_j e^{x_j}

    Parameters
    ----------
    x : array
        Real floating, of any framework. ``-inf`` masks a class; the limit at ``+inf`` is taken.
    axis : int
        The axis of the classes.

    Returns
    -------
    array
        Of the shape of `x`. The largest entry is right in value and gradient however near to 0 it is, where the
        frameworks' own are 0 from a margin of 17 on. Half precision is computed in float32.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.
    ValueError
        If there is no such axis.

    See Also
    --------
    softmax, log_sum_exp

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.log_softmax(np.asarray([50.0, 0.0], dtype=np.float32))
    array([-1.9287499e-22, -5.0000000e+01], dtype=float32)
    """
    backend, xp, ready = _prepare("log_softmax", x, axis)
    return xp.astype(xp.moveaxis(_log_shares(backend, xp, ready), -1, axis), x.dtype)


def softmax(x: Array, *, axis: int = -1) -> Array:
    r"""Exponentials that are scaled to sum to 1.

    .. math:: \operatorname{softmax}(x)_c = \frac{e^{x_c}}{\sum_j e^{x_j}}

    Parameters
    ----------
    x : array
        Real floating, of any framework. ``-inf`` masks a class; the limit at ``+inf`` is taken.
    axis : int
        The axis of the classes.

    Returns
    -------
    array
        Of the shape of `x`; zeros in a row of nothing but ``-inf``. Half precision is computed in float32.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.
    ValueError
        If there is no such axis.

    See Also
    --------
    log_softmax

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.softmax(np.asarray([0.0, 0.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    backend, xp, ready = _prepare("softmax", x, axis)
    return xp.astype(xp.moveaxis(xp.exp(_log_shares(backend, xp, ready)), -1, axis), x.dtype)


def softplus(x: Array) -> Array:
    r"""Smooth maximum of a number and 0.

    .. math:: \operatorname{softplus}(x) = \log(1 + e^x)

    Parameters
    ----------
    x : array
        Real floating, of any framework.

    Returns
    -------
    array
        Of the shape of `x`. The gradient at 0 is 1/2 everywhere, and no threshold cuts the tail off. Half
        precision is computed in float32.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.

    See Also
    --------
    log_sigmoid, sigmoid

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.softplus(np.asarray([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return _elementwise("softplus", x, _softplus)


def log_sigmoid(x: Array) -> Array:
    r"""Logarithm of the sigmoid.

    .. math:: \operatorname{log\_sigmoid}(x) = -\log(1 + e^{-x})

    Parameters
    ----------
    x : array
        Real floating, of any framework.

    Returns
    -------
    array
        Of the shape of `x`. Half precision is computed in float32.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.

    See Also
    --------
    softplus, sigmoid

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.log_sigmoid(np.asarray([-1000.0, 1000.0]))
    array([-1000.,     0.])
    """
    return _elementwise("log_sigmoid", x, _log_sigmoid)


def sigmoid(x: Array) -> Array:
    r"""Logistic function.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array
        Real floating, of any framework.

    Returns
    -------
    array
        Of the shape of `x`. Half precision is computed in float32.

    Raises
    ------
    TypeError
        If `x` is no array, or not real floating.

    See Also
    --------
    log_sigmoid, softplus

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.sigmoid(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    return _elementwise("sigmoid", x, _sigmoid)


def _log_shares(backend: Backend, xp: Namespace, x: Array) -> Array:
    """The log-softmax along the last axis.

    Differentiated through the distances to the entry that is ahead, its gradient does not cancel.
    """
    row = softmax_of(xp, stop_gradient(x))
    top, limit = ahead(row), float(xp.finfo(x.dtype).max)
    capped = xp.clip(x, None, limit)
    largest = xp.clip(stop_gradient(xp.max(x, axis=-1, keepdims=True)), -limit, limit)
    origin = xp.sum(xp.where(top, capped, 0.0), axis=-1, keepdims=True) + xp.where(row.total < 2, 0.0, largest)
    away = capped - origin
    away = xp.where(row.shift == 0, away, away - row.unreachable)
    distance = xp.where(top, 0.0, away)
    return distance - _attach(backend, _log_share, x)[..., None]


def _prepare(name: str, x: Any, axis: int | None = None) -> tuple[Backend, Namespace, Array]:
    """The backend, its namespace, and `x` as it is computed with: `axis` last, halves in float32."""
    x = unwrapped(x)
    if find_backend(type(x)) is None:
        raise TypeError(f"{name}: x must be an array, got {checks.describe(x)}")
    backend = checks.common_backend(name, {"x": x})
    x = backend.asarray(x, None)
    xp = backend.namespace(x)
    checks.real_floating(name, "x", xp, x)
    if axis is not None:
        last = checks.axis_of(name, axis, x.ndim)
        checks.has_entries(name, "x", tuple(x.shape), last)
        x = xp.moveaxis(x, last, -1)
    return backend, xp, xp.astype(x, xp.float32) if checks.is_half(x.dtype) else x


def _attach(backend: Backend, pair: Callable[[Namespace, Array], Pair], x: Array) -> Array:
    return backend.attach(BoundKernel(pair, 1, (), ()), (x,))


def _elementwise(name: str, x: Array, pair: Callable[[Namespace, Array], Pair]) -> Array:
    backend, xp, ready = _prepare(name, x)
    return xp.astype(_attach(backend, pair, ready), x.dtype)
