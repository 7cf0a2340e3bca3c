"""Exponentials and logarithms of arrays of any framework, right far out: in value and in every gradient.

And labels that are smoothed, for losses that have no `label_smoothing`.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from .core import checks, docstrings
from .core.backend import Backend, find_backend, stop_gradient, unwrapped
from .core.domains import UNIT
from .core.kernel import attached
from .core.typing import Array, KernelResult, Namespace
from .stable import (
    has_majority,
    log_share_of,
    log_sigmoid_of,
    log_sum_exp_of,
    sigmoid_of,
    softmax_of,
    softplus_of,
)

__all__ = ["log_sigmoid", "log_softmax", "log_sum_exp", "sigmoid", "smooth_labels", "softmax", "softplus"]

Function = TypeVar("Function", bound=Callable[..., Array])


def _refusing(function: Function) -> Function:
    """`function`, whose docstring says what it refuses."""
    if function.__doc__ is not None:
        first, *others = inspect.signature(function).parameters
        errors = f"TypeError\n    If `{first}` is no array, or not real floating."
        if "axis" in others:
            errors += "\nValueError\n    If there is no such axis, or it has no entries."
        sections = docstrings.split(inspect.cleandoc(function.__doc__))
        function.__doc__ = docstrings.joined({**sections, "Raises": errors})
    return function


@_refusing
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

    See Also
    --------
    log_softmax, softmax

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.log_sum_exp(np.asarray([[1000.0, 1000.0], [-np.inf, -np.inf]]))
    array([1000.69314718,          -inf])
    """
    _, xp, ready = _prepare("log_sum_exp", x, axis)
    return xp.astype(attached(xp, log_sum_exp_of, ready), x.dtype)


@_refusing
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


@_refusing
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


@_refusing
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

    See Also
    --------
    log_sigmoid, sigmoid

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.softplus(np.asarray([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return _elementwise("softplus", x, softplus_of)


@_refusing
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

    See Also
    --------
    softplus, sigmoid

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.log_sigmoid(np.asarray([-1000.0, 1000.0]))
    array([-1000.,     0.])
    """
    return _elementwise("log_sigmoid", x, log_sigmoid_of)


@_refusing
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

    See Also
    --------
    log_sigmoid, softplus

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.sigmoid(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    return _elementwise("sigmoid", x, sigmoid_of)


@_refusing
def smooth_labels(
    labels: Array, alpha: float | Array, *, axis: int | tuple[int, ...] = -1, where: Array | None = None
) -> Array:
    r"""Labels that are less sure: a part of their mass is spread over all classes.

    .. math:: \operatorname{smooth\_labels}(q)_c = (1 - \alpha)\, q_c + \frac{\alpha}{K}

    Parameters
    ----------
    labels : array of shape (..., C)
        Real floating, of any framework: one-hot rows, or probabilities.
    alpha : float or array without axes
        :math:`\alpha`, in [0, 1].
    axis : int or tuple of int
        The axis of the classes, or several that have these together.
    where : boolean array of the shape of `labels`, optional
        Which classes there are: `K` counts these, and others have 0.

    Returns
    -------
    array
        Of the shape of `labels`. Half precision is computed in float32.

    See Also
    --------
    cross_entropy : has `label_smoothing` for class ids and probabilities, and so have others.

    Notes
    -----
    All built-ins spread :math:`\alpha` over all classes, the right one too. optax's ``smooth_labels`` gives a share to
    the classes that `where` leaves out, too.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> labels = np.eye(4)[[0, 2]]
    >>> polyloss.smooth_labels(labels, 0.5)
    array([[0.625, 0.125, 0.125, 0.125],
           [0.125, 0.125, 0.625, 0.125]])
    >>> polyloss.smooth_labels(labels, 0.5, where=np.asarray([[True, True, False, False], [True, True, True, True]]))
    array([[0.75 , 0.25 , 0.   , 0.   ],
           [0.125, 0.125, 0.625, 0.125]])
    """
    name = "smooth_labels"
    backend, xp, ready = _prepare(name, labels, called="labels", unless="; of class ids make one-hot rows before")
    axes = [checks.axis_of(name, one, ready.ndim) for one in (axis if isinstance(axis, tuple) else (axis,))]
    if not axes or len(set(axes)) < len(axes):
        raise ValueError(f"{name}: axis must name one axis or more, each once, got {axis!r}")
    for one in axes:
        checks.has_entries(name, "labels", tuple(ready.shape), one)
    share = _unit(backend, xp, name, alpha, ready)
    if where is None:
        count = math.prod([backend.length(ready, one, ready.dtype) for one in axes])
        return xp.astype((1.0 - share) * ready + share / count, labels.dtype)
    where = unwrapped(where)
    checks.common_backend(name, {"labels": ready, "where": where})
    checks.boolean(name, "where", xp, where)
    checks.shape_is(name, "where", tuple(where.shape), tuple(ready.shape), "the shape of labels,")
    count = xp.sum(xp.astype(where, ready.dtype), axis=tuple(axes), keepdims=True)
    smoothed = (1.0 - share) * ready + share / xp.maximum(count, 1.0)
    return xp.astype(xp.where(where, smoothed, 0.0), labels.dtype)


def _unit(backend: Backend, xp: Namespace, name: str, alpha: Any, like: Array) -> Any:
    """A number in [0, 1], or an array without axes; NaN where it is outside and cannot be looked at."""
    alpha = unwrapped(alpha)
    if find_backend(type(alpha)) is None or not hasattr(alpha, "shape"):
        checks.real_number(name, "alpha", alpha)
        if not UNIT.holds(alpha):
            raise ValueError(f"{name}: alpha must be {UNIT}, got {alpha!r}")
        return float(alpha)
    checks.common_backend(name, {"labels": like, "alpha": alpha})
    alpha = xp.astype(backend.asarray(alpha, like), like.dtype)
    if alpha.ndim:
        raise ValueError(f"{name}: alpha must be one number, got shape {tuple(alpha.shape)}")
    if not backend.readable(alpha):
        return xp.where(UNIT.refuses(xp, alpha), xp.full_like(alpha, math.nan), alpha)
    if not UNIT.holds(float(backend.look(alpha))):
        raise ValueError(f"{name}: alpha must be {UNIT}, got {float(backend.look(alpha))!r}")
    return alpha


def _log_shares(backend: Backend, xp: Namespace, x: Array) -> Array:
    """The log-softmax along the last axis.

    Differentiated through the distances to the entry with the majority, its gradient does not cancel.
    """
    row = softmax_of(xp, stop_gradient(x))
    majority, limit = has_majority(xp, row), float(xp.finfo(x.dtype).max)
    capped = xp.clip(x, None, limit)
    largest = xp.clip(stop_gradient(xp.max(x, axis=-1, keepdims=True)), -limit, limit)
    origin = xp.sum(xp.where(majority, capped, 0.0), axis=-1, keepdims=True) + xp.where(row.total < 2, 0.0, largest)
    distance = capped - origin
    distance = xp.where(row.shift == 0, distance, distance - row.infinity)
    distance = xp.where(majority, 0.0, distance)
    return distance - attached(xp, log_share_of, x)[..., None]


def _prepare(
    name: str, x: Any, axis: int | None = None, *, called: str = "x", unless: str = ""
) -> tuple[Backend, Namespace, Array]:
    """The backend, its namespace, and `x` as it is computed with: `axis` last, halves in float32."""
    x = unwrapped(x)
    if find_backend(type(x)) is None:
        raise TypeError(f"{name}: {called} must be an array, got {checks.describe(x)}")
    backend = checks.common_backend(name, {called: x})
    x = backend.asarray(x, None)
    xp = backend.namespace(x)
    checks.real_floating(name, called, xp, x, unless=unless)
    if axis is not None:
        last = checks.axis_of(name, axis, x.ndim)
        checks.has_entries(name, "x", tuple(x.shape), last)
        x = xp.moveaxis(x, last, -1)
    return backend, xp, xp.astype(x, xp.float32) if checks.is_half(x.dtype) else x


def _elementwise(name: str, x: Array, kernel: Callable[[Namespace, Array], KernelResult]) -> Array:
    _, xp, ready = _prepare(name, x)
    return xp.astype(attached(xp, kernel, ready), x.dtype)
