"""The losses of `keras.losses` of two classes, or of labels that are each true or not."""

import polyloss
from polyloss.compat._common import as_probabilities, namespace, of_arrays, widened
from polyloss.core import checks
from polyloss.core.domains import NONNEGATIVE, UNIT
from polyloss.core.typing import Array

from ._common import averaged, parameter, power, same_rank, smoothed

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
]


@of_arrays(loss="binary_cross_entropy")
def binary_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """`polyloss.binary_cross_entropy`, or that of logits, averaged over `axis`."""
    loss = "binary_crossentropy"
    label_smoothing = parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    if from_logits:
        return averaged(
            polyloss.binary_cross_entropy_with_logits, y_true, y_pred, axis=axis, label_smoothing=label_smoothing
        )
    y_true = smoothed(as_probabilities(y_true, y_pred), label_smoothing, 2)
    return averaged(polyloss.binary_cross_entropy, y_true, y_pred, axis=axis)


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
    alpha = parameter(loss, "alpha", alpha, UNIT, y_pred)
    gamma = parameter(loss, "gamma", gamma, NONNEGATIVE, y_pred)
    label_smoothing = parameter(loss, "label_smoothing", label_smoothing, UNIT, y_pred)
    y_true = smoothed(as_probabilities(y_true, y_pred), label_smoothing, 2)
    if from_logits:
        balance = alpha if apply_class_balancing else None
        return averaged(polyloss.sigmoid_focal, y_true, y_pred, axis=axis, alpha=balance, gamma=gamma)
    y_true, y_pred = same_rank(y_true, y_pred)
    axis = checks.axis_of(loss, axis, y_pred.ndim)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        losses = polyloss.binary_cross_entropy(y_pred, y_true, reduction="none")
        losses = power(y_true + y_pred * (1 - 2 * y_true), gamma) * losses
        if apply_class_balancing:
            losses = (y_true * alpha + (1 - y_true) * (1 - alpha)) * losses
        return namespace(losses).mean(losses, axis=axis)

    return widened(of_probabilities, y_pred, y_true)
