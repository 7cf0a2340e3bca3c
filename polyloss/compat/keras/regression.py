"""The losses of `keras.losses` of a prediction and its target."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

from ._common import averaged

__all__ = [
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_squared_error",
]


@of_arrays(loss="mse")
def mean_squared_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.mse`, averaged over the last axis."""
    return averaged(polyloss.mse, y_true, y_pred)


@of_arrays(loss="l1")
def mean_absolute_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.l1`, averaged over the last axis."""
    return averaged(polyloss.l1, y_true, y_pred)


@of_arrays(loss="huber")
def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Array:
    """`polyloss.huber`, averaged over the last axis."""
    return averaged(polyloss.huber, y_true, y_pred, delta=delta)


@of_arrays(loss="log_cosh")
def log_cosh(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.log_cosh`, averaged over the last axis."""
    return averaged(polyloss.log_cosh, y_true, y_pred)
