"""The functions of `keras.losses`: same names, same parameters, on the arrays of any framework.

Mind the order: `y_true` comes first, and classification takes probabilities unless `from_logits` says otherwise.
A target without the last axis of length 1 of the prediction, or with one more, is given the same axes, as there.
What differs on purpose, because the built-in is wrong there: probabilities are not clipped, logits never take a
detour through probabilities, labels are not converted by what else is in the batch, and class ids out of range are
refused.
"""

from typing import Any

import polyloss
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.domains import NONNEGATIVE, UNIT, Domain
from polyloss.core.dtypes import cast
from polyloss.core.loss import Loss
from polyloss.core.typing import Array

from ._common import as_probabilities, namespace, of_arrays, only, widened

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


@of_arrays(loss="mse")
def mean_squared_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.mse`, averaged over the last axis."""
    return _averaged(polyloss.mse, y_true, y_pred)


@of_arrays(loss="l1")
def mean_absolute_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.l1`, averaged over the last axis."""
    return _averaged(polyloss.l1, y_true, y_pred)


@of_arrays(loss="huber")
def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Array:
    """`polyloss.huber`, averaged over the last axis."""
    return _averaged(polyloss.huber, y_true, y_pred, delta=delta)


@of_arrays(loss="log_cosh")
def log_cosh(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.log_cosh`, averaged over the last axis."""
    return _averaged(polyloss.log_cosh, y_true, y_pred)


@of_arrays(loss="hinge")
def hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.hinge`, averaged over the last axis. Labels are -1 and 1."""
    return _averaged(polyloss.hinge, y_true, y_pred)


@of_arrays(loss="squared_hinge")
def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.squared_hinge`, averaged over the last axis. Labels are -1 and 1."""
    return _averaged(polyloss.squared_hinge, y_true, y_pred)


@of_arrays(loss="binary_cross_entropy")
def binary_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.binary_cross_entropy`, or that of logits, averaged over `axis`."""
    loss = "binary_crossentropy"
    label_smoothing = _parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    if from_logits:
        return _averaged(
            polyloss.binary_cross_entropy_with_logits, y_true, y_pred, axis=axis, label_smoothing=label_smoothing
        )
    y_true = _smoothed(as_probabilities(y_true, y_pred), label_smoothing, 2)
    return _averaged(polyloss.binary_cross_entropy, y_true, y_pred, axis=axis)


@of_arrays(loss="cross_entropy")
def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.cross_entropy`, or `polyloss.nll` of normalised probabilities; one value per row."""
    loss = "categorical_crossentropy"
    axis = checks.axis_of(loss, axis, y_pred.ndim)
    label_smoothing = _parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = as_probabilities(y_true, y_pred)
    if from_logits:
        return polyloss.cross_entropy(y_pred, y_true, axis=axis, label_smoothing=label_smoothing, reduction="none")
    _same_axes(loss, y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        xp = namespace(y_pred)
        y_true = _smoothed(y_true, label_smoothing, _classes(y_true, axis))
        losses = polyloss.nll(_log(y_pred, y_true != 0), y_true, axis=axis, reduction="none")
        return losses + xp.sum(y_true, axis=axis) * xp.log(xp.sum(y_pred, axis=axis))

    return widened(of_probabilities, y_pred, y_true)


@of_arrays(loss="cross_entropy", ids="y_true")
def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """`polyloss.cross_entropy` of class ids, or `polyloss.nll` of normalised probabilities; one value per row.

    Class ids may be whole numbers in floating point, as `fit` hands them over.
    """
    loss = "sparse_categorical_crossentropy"
    axis = checks.axis_of(loss, axis, y_pred.ndim)
    ids = _class_ids(loss, y_true, y_pred)
    if ids.ndim == y_pred.ndim and ids.shape[axis] == 1:
        ids = namespace(ids).squeeze(ids, axis=axis)
    if from_logits:
        return polyloss.cross_entropy(y_pred, ids, axis=axis, ignore_index=ignore_class, reduction="none")
    if ids.ndim != y_pred.ndim - 1:
        checks.shape_is(loss, "y_true", tuple(ids.shape), _rows(y_pred, axis), "class ids, one per row, shape")

    def of_probabilities(y_pred: Array) -> Array:
        # nll picks the class of each row, and checks that it exists.
        xp = namespace(y_pred)
        counts = xp.ones_like(ids, dtype=xp.bool) if ignore_class is None else ids != _like(ignore_class, ids)
        classes = xp.arange(_classes(y_pred, axis), dtype=ids.dtype)
        classes = xp.moveaxis(xp.reshape(classes, (-1, *(1,) * (y_pred.ndim - 1))), 0, axis)
        chosen = (xp.expand_dims(ids, axis=axis) == classes) & xp.expand_dims(counts, axis=axis)
        losses = polyloss.nll(_log(y_pred, chosen), ids, axis=axis, ignore_index=ignore_class, reduction="none")
        return losses + xp.log(xp.where(counts, xp.sum(y_pred, axis=axis), 1.0))

    return widened(of_probabilities, y_pred)


@of_arrays(loss="kl_divergence")
def kl_divergence(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.kl_divergence` of probabilities along the last axis."""
    y_true = as_probabilities(y_true, y_pred)
    _same_axes("kl_divergence", y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        return polyloss.kl_divergence(_log(y_pred, y_true != 0), y_true, reduction="none")

    return widened(of_probabilities, y_pred, y_true)


@of_arrays(loss="sigmoid_focal")
def binary_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """`polyloss.sigmoid_focal`, averaged over `axis`. `alpha` counts only with `apply_class_balancing`."""
    loss = "binary_focal_crossentropy"
    alpha = _parameter(loss, "alpha", alpha, UNIT, y_pred)
    gamma = _parameter(loss, "gamma", gamma, NONNEGATIVE, y_pred)
    label_smoothing = _parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = _smoothed(as_probabilities(y_true, y_pred), label_smoothing, 2)
    if from_logits:
        balance = alpha if apply_class_balancing else None
        return _averaged(polyloss.sigmoid_focal, y_true, y_pred, axis=axis, alpha=balance, gamma=gamma)
    y_true, y_pred = _same_rank(y_true, y_pred)
    axis = checks.axis_of(loss, axis, y_pred.ndim)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        losses = polyloss.binary_cross_entropy(y_pred, y_true, reduction="none")
        losses = _power(y_true + y_pred * (1 - 2 * y_true), gamma) * losses
        if apply_class_balancing:
            losses = (y_true * alpha + (1 - y_true) * (1 - alpha)) * losses
        return namespace(losses).mean(losses, axis=axis)

    return widened(of_probabilities, y_pred, y_true)


@of_arrays(loss="softmax_focal")
def categorical_focal_crossentropy(
    y_true: Array,
    y_pred: Array,
    alpha: Array | float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """`polyloss.softmax_focal`, one value per row. `alpha` multiplies every class, or is one number per class."""
    loss = "categorical_focal_crossentropy"
    axis = checks.axis_of(loss, axis, y_pred.ndim)
    alpha = _parameter(loss, "alpha", alpha, NONNEGATIVE, y_pred)
    gamma = _parameter(loss, "gamma", gamma, NONNEGATIVE, y_pred)
    label_smoothing = _parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = as_probabilities(y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, _classes(y_true, axis))
    if from_logits:
        return polyloss.softmax_focal(y_pred, y_true, axis=axis, alpha=alpha, gamma=gamma, reduction="none")
    _same_axes(loss, y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        xp = namespace(y_pred)
        y_pred = y_pred / xp.sum(y_pred, axis=axis, keepdims=True)
        losses = -_power(1 - y_pred, gamma) * _log(y_pred, y_true != 0) * y_true
        # One number per class belongs to the axis of the classes.
        return xp.sum(xp.moveaxis(losses, axis, -1) * alpha, axis=-1)

    return widened(of_probabilities, y_pred, y_true)


def _averaged(loss: Loss[Any], y_true: Array, y_pred: Array, *, axis: int = -1, **parameters: Any) -> Array:
    y_true, y_pred = _same_rank(y_true, y_pred)
    axis = checks.axis_of(loss.__name__, axis, y_pred.ndim)

    def averaged(y_pred: Array, y_true: Array) -> Array:
        return namespace(y_pred).mean(loss(y_pred, y_true, reduction="none", **parameters), axis=axis)

    return widened(averaged, y_pred, y_true)


def _same_rank(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
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


def _same_axes(loss: str, y_true: Array, y_pred: Array) -> None:
    checks.shape_is(loss, "y_true", tuple(y_true.shape), tuple(y_pred.shape), "the shape of y_pred,")


def _rows(array: Array, axis: int) -> checks.Shape:
    return tuple(array.shape[:axis]) + tuple(array.shape[axis + 1 :])


def _classes(array: Array, axis: int) -> Any:
    """How many classes there are: a number, or an array where that is unknown while tracing."""
    return backend_of(array).length(array, axis, array.dtype)


def _like(value: Any, array: Array) -> Any:
    """A number or an array, comparable with `array`."""
    return cast(namespace(array), backend_of(array).asarray(value, array), array.dtype)


def _class_ids(loss: str, y_true: Any, y_pred: Array) -> Array:
    """Class ids as integers that nothing wraps in. Where a fraction could not be looked at, an id that no class has."""
    if isinstance(y_true, bool | float):
        raise TypeError(f"{loss}: y_true must be class ids, got {y_true!r}")
    backend = checks.common_backend(loss, {"y_true": y_true, "y_pred": y_pred})
    xp = backend.namespace(y_pred)
    y_true = backend.asarray(y_true, y_pred, xp.int32)
    checks.real(loss, "y_true", xp, y_true)
    if checks.is_integer(xp, y_true):
        return checks.wide_ids(xp, y_true)
    if checks.is_kind(xp, y_true, "bool"):
        raise TypeError(f"{loss}: y_true must be class ids, got {checks.describe(y_true)}")
    whole = (xp.floor(y_true) == y_true) & (xp.abs(y_true) < 2.0**31)
    if backend.readable(y_true):
        checks.none_outside(loss, "y_true", xp, y_true, ~whole, "class ids: whole numbers")
    ids = xp.astype(xp.where(whole, y_true, xp.zeros_like(y_true)), xp.int32)
    return xp.where(whole, ids, xp.full_like(ids, -(2**31)))


def _parameter(loss: str, name: str, value: Any, domain: Domain, like: Array) -> Any:
    """A parameter as a number or as an array; a list is an array."""
    if isinstance(value, list | tuple):
        xp = namespace(like)
        value = xp.asarray(value, dtype=like.dtype, device=getattr(like, "device", None) or None)
    if not hasattr(value, "shape"):
        checks.number_in(loss, name, value, domain)
        return value
    return only(loss, name, _like(value, like), domain)


def _smoothed(y_true: Array, label_smoothing: Array | float, classes: Any) -> Array:
    if isinstance(label_smoothing, int | float) and not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes


def _log(probabilities: Array, needed: Array) -> Array:
    """The logarithm, -inf with its infinite gradient at 0; there, where it is not `needed`, 0 without a gradient."""
    xp = namespace(probabilities)
    needed = needed | (probabilities > xp.finfo(probabilities.dtype).smallest_normal)
    return -polyloss.binary_cross_entropy(probabilities, xp.ones_like(probabilities), where=needed, reduction="none")


def _power(base: Array, exponent: Array | float) -> Array:
    """A power with a finite derivative at 0."""
    xp = namespace(base)
    positive = base > 0
    at_zero = xp.astype(exponent == 0, base.dtype) if hasattr(exponent, "shape") else 0.0 if exponent else 1.0
    return xp.where(positive, xp.where(positive, base, 1.0) ** exponent, at_zero)
