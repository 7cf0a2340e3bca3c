"""Losses of the scores of many classes, of which the right ones should clear a margin."""

from collections.abc import Callable
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import rowwise
from polyloss.core.domains import CLASS_IDS, HARD_LABELS, NONNEGATIVE, ONE_OR_TWO, finite, scalar
from polyloss.core.entries import one_hot, pick, row_length, width
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

__all__ = ["multi_margin", "multiclass_hinge", "multiclass_perceptron", "multilabel_margin"]


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
    margin : float or array without axes, default 1.0
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


@rowwise(
    tasks=["multi-class", "class imbalance"],
    target=CLASS_IDS,
    class_weight=finite(NONNEGATIVE),
    margin=scalar(finite(NONNEGATIVE)),
    power=ONE_OR_TWO,
)
def multi_margin(
    xp: Namespace,
    scores: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    margin: float | Array = 1.0,
    power: int = 1,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Multi-margin loss: the right class a margin ahead of each other one, summed over these and divided by `C`.

    .. math:: \ell(s, y) = \frac{w_y}{C} \sum_{c \neq y} \max(0,\, m + s_c - s_y)^k

    Parameters
    ----------
    scores : array of shape (..., C)
        Real floating. The class axis is `axis`. A score of ``-inf`` masks its class, which is counted in `C` still.
    target : array of shape (...)
        Integers: class ids in [0, C).
    class_weight : array of shape (C,), optional
        :math:`w`, a factor of each class. With ``reduction="weighted_mean"`` it is in the denominator
        too; PyTorch's mean is ``"mean"`` here.
    margin : float or array without axes, default 1.0
        :math:`m`.
    power : {1, 2}, default 1
        :math:`k`: hinges, or their squares. PyTorch's `p`.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing. It need not be a valid id.

    See Also
    --------
    multiclass_hinge : of the best other class alone.

    Notes
    -----
    The same as PyTorch's, which has neither half precision nor second derivatives, and for a batch without examples
    returns whatever is in memory. The gradient of a class exactly at the margin is 0.

    References
    ----------
    J. Weston and C. Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", ESANN 1999.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores = np.asarray([[2.0, 1.5, 1.75], [-3.0, -5.0, -6.0]])
    >>> polyloss.multi_margin(scores, np.asarray([0, 0]), reduction="none").round(4)
    array([0.4167, 0.    ])
    """
    hot = one_hot(xp, target, scores)
    # Between the difference and the margin: TensorFlow would add them in another order.
    masked = hot | numeric.is_infinite(xp, scores, -1)
    ahead = xp.where(masked, -xp.inf, scores - pick(xp, scores, target, hot))
    missing = numeric.positive_part(xp, ahead + margin)
    weight = None if class_weight is None else xp.sum(xp.where(hot, class_weight, 0.0), axis=-1, keepdims=True)
    # Divided first: a sum may be too large where its mean is not.
    shares = missing / row_length(xp, scores)
    cost = xp.sum(shares if power == 1 else shares * missing, axis=-1, keepdims=True)

    def by_others() -> Array:
        slope = xp.sign(missing) / row_length(xp, scores) if power == 1 else 2.0 * shares
        return slope if weight is None else numeric.times_slope(xp, weight, slope)

    def by_scores() -> Array:
        slope = by_others()
        return xp.where(hot, -xp.sum(slope, axis=-1, keepdims=True), slope)

    return (
        (cost if weight is None else numeric.times(xp, weight, cost))[..., 0],
        by_scores,
        {
            "class_weight": lambda: xp.where(hot, cost, 0.0),
            "margin": lambda: xp.sum(by_others(), axis=-1),
        },
    )


@rowwise(tasks=["multi-label"], target=HARD_LABELS, margin=scalar(finite(NONNEGATIVE)))
def multilabel_margin(
    xp: Namespace,
    scores: Array,
    target: Array,
    *,
    margin: float | Array = 1.0,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Multi-label margin loss: every right class a margin ahead of every wrong one.

    .. math:: \ell(s, t) = \frac{1}{C} \sum_{j:\, t_j = 1} \; \sum_{i:\, t_i = 0} \max(0,\, m + s_i - s_j)

    Parameters
    ----------
    scores : array of shape (..., C)
        Real floating. The class axis is `axis`.
    target : array of the same shape
        Labels, 0 or 1: a 1 for each right class.
    margin : float or array without axes, default 1.0
        :math:`m`.

    See Also
    --------
    multi_margin : of one right class.
    binary_cross_entropy_with_logits : each label by itself.

    Notes
    -----
    PyTorch's takes the ids of the right classes, ended by -1; it has neither half precision nor second derivatives. The
    gradient of a pair exactly at the margin is 0, and so is that of a label, which chooses. All pairs of classes are
    compared: memory grows with the square of their number.

    References
    ----------
    A. Elisseeff and J. Weston, "A Kernel Method for Multi-Labelled Classification", NIPS 2001.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores, target = np.asarray([[0.1, 0.2, 0.4, 0.8]]), np.asarray([[1, 0, 0, 1]])
    >>> polyloss.multilabel_margin(scores, target, reduction="none").round(4)
    array([0.85])
    """
    right = target == 1
    # A label of NaN shows.
    scores = xp.where(target == target, scores, target)
    pairs = right[..., :, None] & ~right[..., None, :]
    # Between the difference and the margin: TensorFlow would add them in another order.
    ahead = xp.where(pairs, scores[..., None, :] - scores[..., :, None], -xp.inf)
    missing = numeric.positive_part(xp, ahead + margin)

    def by_scores() -> Array:
        slope = xp.sign(missing) / width(scores)
        return xp.sum(slope, axis=-2) - xp.sum(slope, axis=-1)

    return (
        xp.sum(missing / width(scores), axis=(-2, -1)),
        by_scores,
        lambda: xp.zeros_like(scores),
        {"margin": lambda: xp.sum(xp.sign(missing) / width(scores), axis=(-2, -1))},
    )


def _behind(xp: Namespace, scores: Array, target: Array, margin: float | Array) -> tuple[Array, Callable[[], Array]]:
    """What the right class lacks to the margin before the best other one, and the slope of that."""
    hot = one_hot(xp, target, scores)
    others = xp.where(hot, -xp.inf, scores)
    best = xp.max(others, axis=-1, keepdims=True)
    missing = numeric.positive_part(xp, (best - pick(xp, scores, target, hot))[..., 0] + margin)

    def slope() -> Array:
        # Ties are those of scores: their distances to the right one may have been rounded.
        ties = xp.astype(others == best, scores.dtype)
        share = ties / xp.sum(ties, axis=-1, keepdims=True)
        return xp.sign(missing)[..., None] * xp.where(hot, -1.0, share)

    return missing, slope
