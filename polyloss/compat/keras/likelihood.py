"""The losses of `keras.losses` of a distribution that is predicted."""

import polyloss
from polyloss.compat._common import as_probabilities, of_arrays
from polyloss.core.typing import Array

from ._common import averaged, same_axes

__all__ = [
    "poisson",
]


@of_arrays(loss="poisson_nll")
def poisson(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.poisson_nll` of rates, averaged over the last axis. Nothing is added to a rate."""
    y_true = as_probabilities(y_true, y_pred)
    same_axes("poisson", y_true, y_pred)
    return averaged(polyloss.poisson_nll, y_true, y_pred)
