"""The losses of `keras.losses` of one class of many."""

from typing import Any

import polyloss
from polyloss.compat._common import as_probabilities, namespace, nll, of_arrays, widened
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.domains import NONNEGATIVE, UNIT, Domain
from polyloss.core.entries import positions
from polyloss.core.typing import Array

from ._common import comparable, log, parameter, power, same_axes, smoothed

__all__ = [
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "sparse_categorical_crossentropy",
]


@of_arrays(loss="cross_entropy")
def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.cross_entropy`, or `polyloss.nll` of normalised probabilities; one value per row."""
    loss = "categorical_crossentropy"
    axis = checks.axis_of(loss, axis, y_pred.ndim)
    label_smoothing = parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = as_probabilities(y_true, y_pred)
    if from_logits:
        return polyloss.cross_entropy(y_pred, y_true, axis=axis, label_smoothing=label_smoothing, reduction="none")
    same_axes(loss, y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        xp = namespace(y_pred)
        y_true = smoothed(y_true, label_smoothing, _classes(y_true, axis))
        losses = polyloss.nll(log(y_pred, y_true != 0), y_true, axis=axis, reduction="none")
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
    ids = class_ids(loss, y_true, y_pred)
    if ids.ndim == y_pred.ndim and ids.shape[axis] == 1:
        ids = namespace(ids).squeeze(ids, axis=axis)
    if from_logits:
        return polyloss.cross_entropy(y_pred, ids, axis=axis, ignore_index=ignore_class, reduction="none")
    if ids.ndim != y_pred.ndim - 1:
        checks.shape_is(loss, "y_true", tuple(ids.shape), _rows(y_pred, axis), "class ids, one per row, shape")

    def of_probabilities(y_pred: Array) -> Array:
        # nll picks the class of each row, and checks that it exists.
        xp = namespace(y_pred)
        counts = xp.ones_like(ids, dtype=xp.bool) if ignore_class is None else ids != comparable(ignore_class, ids)
        classes = positions(xp, y_pred, axis, ids.dtype)
        classes = xp.moveaxis(xp.reshape(classes, (-1, *(1,) * (y_pred.ndim - 1))), 0, axis)
        chosen = (xp.expand_dims(ids, axis=axis) == classes) & xp.expand_dims(counts, axis=axis)
        losses = polyloss.nll(log(y_pred, chosen), ids, axis=axis, ignore_index=ignore_class, reduction="none")
        return losses + xp.log(xp.where(counts, xp.sum(y_pred, axis=axis), 1.0))

    return widened(of_probabilities, y_pred)


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
    alpha = parameter(loss, "alpha", alpha, NONNEGATIVE, y_pred)
    gamma = parameter(loss, "gamma", gamma, NONNEGATIVE, y_pred)
    label_smoothing = parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = as_probabilities(y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing, _classes(y_true, axis))
    if from_logits:
        return polyloss.softmax_focal(y_pred, y_true, axis=axis, alpha=alpha, gamma=gamma, reduction="none")
    same_axes(loss, y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        xp = namespace(y_pred)
        y_pred = y_pred / xp.sum(y_pred, axis=axis, keepdims=True)
        losses = -power(1 - y_pred, gamma) * log(y_pred, y_true != 0) * y_true
        # One number per class belongs to the axis of the classes.
        return xp.sum(xp.moveaxis(losses, axis, -1) * alpha, axis=-1)

    return widened(of_probabilities, y_pred, y_true)


@of_arrays(loss="generalized_cross_entropy", ids="y_true", numbers=["q"])
def categorical_generalized_cross_entropy(y_true: Array, y_pred: Array, q: float) -> Array:
    """`polyloss.generalized_cross_entropy` of class ids and probabilities, which are taken as they are.

    The gradient at a probability of 0, where the slope is infinite, is 0. Class ids may be in a column.
    """
    loss = "categorical_generalized_cross_entropy"
    q = parameter(loss, "q", q, Domain(low=0, high=1, open_low=True), y_pred)
    ids = class_ids(loss, y_true, y_pred)
    if ids.ndim == y_pred.ndim and ids.shape[-1] == 1:
        ids = namespace(ids).squeeze(ids, axis=-1)

    def of_probabilities(y_pred: Array) -> Array:
        # nll picks the class of each row, and checks that it exists.
        xp, p = namespace(y_pred), nll(-y_pred, ids, reduction="none")
        log = xp.log(xp.where(p == 0, 1.0, p)) * q
        # Far out the derivative of expm1 has no digits, near 0 the difference has none.
        power_minus_1 = xp.where(log > -1.0, xp.expm1(log), xp.exp(log) - 1.0)
        return -xp.where(p == 0, -1.0, power_minus_1) / q

    return widened(of_probabilities, y_pred)


def _rows(array: Array, axis: int) -> checks.Shape:
    return tuple(array.shape[:axis]) + tuple(array.shape[axis + 1 :])


def _classes(array: Array, axis: int) -> Any:
    """How many classes there are: a number, or an array where that is unknown while tracing."""
    return backend_of(array).length(array, axis, array.dtype)


def class_ids(loss: str, y_true: Any, y_pred: Array, name: str = "y_true") -> Array:
    """Class ids as integers that nothing wraps in. Where a fraction could not be looked at, an id that no class has."""
    if isinstance(y_true, bool | float):
        raise TypeError(f"{loss}: {name} must be class ids, got {y_true!r}")
    backend = checks.common_backend(loss, {name: y_true, "y_pred": y_pred})
    xp = backend.namespace(y_pred)
    y_true = backend.asarray(y_true, y_pred, xp.int32)
    checks.real(loss, name, xp, y_true)
    if checks.is_integer(xp, y_true):
        return checks.wide_ids(xp, y_true)
    if checks.is_kind(xp, y_true, "bool"):
        raise TypeError(f"{loss}: {name} must be class ids, got {checks.describe(y_true)}")
    whole = (xp.floor(y_true) == y_true) & (xp.abs(y_true) < 2.0**31)
    if backend.readable(y_true):
        checks.none_outside(loss, name, xp, y_true, ~whole, "class ids: whole numbers")
    ids = xp.astype(xp.where(whole, y_true, xp.zeros_like(y_true)), xp.int32)
    return xp.where(whole, ids, xp.full_like(ids, -(2**31)))
