"""Losses of the scores of many classes, of which the right ones should clear a margin."""

from collections.abc import Callable
from typing import Unpack

from polyloss.core.declare import rowwise
from polyloss.core.domains import CLASS_IDS, NONNEGATIVE, finite, scalar
from polyloss.core.entries import one_hot, pick
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

__all__ = ["multiclass_hinge", "multiclass_perceptron"]


@rowwise(tasks=["multi-class"], target=CLASS_IDS, margin=scalar(finite(NONNEGATIVE)))
def multiclass_hinge(
    xp: Namespace,
    scores: Array,
    target: Array,
    *,
    margin: float | Array = 1.0,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Hinge loss of many classes, by K. Crammer and Y. Singer: the right class a margin ahead of the best other one.

    .. math:: \ell(s, y) = \max\bigl(0,\, m + \max_{c \neq y} s_c - s_y\bigr)

    Parameters
    ----------
    scores : array of shape (..., C)
        Real floating. The class axis is `axis`. A score of ``-inf`` masks its class.
    target : array of shape (...)
        Integers: class ids in [0, C).
    margin : float or array, default 1.0
        :math:`m`.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing. It need not be a valid id.

    See Also
    --------
    multi_margin : a sum over the other classes.
    multiclass_perceptron : without a margin.
    hinge : of two classes.

    Notes
    -----
    The gradient is the one of least norm: 0 exactly at the margin, and shared equally by other classes that tie for the
    best. A row that clears the margin has a loss of exactly 0; optax's, a difference of two sums, may be off by a few
    units in the last place of the scores there, and below 0. Keras's ``CategoricalHinge`` takes one-hot targets, and
    the score of the right class for 0 among the others: it is wrong where all other scores are negative.

    References
    ----------
    K. Crammer and Y. Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines", JMLR 2,
    2001.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores = np.asarray([[2.0, 1.5, 1.875], [-3.0, -5.0, -6.0]])
    >>> polyloss.multiclass_hinge(scores, np.asarray([0, 0]), reduction="none")
    array([0.875, 0.   ])
    """
    value, slope = _behind(xp, scores, target, margin)
    return value, slope, {"margin": lambda: xp.sign(value)}


@rowwise(tasks=["multi-class"], target=CLASS_IDS)
def multiclass_perceptron(
    xp: Namespace,
    scores: Array,
    target: Array,
    *,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Perceptron loss of many classes: how far the best class is ahead of the right one.

    .. math:: \ell(s, y) = \max_c s_c - s_y

    Parameters
    ----------
    scores : array of shape (..., C)
        Real floating. The class axis is `axis`. A score of ``-inf`` masks its class.
    target : array of shape (...)
        Integers: class ids in [0, C).
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing. It need not be a valid id.

    See Also
    --------
    multiclass_hinge : with a margin.
    perceptron : of two classes.

    Notes
    -----
    The gradient is the one of least norm: 0 where the right class is one of those that tie for the best, and else
    shared equally by these; optax has shares of the right class too. So a model all of whose scores are equal learns
    nothing: start from other ones, or take `multiclass_hinge`.

    References
    ----------
    M. Collins, "Discriminative Training Methods for Hidden Markov Models: Theory and Experiments with Perceptron
    Algorithms", EMNLP 2002.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores = np.asarray([[2.0, 1.5, 1.875], [2.0, 1.5, 1.875]])
    >>> polyloss.multiclass_perceptron(scores, np.asarray([0, 1]), reduction="none")
    array([0. , 0.5])
    """
    return _behind(xp, scores, target, 0.0)


def _behind(xp: Namespace, scores: Array, target: Array, margin: float | Array) -> tuple[Array, Callable[[], Array]]:
    """What the right class lacks to the margin before the best other one, and the slope of that."""
    hot = one_hot(xp, target, scores)
    others = xp.where(hot, -xp.inf, scores)
    best = xp.max(others, axis=-1, keepdims=True)
    missing = _positive_part(xp, (best - pick(xp, scores, target, hot))[..., 0] + margin)

    def slope() -> Array:
        # Ties are those of scores: their distances to the right one may have been rounded.
        ties = xp.astype(others == best, scores.dtype)
        share = ties / xp.sum(ties, axis=-1, keepdims=True)
        return xp.sign(missing)[..., None] * xp.where(hot, -1.0, share)

    return missing, slope


def _positive_part(xp: Namespace, x: Array) -> Array:
    # A NaN is neither above nor below, and stays.
    return xp.where(x <= 0, 0.0, x)
