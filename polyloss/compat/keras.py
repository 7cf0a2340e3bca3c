"""The functions of `keras.losses`: same names, same parameters, on the arrays of any framework.

Mind the order: `y_true` comes first, and classification takes probabilities unless `from_logits` says otherwise.
What differs on purpose, because the built-in is wrong there: probabilities are not clipped, logits never take a
detour through probabilities, labels are not converted by what else is in the batch, and class ids out of range are
refused.
"""

from typing import Any

import polyloss
from polyloss import _checks as checks
from polyloss._checks import NONNEGATIVE, UNIT
from polyloss._loss import Loss
from polyloss._typing import Array

from ._common import as_probabilities, namespace, widened

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


def mean_squared_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.mse`, averaged over the last axis."""
    return _averaged(polyloss.mse, y_true, y_pred)


def mean_absolute_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.l1`, averaged over the last axis."""
    return _averaged(polyloss.l1, y_true, y_pred)


def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Array:
    """`polyloss.huber`, averaged over the last axis."""
    return _averaged(polyloss.huber, y_true, y_pred, delta=delta)


def log_cosh(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.log_cosh`, averaged over the last axis."""
    return _averaged(polyloss.log_cosh, y_true, y_pred)


def hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.hinge`, averaged over the last axis. Labels are -1 and 1."""
    return _averaged(polyloss.hinge, y_true, y_pred)


def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.squared_hinge`, averaged over the last axis. Labels are -1 and 1."""
    return _averaged(polyloss.squared_hinge, y_true, y_pred)


def binary_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.binary_cross_entropy`, or that of logits, averaged over `axis`."""
    if from_logits:
        return _averaged(
            polyloss.binary_cross_entropy_with_logits, y_true, y_pred, axis=axis, label_smoothing=label_smoothing
        )
    y_true = _smoothed("binary_crossentropy", as_probabilities(y_true, y_pred), label_smoothing, 2)
    return _averaged(polyloss.binary_cross_entropy, y_true, y_pred, axis=axis)


def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.cross_entropy`, or `polyloss.nll` of normalised probabilities; one value per row."""
    y_true = as_probabilities(y_true, y_pred)
    if from_logits:
        return polyloss.cross_entropy(y_pred, y_true, axis=axis, label_smoothing=label_smoothing, reduction="none")

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        xp = namespace(y_pred)
        y_true = _smoothed("categorical_crossentropy", y_true, label_smoothing, y_true.shape[axis])
        losses = polyloss.nll(_log(y_pred, y_true != 0), y_true, axis=axis, reduction="none")
        return losses + xp.sum(y_true, axis=axis) * xp.log(xp.sum(y_pred, axis=axis))

    return widened(of_probabilities, y_pred, y_true)


def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """`polyloss.cross_entropy` of class ids, or `polyloss.nll` of normalised probabilities; one value per row."""
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = namespace(y_true).squeeze(y_true, axis=axis)
    if from_logits:
        return polyloss.cross_entropy(y_pred, y_true, axis=axis, ignore_index=ignore_class, reduction="none")

    def of_probabilities(y_pred: Array) -> Array:
        # nll picks the class of each row, and checks that it exists.
        xp = namespace(y_pred)
        counts = xp.ones_like(y_true, dtype=xp.bool) if ignore_class is None else y_true != ignore_class
        classes = xp.arange(y_pred.shape[axis], dtype=y_true.dtype)
        classes = xp.moveaxis(xp.reshape(classes, (-1, *(1,) * (y_pred.ndim - 1))), 0, axis)
        chosen = (xp.expand_dims(y_true, axis=axis) == classes) & xp.expand_dims(counts, axis=axis)
        losses = polyloss.nll(_log(y_pred, chosen), y_true, axis=axis, ignore_index=ignore_class, reduction="none")
        return losses + xp.log(xp.where(counts, xp.sum(y_pred, axis=axis), 1.0))

    return widened(of_probabilities, y_pred)


def kl_divergence(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.kl_divergence` of probabilities along the last axis."""

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        return polyloss.kl_divergence(_log(y_pred, y_true != 0), y_true, reduction="none")

    return widened(of_probabilities, y_pred, as_probabilities(y_true, y_pred))


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
    checks.number_in(loss, "alpha", alpha, UNIT)
    checks.number_in(loss, "gamma", gamma, NONNEGATIVE)
    y_true = _smoothed(loss, as_probabilities(y_true, y_pred), label_smoothing, 2)
    if from_logits:
        balance = alpha if apply_class_balancing else None
        return _averaged(polyloss.sigmoid_focal, y_true, y_pred, axis=axis, alpha=balance, gamma=gamma)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        losses = polyloss.binary_cross_entropy(y_pred, y_true, reduction="none")
        losses = _power(y_true + y_pred * (1 - 2 * y_true), gamma) * losses
        if apply_class_balancing:
            losses = (y_true * alpha + (1 - y_true) * (1 - alpha)) * losses
        return namespace(losses).mean(losses, axis=axis)

    return widened(of_probabilities, y_pred, y_true)


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
    checks.number_in(loss, "gamma", gamma, NONNEGATIVE)
    y_true = _smoothed(loss, as_probabilities(y_true, y_pred), label_smoothing, y_true.shape[axis])
    if from_logits:
        return polyloss.softmax_focal(y_pred, y_true, axis=axis, alpha=alpha, gamma=gamma, reduction="none")

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        y_pred = _normalised(y_pred, axis)
        losses = -_power(1 - y_pred, gamma) * _log(y_pred, y_true != 0) * y_true * alpha
        return namespace(losses).sum(losses, axis=axis)

    return widened(of_probabilities, y_pred, y_true)


def _averaged(loss: Loss[Any], y_true: Array, y_pred: Array, *, axis: int = -1, **parameters: Any) -> Array:
    def averaged(y_pred: Array, y_true: Array) -> Array:
        return namespace(y_pred).mean(loss(y_pred, y_true, reduction="none", **parameters), axis=axis)

    return widened(averaged, y_pred, y_true)


def _smoothed(loss: str, y_true: Array, label_smoothing: float, classes: int) -> Array:
    checks.number_in(loss, "label_smoothing", label_smoothing, UNIT)
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


def _normalised(probabilities: Array, axis: int) -> Array:
    return probabilities / namespace(probabilities).sum(probabilities, axis=axis, keepdims=True)


def _log(probabilities: Array, needed: Array) -> Array:
    """The logarithm, -inf with its infinite gradient at 0; there, where it is not `needed`, 0 without a gradient."""
    xp = namespace(probabilities)
    needed = needed | (probabilities > xp.finfo(probabilities.dtype).smallest_normal)
    return -polyloss.binary_cross_entropy(probabilities, xp.ones_like(probabilities), where=needed, reduction="none")


def _power(base: Array, exponent: float) -> Array:
    """A power with a finite derivative at 0."""
    xp = namespace(base)
    positive = base > 0
    return xp.where(positive, xp.where(positive, base, 1.0) ** exponent, 0.0 if exponent else 1.0)
