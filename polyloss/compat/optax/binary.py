"""The losses of `optax.losses` of two classes, or of labels that are each true or not."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

__all__ = [
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "sparsemax_loss",
]


@of_arrays(loss="binary_cross_entropy_with_logits")
def sigmoid_binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` of every element."""
    return polyloss.binary_cross_entropy_with_logits(logits, labels, reduction="none")


@of_arrays(loss="sigmoid_focal")
def sigmoid_focal_loss(
    logits: Array, labels: Array, *, alpha: Array | float | None = None, gamma: Array | float = 2.0
) -> Array:
    """`polyloss.sigmoid_focal` of every element."""
    return polyloss.sigmoid_focal(logits, labels, alpha=alpha, gamma=gamma, reduction="none")


@of_arrays(loss="binary_sparsemax")
def sparsemax_loss(logits: Array, labels: Array) -> Array:
    """`polyloss.binary_sparsemax` of every element. Labels are 0 and 1, or between."""
    return polyloss.binary_sparsemax(logits, labels, reduction="none")
