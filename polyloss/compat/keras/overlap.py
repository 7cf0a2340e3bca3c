"""The losses of `keras.losses` of regions."""

from collections.abc import Sequence

import polyloss
from polyloss.compat._common import as_probabilities, of_arrays
from polyloss.core.typing import Array

__all__ = [
    "dice",
    "tversky",
]


@of_arrays(loss="dice")
def dice(y_true: Array, y_pred: Array, axis: int | Sequence[int] | None = None) -> Array:
    """`polyloss.dice` of probabilities: over all axes, the batch too, unless told otherwise. 1 where both are empty.

    The denominator has no epsilon.
    """
    y_true = as_probabilities(y_true, y_pred)
    return polyloss.dice(y_pred, y_true, axis=_axes(axis, y_pred), empty=1.0, reduction="none")


@of_arrays(loss="tversky")
def tversky(
    y_true: Array,
    y_pred: Array,
    alpha: Array | float = 0.5,
    beta: Array | float = 0.5,
    axis: int | Sequence[int] | None = None,
) -> Array:
    """`polyloss.tversky` of probabilities: over all axes, the batch too, unless told otherwise. 1 where both are empty.

    As documented, `alpha` is the weight of false positives, and `beta` that of false negatives; in Keras before 3.16 it
    is the other way round. The denominator has no epsilon.
    """
    y_true = as_probabilities(y_true, y_pred)
    axes = _axes(axis, y_pred)
    return polyloss.tversky(y_pred, y_true, alpha=alpha, beta=beta, axis=axes, empty=1.0, reduction="none")


def _axes(axis: int | Sequence[int] | None, array: Array) -> tuple[int, ...] | int:
    if axis is None:
        return tuple(range(array.ndim))
    return axis if isinstance(axis, int) else tuple(axis)
