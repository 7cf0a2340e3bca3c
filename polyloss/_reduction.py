"""The only home of reductions, weights, masks and denominators.

Every reduction is linear in the per-example losses: ``value = sum(coefficient * losses)``. So one array, the
coefficient, is all that a gradient needs to know of it.
"""

import math
from collections.abc import Callable
from typing import get_args

from ._typing import Array, Namespace, Reduction

REDUCTIONS: tuple[str, ...] = get_args(Reduction)


def expand(array: Array, ndim: int) -> Array:
    """Append axes of length one: what belongs to an example belongs to each of its parts."""
    return array[(..., *(None,) * (ndim - array.ndim))] if array.ndim < ndim else array


def pull(upstream: Array, local: Array) -> Array:
    """The gradient of an array, from the upstream gradient per example and the local derivative."""
    return expand(upstream, local.ndim) * local


def push(xp: Namespace, local: Array, tangent: Array, ndim: int) -> Array:
    """The tangent per example, from the local derivative and the tangent of an array."""
    change = local * tangent
    return change if change.ndim == ndim else xp.sum(change, axis=-1)


def reduce(
    xp: Namespace,
    losses: Array,
    reduction: str,
    *,
    poison: Array | None,
    weight: Array | None,
    mask: Array | None,
    denominator: Array | None,
    class_weight: Array | None,
) -> tuple[Array, Callable[[], Array]]:
    """The reduced loss, and a function that returns the coefficient of each example in it.

    Parameters
    ----------
    losses : array
        Per-example losses.
    poison : array or None
        NaN for an example with a bad value, else 1. A factor and not a choice: so NaN reaches the gradient too.
    weight, mask, class_weight : array or None
        Per example, with as many axes as `losses` or fewer: the missing ones are trailing. `weight` multiplies,
        False in `mask` removes, `class_weight` is in the losses already and counts in ``"weighted_mean"`` alone.
    denominator : array or None
        Replaces the denominator of a mean.
    """
    ndim = losses.ndim
    if poison is not None:
        losses = losses * poison
    if weight is not None:
        weight = expand(weight, ndim)
        losses = losses * weight
    if mask is not None:
        mask = expand(mask, ndim)
        losses = xp.where(mask, losses, 0.0)

    divisor: Array | None = None
    if reduction == "mean" and denominator is None and mask is None:
        value = xp.mean(losses)
    elif reduction == "none":
        value = losses
    else:
        value = xp.sum(losses)
        if reduction != "sum":
            divisor = denominator
            if divisor is None:
                total = _total(xp, losses, mask, *((weight, class_weight) if reduction == "weighted_mean" else ()))
                # Nothing counted: the sum is 0, and so is the mean.
                divisor = xp.where(total == 0, xp.ones_like(total), total)
            value = value / divisor

    def coefficient() -> Array:
        share = xp.ones_like(losses) if weight is None else xp.broadcast_to(weight, losses.shape)
        if poison is not None:
            share = share * poison
        if mask is not None:
            share = xp.where(mask, share, 0.0)
        if divisor is not None:
            return share / divisor
        return share / math.prod(losses.shape) if reduction == "mean" else share

    return value, coefficient


def _total(xp: Namespace, losses: Array, mask: Array | None, *weights: Array | None) -> Array:
    count = xp.ones_like(losses)
    for weight in weights:
        if weight is not None:
            count = count * expand(weight, losses.ndim)
    return xp.sum(count if mask is None else xp.where(mask, count, 0.0))
