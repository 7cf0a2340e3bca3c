"""The losses of `optax.losses` of scores that shall clear a margin."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

__all__ = [
    "hinge_loss",
    "perceptron_loss",
]


@of_arrays(loss="hinge")
def hinge_loss(predictor_outputs: Array, targets: Array) -> Array:
    """`polyloss.hinge` of every element. Labels are -1 and 1."""
    return polyloss.hinge(predictor_outputs, targets, reduction="none")


@of_arrays(loss="perceptron")
def perceptron_loss(predictor_outputs: Array, targets: Array) -> Array:
    """`polyloss.perceptron` of every element. Labels are -1 and 1."""
    return polyloss.perceptron(predictor_outputs, targets, reduction="none")
