"""Losses whose predictions are sparse: of sparsemax in the place of the softmax."""

from typing import NamedTuple, Unpack

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.checks import is_integer
from polyloss.core.declare import elementwise, rowwise
from polyloss.core.domains import CLASSES, LABELS
from polyloss.core.entries import one_hot, positions
from polyloss.core.typing import Array, Call, KernelResult, Namespace, RowCall

__all__ = ["binary_sparsemax", "multiclass_sparsemax"]


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
    multiclass_sparsemax : of many classes.
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


@rowwise(tasks=["multi-class", "distribution"], target=CLASSES)
def multiclass_sparsemax(
    xp: Namespace,
    scores: Array,
    target: Array,
    *,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Sparsemax loss of many classes: exactly 0 where the right one is ahead by 1.

    .. math::
        \ell(s, q) = \tfrac12 \lVert p - q \rVert^2 + \sum_c q_c \max(0,\, \tau - s_c), \qquad
        p_c = \max(0,\, s_c - \tau), \qquad \sum_c p_c = 1

    Class ids `y` are the probabilities :math:`q_c = [c = y]`. The prediction `p`, the point of the simplex that is next
    to the scores, has zeros: the sparsemax. The slope by the scores is :math:`p - q`.

    Parameters
    ----------
    scores : array of shape (..., C)
        Real floating. The class axis is `axis`. A score of ``-inf`` masks its class; one of ``+inf`` has its limit.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1]. They sum to 1, which is not checked.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing. It need not be a valid id.

    See Also
    --------
    cross_entropy : of the softmax, which is nowhere 0.
    binary_sparsemax : of yes and no; `multiclass_sparsemax` of a score and a 0.

    Notes
    -----
    This is the Fenchel-Young loss of half a squared norm on the simplex, written as a sum in which nothing cancels. It
    is convex in the scores, and a class far behind has a gradient of exactly 0. optax takes class ids of one axis.

    References
    ----------
    A. F. T. Martins and R. F. Astudillo, "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label
    Classification", ICML 2016.

    M. Blondel, A. F. T. Martins and V. Niculae, "Learning with Fenchel-Young Losses", JMLR 21, 2020.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores = np.asarray([[2.0, 0.5, 0.0], [0.5, 0.0, -1.0]])
    >>> polyloss.multiclass_sparsemax(scores, np.asarray([0, 0]), reduction="none")
    array([0.    , 0.0625])
    >>> polyloss.multiclass_sparsemax(scores, np.asarray([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]), reduction="none")
    array([0.5, 0. ])
    """
    row = _sparsemax(xp, scores)
    if is_integer(xp, target):
        hot = one_hot(xp, target, scores)
        # p - 1 of the right class: what the others have; 1 in a row of nothing but -inf, where nobody has anything.
        rest, nobody = xp.where(hot, 0.0, row.p), xp.sum(row.p, axis=-1, keepdims=True) == 0
        change = xp.where(hot, xp.where(nobody, -1.0, -xp.sum(rest, axis=-1, keepdims=True)), rest)
        return _half_square(xp, change) + xp.sum(xp.where(hot, row.behind, 0.0), axis=-1), lambda: change

    change = row.p - target

    def by_scores() -> Array:
        # The sum is that of p less that of the target: 0, but for rounding and for one that does not sum to 1.
        return change - xp.where(row.outside, 0.0, xp.sum(change, axis=-1, keepdims=True) / row.count)

    def by_target() -> Array:
        # What a masked class would cost is left out.
        return xp.where(numeric.is_infinite(xp, scores, -1), 0.0, row.behind - change)

    value = _half_square(xp, change) + xp.sum(numeric.times(xp, target, row.behind), axis=-1)
    return value, by_scores, by_target


class _Sparsemax(NamedTuple):
    """The point of the simplex next to each row."""

    p: Array
    outside: Array
    """Where `p` is 0."""
    behind: Array
    """How far the entries outside are below the threshold."""
    count: Array
    """How many are not outside, and at least 1."""


def _sparsemax(xp: Namespace, x: Array) -> _Sparsemax:
    """The sparsemax along the last axis, the axis kept."""
    largest, shift = numeric.shifted(xp, x)
    least = _least_inside(xp, stop_gradient(shift))
    outside = shift < least
    above = xp.where(outside, 0.0, shift - least)
    count = xp.maximum(xp.sum(xp.astype(~outside, x.dtype), axis=-1, keepdims=True), 1.0)
    # Of what the simplex has, all get the same that are inside. Of nothing but -inf, nobody is.
    share = numeric.positive_part(xp, 1.0 - xp.sum(above, axis=-1, keepdims=True)) / count
    infinity = xp.where(numeric.is_infinite(xp, largest, 1), largest, 0.0)
    behind = xp.where(outside, numeric.positive_part(xp, (least - shift) - share) + infinity, 0.0)
    return _Sparsemax(xp.where(outside, 0.0, above + share), outside, behind, count)


def _least_inside(xp: Namespace, shift: Array) -> Array:
    """The smallest entry of each row that is above the threshold, from the distances to the largest."""
    # One that is 1 behind is not. To lower the threshold from the largest entry to some other takes, of all that there
    # are above, the distances between neighbours, and these must not sum to 1. All are positive: nothing cancels.
    ordered = -xp.sort(-xp.clip(shift, -1.0, None), axis=-1)
    steps = positions(xp, ordered, -1, ordered.dtype)[1:] * (ordered[..., :-1] - ordered[..., 1:])
    taken = xp.cumulative_sum(steps, axis=-1, include_initial=True)
    return xp.min(xp.where(taken < 1.0, ordered, 0.0), axis=-1, keepdims=True)


def _half_square(xp: Namespace, change: Array) -> Array:
    return 0.5 * xp.sum(change * change, axis=-1)
