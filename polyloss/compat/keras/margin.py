"""The losses of `keras.losses` of scores that shall clear a margin."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

from ._common import averaged

__all__ = [
    "hinge",
    "squared_hinge",
]


@of_arrays(loss="hinge")
def hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.hinge`, averaged over the last axis. Labels are -1 and 1."""
    return averaged(polyloss.hinge, y_true, y_pred)


@of_arrays(loss="squared_hinge")
def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.squared_hinge`, averaged over the last axis. Labels are -1 and 1."""
    return averaged(polyloss.squared_hinge, y_true, y_pred)
