"""Losses of scores that should clear a margin."""

from typing import Unpack

from polyloss.core.declare import elementwise
from polyloss.core.domains import SIGN
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["hinge", "perceptron", "squared_hinge"]


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
    missing = _positive_part(xp, -target * scores)
    return missing, lambda: -target * xp.sign(missing), lambda: -xp.where(missing == 0, 0.0, scores)


def _missing(xp: Namespace, scores: Array, target: Array) -> Array:
    """What a score lacks to the margin."""
    return _positive_part(xp, 1.0 - target * scores)


def _positive_part(xp: Namespace, x: Array) -> Array:
    # A NaN is neither above nor below, and stays.
    return xp.where(x <= 0, 0.0, x)
