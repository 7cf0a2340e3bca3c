"""The losses of `keras.losses` of scores of many classes that shall clear a margin."""

import polyloss
from polyloss.compat._common import as_probabilities, namespace, of_arrays
from polyloss.core import checks
from polyloss.core.backend import backend_of
from polyloss.core.typing import Array

from ._common import same_axes

__all__ = [
    "categorical_hinge",
]


@of_arrays(loss="multiclass_hinge")
def categorical_hinge(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.multiclass_hinge` of every row, classes last. Targets are one-hot: 1, and 0 or -1 elsewhere.

    The right class is never one of the others: the built-in has it among them, with a score of 0.
    """
    loss = "categorical_hinge"
    y_true = as_probabilities(y_true, y_pred)
    same_axes(loss, y_true, y_pred)
    xp = namespace(y_true)
    right = y_true == 1
    ones = xp.sum(xp.astype(right, xp.int32), axis=-1, keepdims=True)
    bad = ~right & (y_true != 0) & (y_true != -1) | (ones != 1)
    if backend_of(y_true).readable(y_true):
        seen, outside = map(backend_of(y_true).look, (y_true, bad))
        checks.none_outside(
            loss, "y_true", namespace(seen), seen, outside, "one-hot: a 1 in each row, 0 or -1 elsewhere"
        )
    # Where it cannot be looked at, an id that no class has makes its row NaN.
    ids = xp.astype(xp.argmax(xp.astype(right, xp.int32), axis=-1), xp.int32)
    return polyloss.multiclass_hinge(
        y_pred, xp.where(xp.any(bad, axis=-1), xp.full_like(ids, -1), ids), reduction="none"
    )
