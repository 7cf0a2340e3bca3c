"""The losses of `optax.losses` of one class of many."""

from collections.abc import Sequence

import polyloss
from polyloss.compat._common import as_probabilities, last, namespace, of_arrays, spread
from polyloss.core import checks
from polyloss.core.typing import Array

__all__ = [
    "multiclass_sparsemax_loss",
    "poly_loss_cross_entropy",
    "safe_softmax_cross_entropy",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
]


@of_arrays(loss="multiclass_sparsemax", ids="labels")
def multiclass_sparsemax_loss(scores: Array, labels: Array) -> Array:
    """`polyloss.multiclass_sparsemax` of every row, classes last."""
    return polyloss.multiclass_sparsemax(scores, labels, reduction="none")


@of_arrays(loss="poly1_cross_entropy")
def poly_loss_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    epsilon: Array | float = 2.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.poly1_cross_entropy` of probabilities.

    `where` selects rows, or classes where it has as many axes as `logits`.
    """
    loss = "poly_loss_cross_entropy"
    logits, labels, rows = _selected(loss, logits, labels, axis, where)
    return polyloss.poly1_cross_entropy(logits, labels, epsilon=epsilon, where=rows, reduction="none")


@of_arrays(loss="cross_entropy")
def softmax_cross_entropy(
    logits: Array, labels: Array, axis: int | tuple[int, ...] | None = -1, where: Array | None = None
) -> Array:
    """`polyloss.cross_entropy` of probabilities.

    `where` selects rows, or classes where it has as many axes as `logits`.
    """
    logits, labels, rows = _selected("softmax_cross_entropy", logits, labels, axis, where)
    return polyloss.cross_entropy(logits, labels, where=rows, reduction="none")


@of_arrays(loss="cross_entropy", ids="labels")
def softmax_cross_entropy_with_integer_labels(
    logits: Array, labels: Array, axis: int | tuple[int, ...] = -1, where: Array | None = None
) -> Array:
    """`polyloss.cross_entropy` of class ids.

    `where` selects rows, or classes where it has as many axes as `logits`. A label whose class is not selected has
    infinite loss.
    """
    loss = "softmax_cross_entropy_with_integer_labels"
    logits = last(loss, logits, axis)
    rows, classes = _rows_and_classes(loss, where, logits, axis)
    if classes is not None:
        logits = namespace(logits).where(classes, logits, -float("inf"))
    return polyloss.cross_entropy(logits, labels, where=rows, reduction="none")


@of_arrays(loss="cross_entropy")
def safe_softmax_cross_entropy(logits: Array, labels: Array) -> Array:
    """`polyloss.cross_entropy` of probabilities; a class of probability 0 may have logit -inf."""
    labels = as_probabilities(labels, logits)
    return polyloss.cross_entropy(logits, labels, reduction="none")


def _selected(
    loss: str, logits: Array, labels: Array, axis: int | tuple[int, ...] | None, where: Array | None
) -> tuple[Array, Array, Array | None]:
    """Logits and probabilities, classes last and masked where `where` leaves them out; and the rows that it selects."""
    logits, labels = last(loss, logits, axis), last(loss, as_probabilities(labels, logits), axis)
    rows, classes = _rows_and_classes(loss, where, logits, axis)
    if classes is not None:
        xp = namespace(logits)
        logits = xp.where(classes, logits, -float("inf"))
        labels = xp.where(classes, labels, 0.0)
    return logits, labels, rows


def _rows_and_classes(
    loss: str, where: Array | None, logits: Array, axis: int | Sequence[int] | None
) -> tuple[Array | None, Array | None]:
    """What `where` says about rows, and about the classes in them. `logits` has its classes last already."""
    if where is None:
        return None, None
    if where.ndim < logits.ndim:
        return where, None
    xp = namespace(logits)
    checks.boolean(loss, "where", xp, where)
    classes = spread(loss, "where", last(loss, where, axis), logits, "logits")
    return xp.any(classes, axis=-1), classes
