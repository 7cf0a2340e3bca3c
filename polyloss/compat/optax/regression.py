"""The losses of `optax.losses` of a prediction and its target."""

import polyloss
from polyloss.compat._common import namespace, of_arrays
from polyloss.core.typing import Array

__all__ = [
    "huber_loss",
    "l2_loss",
    "log_cosh",
    "squared_error",
]


@of_arrays(loss="mse")
def squared_error(predictions: Array, targets: Array | None = None) -> Array:
    """`polyloss.mse` of every element."""
    return polyloss.mse(predictions, _or_zeros(targets, predictions), reduction="none")


@of_arrays(loss="mse")
def l2_loss(predictions: Array, targets: Array | None = None) -> Array:
    """Half of `polyloss.mse` of every element."""
    return 0.5 * polyloss.mse(predictions, _or_zeros(targets, predictions), reduction="none")


@of_arrays(loss="huber")
def huber_loss(predictions: Array, targets: Array | None = None, *, delta: Array | float = 1.0) -> Array:
    """`polyloss.huber` of every element."""
    return polyloss.huber(predictions, _or_zeros(targets, predictions), delta=delta, reduction="none")


@of_arrays(loss="log_cosh")
def log_cosh(predictions: Array, targets: Array | None = None) -> Array:
    """`polyloss.log_cosh` of every element."""
    return polyloss.log_cosh(predictions, _or_zeros(targets, predictions), reduction="none")


def _or_zeros(targets: Array | None, predictions: Array) -> Array:
    return namespace(predictions).zeros_like(predictions) if targets is None else targets
