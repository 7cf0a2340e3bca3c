"""The losses of `keras.losses` of a batch whose examples are compared with each other."""

from typing import Any

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.loss import Loss
from polyloss.core.pairs import Side, by_label, over_pairs
from polyloss.core.typing import Array, KernelResult, Namespace
from polyloss.losses.batch import OF_CIRCLES, on_circles

from .multiclass import class_ids

__all__ = [
    "circle",
]


def _on_capped_circles(
    xp: Namespace, products: Array, positive: Array, negative: Array, **parameters: Any
) -> KernelResult:
    """`on_circles` of the products of embeddings. Those of longer ones count as 1 and have no slope, as there.

    A product of unit vectors that rounds to more is one of these all the same.
    """
    beyond = products > 1.01
    value, slope, by_parameters = on_circles(xp, xp.where(beyond, 1.0, products), positive, negative, **parameters)
    return value, lambda: xp.where(beyond, 0.0, slope()), by_parameters


def _of_a_batch(
    xp: Namespace,
    /,
    embedding: Array,
    target: Array,
    *,
    margin: float | Array = 0.4,
    gamma: float | Array = 80.0,
    detach: bool = True,
    normalize: bool = True,
    **call: Any,
) -> Any:
    return (Side(embedding),)


def _of_references(
    xp: Namespace,
    /,
    embedding: Array,
    target: Array,
    ref_embeddings: Array,
    ref_labels: Array,
    *,
    margin: float | Array = 0.4,
    gamma: float | Array = 80.0,
    detach: bool = True,
    normalize: bool = True,
    remove_diagonal: bool = True,
    **call: Any,
) -> Any:
    return Side(embedding), Side(ref_embeddings)


_of_a_batch.__name__ = _of_references.__name__ = "circle"
circle_of_a_batch = Loss(
    _of_a_batch,
    signature="(n,d),(n)->(n)",
    fuse=over_pairs(_on_capped_circles, OF_CIRCLES, by_label),
    domains=polyloss.circle.domains,
)
"""`polyloss.circle` of embeddings as they are: `normalize` is false."""
circle_of_references = Loss(
    _of_references,
    signature="(n,d),(n),(m,d),(m)->(n)",
    fuse=over_pairs(_on_capped_circles, OF_CIRCLES, by_label),
    domains=polyloss.circle.domains | {"ref_labels": polyloss.circle.domains["target"]},
)
"""The same of examples that are compared with others, and not with each other."""


@of_arrays(loss="circle", ids="y_true")
def circle(
    y_true: Array,
    y_pred: Array,
    ref_labels: Array | None = None,
    ref_embeddings: Array | None = None,
    remove_diagonal: bool = True,
    gamma: Array | float = 80,
    margin: Array | float = 0.4,
) -> Array:
    """`polyloss.circle` of embeddings that have length 1, differentiated through its weights; one value per row.

    Nothing is normalised: of longer ones, the products count as 1 at most.

    Labels may be in a column, and whole numbers in floating point, as `fit` hands them over. With references, an
    example and the reference at its place are not alike either, unless `remove_diagonal` is false.
    """
    label = _labels("y_true", y_true, y_pred)
    if ref_labels is None and ref_embeddings is None and remove_diagonal:
        return circle_of_a_batch(
            y_pred, label, gamma=gamma, margin=margin, detach=False, normalize=False, reduction="none"
        )
    return circle_of_references(
        y_pred,
        label,
        y_pred if ref_embeddings is None else ref_embeddings,
        label if ref_labels is None else _labels("ref_labels", ref_labels, y_pred),
        gamma=gamma,
        margin=margin,
        detach=False,
        normalize=False,
        remove_diagonal=remove_diagonal,
        reduction="none",
    )


def _labels(name: str, labels: Array, y_pred: Array) -> Array:
    ids = class_ids("circle", labels, y_pred, name)
    return ids[:, 0] if ids.ndim == 2 and ids.shape[1] == 1 else ids
