"""What the translations of `keras.losses` share."""

from typing import Any

import polyloss
from polyloss.compat._common import namespace, only, widened
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.domains import Domain
from polyloss.core.dtypes import cast
from polyloss.core.loss import Loss
from polyloss.core.typing import Array


def averaged(loss: Loss[Any], y_true: Array, y_pred: Array, *, axis: int = -1, **parameters: Any) -> Array:
    """A loss of elements, averaged over an axis."""
    y_true, y_pred = same_rank(y_true, y_pred)
    axis = checks.axis_of(loss.__name__, axis, y_pred.ndim)

    def mean(y_pred: Array, y_true: Array) -> Array:
        return namespace(y_pred).mean(loss(y_pred, y_true, reduction="none", **parameters), axis=axis)

    return widened(mean, y_pred, y_true)


def same_rank(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    """Both with as many axes, where one has a last axis of length 1 more: a vector gets it, other arrays lose it."""
    if abs(y_true.ndim - y_pred.ndim) != 1 or min(y_true.ndim, y_pred.ndim) < 1:
        return y_true, y_pred
    short, long = sorted((y_true, y_pred), key=lambda array: array.ndim)
    if long.shape[-1] != 1:
        return y_true, y_pred
    if short.ndim == 1:
        short = namespace(short).expand_dims(short, axis=-1)
    else:
        long = namespace(long).squeeze(long, axis=-1)
    return (short, long) if y_true.ndim < y_pred.ndim else (long, short)


def same_axes(loss: str, y_true: Array, y_pred: Array) -> None:
    checks.shape_is(loss, "y_true", tuple(y_true.shape), tuple(y_pred.shape), "the shape of y_pred,")


def comparable(value: Any, array: Array) -> Any:
    """A number or an array, comparable with `array`."""
    return cast(namespace(array), backend_of(array).asarray(value, array), array.dtype)


def parameter(loss: str, name: str, value: Any, domain: Domain, like: Array) -> Any:
    """A parameter as a number or as an array; a list is an array."""
    if isinstance(value, list | tuple):
        xp = namespace(like)
        value = xp.asarray(value, dtype=like.dtype, device=getattr(like, "device", None) or None)
    if not hasattr(value, "shape"):
        checks.number_in(loss, name, value, domain)
        return value
    return only(loss, name, comparable(value, like), domain)


def smoothed(y_true: Array, label_smoothing: Array | float, classes: Any) -> Array:
    if isinstance(label_smoothing, int | float) and not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes


def log(probabilities: Array, needed: Array) -> Array:
    """The logarithm, -inf with its infinite gradient at 0; there, where it is not `needed`, 0 without a gradient."""
    xp = namespace(probabilities)
    needed = needed | (probabilities > xp.finfo(probabilities.dtype).smallest_normal)
    return -polyloss.binary_cross_entropy(probabilities, xp.ones_like(probabilities), where=needed, reduction="none")


def power(base: Array, exponent: Array | float) -> Array:
    """A power with a finite derivative at 0."""
    xp = namespace(base)
    positive = base > 0
    at_zero = xp.astype(exponent == 0, base.dtype) if hasattr(exponent, "shape") else 0.0 if exponent else 1.0
    return xp.where(positive, xp.where(positive, base, 1.0) ** exponent, at_zero)
