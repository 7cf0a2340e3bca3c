"""Losses of classes: from logits, from probabilities, from scores."""

from typing import Unpack

from . import _numeric as numeric
from ._checks import CLASSES, NONNEGATIVE, SIGN, UNIT, Domain, is_integer, static
from ._loss import elementwise, rowwise
from ._typing import Array, Call, Namespace, Pair, RowCall


@rowwise(
    tasks=["multi-class", "class imbalance", "distribution"],
    target=CLASSES,
    class_weight=NONNEGATIVE,
    label_smoothing=static(UNIT),
)
def cross_entropy(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **call: Unpack[RowCall],
) -> Pair:
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
        Zero or positive. With ``reduction="weighted_mean"`` it is in the denominator too: ``class_weight[target]``
        for ids, ``sum_c class_weight_c q_c`` for probabilities.
    ignore_index : int, optional
        Rows with this class id count for nothing. It need not be a valid id. For class ids alone.
    label_smoothing : float, default 0
        :math:`\varepsilon` in [0, 1]. It is spread over all classes, the right one too, but for the masked ones:
        `K` is the number of classes whose logit is not ``-inf``.
    axis, reduction, sample_weight, where, denominator
        As in every row-wise loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `logits` without `axis` with ``reduction="none"``; dtype of `logits`.

    Raises
    ------
    TypeError
        If `logits` are not real floating, or `target` holds class ids that are not integers.
    ValueError
        If shapes do not fit, a class id or a parameter is outside its range, or `ignore_index` comes with
        probabilities.

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
    if is_integer(xp, target) and not label_smoothing:
        own, hot, others = numeric.softmax_at(xp, logits, target)
        weight = _at(xp, hot, class_weight)
        value = _weighted(xp, weight, numeric.minus_log(xp, own)[..., 0])
        return value, lambda: _pull_entry(xp, own, hot, others, weight)

    row = numeric.softmax_of(xp, logits)
    mass = _mass(xp, logits, target, class_weight, label_smoothing)
    costs = numeric.minus_log(xp, row)
    value = xp.sum(numeric.times(xp, mass, costs), axis=-1)
    return (
        value,
        lambda: numeric.pull_log(xp, row, mass),
        *_by_target(xp, target, class_weight, logits, costs, label_smoothing),
    )


@rowwise(
    tasks=["multi-class", "class imbalance"], target=CLASSES, class_weight=NONNEGATIVE, label_smoothing=static(UNIT)
)
def nll(
    xp: Namespace,
    log_probabilities: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **call: Unpack[RowCall],
) -> Pair:
    r"""Negative log-likelihood of log-probabilities.

    .. math::
        \ell(a, q) = -\sum_c w_c\, q_c\, a_c, \qquad a_c = \log p_c, \qquad
        q \leftarrow (1 - \varepsilon)\, q + \frac{\varepsilon}{K}

    Parameters
    ----------
    log_probabilities : array of shape (..., C)
        Real floating, the *logarithms* of probabilities: they are neither normalised nor checked. ``-inf``
        masks a class.
    target : array of shape (...) or (..., C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    class_weight : array of shape (C,), optional
        Zero or positive. With ``reduction="weighted_mean"`` it is in the denominator too.
    ignore_index : int, optional
        Rows with this class id count for nothing.
    label_smoothing : float, default 0
        :math:`\varepsilon` in [0, 1]; `K` is the number of classes that are not ``-inf``.
    axis, reduction, sample_weight, where, denominator
        As in every row-wise loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `log_probabilities` without `axis` with ``reduction="none"``; dtype of
        `log_probabilities`.

    Raises
    ------
    TypeError
        If `log_probabilities` are not real floating, or `target` holds class ids that are not integers.
    ValueError
        If shapes do not fit, a class id or a parameter is outside its range, or `ignore_index` comes with
        probabilities.

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
    costs = -log_probabilities
    if is_integer(xp, target) and not label_smoothing:
        hot = numeric.one_hot(xp, target, costs)
        weight = _at(xp, hot, class_weight)
        value = _weighted(xp, weight, xp.sum(xp.where(hot, costs, 0.0), axis=-1))
        one = xp.ones_like(value) * (1.0 if weight is None else weight)
        return value, lambda: xp.where(hot, -one[..., None], 0.0)

    mass = _mass(xp, log_probabilities, target, class_weight, label_smoothing)
    value = xp.sum(numeric.times(xp, mass, costs), axis=-1)
    return value, lambda: -mass, *_by_target(xp, target, class_weight, log_probabilities, costs, label_smoothing)


@rowwise(tasks=["multi-class", "class imbalance"], target=CLASSES, alpha=NONNEGATIVE, gamma=static(NONNEGATIVE))
def softmax_focal(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    alpha: float | Array | None = None,
    gamma: float = 2.0,
    ignore_index: int | None = None,
    **call: Unpack[RowCall],
) -> Pair:
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
        Zero or positive: a factor of all classes, or one of each. It is no weight: never in a denominator.
    gamma : float, default 2
        Zero or positive. 0 is `cross_entropy`.
    ignore_index : int, optional
        Rows with this class id count for nothing.
    axis, reduction, sample_weight, where, denominator
        As in every row-wise loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `logits` without `axis` with ``reduction="none"``; dtype of `logits`.

    Raises
    ------
    TypeError
        If `logits` are not real floating, or `target` holds class ids that are not integers.
    ValueError
        If shapes do not fit, or a class id or a parameter is outside its range.

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
        own, hot, others = numeric.softmax_at(xp, logits, target)
        weight = _at(xp, hot, alpha)
        cost, slope = _focused(xp, own, gamma)

        def gradient() -> Array:
            pull = slope()[..., 0]
            return _pull_entry(xp, own, hot, others, pull if weight is None else weight * pull)

        return _weighted(xp, weight, cost[..., 0]), gradient

    row = numeric.softmax_of(xp, logits)
    mass = target if alpha is None else target * alpha
    costs, slopes = _focused(xp, row, gamma)
    value = xp.sum(numeric.times(xp, mass, costs), axis=-1)
    return value, lambda: numeric.pull_log(xp, row, mass * slopes()), *_by_target(xp, target, alpha, logits, costs)


@elementwise(tasks=["binary", "multi-label"], probabilities=UNIT, target=UNIT, clip=Domain(0, 0.5, open_low=True))
def binary_cross_entropy(
    xp: Namespace, probabilities: Array, target: Array, *, clip: float | None = None, **call: Unpack[Call]
) -> Pair:
    r"""Binary cross entropy of probabilities.

    .. math:: \ell(p, t) = -t \log p - (1 - t) \log(1 - p)

    Parameters
    ----------
    probabilities : array
        In [0, 1], real floating.
    target : array of the same shape
        In [0, 1]: labels or probabilities.
    clip : float, optional
        In (0, 0.5]: probabilities are clipped into ``[clip, 1 - clip]``, and have no gradient outside. It has
        to be large enough for the dtype: ``1 - 1e-8`` is 1 in float32.
    reduction, sample_weight, where, denominator
        As in every loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `probabilities` with ``reduction="none"``; dtype of `probabilities`.

    Raises
    ------
    TypeError
        If `probabilities` are not real floating.
    ValueError
        If shapes differ, or a probability, a target or `clip` is outside its range.

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
    infinity = xp.full_like(p, xp.inf)

    def by_probability() -> Array:
        up = xp.where(certain, xp.where(t == 1, 0.0, infinity), (1.0 - t) / rest)
        down = xp.where(impossible, xp.where(t == 0, 0.0, infinity), t / yes)
        if clip is None:
            return up - down
        return xp.where((probabilities > clip) & (probabilities < 1.0 - clip), up - down, 0.0)

    value = numeric.times(xp, t, xp.where(impossible, infinity, -log_yes))
    value = value + numeric.times(xp, 1.0 - t, xp.where(certain, infinity, -log_no))
    return value, by_probability, lambda: xp.where(impossible | certain, 0.0, log_no - log_yes)


@elementwise(
    tasks=["binary", "multi-label", "class imbalance"],
    target=UNIT,
    pos_weight=NONNEGATIVE,
    label_smoothing=static(UNIT),
)
def binary_cross_entropy_with_logits(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    pos_weight: float | Array | None = None,
    label_smoothing: float = 0.0,
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
    label_smoothing : float, default 0
        :math:`\varepsilon` in [0, 1].
    reduction, sample_weight, where, denominator
        As in every loss: see `polyloss.Loss`. With several labels per example the mean is over all labels.

    Returns
    -------
    array
        A scalar, or the shape of `logits` with ``reduction="none"``; dtype of `logits`.

    Raises
    ------
    TypeError
        If `logits` are not real floating.
    ValueError
        If shapes do not fit, or a target or a parameter is outside its range.

    See Also
    --------
    binary_cross_entropy : of probabilities.
    sigmoid_focal : with less weight on easy examples.

    Notes
    -----
    The same as PyTorch's and optax's, but right in both tails (PyTorch's is 0 below a logit of -17 for a target
    of 0), at infinite logits (NaN elsewhere), and in the gradient at a logit of 0 (TensorFlow's weighted form
    has 0 or 1 there).

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
    keep = 1.0 - label_smoothing
    positive, negative = target, 1.0 - target
    if label_smoothing:
        # Each by itself: 1 - positive would cancel.
        positive, negative = (keep * share + 0.5 * label_smoothing for share in (positive, negative))
    if pos_weight is not None:
        positive = pos_weight * positive
    up, fall, tail = numeric.logistic_of(xp, logits)
    near, far = xp.where(up, positive, negative), xp.where(up, negative, positive)
    log_tail = xp.log1p(tail)

    def by_logits() -> Array:
        slope = far - near * tail
        return xp.where(up, slope, -slope) / (1.0 + tail)

    def by_target() -> Array:
        if pos_weight is None:
            return -keep * logits
        return keep * ((pos_weight - 1.0) * log_tail - xp.where(up, logits, pos_weight * logits))

    certain = log_tail if pos_weight is None else (positive + negative) * log_tail
    return certain + numeric.times(xp, far, -fall), by_logits, by_target


@elementwise(tasks=["binary", "multi-label", "class imbalance"], target=UNIT, alpha=UNIT, gamma=static(NONNEGATIVE))
def sigmoid_focal(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    alpha: float | Array | None = None,
    gamma: float = 2.0,
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
    gamma : float, default 2
        Zero or positive. 0 is `binary_cross_entropy_with_logits`.
    reduction, sample_weight, where, denominator
        As in every loss: see `polyloss.Loss`. Detectors divide by the number of positive examples:
        ``denominator=``.

    Returns
    -------
    array
        A scalar, or the shape of `logits` with ``reduction="none"``; dtype of `logits`.

    Raises
    ------
    TypeError
        If `logits` are not real floating.
    ValueError
        If shapes do not fit, or a target or a parameter is outside its range.

    See Also
    --------
    softmax_focal : of classes that exclude each other.

    Notes
    -----
    The gradient is finite for every `gamma`, also where ``p_t`` is 1: torchvision and Keras return NaN for
    `gamma` below 1. torchvision has ``alpha=0.25`` unless given and takes -1 for none; Keras ignores its
    `alpha` unless told to apply it.

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
    one = 1.0 + tail
    log_one = xp.log1p(tail)
    near, far = xp.where(up, target, 1.0 - target), xp.where(up, 1.0 - target, target)

    # 1 - p_t = wrong / one, in which nothing cancels.
    wrong = far + near * tail
    # A label on its right side: far is 0, near is 1, and what is wrong is the tail, which ends in 0. So its powers,
    # and what is divided by it, go on.
    right = far == 0
    vanished = tail < xp.finfo(tail.dtype).smallest_normal
    gone = right & vanished
    divisor = xp.where(gone, 1.0, wrong)
    # The root of (1 - p_t)^gamma: two factors of it do not vanish before the whole product does.
    root = xp.ones_like(wrong)
    if gamma >= 2:
        root = (wrong / one) ** (0.5 * gamma)
    elif gamma:
        # A root vanishes later than what it is taken of. far and near - 1 are 0 here; their derivatives are not.
        log_tail = fall + far / xp.where(vanished, 1.0, tail) + (near - 1.0)
        log_root = xp.where(right, log_tail, 0.0) - log_one
        root = xp.where(right, 1.0, wrong) ** (0.5 * gamma) * xp.exp(0.5 * gamma * log_root)
    factor = root if alpha is None else (alpha * target + (1.0 - alpha) * (1.0 - target)) * root
    entropy = log_one + numeric.times(xp, far, -fall)

    def by_logits() -> Array:
        # The tail takes an infinite distance to 0.
        finite = log_one - far * xp.where(tail == 0, 0.0, fall)
        share = xp.where(gone, 1.0, tail / divisor)
        slope = gamma * (far - near) * share * finite + (far - near * tail)
        return factor * (root * xp.where(up, slope, -slope)) / one

    def by_target() -> Array:
        step = xp.expm1(fall)
        odds = root * xp.where(gone, 1.0, entropy / divisor)
        slope = gamma * factor * (xp.where(up, step, -step) * odds) - factor * numeric.times(xp, root, logits)
        return slope if alpha is None else slope + (2.0 * alpha - 1.0) * root * numeric.times(xp, root, entropy)

    return numeric.times(xp, factor, root * entropy), by_logits, by_target


@elementwise(tasks=["binary"], target=SIGN)
def hinge(xp: Namespace, scores: Array, target: Array, **call: Unpack[Call]) -> Pair:
    r"""Hinge loss.

    .. math:: \ell(s, t) = \max(0,\, 1 - t s)

    Parameters
    ----------
    scores : array
        Real floating.
    target : array of the same shape
        Labels -1 and 1. Labels 0 and 1 are refused.
    reduction, sample_weight, where, denominator
        As in every loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `scores` with ``reduction="none"``; dtype of `scores`.

    Raises
    ------
    TypeError
        If `scores` are not real floating.
    ValueError
        If shapes differ, or a label is neither -1 nor 1.

    See Also
    --------
    squared_hinge

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
def squared_hinge(xp: Namespace, scores: Array, target: Array, **call: Unpack[Call]) -> Pair:
    r"""Squared hinge loss.

    .. math:: \ell(s, t) = \max(0,\, 1 - t s)^2

    Parameters
    ----------
    scores : array
        Real floating.
    target : array of the same shape
        Labels -1 and 1. Labels 0 and 1 are refused.
    reduction, sample_weight, where, denominator
        As in every loss: see `polyloss.Loss`.

    Returns
    -------
    array
        A scalar, or the shape of `scores` with ``reduction="none"``; dtype of `scores`.

    Raises
    ------
    TypeError
        If `scores` are not real floating.
    ValueError
        If shapes differ, or a label is neither -1 nor 1.

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


def _missing(xp: Namespace, scores: Array, target: Array) -> Array:
    """What a score lacks to the margin. NaN stays NaN."""
    missing = 1.0 - target * scores
    return xp.where(missing <= 0, 0.0, missing)


def _at(xp: Namespace, hot: Array, weight: float | Array | None) -> float | Array | None:
    """The weight of each row's class."""
    if weight is None or numeric.is_number(weight):
        return weight
    return xp.sum(xp.where(hot, weight, 0.0), axis=-1)


def _weighted(xp: Namespace, weight: float | Array | None, costs: Array) -> Array:
    return costs if weight is None else numeric.times(xp, weight, costs)


def _pull_entry(xp: Namespace, own: numeric.Softmax, hot: Array, others: Array, factor: Array | None) -> Array:
    """The derivative of ``factor * minus_log(own)`` by the logits, with `factor` a constant."""
    gradient = xp.where(hot, -own.rest, others) / own.total
    if factor is None:
        return gradient
    return (factor if numeric.is_number(factor) else factor[..., None]) * gradient


def _mass(
    xp: Namespace, logits: Array, target: Array, class_weight: float | Array | None, label_smoothing: float
) -> Array:
    """The factor of each class's cost: its share of the target, smoothed and weighted."""
    ids = is_integer(xp, target)
    mass = xp.astype(numeric.one_hot(xp, target, logits), logits.dtype) if ids else target
    if label_smoothing:
        possible = logits != -xp.inf
        count = xp.sum(xp.astype(possible, logits.dtype), axis=-1, keepdims=True)
        mass = (1.0 - label_smoothing) * mass + xp.where(possible, label_smoothing / xp.maximum(count, 1.0), 0.0)
    return mass if class_weight is None else class_weight * mass


def _by_target(
    xp: Namespace,
    target: Array,
    weight: float | Array | None,
    logits: Array,
    costs: Array,
    label_smoothing: float = 0.0,
) -> Pair:
    """The derivative by the target, where it is one of probabilities. What a masked class would cost is left out."""
    if is_integer(xp, target):
        return ()

    def gradient() -> Array:
        kept = (1.0 - label_smoothing) * xp.where(logits == -xp.inf, 0.0, costs)
        return kept if weight is None else numeric.times(xp, weight, kept)

    return (gradient,)


def _focused(xp: Namespace, row: numeric.Softmax, gamma: float) -> Pair:
    """``(1 - p)^gamma * (-log p)`` and, on demand, its derivative by ``-log p``."""
    cost = numeric.minus_log(xp, row)
    if not gamma:
        return cost, lambda: xp.ones_like(cost)
    share, rest = row.terms / row.total, numeric.others(xp, row) / row.total
    # The derivative of a power at 0 is anybody's guess.
    certain = rest == 0
    focus = xp.where(certain, 0.0, xp.where(certain, 1.0, rest) ** gamma)

    def slope() -> Array:
        top = numeric.ahead(row)
        odds = xp.where(top, rest / xp.where(top, share, 1.0), 1.0)
        # -p log(p) / (1 - p), whose limit at p = 1 is 1.
        near = odds < xp.finfo(odds.dtype).eps ** 0.5
        far = numeric.times(xp, share, cost) / xp.where(top, 1.0, rest)
        ratio = xp.where(top, xp.where(near, 1.0 - 0.5 * odds, xp.log1p(odds) / xp.where(near, 1.0, odds)), far)
        return focus * (1.0 + gamma * ratio)

    return focus * cost, slope
