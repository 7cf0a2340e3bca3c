"""Losses of lists: scores of items, of which the relevant ones should come first."""

from dataclasses import replace
from typing import Unpack

from polyloss.core.declare import rowwise
from polyloss.core.domains import NONNEGATIVE, finite
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

from ._classes import cross_entropy_of

__all__ = ["ranking_softmax"]

_RELEVANCE = replace(
    finite(NONNEGATIVE), hint={-1.0: "an item with a score of -inf and a {name} of 0 is not in its list"}
)


@rowwise(tasks=["ranking"], target=_RELEVANCE)
def ranking_softmax(
    xp: Namespace,
    scores: Array,
    target: Array,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Softmax loss of lists: how improbable the relevant items are, where one item of the list is chosen by its score.

    .. math:: \ell(s, y) = -\sum_i y_i \log \frac{e^{s_i}}{\sum_j e^{s_j}}

    Parameters
    ----------
    scores : array of shape (..., items)
        Real floating. The items of a list run along `axis`. A score of ``-inf`` leaves its item out of the list.
    target : array of the shape of `scores`
        :math:`y`, the relevance of each item, zero or positive and finite: clicks, grades such as 0 to 4, or gains of
        these. 0 for an item that is left out.

    See Also
    --------
    cross_entropy : the same, of one relevant item, or of probabilities.
    margin_ranking : of pairs.

    Notes
    -----
    Relevance is not normalised: a list counts as much as its relevance sums to, and one without a relevant item adds 0.
    Divide by the sum, and each list counts the same; the loss of ``polyloss.softmax(grades)`` is that of ListNet. A
    list that is shorter than others is filled up, and `where` leaves out a whole one.

    References
    ----------
    Z. Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007.

    S. Bruch et al., "An Analysis of the Softmax Cross Entropy Loss for Learning-to-Rank with Binary Relevance", ICTIR
    2019.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> scores, grades = np.asarray([[2.0, 1.0, 3.0], [1.0, 0.0, 5.0]]), np.asarray([[2.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    >>> polyloss.ranking_softmax(scores, grades, reduction="none").round(4)
    array([3.2228, 4.0247])
    >>> items = np.asarray([[True, True, True], [True, True, False]])
    >>> polyloss.ranking_softmax(np.where(items, scores, -np.inf), grades, reduction="none").round(4)
    array([3.2228, 0.3133])
    """
    value, by_scores, by_target, _ = cross_entropy_of(xp, scores, target)
    return value, by_scores, by_target
