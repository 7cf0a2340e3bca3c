"""The losses of `keras.losses` of scores that shall clear a margin."""

import polyloss
from polyloss.compat._common import namespace, of_arrays
from polyloss.core.typing import Array

from ._common import averaged

__all__ = [
    "hinge",
    "squared_hinge",
]


@of_arrays(loss="hinge")
def hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.hinge`, averaged over the last axis. Labels are -1 and 1 or, as there, 0 and 1."""
    return averaged(polyloss.hinge, _signs(y_true), y_pred)


@of_arrays(loss="squared_hinge")
def squared_hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.squared_hinge`, averaged over the last axis. Labels are -1 and 1 or, as there, 0 and 1."""
    return averaged(polyloss.squared_hinge, _signs(y_true), y_pred)


def _signs(y_true: Array) -> Array:
    """Labels with -1 in the place of 0; but where some are -1 already, a 0 is no label, and is refused later."""
    xp = namespace(y_true)
    if xp.isdtype(y_true.dtype, ("bool", "unsigned integer")):
        y_true = xp.astype(y_true, xp.float32)
    return xp.where((y_true == 0) & ~xp.any(y_true == -1), xp.full_like(y_true, -1), y_true)
