"""The losses of `optax.losses` of scores of many classes that shall clear a margin."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

__all__ = [
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
]


@of_arrays(loss="multiclass_hinge", ids="labels")
def multiclass_hinge_loss(scores: Array, labels: Array) -> Array:
    """`polyloss.multiclass_hinge` of every row, classes last."""
    return polyloss.multiclass_hinge(scores, labels, reduction="none")


@of_arrays(loss="multiclass_perceptron", ids="labels")
def multiclass_perceptron_loss(scores: Array, labels: Array) -> Array:
    """`polyloss.multiclass_perceptron` of every row, classes last."""
    return polyloss.multiclass_perceptron(scores, labels, reduction="none")
