"""The losses of `torch.nn.functional` of a prediction and its target."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

from ._common import refuse_legacy, rescaled

__all__ = [
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


@of_arrays(loss="mse")
def mse_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """`polyloss.mse`; a mean divides by the sum of the weights."""
    refuse_legacy("mse_loss", size_average, reduce)
    return polyloss.mse(input, target, **rescaled("mse_loss", input, weight, reduction, mean="weighted_mean"))


@of_arrays(loss="l1")
def l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """`polyloss.l1`; a mean divides by the sum of the weights."""
    refuse_legacy("l1_loss", size_average, reduce)
    return polyloss.l1(input, target, **rescaled("l1_loss", input, weight, reduction, mean="weighted_mean"))


@of_arrays(loss="huber")
def huber_loss(
    input: Array, target: Array, reduction: str = "mean", delta: Array | float = 1.0, weight: Array | None = None
) -> Array:
    """`polyloss.huber`; unlike those of `mse_loss`, a mean divides by the number of elements, whatever the weights."""
    return polyloss.huber(input, target, delta=delta, **rescaled("huber_loss", input, weight, reduction))


@of_arrays(loss="smooth_l1")
def smooth_l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: Array | float = 1.0,
) -> Array:
    """`polyloss.smooth_l1`."""
    refuse_legacy("smooth_l1_loss", size_average, reduce)
    return polyloss.smooth_l1(input, target, beta=beta, **rescaled("smooth_l1_loss", input, None, reduction))
