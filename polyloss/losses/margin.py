"""Losses of scores that should clear a margin."""

from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import elementwise
from polyloss.core.domains import NONNEGATIVE, SIGN, finite
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["hinge", "margin_ranking", "perceptron", "squared_hinge"]


@elementwise(tasks=["binary"], target=SIGN)
def hinge(xp: Namespace, scores: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Hinge loss.

    .. math:: \ell(s, t) = \max(0,\, 1 - t s)

    Parameters
    ----------
    scores : array
        Real floating.
    target : array of the same shape
        Labels -1 and 1. Labels 0 and 1 are refused.

    See Also
    --------
    squared_hinge
    perceptron : without a margin.

    Notes
    -----
    The gradient exactly at the margin is 0, that of least norm; Keras has -1 there, optax -1/2. Keras turns
    labels 0 and 1 into -1 and 1 if the whole batch has them, optax takes them as they are.

    References
    ----------
    C. Cortes and V. Vapnik, "Support-Vector Networks", Machine Learning 20, 1995.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.hinge(np.asarray([0.5, 2.0, 0.5]), np.asarray([1.0, 1.0, -1.0]), reduction="none")
    array([0.5, 0. , 1.5])
    """
    missing = _missing(xp, scores, target)
    # The sign is 0, 1 or NaN.
    return missing, lambda: -target * xp.sign(missing), lambda: -xp.where(missing == 0, 0.0, scores)


@elementwise(tasks=["binary"], target=SIGN)
def squared_hinge(xp: Namespace, scores: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Squared hinge loss.

    .. math:: \ell(s, t) = \max(0,\, 1 - t s)^2

    Parameters
    ----------
    scores : array
        Real floating.
    target : array of the same shape
        Labels -1 and 1. Labels 0 and 1 are refused.

    See Also
    --------
    hinge

    Notes
    -----
    Keras has the same loss, but turns labels 0 and 1 into -1 and 1 if the whole batch has them.

    References
    ----------
    Y. Tang, "Deep Learning using Linear Support Vector Machines", ICML workshop on representation learning, 2013.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.squared_hinge(np.asarray([0.5, 2.0, 0.5]), np.asarray([1.0, 1.0, -1.0]), reduction="none")
    array([0.25, 0.  , 2.25])
    """
    missing = _missing(xp, scores, target)
    return (
        missing * missing,
        lambda: -2.0 * target * missing,
        lambda: -2.0 * missing * xp.where(missing == 0, 0.0, scores),
    )


@elementwise(tasks=["binary"], target=SIGN)
def perceptron(xp: Namespace, scores: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Perceptron loss.

    .. math:: \ell(s, t) = \max(0,\, -t s)

    Parameters
    ----------
    scores : array
        Real floating.
    target : array of the same shape
        Labels -1 and 1. Labels 0 and 1 are refused.

    See Also
    --------
    hinge : with a margin of 1.

    Notes
    -----
    The gradient at a score of 0 is 0, that of least norm; optax has -1/2 there. So a model all of whose scores are 0
    learns nothing: start from other ones, or take `hinge`.

    References
    ----------
    F. Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain",
    Psychological Review 65, 1958.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.perceptron(np.asarray([0.5, -2.0, 0.5]), np.asarray([1.0, 1.0, -1.0]), reduction="none")
    array([0. , 2. , 0.5])
    """
    missing = numeric.positive_part(xp, -target * scores)
    return missing, lambda: -target * xp.sign(missing), lambda: -xp.where(missing == 0, 0.0, scores)


@elementwise(tasks=["ranking"], target=SIGN, margin=finite(NONNEGATIVE))
def margin_ranking(
    xp: Namespace,
    x1: Array,
    x2: Array,
    target: Array,
    *,
    margin: float | Array = 0.0,
    **call: Unpack[Call],
) -> KernelResult:
    r"""Margin ranking loss: of two scores, the right one should be the larger, by a margin.

    .. math:: \ell(x_1, x_2, t) = \max(0,\, m - t\,(x_1 - x_2))

    Parameters
    ----------
    x1, x2 : array
        Scores, real floating, both of the same shape.
    target : array of the same shape
        Labels -1 and 1: 1 where `x1` should be the larger one, -1 where `x2` should. There is no label for a tie:
        mask such pairs.
    margin : float or array, default 0.0
        :math:`m`; an array has the shape of the last axes of `x1`.

    See Also
    --------
    hinge
    triplet_margin : of distances between embeddings.

    Notes
    -----
    The gradient exactly at the margin is 0, that of least norm: with a margin of 0, so is that of equal scores. PyTorch
    has the whole slope there. It takes a target of 0, whose loss is the margin whatever the scores.

    References
    ----------
    R. Herbrich, T. Graepel and K. Obermayer, "Large Margin Rank Boundaries for Ordinal Regression", Advances in Large
    Margin Classifiers, 2000.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> x1, x2, target = np.asarray([3.0, 3.0]), np.asarray([1.0, 1.0]), np.asarray([1.0, -1.0])
    >>> polyloss.margin_ranking(x1, x2, target, margin=0.5, reduction="none")
    array([0. , 2.5])
    """
    ahead = x1 - x2
    missing = numeric.positive_part(xp, margin - target * ahead)
    return (
        missing,
        lambda: -target * xp.sign(missing),
        lambda: target * xp.sign(missing),
        lambda: -xp.where(missing == 0, 0.0, ahead),
        {"margin": lambda: xp.sign(missing)},
    )


def _missing(xp: Namespace, scores: Array, target: Array) -> Array:
    """What a score lacks to the margin."""
    return numeric.positive_part(xp, 1.0 - target * scores)
