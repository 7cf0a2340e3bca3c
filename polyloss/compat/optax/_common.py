"""What the translations of `optax.losses` share."""

from polyloss.compat._common import last, namespace, spread
from polyloss.core import checks
from polyloss.core.typing import Array


def selected(
    loss: str,
    predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    *,
    name: str = "log_predictions",
    predicted: float = 0.0,
    nothing: float = 0.0,
) -> tuple[Array, Array]:
    """Both with one axis for all of `axis`, the last. Where `where` leaves out, `predicted` and `nothing` stand.

    `name` is what the predictions are called.
    """
    if where is not None:
        xp = namespace(predictions)
        shape = tuple(predictions.shape)
        checks.boolean(loss, "where", xp, where)
        where = spread(loss, "where", where, predictions, name)
        checks.shape_is(loss, "targets", tuple(targets.shape), shape, f"the shape of {name},")
        predictions = xp.where(where, predictions, predicted)
        targets = xp.where(where, targets, nothing)
    return last(loss, predictions, axis), last(loss, targets, axis)
