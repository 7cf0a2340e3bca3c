"""The losses of `keras.losses` of the angle between vectors."""

import polyloss
from polyloss.compat._common import as_probabilities, of_arrays
from polyloss.core.typing import Array

from ._common import same_rank

__all__ = [
    "cosine_similarity",
]


@of_arrays(loss="cosine_distance")
def cosine_similarity(y_true: Array, y_pred: Array, axis: int = -1) -> Array:
    """`polyloss.cosine_distance` with ``similarity=True``: minus the cosine, and 0 with a zero vector."""
    y_true, y_pred = same_rank(as_probabilities(y_true, y_pred), y_pred)
    return polyloss.cosine_distance(y_pred, y_true, axis=axis, similarity=True, reduction="none")
