"""Losses of classes, from logits or from log-probabilities."""

from dataclasses import replace
from typing import Any, Unpack

from polyloss import stable as numeric
from polyloss.core.checks import is_integer
from polyloss.core.declare import rowwise
from polyloss.core.domains import CLASSES, LOG_PROBABILITIES, NONNEGATIVE, UNIT, finite, scalar, special
from polyloss.core.entries import one_hot
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

from ._classes import at, cross_entropy_of, expected, picked_slope, possible_classes, weighted
from ._focus import WHOLE, focus_of_many

__all__ = ["cross_entropy", "nll", "softmax_focal"]


@rowwise(
    tasks=["multi-class", "class imbalance", "distribution"],
    target=CLASSES,
    class_weight=finite(NONNEGATIVE),
    label_smoothing=scalar(special(UNIT, 0.0)),
)
def cross_entropy(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    ignore_index: int | Array | None = None,
    label_smoothing: float | Array = 0.0,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Softmax cross entropy of logits.

    .. math::
        \ell(x, q) = -\sum_c w_c\, q_c \log p_c, \qquad p_c = \frac{e^{x_c}}{\sum_j e^{x_j}}, \qquad
        q \leftarrow (1 - \varepsilon)\, q + \frac{\varepsilon}{K}

    Class ids `y` are the probabilities :math:`q_c = [c = y]`.

    Parameters
    ----------
    logits : array of shape (..., C)
        Real floating. The class axis is `axis`. A logit of ``-inf`` masks its class; one of ``+inf`` has its
        limit.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1] (their sum is not checked).
    class_weight : array of shape (C,), optional
        A factor of each class. With ``reduction="weighted_mean"`` it is in the denominator too:
        ``class_weight[target]`` for ids, ``sum_c class_weight_c q_c`` for probabilities.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing. It need not be a valid id. For class ids alone.
    label_smoothing : float or array, default 0
        :math:`\varepsilon`. It is spread over all classes, the right one too, but for the masked ones:
        `K` is the number of classes whose logit is not ``-inf``.

    See Also
    --------
    nll : of log-probabilities.
    softmax_focal : with less weight on easy examples.

    Notes
    -----
    The value and the gradient of a confident row do not cancel to 0, where the built-ins return 0 from a margin
    of 17 on in float32, and a probability of 0 at a logit of ``-inf`` adds 0, where most return NaN. PyTorch's
    mean over class ids is ``"weighted_mean"`` here; its class axis is 1, and its `ignore_index` is -100 unless
    given. Keras takes probabilities unless told ``from_logits=True``. The gradient with respect to
    probabilities is that of the formula.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016 (label smoothing).

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.asarray([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> round(float(polyloss.cross_entropy(logits, np.asarray([0, 2]))), 4)
    1.6672
    >>> round(float(polyloss.cross_entropy(logits, np.asarray([0, -1]), ignore_index=-1)), 4)
    0.2395
    """
    ids = is_integer(xp, target)
    if ids and numeric.is_zero(label_smoothing):
        picked = numeric.softmax_at(xp, logits, target)
        weight, cost = at(xp, picked.hot, class_weight), numeric.minus_log_softmax(xp, picked.entry)
        return (
            weighted(xp, weight, cost[..., 0]),
            lambda: picked_slope(xp, picked, weight),
            {"class_weight": lambda: xp.where(picked.hot, cost, 0.0)},
        )

    if ids and class_weight is None:
        return _smoothed(xp, logits, target, label_smoothing)
    return cross_entropy_of(xp, logits, target, class_weight, label_smoothing)


def _smoothed(xp: Namespace, logits: Array, ids: Array, label_smoothing: float | Array) -> KernelResult:
    """Cross entropy of class ids that are smoothed, without an array of the probabilities that they become."""
    entry, hot, unpicked, shift = numeric.softmax_at(xp, logits, ids)
    cost = numeric.minus_log_softmax(xp, entry)[..., 0]
    possible, count = possible_classes(xp, logits)
    # The mean cost of all classes: both parts are positive.
    distance = 0.0 - xp.sum(xp.where(possible, shift, 0.0) * (1.0 / count), axis=-1, keepdims=True)
    further = xp.where(distance > 0, entry.infinity, 0.0)
    mean = (xp.log(entry.total) + (distance + further))[..., 0]

    def gradient() -> Array:
        each = label_smoothing / count
        exists = ~numeric.is_infinite(xp, entry.shift, -1)
        mass = (1.0 - label_smoothing) + xp.where(exists, each, 0.0)
        mass_of_others = each * (count - xp.astype(exists, logits.dtype))
        # p_c - mass_c. That of the class itself is p mass_of_others - (1 - p) mass.
        own = entry.terms * mass_of_others - entry.others * mass
        return xp.where(hot, own, unpicked - xp.where(possible, entry.total * each, 0.0)) * (1.0 / entry.total)

    value = numeric.times(xp, 1.0 - label_smoothing, cost) + numeric.times(xp, label_smoothing, mean)
    return value, gradient, {"label_smoothing": lambda: mean - cost}


@rowwise(
    tasks=["multi-class", "class imbalance"],
    log_probabilities=replace(LOG_PROBABILITIES, hint=f"{LOG_PROBABILITIES.hint}; cross_entropy takes logits"),
    target=CLASSES,
    class_weight=finite(NONNEGATIVE),
    label_smoothing=scalar(special(UNIT, 0.0)),
)
def nll(
    xp: Namespace,
    log_probabilities: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    ignore_index: int | Array | None = None,
    label_smoothing: float | Array = 0.0,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Negative log-likelihood of log-probabilities.

    .. math::
        \ell(a, q) = -\sum_c w_c\, q_c\, a_c, \qquad a_c = \log p_c, \qquad
        q \leftarrow (1 - \varepsilon)\, q + \frac{\varepsilon}{K}

    Parameters
    ----------
    log_probabilities : array of shape (..., C)
        Real floating, the *logarithms* of probabilities, at most 0; up to 0.1 passes for rounding. Beside class
        ids only the entries that these name are checked. They are not normalised. ``-inf`` masks a class.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    class_weight : array of shape (C,), optional
        A factor of each class. With ``reduction="weighted_mean"`` it is in the denominator too.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing.
    label_smoothing : float or array, default 0
        :math:`\varepsilon`; `K` is the number of classes that are not ``-inf``.

    See Also
    --------
    cross_entropy : of logits; right where a logarithm of a softmax has rounded to 0.
    log_softmax

    Notes
    -----
    PyTorch's mean is ``"weighted_mean"`` here, its class axis is 1, and it takes class ids alone. No other
    framework has this loss.

    References
    ----------
    J. S. Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", Neurocomputing,
    1990.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> log_probabilities = np.log(np.asarray([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    >>> round(float(polyloss.nll(log_probabilities, np.asarray([0, 1]), reduction="sum")), 4)
    0.9808
    """
    if is_integer(xp, target) and numeric.is_zero(label_smoothing):
        hot = one_hot(xp, target, log_probabilities)
        weight = at(xp, hot, class_weight)
        # Of a certain class it is 0, and not -0.
        value = weighted(xp, weight, 0.0 - xp.sum(xp.where(hot, log_probabilities, 0.0), axis=-1))
        one = xp.ones_like(value) * (1.0 if weight is None else weight)
        return (
            value,
            lambda: xp.where(hot, -one[..., None], 0.0),
            {"class_weight": lambda: xp.where(hot, -log_probabilities, 0.0)},
        )

    found = expected(xp, lambda: -log_probabilities, log_probabilities, target, class_weight, label_smoothing)
    return found.value, lambda: -found.mass, *found.by_target, found.by_parameter


@rowwise(
    tasks=["multi-class", "class imbalance"],
    target=CLASSES,
    alpha=finite(NONNEGATIVE),
    gamma=scalar(special(finite(NONNEGATIVE), *WHOLE)),
)
def softmax_focal(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    alpha: float | Array | None = None,
    gamma: float | Array = 2.0,
    ignore_index: int | Array | None = None,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Focal loss of classes that exclude each other.

    .. math::
        \ell(x, q) = -\sum_c \alpha_c\, q_c\, (1 - p_c)^\gamma \log p_c, \qquad
        p_c = \frac{e^{x_c}}{\sum_j e^{x_j}}

    Parameters
    ----------
    logits : array of shape (..., C)
        Real floating. The class axis is `axis`. A logit of ``-inf`` masks its class; one of ``+inf`` has its
        limit.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    alpha : float or array of shape (C,), optional
        A factor of all classes, or one of each. It is no weight: never in a denominator.
    gamma : float or array, default 2
        :math:`\gamma`. 0 is `cross_entropy`.
    ignore_index : int or integer array without axes, optional
        Rows with this class id count for nothing.

    See Also
    --------
    sigmoid_focal : of labels that do not exclude each other.

    Notes
    -----
    The gradient is finite for every `gamma`, also where ``p_c`` is 1. Keras's ``CategoricalFocalCrossentropy`` has
    ``alpha=0.25`` unless given, takes one-hot targets alone, and returns no gradient for confidently wrong examples.

    References
    ----------
    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.asarray([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    >>> polyloss.softmax_focal(logits, np.asarray([0, 2]), reduction="none").round(4)
    array([0.0109, 2.821 ])
    """
    if is_integer(xp, target):
        picked = numeric.softmax_at(xp, logits, target)
        weight = at(xp, picked.hot, alpha)
        cost, slope, log_miss = _focused(xp, logits, picked.entry, gamma)
        value = weighted(xp, weight, cost[..., 0])

        def gradient() -> Array:
            factor = slope()[..., 0]
            return picked_slope(xp, picked, factor if weight is None else weight * factor)

        by_parameter = {
            "alpha": lambda: xp.where(picked.hot, cost, 0.0),
            "gamma": lambda: numeric.times_slope(xp, value, log_miss()[..., 0]),
        }
        return value, gradient, by_parameter

    row = numeric.softmax_of(xp, logits)
    costs, slopes, log_misses = _focused(xp, logits, row, gamma)
    found = expected(xp, lambda: costs, logits, target, alpha)

    def slope_of_all() -> Array:
        return numeric.minus_log_softmax_slope(xp, row, found.mass * slopes())

    by_parameter = {
        "alpha": found.by_parameter["class_weight"],
        "gamma": lambda: xp.sum(
            numeric.times_slope(xp, found.mass, numeric.times_slope(xp, costs, log_misses())), axis=-1
        ),
    }
    return found.value, slope_of_all, *found.by_target, by_parameter


def _focused(xp: Namespace, logits: Array, row: numeric.Softmax, gamma: float | Array) -> tuple[Any, ...]:
    """``(1 - p)^gamma * (-log p)`` and, on demand, its derivative by ``-log p``, and ``log(1 - p)``."""
    cost = numeric.minus_log_softmax(xp, row)
    p, miss = row.terms / row.total, row.others / row.total
    if numeric.is_number(gamma) and gamma in WHOLE:
        focus, log_miss = miss if gamma == 1 else miss * miss, lambda: xp.log(miss)
        if not gamma:
            return cost, lambda: xp.ones_like(cost), log_miss
    else:
        focus, log_miss = focus_of_many(xp, logits, row, gamma)

    def slope() -> Array:
        # (1 - p)^gamma (1 + gamma r) with r = -p log(p) / (1 - p). With the odds o = (1 - p) / p against an entry that
        # is log(1 + o) / o, which is about 1 - o / 2 where o is small.
        majority = numeric.has_majority(xp, row)
        odds = xp.where(majority, miss / xp.where(majority, p, 1.0), 1.0)
        small = odds < xp.finfo(odds.dtype).eps ** 0.5
        likely = xp.where(small, 1.0 - 0.5 * odds, xp.log1p(odds) / xp.where(small, 1.0, odds))
        unlikely = numeric.times(xp, p, cost) / xp.where(majority, 1.0, miss)
        return focus * (1.0 + gamma * xp.where(majority, likely, unlikely))

    return focus * cost, slope, log_miss
