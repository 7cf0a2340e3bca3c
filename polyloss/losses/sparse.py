"""Losses whose predictions are sparse: of sparsemax in the place of the softmax."""

from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import elementwise
from polyloss.core.domains import LABELS
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["binary_sparsemax"]


@elementwise(tasks=["binary", "multi-label"], target=LABELS)
def binary_sparsemax(xp: Namespace, logits: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Sparsemax loss of yes and no: exactly 0 where the score is far enough on the right side.

    .. math::
        \ell(x, t) = \begin{cases}
            t\, (t - 1 - x) & x \le -1 \\
            (p - t)^2 & -1 < x < 1, \quad p = \frac{1 + x}{2} \\
            (1 - t)\, (x - t) & x \ge 1
        \end{cases}

    Its slope is :math:`p - t`, with `p` between 0 and 1: the probability that is predicted, and 0 and 1 themselves from
    -1 and from 1 on.

    Parameters
    ----------
    logits : array
        Scores, real floating. Infinite ones have their limits.
    target : array of the same shape
        In [0, 1]: labels or probabilities.

    See Also
    --------
    binary_cross_entropy_with_logits : never exactly 0.
    squared_hinge : of labels -1 and 1; four times as much, up to a score of 1 on the wrong side, and then more.

    Notes
    -----
    optax takes every target that is not 0 for 1.

    References
    ----------
    M. Blondel, A. F. T. Martins and V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21, 2020.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.binary_sparsemax(np.asarray([0.5, 2.0, 0.5]), np.asarray([1.0, 1.0, 0.0]), reduction="none")
    array([0.0625, 0.    , 0.5625])
    """
    inside = xp.where(logits < -1.0, -1.0, xp.where(logits > 1.0, 1.0, logits))
    beyond = logits - inside
    # p - t: of a small target, 2 t - 1 would not keep the digits.
    slope = 0.5 * (1.0 + inside) - target
    return slope * slope + numeric.times(xp, slope, beyond), lambda: slope, lambda: -2.0 * slope - beyond
