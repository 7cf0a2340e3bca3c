"""Losses of yes and no, from probabilities or from logits."""

from dataclasses import replace
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.checks import (
    LABELS,
    NONNEGATIVE,
    UNIT,
    Domain,
    finite,
    special,
)
from polyloss.core.loss import elementwise
from polyloss.core.typing import Array, Call, Namespace, Pair

from ._focus import WHOLE, focus_of_two


@elementwise(
    tasks=["binary", "multi-label"],
    probabilities=replace(UNIT, hint="binary_cross_entropy_with_logits takes logits"),
    target=LABELS,
    clip=Domain(0, 0.5, open_low=True),
)
def binary_cross_entropy(
    xp: Namespace, probabilities: Array, target: Array, *, clip: float | Array | None = None, **call: Unpack[Call]
) -> Pair:
    r"""Binary cross entropy of probabilities.

    .. math:: \ell(p, t) = -t \log p - (1 - t) \log(1 - p)

    Parameters
    ----------
    probabilities : array
        In [0, 1], real floating.
    target : array of the same shape
        In [0, 1]: labels or probabilities.
    clip : float or array, optional
        In (0, 0.5]: probabilities are clipped into ``[clip, 1 - clip]``, and have no gradient outside. It has
        to be large enough for the dtype: ``1 - 1e-8`` is 1 in float32.

    See Also
    --------
    binary_cross_entropy_with_logits : better, wherever there are logits.

    Notes
    -----
    It is exact at 0 and 1: 0 with gradient 1 or -1 for a right answer, infinite for a wrong one. PyTorch clamps
    the logarithm at -100 and the slope at 1e12; Keras clips at 1e-7, which takes the gradient away where it is
    needed most. The gradient with respect to the target, infinite at a probability of 0 or 1, is left out
    there: 0.

    References
    ----------
    D. R. Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20, 1958.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.binary_cross_entropy(np.asarray([0.5, 1.0]), np.asarray([1.0, 1.0]), reduction="none").round(4)
    array([0.6931, 0.    ])
    """
    p, t = probabilities, target
    if clip is not None:
        p = xp.clip(p, clip, 1.0 - clip)
    impossible, certain = p == 0, p == 1
    # Inside, so that 0 and 1 meet no logarithm and no division.
    yes, no = xp.where(impossible, 1.0, p), xp.where(certain, 0.0, p)
    rest = 1.0 - no
    # Not log1p: XLA's is off by a hundred units in float64. What the difference lost in rounding comes back instead.
    log_yes, log_no = xp.log(yes), xp.log(rest) + ((1.0 - rest) - no) / rest

    def by_probability() -> Array:
        up = xp.where(certain & (t != 1), xp.inf, xp.where(certain, 0.0, (1.0 - t) / rest))
        down = xp.where(impossible & (t != 0), xp.inf, xp.where(impossible, 0.0, t / yes))
        if clip is None:
            return up - down
        return xp.where((probabilities > clip) & (probabilities < 1.0 - clip), up - down, 0.0)

    value = numeric.times(xp, t, xp.where(impossible, xp.inf, -log_yes))
    value = value + numeric.times(xp, 1.0 - t, xp.where(certain, xp.inf, -log_no))
    return value, by_probability, lambda: xp.where(impossible | certain, 0.0, log_no - log_yes)


@elementwise(
    tasks=["binary", "multi-label", "class imbalance"],
    target=LABELS,
    pos_weight=finite(NONNEGATIVE),
    label_smoothing=special(UNIT, 0.0),
)
def binary_cross_entropy_with_logits(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    pos_weight: float | Array | None = None,
    label_smoothing: float | Array = 0.0,
    **call: Unpack[Call],
) -> Pair:
    r"""Binary cross entropy of logits.

    .. math::
        \ell(x, t) = -w\, t \log \sigma(x) - (1 - t) \log \sigma(-x), \qquad
        t \leftarrow (1 - \varepsilon)\, t + \frac{\varepsilon}{2}

    Parameters
    ----------
    logits : array
        Real floating. Infinite logits have their limits.
    target : array of the same shape
        In [0, 1]: labels or probabilities.
    pos_weight : float or array, optional
        `w`, zero or positive, of the positive term alone; an array has the shape of the last axes of `logits`.
        It is no weight: never in a denominator.
    label_smoothing : float or array, default 0
        :math:`\varepsilon` in [0, 1].

    See Also
    --------
    binary_cross_entropy : of probabilities.
    sigmoid_focal : with less weight on easy examples.

    Notes
    -----
    The same as PyTorch's and optax's, but right in both tails (PyTorch's is 0 below a logit of -17 for a target
    of 0), at infinite logits (NaN elsewhere), and in the gradient at a logit of 0 (TensorFlow's weighted form
    has 0 or 1 there). With several labels per example the mean is over all labels.

    References
    ----------
    D. R. Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B 20, 1958.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits, target = np.asarray([0.0, -1000.0]), np.asarray([1.0, 1.0])
    >>> polyloss.binary_cross_entropy_with_logits(logits, target, reduction="none").round(4)
    array([6.931e-01, 1.000e+03])
    """
    weight = 1.0 if pos_weight is None else pos_weight
    keep, smoothed = 1.0 - label_smoothing, not numeric.is_zero(label_smoothing)
    share, negative = target, 1.0 - target
    if smoothed:
        # Each by itself: 1 - share would cancel.
        share, negative = (keep * part + 0.5 * label_smoothing for part in (share, negative))
    positive = share if pos_weight is None else pos_weight * share
    up, fall, tail = numeric.logistic_of(xp, logits)
    near, far = xp.where(up, positive, negative), xp.where(up, negative, positive)
    log_tail = xp.log1p(tail)

    def by_logits() -> Array:
        slope = far - near * tail
        if smoothed:
            # Around a logit of 0, both may be about 1/2: what they differ by is found without them.
            excess = (keep - (weight - 1.0) * (0.5 * label_smoothing)) - (keep * (weight + 1.0)) * target
            slope = xp.where(fall > -0.5, xp.where(up, excess, -excess) - near * xp.expm1(fall), slope)
        return xp.where(up, slope, -slope) / (1.0 + tail)

    def by_share() -> Array:
        if pos_weight is None:
            return -logits
        return (pos_weight - 1.0) * log_tail - xp.where(up, logits, pos_weight * logits)

    certain = log_tail if pos_weight is None else (positive + negative) * log_tail
    by_parameter = {
        "pos_weight": lambda: numeric.times(xp, share, log_tail - xp.where(up, 0.0, logits)),
        "label_smoothing": lambda: (0.5 - target) * by_share(),
    }
    return certain + numeric.times(xp, far, -fall), by_logits, lambda: keep * by_share(), by_parameter


@elementwise(
    tasks=["binary", "multi-label", "class imbalance"],
    target=LABELS,
    alpha=UNIT,
    gamma=special(finite(NONNEGATIVE), *WHOLE),
)
def sigmoid_focal(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    alpha: float | Array | None = None,
    gamma: float | Array = 2.0,
    **call: Unpack[Call],
) -> Pair:
    r"""Focal loss of labels that are independent of each other.

    .. math::
        \ell(x, t) = \alpha_t\, (1 - p_t)^\gamma\, \bigl(-t \log p - (1 - t) \log(1 - p)\bigr), \qquad
        p = \sigma(x)

    with :math:`1 - p_t = p\,(1 - t) + (1 - p)\,t` and :math:`\alpha_t = \alpha t + (1 - \alpha)(1 - t)`.

    Parameters
    ----------
    logits : array
        Real floating. Infinite logits have their limits.
    target : array of the same shape
        In [0, 1]: labels or probabilities.
    alpha : float or array, optional
        In [0, 1]: the share of positive examples; 1 - `alpha` is that of negative ones. None leaves both at 1.
    gamma : float or array, default 2
        Zero or positive. 0 is `binary_cross_entropy_with_logits`.

    See Also
    --------
    softmax_focal : of classes that exclude each other.

    Notes
    -----
    The gradient is finite for every `gamma`, also where ``p_t`` is 1: torchvision and Keras return NaN for
    `gamma` below 1. torchvision has ``alpha=0.25`` unless given and takes -1 for none; Keras ignores its
    `alpha` unless told to apply it. Detectors divide by the number of positive examples: ``denominator=``.

    References
    ----------
    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits, target = np.asarray([0.0, 3.0]), np.asarray([1.0, 1.0])
    >>> polyloss.sigmoid_focal(logits, target, alpha=0.25, reduction="none").round(6)
    array([4.3322e-02, 2.7000e-05])
    """
    up, fall, tail = numeric.logistic_of(xp, logits)
    one, log_one = 1.0 + tail, xp.log1p(tail)
    near, far = xp.where(up, target, 1.0 - target), xp.where(up, 1.0 - target, target)
    # What goes into a gradient is finite: it may meet a factor of 0.
    entropy = log_one - far * xp.where(numeric.is_infinite(xp, fall, -1), 0.0, fall)
    focus = focus_of_two(xp, near, far, fall, tail, entropy, gamma)
    weight = 1.0 if alpha is None else alpha * target + (1.0 - alpha) * (1.0 - target)
    focused = focus.outer * numeric.times(xp, focus.inner, log_one + numeric.times(xp, far, -fall))

    def by_logits() -> Array:
        slope = focus.inner * (far - near * tail) + (far - near) * focus.turn()
        return weight * (focus.outer * xp.where(up, slope, -slope)) / one

    def by_target() -> Array:
        step = xp.expm1(fall) / one
        # Not times: a focus that underflows to 0 has a slope still.
        reached = xp.where((focus.inner == 0) & numeric.is_infinite(xp, fall, -1), 0.0, logits)
        change = xp.where(up, step, -step) * focus.below() - focus.inner * reached
        slope = weight * (focus.outer * change)
        return slope if alpha is None else slope + (2.0 * alpha - 1.0) * focused

    value = focused if alpha is None else numeric.times(xp, weight, focused)
    by_parameter = {
        "alpha": lambda: numeric.times(xp, 2.0 * target - 1.0, focused),
        "gamma": lambda: numeric.times(xp, value, focus.log()),
    }
    return value, by_logits, by_target, by_parameter
