"""Cross entropies with other costs of a probability."""

from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import rowwise
from polyloss.core.domains import CLASSES, UNIT, Domain, finite, scalar, special
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

from ._classes import Costs, of_costs

__all__ = ["generalized_cross_entropy", "poly1_cross_entropy"]


@rowwise(tasks=["multi-class", "class imbalance"], target=CLASSES, epsilon=scalar(finite(Domain(low=-1))))
def poly1_cross_entropy(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    epsilon: float | Array = 1.0,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Poly-1 loss: cross entropy with another weight of its first polynomial term.

    .. math::
        \ell(x, q) = \sum_c q_c \left( -\log p_c + \varepsilon\, (1 - p_c) \right), \qquad
        p_c = \frac{e^{x_c}}{\sum_j e^{x_j}}

    Class ids `y` are the probabilities :math:`q_c = [c = y]`.

    Parameters
    ----------
    logits : array of shape (..., C)
        Real floating. The class axis is `axis`. A logit of ``-inf`` masks its class; one of ``+inf`` has its
        limit.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    epsilon : float or array without axes, default 1
        :math:`\varepsilon`. 0 is `cross_entropy`. Below -1 a better prediction would cost more.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing.

    See Also
    --------
    cross_entropy
    softmax_focal : less weight on easy examples, by a power.

    Notes
    -----
    The paper has 2 for the classes of ImageNet, and -1 for the detection and segmentation of instances. optax has
    ``epsilon=2.0`` unless given, and takes probabilities alone. With -1 the loss of a confident row is the difference
    of two numbers that are nearly equal: here it keeps its digits.

    References
    ----------
    Z. Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions", ICLR 2022.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.asarray([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> polyloss.poly1_cross_entropy(logits, np.asarray([0, 2]), reduction="none").round(4)
    array([0.4526, 4.0496])
    """

    def costs_of(row: numeric.Softmax) -> Costs:
        cost, majority = numeric.minus_log_softmax(xp, row), numeric.has_majority(xp, row)
        p, miss = row.terms / row.total, row.others / row.total
        # Below 0 what is added takes away nearly all of a small cost: (1 + e) cost - e (cost - (1 - p)) has but sums.
        cancels = (epsilon < 0.0) & (cost < 1.0)
        near = xp.where(cancels, cost, 0.0)
        exact = (1.0 + epsilon) * near - epsilon * numeric.exp_minus_line_near_0(xp, -near)
        return Costs(
            xp.where(cancels, exact, cost + epsilon * miss),
            lambda: xp.where(majority, (1.0 + epsilon) - epsilon * miss, 1.0 + epsilon * p),
            {"epsilon": lambda: miss},
        )

    return of_costs(xp, logits, target, costs_of)


@rowwise(tasks=["multi-class"], target=CLASSES, q=scalar(special(UNIT, 0.0)))
def generalized_cross_entropy(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    q: float | Array = 0.7,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Generalized cross entropy: between cross entropy and the absolute error of a probability, for noisy labels.

    .. math::
        \ell(x, t) = \sum_c t_c\, \frac{1 - p_c^q}{q}, \qquad p_c = \frac{e^{x_c}}{\sum_j e^{x_j}}

    Class ids `y` are the probabilities :math:`t_c = [c = y]`. A wrong label costs at most :math:`1 / q`.

    Parameters
    ----------
    logits : array of shape (..., C)
        Real floating. The class axis is `axis`. A logit of ``-inf`` masks its class; one of ``+inf`` has its
        limit.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    q : float or array without axes, default 0.7
        :math:`q`. 1 is the absolute error :math:`1 - p`; 0 is the limit, `cross_entropy`.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing.

    See Also
    --------
    cross_entropy

    Notes
    -----
    Keras takes probabilities: there the slope at a probability of 0 is infinite. From logits it is 0: a row that is
    confidently wrong is taken for a wrong label.

    References
    ----------
    Z. Zhang and M. R. Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels",
    NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.asarray([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> polyloss.generalized_cross_entropy(logits, np.asarray([0, 2]), reduction="none").round(4)
    array([0.2205, 1.2649])
    """

    def costs_of(row: numeric.Softmax) -> Costs:
        cost = numeric.minus_log_softmax(xp, row)
        if numeric.is_zero(q):
            return Costs(cost, lambda: xp.ones_like(cost), {"q": lambda: -0.5 * cost * cost})
        # p^q = exp(-y). An array may hold a q of 0 too, and a cost may be infinite.
        y = numeric.times(xp, q, cost)
        limit = y < 0.5 * float(xp.finfo(y.dtype).eps)
        divisor = xp.where(q > 0.0, q, 1.0)

        def by_q() -> Array:
            # -(1 - (1 + y) exp(-y)) / q^2, which is about -cost^2 / 2 where y is small.
            near = xp.where(y < 1.0, y, 0.0)
            lost = near * near - (1.0 + near) * numeric.exp_minus_line_near_0(xp, -near)
            lost = xp.where(y < 1.0, lost, 1.0 - xp.exp(-y) - numeric.times(xp, xp.exp(-y), y))
            return -xp.where(limit, 0.5 * cost * cost, lost / (divisor * divisor))

        return Costs(xp.where(limit, cost, -xp.expm1(-y) / divisor), lambda: xp.exp(-y), {"q": by_q})

    return of_costs(xp, logits, target, costs_of)
