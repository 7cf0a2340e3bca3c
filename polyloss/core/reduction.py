"""The only home of reductions, weights, masks and denominators.

Every reduction is linear in the per-example losses: ``value = sum(coefficient * losses)``. So one array, the
coefficient, is all that a gradient needs to know of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from .backend import backend_of
from .typing import Array, Namespace, Reduction

REDUCTIONS: tuple[str, ...] = get_args(Reduction)


def expand(array: Array, ndim: int) -> Array:
    """Append axes of length one: what belongs to an example belongs to each of its parts."""
    return array[(..., *(None,) * (ndim - array.ndim))] if array.ndim < ndim else array


def pull(upstream: Array, local: Array) -> Array:
    """The gradient of an array, from the upstream gradient per example and the local derivative."""
    return expand(upstream, local.ndim) * local


def sum_to(xp: Namespace, array: Array, shape: Sequence[int]) -> Array:
    """`array`, summed over all that shares an entry of an array of this shape."""
    lead = array.ndim - len(shape)
    if lead:
        array = xp.sum(array, axis=tuple(range(lead)))
    shared = tuple(axis for axis, length in enumerate(shape) if length == 1 and array.shape[axis] != 1)
    return xp.sum(array, axis=shared, keepdims=True) if shared else array


def push(xp: Namespace, local: Array, tangent: Array, ndim: int) -> Array:
    """The tangent per example, from the local derivative and the tangent of an array."""
    change = local * tangent
    return change if change.ndim == ndim else xp.sum(change, axis=tuple(range(ndim, change.ndim)))


@dataclass(frozen=True)
class Weights:
    """What each example counts.

    Parameters
    ----------
    poison : array or None
        NaN for an example with a bad value, else 1. A factor and not a choice: so NaN reaches the gradient too.
    weight, mask, class_weight : array or None
        Per example, with as many axes as the losses or fewer: the missing ones are trailing. `weight` multiplies,
        False in `mask` removes, `class_weight` is in the losses already and counts in ``"weighted_mean"`` alone.
    denominator : array or None
        Replaces the denominator of a mean.
    """

    poison: Array | None = None
    weight: Array | None = None
    mask: Array | None = None
    denominator: Array | None = None
    class_weight: Array | None = None

    def weigh(self, xp: Namespace, losses: Array) -> Array:
        """The part of each example in the sum of all."""
        if self.poison is not None:
            losses = losses * self.poison
        if self.weight is not None:
            # What does not count may have any weight, even infinity: a gradient would meet it.
            losses = losses * self._unmasked(xp, expand(self.weight, losses.ndim))
        return self._unmasked(xp, losses)

    def _unmasked(self, xp: Namespace, array: Array) -> Array:
        """`array`, and 0 where the mask is False."""
        return array if self.mask is None else xp.where(expand(self.mask, array.ndim), array, 0.0)

    def counted(self, xp: Namespace, losses: Array, reduction: str) -> Array | None:
        """What the denominator of the mean is the sum of; None where it is simply the number of losses, or given."""
        weights = (self.weight, self.class_weight) if reduction == "weighted_mean" else ()
        unknown = None in tuple(losses.shape)
        if self.denominator is not None or (self.mask is None and reduction != "weighted_mean" and not unknown):
            return None
        count = xp.ones_like(losses)
        for weight in weights:
            if weight is not None:
                count = count * self._unmasked(xp, expand(weight, losses.ndim))
        return self._unmasked(xp, count)

    def divisor(self, xp: Namespace, losses: Array, reduction: str) -> Array | None:
        """What the sum of all is divided by; None where that is the number of losses, or nothing."""
        if reduction not in ("mean", "weighted_mean"):
            return None
        if self.denominator is not None:
            if self.mask is None:
                return self.denominator
            # Nothing counts: the sum is 0, and so is the mean.
            nothing = (self.denominator == 0) & ~xp.any(self.mask)
            return xp.where(nothing, xp.ones_like(self.denominator), self.denominator)
        counted = self.counted(xp, losses, reduction)
        if counted is None:
            return None
        total = xp.sum(counted)
        # Weights of both signs may cancel: then all that count do, and arithmetic has the last word.
        signed = reduction == "weighted_mean" and self.weight is not None
        nothing = xp.all(counted == 0) if signed else total == 0
        return xp.where(nothing, xp.ones_like(total), total)

    def share(self, xp: Namespace, losses: Array, divisor: Array | float | None) -> Array:
        """The coefficient of each example in the reduced loss."""
        share = xp.ones_like(losses)
        if self.weight is not None:
            share, shape = expand(self.weight, losses.ndim), tuple(losses.shape)
            if tuple(share.shape) != shape:
                share = xp.broadcast_to(share, backend_of(losses).lengths(losses))
        if self.poison is not None:
            share = share * self.poison
        if self.mask is not None:
            share = xp.where(expand(self.mask, losses.ndim), share, 0.0)
        return share if divisor is None else share / divisor


def reduce(xp: Namespace, losses: Array, reduction: str, weights: Weights) -> tuple[Array, Callable[[], Array]]:
    """The reduced loss, and a function that returns the coefficient of each example in it."""
    parts = weights.weigh(xp, losses)
    if 0 in tuple(losses.shape):
        # No examples: their sum and their mean are 0.
        return (parts if reduction == "none" else xp.sum(parts)), lambda: weights.share(xp, losses, None)
    divisor = weights.divisor(xp, losses, reduction)
    if reduction == "none":
        value = parts
    elif reduction == "sum":
        value = xp.sum(parts)
    else:
        value = xp.mean(parts) if divisor is None else xp.sum(parts) / divisor

    def coefficient() -> Array:
        count = math.prod(losses.shape) if divisor is None and reduction != "sum" else divisor
        return weights.share(xp, losses, count)

    return value, coefficient
