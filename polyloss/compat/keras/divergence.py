"""The losses of `keras.losses` of two distributions."""

import polyloss
from polyloss.compat._common import as_probabilities, of_arrays, widened
from polyloss.core.typing import Array

from ._common import log, same_axes

__all__ = [
    "kl_divergence",
]


@of_arrays(loss="kl_divergence")
def kl_divergence(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.kl_divergence` of probabilities along the last axis."""
    y_true = as_probabilities(y_true, y_pred)
    same_axes("kl_divergence", y_true, y_pred)

    def of_probabilities(y_pred: Array, y_true: Array) -> Array:
        return polyloss.kl_divergence(log(y_pred, y_true != 0), y_true, reduction="none")

    return widened(of_probabilities, y_pred, y_true)
