"""The losses of `keras.losses` of a prediction and its target."""

import polyloss
from polyloss.compat._common import as_probabilities, namespace, of_arrays
from polyloss.core.typing import Array

from ._common import averaged

__all__ = [
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
]

EPSILON = 1e-7
"""What `keras.config.epsilon` is, unless somebody sets it."""


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


@of_arrays(loss="mape")
def mean_absolute_percentage_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.mape`, averaged over the last axis. A target closer to 0 than 1e-7 counts as 1e-7 in the divisor."""
    return averaged(polyloss.mape, y_true, y_pred, floor=EPSILON)


@of_arrays(loss="msle")
def mean_squared_logarithmic_error(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.msle`, averaged over the last axis. What is below 1e-7 is replaced by that."""
    y_true = as_probabilities(y_true, y_pred)
    xp = namespace(y_pred)
    return averaged(polyloss.msle, *(xp.where(y < EPSILON, EPSILON, y) for y in (y_true, y_pred)))
