"""The losses of `optax.losses` of the angle between vectors."""

import polyloss
from polyloss.compat._common import last, namespace, of_arrays, spread, static_number
from polyloss.core import checks
from polyloss.core.typing import Array

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
    if where is not None:
        xp = namespace(predictions)
        checks.boolean(loss, "where", xp, where)
        where = spread(loss, "where", where, predictions, "predictions")
        checks.shape_is(loss, "targets", tuple(targets.shape), tuple(predictions.shape), "the shape of predictions,")
        predictions, targets = (xp.where(where, array, 0.0) for array in (predictions, targets))
    return last(loss, predictions, axis), last(loss, targets, axis)
