"""The losses of `optax.losses` of the angle between vectors."""

import polyloss
from polyloss.compat._common import of_arrays, static_number
from polyloss.core.typing import Array

from ._common import selected

__all__ = [
    "cosine_distance",
    "cosine_similarity",
]


@of_arrays(loss="cosine_distance")
def cosine_similarity(
    predictions: Array,
    targets: Array,
    *,
    epsilon: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """The cosine: minus `polyloss.cosine_distance` with ``similarity=True``. `where` selects the elements that count.

    With a zero vector it is 0, so no `epsilon` is needed, and one other than 0 is refused.
    """
    predictions, targets = _vectors("cosine_similarity", predictions, targets, epsilon, axis, where)
    return -polyloss.cosine_distance(predictions, targets, similarity=True, reduction="none")


@of_arrays(loss="cosine_distance")
def cosine_distance(
    predictions: Array,
    targets: Array,
    *,
    epsilon: float = 0.0,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.cosine_distance`. `where` selects the elements that count.

    With a zero vector it is 1, so no `epsilon` is needed, and one other than 0 is refused.
    """
    predictions, targets = _vectors("cosine_distance", predictions, targets, epsilon, axis, where)
    return polyloss.cosine_distance(predictions, targets, reduction="none")


def _vectors(
    loss: str,
    predictions: Array,
    targets: Array,
    epsilon: float,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
) -> tuple[Array, Array]:
    if static_number(loss, "epsilon", epsilon) != 0:
        raise ValueError(
            f"{loss}: epsilon must be 0 or left alone: the cosine with a zero vector is 0; got {epsilon!r}"
        )
    return selected(loss, predictions, targets, axis, where, name="predictions")
