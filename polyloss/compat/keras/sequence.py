"""The losses of `keras.losses` of sequences."""

import polyloss
from polyloss.compat._common import namespace, of_arrays
from polyloss.core.backend import backend_of
from polyloss.core.typing import Array

from .multiclass import class_ids

__all__ = [
    "ctc",
]


@of_arrays(loss="ctc", ids="y_true")
def ctc(y_true: Array, y_pred: Array) -> Array:
    """`polyloss.ctc` of logits, one value per example. The blank is 0, and so is what fills up the labels."""
    ids = class_ids("ctc", y_true, y_pred)
    xp = namespace(ids)
    lengths = xp.sum(xp.astype(ids != 0, xp.int32), axis=-1, dtype=xp.int32) if ids.ndim else ids
    steps = xp.full_like(lengths, 1) * backend_of(y_pred).length(y_pred, -2, xp.int32) if y_pred.ndim > 1 else lengths
    return polyloss.ctc(y_pred, ids, steps, lengths, reduction="none")
