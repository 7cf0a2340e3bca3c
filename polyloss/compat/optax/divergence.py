"""The losses of `optax.losses` of two distributions."""

import math

import polyloss
from polyloss.compat import _common
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

from ._common import selected

__all__ = [
    "convex_kl_divergence",
    "generalized_kl_divergence",
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
    log_predictions, targets = selected("kl_divergence", log_predictions, targets, axis, where)
    return _common.kl_divergence(log_predictions, targets, reduction="none")


@of_arrays(loss="kl_divergence")
def kl_divergence_with_log_targets(
    log_predictions: Array,
    log_targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.kl_divergence` of two logarithms, of any sign. `where` selects the elements that are summed."""
    loss = "kl_divergence_with_log_targets"
    log_predictions, log_targets = selected(loss, log_predictions, log_targets, axis, where, nothing=-math.inf)
    return _common.kl_divergence(log_predictions, log_targets, log_target=True, reduction="none")


@of_arrays(loss="generalized_kl_divergence")
def generalized_kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.generalized_kl_divergence`. `where` selects the elements that are summed."""
    return _generalized_kl_divergence("generalized_kl_divergence", log_predictions, targets, axis, where)


@of_arrays(loss="generalized_kl_divergence")
def convex_kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.generalized_kl_divergence`, by a former name."""
    return _generalized_kl_divergence("convex_kl_divergence", log_predictions, targets, axis, where)


def _generalized_kl_divergence(
    loss: str,
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
) -> Array:
    log_predictions, targets = selected(loss, log_predictions, targets, axis, where, predicted=-math.inf)
    return polyloss.generalized_kl_divergence(log_predictions, targets, reduction="none")
