"""Losses of how much of two regions overlaps: segmentation."""

from dataclasses import replace
from typing import NamedTuple, Unpack

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.checks import is_integer
from polyloss.core.declare import regions_of_classes, regionwise
from polyloss.core.domains import CLASSES, LABELS, NONNEGATIVE, UNIT, finite, scalar, static
from polyloss.core.entries import one_hot
from polyloss.core.typing import Array, KernelResult, Namespace, RegionCall

__all__ = ["dice", "generalized_dice", "softmax_dice", "tversky"]

_PREDICTION = replace(UNIT, unless="from_logits", hint="from_logits=True takes logits")
_FACTOR = finite(NONNEGATIVE)


@regionwise(tasks=["segmentation"], prediction=_PREDICTION, target=LABELS, smooth=scalar(_FACTOR), empty=static(UNIT))
def dice(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    smooth: float | Array = 0.0,
    empty: float = 0.0,
    squared: bool = False,
    from_logits: bool = False,
    **call: Unpack[RegionCall],
) -> KernelResult:
    r"""Dice loss: how much of a predicted region and of the true one is not common to both.

    .. math::
        \ell(p, t) = 1 - \frac{2 \sum_i p_i t_i + 2 s}{\sum_i p_i + \sum_i t_i + 2 s}

    The sums are over all elements of a region, which has one loss: the axes that `axis` names.

    Parameters
    ----------
    prediction : array
        Probabilities in [0, 1], or logits of these, real floating.
    target : array of the same shape
        In [0, 1]: 1 inside of the region, 0 outside, or between.
    smooth : float or array without axes, default 0
        :math:`s`: so many elements of agreement are added. The formula with one *s* in the numerator and in the
        denominator, ``(2 * sum(p * t) + s) / (sum(p) + sum(t) + s)``, is that with half of it here.
    empty : float, default 0
        The loss where prediction and target are empty, and `smooth` is 0: 0/0. A constant of what is compiled.
    squared : bool, default False
        The denominator has :math:`\sum_i p_i^2 + \sum_i t_i^2`, as in the first paper.
    from_logits : bool, default False
        The prediction holds logits.

    See Also
    --------
    tversky : with other weights of what is too much and what is missing.
    softmax_dice : of classes that exclude each other, from logits.

    Notes
    -----
    A region that is empty in the target and not in the prediction costs 1 without `smooth`, with a gradient of 0: give
    a `smooth`, or leave such regions out by ``where``. Elements that do not count are left out by a probability of 0 (a
    logit of -inf) and a target of 0. A region is what `axis` names: of an image, both of its axes. Keras sums over the
    whole batch unless given an axis, and has 1 where both are empty; optax adds a `smooth` of 1 unless told otherwise.
    Nothing cancels in a prediction that is nearly perfect: the loss is made of what is too much and what is missing.

    References
    ----------
    F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation", 3DV 2016.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> prediction = np.asarray([[[0.5, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    >>> target = np.asarray([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    >>> polyloss.dice(prediction, target, axis=(-2, -1), reduction="none").round(4)
    array([0.1429, 0.    ])
    """
    of, t = _chances(xp, prediction, from_logits), target
    if squared:
        extra = of.p * (1.0 - t) - of.rest * t
        apart, by_prediction, by_target = 0.5 * _total(xp, extra * extra), extra, -extra
    else:
        apart = 0.5 * _total(xp, of.p * (1.0 - t)) + 0.5 * _total(xp, of.rest * t)
        by_prediction, by_target = 0.5 * (1.0 - t) - 0.5 * t, 0.5 * of.rest - 0.5 * of.p
    overlap = _overlap(xp, _total(xp, of.p * t), apart, smooth, empty)
    return (
        overlap.loss[..., 0],
        lambda: of.slope(overlap.slope(by_prediction, t)),
        lambda: overlap.slope(by_target, of.p),
        {"smooth": overlap.by_smooth},
    )


@regionwise(
    tasks=["segmentation", "class imbalance"],
    prediction=_PREDICTION,
    target=LABELS,
    alpha=scalar(_FACTOR),
    beta=scalar(_FACTOR),
    smooth=scalar(_FACTOR),
    empty=static(UNIT),
)
def tversky(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    alpha: float | Array = 0.5,
    beta: float | Array = 0.5,
    smooth: float | Array = 0.0,
    empty: float = 0.0,
    from_logits: bool = False,
    **call: Unpack[RegionCall],
) -> KernelResult:
    r"""Tversky loss: Dice loss with weights of what is predicted too much, and of what is missing.

    .. math::
        \ell(p, t) = 1 - \frac{\mathrm{TP} + s}{\mathrm{TP} + \alpha\, \mathrm{FP} + \beta\, \mathrm{FN} + s}, \qquad
        \mathrm{TP} = \sum_i p_i t_i, \quad \mathrm{FP} = \sum_i p_i (1 - t_i), \quad
        \mathrm{FN} = \sum_i (1 - p_i)\, t_i

    The sums are over all elements of a region, which has one loss: the axes that `axis` names.

    Parameters
    ----------
    prediction : array
        Probabilities in [0, 1], or logits of these, real floating.
    target : array of the same shape
        In [0, 1]: 1 inside of the region, 0 outside, or between.
    alpha : float or array without axes, default 0.5
        :math:`\alpha`, the weight of false positives.
    beta : float or array without axes, default 0.5
        :math:`\beta`, the weight of false negatives. With both 0.5 it is `dice`, with both 1 the Jaccard loss,
        1 - intersection over union.
    smooth : float or array without axes, default 0
        :math:`s`: so many elements of agreement are added.
    empty : float, default 0
        The loss where the denominator is 0. A constant of what is compiled.
    from_logits : bool, default False
        The prediction holds logits.

    See Also
    --------
    dice
    softmax_dice : of classes that exclude each other, from logits.

    Notes
    -----
    A region that is empty in the target and not in the prediction costs 1 without `smooth`, with a gradient of 0. Keras
    up to 3.15 takes `alpha` for the weight of false negatives, against its documentation. Elements that do not count
    are left out by a probability of 0 (a logit of -inf) and a target of 0.

    References
    ----------
    S. S. M. Salehi, D. Erdogmus and A. Gholipour, "Tversky Loss Function for Image Segmentation Using 3D Fully
    Convolutional Deep Networks", MLMI 2017.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> prediction, target = np.asarray([[1.0, 0.5, 0.25, 0.0]]), np.asarray([[1.0, 1.0, 0.0, 0.0]])
    >>> round(float(polyloss.tversky(prediction, target, alpha=0.25, beta=0.75)), 4)
    0.2258
    """
    of, t = _chances(xp, prediction, from_logits), target
    extra, missing = _total(xp, of.p * (1.0 - t)), _total(xp, of.rest * t)
    overlap = _overlap(xp, _total(xp, of.p * t), alpha * extra + beta * missing, smooth, empty)
    return (
        overlap.loss[..., 0],
        lambda: of.slope(overlap.slope(alpha * (1.0 - t) - beta * t, t)),
        lambda: overlap.slope(beta * of.rest - alpha * of.p, of.p),
        {
            "alpha": lambda: overlap.slope(extra, 0.0)[..., 0],
            "beta": lambda: overlap.slope(missing, 0.0)[..., 0],
            "smooth": overlap.by_smooth,
        },
    )


@regions_of_classes(
    tasks=["segmentation", "class imbalance"],
    target=CLASSES,
    class_weight=_FACTOR,
    alpha=_FACTOR,
    beta=_FACTOR,
    smooth=_FACTOR,
)
def softmax_dice(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    alpha: float | Array = 0.5,
    beta: float | Array = 0.5,
    smooth: float | Array = 0.0,
    present_only: bool = False,
    ignore_index: int | Array | None = None,
    **call: Unpack[RegionCall],
) -> KernelResult:
    r"""Dice or Tversky loss of classes that exclude each other: the mean of those of all classes.

    .. math::
        \ell(x, t) = \frac{\sum_c w_c\, \ell_c}{\sum_c w_c}, \qquad
        \ell_c = 1 - \frac{\mathrm{TP}_c + s}{\mathrm{TP}_c + \alpha\, \mathrm{FP}_c + \beta\, \mathrm{FN}_c + s},
        \qquad p_{ic} = \frac{e^{x_{ic}}}{\sum_j e^{x_{ij}}}

    The sums of each class are as in `tversky`. Class ids :math:`y_i` are the shares :math:`t_{ic} = [c = y_i]`.

    Parameters
    ----------
    logits : array of shape (..., S, C)
        Real floating. The elements of a region and the classes are where `axis` says. A logit of ``-inf`` masks its
        class.
    target : array of shape (..., S) or (..., S, C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    class_weight : array of shape (C,), optional
        :math:`w_c`, the weight of each class in the mean: 0 leaves out the background.
    alpha, beta : float or array of shape (C,), default 0.5
        The weights of false positives and of false negatives. With both 0.5 it is the Dice loss.
    smooth : float or array of shape (C,), default 0
        :math:`s`: so many elements of agreement are added.
    present_only : bool, default False
        The mean is over those classes alone that the target of the region has, 0 where there is none. Otherwise a class
        that it does not have costs about 1 without `smooth`.
    ignore_index : int or integer array without axes, optional
        Elements with this class id count for nothing. For class ids alone.

    See Also
    --------
    dice : of one region, or of regions that do not exclude each other.
    generalized_dice : one ratio of all classes.

    Notes
    -----
    A class that is neither in the target nor predicted at all costs 0. optax takes the class axis last and one-hot
    targets alone, adds a `smooth` of 1 unless told otherwise, and divides by the number of classes, whatever their
    weights. The probabilities of a confident prediction do not cancel.

    References
    ----------
    F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
    Segmentation", 3DV 2016.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.log(np.asarray([[[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]]))
    >>> round(float(polyloss.softmax_dice(logits, np.asarray([[0, 1]]))), 4)
    0.619
    >>> round(float(polyloss.softmax_dice(logits, np.asarray([[0, 1]]), present_only=True)), 4)
    0.4286
    """
    of = _classes(xp, logits, target)
    extra, missing = _total(xp, of.p * of.no, -2), _total(xp, of.rest * of.yes, -2)
    overlap = _overlap(xp, _total(xp, of.p * of.yes, -2), alpha * extra + beta * missing, smooth, 0.0)
    weight = xp.ones_like(extra) if class_weight is None else class_weight * xp.ones_like(extra)
    counted = of.size > 0 if present_only else xp.ones_like(extra, dtype=xp.bool)
    weight = xp.where(counted, weight, 0.0)
    total = _total(xp, weight)
    nothing = total == 0
    total = xp.where(nothing, 1.0, total)
    part = weight / total
    value = _total(xp, part * overlap.loss)

    def by_target() -> Array:
        return part * overlap.slope(beta * of.rest - alpha * of.p, of.p)

    return (
        value[..., 0, 0],
        lambda: of.slope(xp, part * overlap.slope(alpha * of.no - beta * of.yes, of.yes)),
        *(() if is_integer(xp, target) else (by_target,)),
        {
            "class_weight": lambda: xp.where(counted & ~nothing, (overlap.loss - value) / total, 0.0)[..., 0, :],
            "alpha": lambda: (part * overlap.slope(extra, 0.0))[..., 0, :],
            "beta": lambda: (part * overlap.slope(missing, 0.0))[..., 0, :],
            "smooth": lambda: (part * overlap.slope(0.0, 1.0))[..., 0, :],
        },
    )


@regions_of_classes(
    tasks=["segmentation", "class imbalance"], target=CLASSES, class_weight=_FACTOR, power=static(_FACTOR)
)
def generalized_dice(
    xp: Namespace,
    logits: Array,
    target: Array,
    *,
    class_weight: Array | None = None,
    power: float = 2,
    present_only: bool = False,
    ignore_index: int | Array | None = None,
    **call: Unpack[RegionCall],
) -> KernelResult:
    r"""Generalized Dice loss: one ratio for all classes, each of which counts the more the smaller it is.

    .. math::
        \ell(x, t) = 1 - \frac{2 \sum_c w_c \sum_i p_{ic}\, t_{ic}}{\sum_c w_c \sum_i (p_{ic} + t_{ic})}, \qquad
        w_c = v_c \Big/ \Big( \sum_i t_{ic} \Big)^q, \qquad p_{ic} = \frac{e^{x_{ic}}}{\sum_j e^{x_{ij}}}

    Class ids :math:`y_i` are the shares :math:`t_{ic} = [c = y_i]`.

    Parameters
    ----------
    logits : array of shape (..., S, C)
        Real floating. The elements of a region and the classes are where `axis` says. A logit of ``-inf`` masks its
        class.
    target : array of shape (..., S) or (..., S, C)
        Integers: class ids in [0, C). Real floating: probabilities in [0, 1].
    class_weight : array of shape (C,), optional
        :math:`v_c`, a factor of each class: 0 leaves out the background.
    power : float, default 2
        :math:`q`, of the size of a class: 1 is its inverse, 0 gives all the same weight. A constant of what is
        compiled.
    present_only : bool, default False
        Classes that the target of the region does not have have no weight. Otherwise their size counts as that of the
        smallest class that it has.
    ignore_index : int or integer array without axes, optional
        Elements with this class id count for nothing. For class ids alone.

    See Also
    --------
    softmax_dice : a ratio for each class, and their mean.

    Notes
    -----
    The sizes are constants for every gradient. There is no smoothing, since a softmax is not empty; where nothing
    counts, the loss is 0. optax's ``multiclass_generalized_dice_loss`` is another loss, `softmax_dice` with
    a `class_weight` of the batch: there a class that the batch does not have gets almost all of the weight.

    References
    ----------
    C. H. Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function for Highly Unbalanced
    Segmentations", DLMIA 2017.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> logits = np.log(np.asarray([[[0.5, 0.5], [0.75, 0.25], [0.75, 0.25]]]))
    >>> round(float(polyloss.generalized_dice(logits, np.asarray([[1, 0, 0]]))), 4)
    0.4167
    """
    of = _classes(xp, logits, target)
    present, size = of.size > 0, of.size
    # By the smallest that is there, so that no power overflows.
    least = xp.min(xp.where(present, size, xp.max(size, axis=-1, keepdims=True)), axis=-1, keepdims=True)
    ratio = xp.where(present, least / xp.where(present, size, 1.0), 1.0)
    weight = ratio * ratio if power == 2 else ratio**power
    if present_only:
        weight = xp.where(present, weight, 0.0)
    factor = weight if class_weight is None else class_weight * weight
    agreed = _total(xp, of.p * of.yes, -2)
    apart = 0.5 * _total(xp, of.p * of.no, -2) + 0.5 * _total(xp, of.rest * of.yes, -2)
    overlap = _overlap(xp, _total(xp, factor * agreed), _total(xp, factor * apart), 0.0, 0.0)

    def by_target() -> Array:
        return factor * overlap.slope(0.5 * of.rest - 0.5 * of.p, of.p)

    return (
        overlap.loss[..., 0, 0],
        lambda: of.slope(xp, factor * overlap.slope(0.5 * of.no - 0.5 * of.yes, of.yes)),
        *(() if is_integer(xp, target) else (by_target,)),
        {"class_weight": lambda: (weight * overlap.slope(apart, agreed))[..., 0, :]},
    )


def _total(xp: Namespace, array: Array, axis: int = -1) -> Array:
    return xp.sum(array, axis=axis, keepdims=True)


class _Overlap(NamedTuple):
    """What is not common to two regions, as a share of the whole, whose parts are agreed on or apart."""

    loss: Array
    index: Array
    """What is agreed on, as such a share."""
    inverse: Array
    """1 by the whole; 0 where that is 0."""

    def slope(self, apart: Array | float, agreed: Array | float) -> Array:
        """The derivative of the loss, from those of the two parts."""
        return (apart * self.index - agreed * self.loss) * self.inverse

    def by_smooth(self) -> Array:
        return (-self.loss * self.inverse)[..., 0]


def _overlap(xp: Namespace, agreed: Array, apart: Array, smooth: float | Array, empty: float | Array) -> _Overlap:
    agreed = agreed + smooth
    whole = agreed + apart
    nothing = whole == 0
    whole = xp.where(nothing, 1.0, whole)
    return _Overlap(xp.where(nothing, empty, apart / whole), agreed / whole, xp.where(nothing, 0.0, 1.0 / whole))


class _Chances(NamedTuple):
    """Probabilities, and what is left to 1."""

    p: Array
    rest: Array
    is_logistic: bool

    def slope(self, by_p: Array) -> Array:
        """The derivative by the prediction, from that by the probabilities."""
        return by_p * (self.p * self.rest) if self.is_logistic else by_p


def _chances(xp: Namespace, prediction: Array, from_logits: bool) -> _Chances:
    if not from_logits:
        return _Chances(prediction, 1.0 - prediction, False)
    answer = numeric.logistic_of(xp, prediction)
    likely, unlikely = 1.0 / (1.0 + answer.odds), answer.odds / (1.0 + answer.odds)
    return _Chances(xp.where(answer.yes, likely, unlikely), xp.where(answer.yes, unlikely, likely), True)


class _Classes(NamedTuple):
    """Probabilities of classes, and what is left to 1; of each class the share in the target, and what is left."""

    row: numeric.Softmax
    p: Array
    rest: Array
    yes: Array
    no: Array
    size: Array
    """Of each class in the target; a constant."""

    def slope(self, xp: Namespace, by_p: Array) -> Array:
        """The derivative by the logits, from that by the probabilities."""
        return numeric.minus_log_softmax_slope(xp, self.row, -by_p * self.p)


def _classes(xp: Namespace, logits: Array, target: Array) -> _Classes:
    yes, counted = target, None
    if is_integer(xp, target):
        counted = (target >= 0)[..., None]
        # What does not count may be anything.
        logits = xp.where(counted, logits, 0.0)
        yes = xp.astype(one_hot(xp, target, logits), logits.dtype)
    no = 1.0 - yes if counted is None else xp.where(counted, 1.0 - yes, 0.0)
    row = numeric.softmax_of(xp, logits)
    p, rest = row.terms / row.total, row.others / row.total
    return _Classes(row, p, rest, yes, no, stop_gradient(_total(xp, yes, -2)))
