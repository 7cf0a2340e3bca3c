"""Losses of the ratio of a prediction to its target."""

from typing import Unpack

from polyloss.core.declare import elementwise
from polyloss.core.domains import NONNEGATIVE, Domain
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["mape", "msle"]

_ABOVE_MINUS_ONE = Domain(low=-1, open_low=True)


@elementwise(tasks=["regression"], floor=NONNEGATIVE)
def mape(
    xp: Namespace, prediction: Array, target: Array, *, floor: float | Array = 0.0, **call: Unpack[Call]
) -> KernelResult:
    r"""Absolute error in percent of the target, averaged: the mean absolute percentage error.

    .. math:: \ell = 100 \, \frac{|x - t|}{\max(|t|, f)}

    The derivative at :math:`x = t` is 0; where :math:`|t| = f`, that with respect to each of them is the one of least
    norm. Without a floor :math:`f`, the loss of a target of 0 is infinite, and 0 where
    the prediction is 0 too: give a `floor` where targets come close to 0, for otherwise these few make all of the mean.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    floor : float or array, default 0.0
        :math:`f`, in the unit of the target: what the error is divided by where the target is smaller. An array
        matches the trailing axes.

    See Also
    --------
    msle : of the ratio of both; an error of a factor of 2 costs the same in both directions.
    l1 : in the unit of the target.

    Notes
    -----
    ``keras.losses.MeanAbsolutePercentageError`` is this with a floor of 1e-7, where a target of 0 and a prediction of 1
    have a loss of 1e9; on Keras's JAX backend its derivative at :math:`x = t` is not 0.
    ``sklearn.metrics.mean_absolute_percentage_error`` is a fraction, not a percentage. PyTorch, TensorFlow and optax
    have no such loss.

    References
    ----------
    A. de Myttenaere, B. Golden, B. Le Grand and F. Rossi, "Mean Absolute Percentage Error for regression models",
    Neurocomputing 192, 2016.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.mape(np.asarray([3.0, 9.0]), np.asarray([2.0, 10.0])))
    30.0
    >>> float(polyloss.mape(np.asarray([1.0]), np.asarray([0.0]), floor=2.0))
    50.0
    """
    error = prediction - target
    floored = (xp.abs(target) < floor) | (target == 0)
    # Nothing is divided where there is no error: a target of 0 may be predicted, too.
    size = xp.where(error == 0, 1.0, xp.where(floored, floor, xp.abs(target)))
    # Of an infinite target, any number misses 100 %.
    infinite = xp.isinf(target)
    value = 100.0 * xp.abs(xp.where(infinite, xp.sign(error), error) / xp.where(infinite, 1.0, size))

    def slope() -> Array:
        return 100.0 * xp.sign(error) / size

    def by_target() -> Array:
        ratio = prediction / xp.where(floored, 1.0, target)
        # Exactly at the floor it lies between 1, that of a target below, and the ratio: the least of these.
        ratio = xp.where(xp.abs(target) == floor, xp.clip(ratio, 0.0, 1.0), ratio)
        return -slope() * xp.where(floored, 1.0, ratio)

    return value, slope, by_target, {"floor": lambda: xp.where(floored, -value / size, 0.0)}


@elementwise(tasks=["regression"], prediction=_ABOVE_MINUS_ONE, target=_ABOVE_MINUS_ONE)
def msle(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Squared error of the logarithms of 1 and more, averaged: the mean squared logarithmic error.

    .. math:: \ell = \left( \log(1 + x) - \log(1 + t) \right)^2

    About the square of the relative error for large numbers, and of the error itself for small ones. Exact where both
    are alike: the logarithms are not subtracted, but where one is far larger.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape: above -1.
    target : array
        :math:`t`, of the shape of `prediction`: above -1.

    See Also
    --------
    mape : the relative error itself.
    mse : of the numbers themselves.

    Notes
    -----
    ``keras.losses.MeanSquaredLogarithmicError`` replaces what is below 1e-7 by that: of a prediction of -0.9 and a
    target of -0.5 the loss is 0 there, and 2.59 here. It rounds 1 + x to float32 before it takes the logarithm: the
    loss of 1e-5 and 2e-5 is off by 3 in 1000. PyTorch, TensorFlow and optax have no such loss.

    References
    ----------
    C. Tofallis, "A better measure of relative prediction accuracy for model selection and model estimation", Journal
    of the Operational Research Society 66, 2015.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> round(float(polyloss.msle(np.asarray([np.e - 1, -0.9]), np.asarray([0.0, -0.5]))), 4)
    1.7951
    """
    error = prediction - target
    above = error > 0
    more = xp.where(above, error, -error)
    larger, smaller = xp.where(above, prediction, target), xp.where(above, target, prediction)
    # log((1 + larger) / (1 + smaller)), from how much more the larger one is; from both, where that is too large.
    far = more > 0.25 * float(xp.finfo(error.dtype).max) * xp.clip(1.0 + smaller, None, 4.0)
    apart = xp.log1p(xp.where(far, larger, 0.0)) - xp.log1p(xp.where(far, smaller, 0.0))
    size = xp.where(far, apart, xp.log1p(xp.where(far, 0.0, more) / (1.0 + smaller)))
    ratio = xp.where(above, size, -size)

    def slope(array: Array) -> Array:
        # Of an infinite number, an infinite loss has the slope 0.
        return 2.0 * xp.where(xp.isinf(array), 0.0, ratio) / (1.0 + array)

    return ratio * ratio, lambda: slope(prediction), lambda: -slope(target)
