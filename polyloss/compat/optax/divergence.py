"""The losses of `optax.losses` of two distributions."""

from polyloss.compat import _common
from polyloss.compat._common import last, namespace, of_arrays, spread
from polyloss.core import checks
from polyloss.core.typing import Array

__all__ = [
    "kl_divergence",
    "kl_divergence_with_log_targets",
]


@of_arrays(loss="kl_divergence")
def kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.kl_divergence`. `where` selects the elements that are summed. Logarithms may be positive."""
    return _kl_divergence("kl_divergence", log_predictions, targets, axis, where, log_target=False)


@of_arrays(loss="kl_divergence")
def kl_divergence_with_log_targets(
    log_predictions: Array,
    log_targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.kl_divergence` of two logarithms, of any sign. `where` selects the elements that are summed."""
    return _kl_divergence("kl_divergence_with_log_targets", log_predictions, log_targets, axis, where, log_target=True)


def _kl_divergence(
    loss: str,
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    *,
    log_target: bool,
) -> Array:
    if where is not None:
        xp = namespace(log_predictions)
        shape = tuple(log_predictions.shape)
        checks.boolean(loss, "where", xp, where)
        where = spread(loss, "where", where, log_predictions, "log_predictions")
        checks.shape_is(loss, "targets", tuple(targets.shape), shape, "the shape of log_predictions,")
        log_predictions = xp.where(where, log_predictions, 0.0)
        targets = xp.where(where, targets, -float("inf") if log_target else 0.0)
    return _common.kl_divergence(
        last(loss, log_predictions, axis), last(loss, targets, axis), log_target=log_target, reduction="none"
    )
