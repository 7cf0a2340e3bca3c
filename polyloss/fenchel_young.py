"""Losses made of what they maximize."""

from collections.abc import Callable
from typing import Any, TypeAlias, Unpack

from .core import checks
from .core.declare import rowwise
from .core.loss import Loss
from .core.typing import Array, Namespace, RowCall

__all__ = ["fenchel_young"]

OfRows: TypeAlias = Callable[[Namespace, Array], Array]


def fenchel_young(maximum: OfRows, argmax: OfRows | None = None) -> Loss[...]:
    r"""Makes the Fenchel-Young loss of a regularizer, from the maximum that this leaves to the scores.

    .. math::
        \ell(s, q) = \Omega^*(s) - \langle s, q \rangle, \qquad
        \Omega^*(s) = \max_p\, \langle s, p \rangle - \Omega(p)

    The slope by the scores is :math:`p - q`, with the `p` where the maximum is.

    Parameters
    ----------
    maximum : callable
        :math:`\Omega^*`: takes the namespace and scores, rows along the last axis, and returns one value per row.
    argmax : callable, optional
        Its gradient, `p`: takes the same, and returns an array of the shape of the scores. Without it the framework
        differentiates `maximum`, by its own rules at kinks, and NumPy has the value alone.

    Returns
    -------
    Loss
        A row-wise loss of `scores` and `target`, of one shape. A `target` of 0 at a score of ``-inf`` adds nothing.

    Raises
    ------
    TypeError
        If `maximum` is not callable, or `argmax` is neither callable nor None.

    See Also
    --------
    cross_entropy : that of the entropy, in which nothing cancels.
    multiclass_sparsemax : that of half a squared norm.

    Notes
    -----
    A difference of two numbers is less exact than a loss that is written out: prefer one of these where there is one.
    :math:`\Omega(q)`, which no score changes, is left out, as in optax's ``make_fenchel_young_loss``: a perfect
    prediction costs :math:`-\Omega(q)`, which of an entropy is 0 where `q` is a class.

    References
    ----------
    M. Blondel, A. F. T. Martins and V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21, 2020.

    Examples
    --------
    Labels that do not exclude each other: the simplex is replaced by a cube, and the entropy by those of its sides.

    >>> import numpy as np, polyloss
    >>> def maximum(xp, scores):
    ...     return xp.sum(polyloss.softplus(scores), axis=-1)
    >>> loss = polyloss.fenchel_young(maximum, lambda xp, scores: polyloss.sigmoid(scores))
    >>> scores, labels = np.asarray([[2.0, -1.0, 0.0]]), np.asarray([[1.0, 0.0, 1.0]])
    >>> value, gradient = polyloss.value_and_grad(loss)(scores, labels)
    >>> round(float(value), 4), gradient.round(4)
    (1.1333, array([[-0.1192,  0.2689, -0.5   ]]))
    """
    if not callable(maximum):
        raise TypeError(f"fenchel_young: maximum must be a function, got {checks.describe(maximum)}")
    if argmax is not None and not callable(argmax):
        raise TypeError(f"fenchel_young: argmax must be a function or None, got {checks.describe(argmax)}")

    def kernel(xp: Namespace, scores: Array, target: Array, **call: Unpack[RowCall]) -> Any:
        """The maximum over all predictions, less what the target reaches."""
        # Not where a target is 0 alone: by it, there is a slope.
        reached = target * xp.where((target == 0) & xp.isinf(scores), 0.0, scores)
        value = maximum(xp, scores) - xp.sum(reached, axis=-1)
        if argmax is None:
            return value
        return value, lambda: argmax(xp, scores) - target, lambda: -scores

    kernel.__name__ = "fenchel_young"
    return rowwise(autodiff=argmax is None)(kernel)
