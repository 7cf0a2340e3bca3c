"""Losses of yes and no, from probabilities or from logits."""

from dataclasses import replace
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import elementwise
from polyloss.core.domains import LABELS, NONNEGATIVE, UNIT, Domain, finite, special
from polyloss.core.typing import Array, Call, KernelResult, Namespace

from ._focus import WHOLE, focus_of_two

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "sigmoid_focal"]


@elementwise(
    tasks=["binary", "multi-label"],
    probabilities=replace(UNIT, hint="binary_cross_entropy_with_logits takes logits"),
    target=LABELS,
    clip=Domain(0, 0.5, open_low=True),
)
def binary_cross_entropy(
    xp: Namespace, probabilities: Array, target: Array, *, clip: float | Array | None = None, **call: Unpack[Call]
) -> KernelResult:
    r"""Binary cross entropy of probabilities.

    .. math:: \ell(p, t) = -t \log p - (1 - t) \log(1 - p)

    Parameters
    ----------
    probabilities : array
        In [0, 1], real floating.
    target : array of the same shape
        In [0, 1]: labels or probabilities.
    clip : float or array, optional
        Probabilities are clipped into ``[clip, 1 - clip]``, and have no gradient outside. It has to be large enough for
        the dtype: ``1 - 1e-8`` is 1 in float32.

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
    # So that 0 and 1 meet no logarithm and no division.
    p_not_0, p_not_1 = xp.where(impossible, 1.0, p), xp.where(certain, 0.0, p)
    q = 1.0 - p_not_1
    # Not log1p: XLA's is off by a hundred units in float64. What the difference lost in rounding comes back instead.
    log_p, log_q = xp.log(p_not_0), xp.log(q) + ((1.0 - q) - p_not_1) / q

    def by_probability() -> Array:
        # (1 - t) / (1 - p) - t / p
        of_no = xp.where(certain & (t != 1), xp.inf, xp.where(certain, 0.0, (1.0 - t) / q))
        of_yes = xp.where(impossible & (t != 0), xp.inf, xp.where(impossible, 0.0, t / p_not_0))
        if clip is None:
            return of_no - of_yes
        return xp.where((probabilities > clip) & (probabilities < 1.0 - clip), of_no - of_yes, 0.0)

    value = numeric.times(xp, t, xp.where(impossible, xp.inf, -log_p))
    value = value + numeric.times(xp, 1.0 - t, xp.where(certain, xp.inf, -log_q))
    return value, by_probability, lambda: xp.where(impossible | certain, 0.0, log_q - log_p)


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
) -> KernelResult:
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
        `w`, of the positive term alone; an array has the shape of the last axes of `logits`.
        It is no weight: never in a denominator.
    label_smoothing : float or array, default 0
        :math:`\varepsilon`.

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
    scale, smoothed = 1.0 - label_smoothing, not numeric.is_zero(label_smoothing)
    t, negative = target, 1.0 - target
    if smoothed:
        # Each by itself: 1 - t would cancel.
        t, negative = (scale * label + 0.5 * label_smoothing for label in (t, negative))
    positive = t if pos_weight is None else pos_weight * t
    yes, log_odds, odds = numeric.logistic_of(xp, logits)
    # Far from 0, the loss is a straight line of this slope.
    far = xp.where(yes, negative, -positive)
    # -log sigma(|x|), the cost of the likely answer. That of the unlikely one is larger by |x|.
    likely_cost = xp.log1p(odds)

    def by_logits() -> Array:
        # The sign before the division: what a compiler needs in two places, it writes to memory.
        bend = xp.where(yes, -odds, odds) / (1.0 + odds)
        slope = far + (bend if pos_weight is None else (positive + negative) * bend)
        if smoothed:
            # Around a logit of 0, both answers may cost about the same: what they differ by is computed without them.
            excess = (scale - (weight - 1.0) * (0.5 * label_smoothing)) - (scale * (weight + 1.0)) * target
            near = (excess - xp.where(yes, positive, -negative) * xp.expm1(log_odds)) / (1.0 + odds)
            slope = xp.where(log_odds > -0.5, near, slope)
        return slope

    def by_smoothed_target() -> Array:
        if pos_weight is None:
            return -logits
        return (pos_weight - 1.0) * likely_cost - xp.where(yes, logits, pos_weight * logits)

    cost_of_both = likely_cost if pos_weight is None else (positive + negative) * likely_cost
    by_parameter = {
        "pos_weight": lambda: numeric.times_slope(xp, t, likely_cost - xp.where(yes, 0.0, logits)),
        "label_smoothing": lambda: (0.5 - target) * by_smoothed_target(),
    }
    value = cost_of_both + numeric.times(xp, far, logits)
    return value, by_logits, lambda: scale * by_smoothed_target(), by_parameter


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
) -> KernelResult:
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
        The share of positive examples; 1 - `alpha` is that of negative ones. None leaves both at 1.
    gamma : float or array, default 2
        :math:`\gamma`. 0 is `binary_cross_entropy_with_logits`.

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
    yes, log_odds, odds = numeric.logistic_of(xp, logits)
    total, log_total = 1.0 + odds, xp.log1p(odds)
    likely, unlikely = xp.where(yes, target, 1.0 - target), xp.where(yes, 1.0 - target, target)
    # What goes into a gradient is finite: it may meet a factor of 0.
    entropy = log_total - unlikely * xp.where(numeric.is_infinite(xp, log_odds, -1), 0.0, log_odds)
    focus = focus_of_two(xp, likely, unlikely, log_odds, odds, entropy, gamma)
    weight = 1.0 if alpha is None else alpha * target + (1.0 - alpha) * (1.0 - target)
    focused = focus.outer * numeric.times(xp, focus.inner, log_total + numeric.times(xp, unlikely, -log_odds))

    def by_logits() -> Array:
        # By |x|, the cross entropy changes by (unlikely - likely odds) / total, and 1 - p_t by (unlikely - likely)
        # odds / total^2.
        slope = focus.inner * (unlikely - likely * odds) + (unlikely - likely) * focus.slope_by_logit()
        return weight * (focus.outer * xp.where(yes, slope, -slope)) / total

    def by_target() -> Array:
        # 1 - p_t changes by 1 - 2 p, which is this up to its sign; the cross entropy by -x.
        tilt = xp.expm1(log_odds) / total
        # Not times: a focus that underflows to 0 has a slope still.
        finite_logits = xp.where((focus.inner == 0) & numeric.is_infinite(xp, log_odds, -1), 0.0, logits)
        change = xp.where(yes, tilt, -tilt) * focus.slope() - focus.inner * finite_logits
        slope = weight * (focus.outer * change)
        return slope if alpha is None else slope + (2.0 * alpha - 1.0) * focused

    value = focused if alpha is None else numeric.times(xp, weight, focused)
    by_parameter = {
        "alpha": lambda: numeric.times_slope(xp, 2.0 * target - 1.0, focused),
        "gamma": lambda: numeric.times_slope(xp, value, focus.log_miss()),
    }
    return value, by_logits, by_target, by_parameter
