"""Losses of a real prediction and a real target."""

import math
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.backend import stop_gradient
from polyloss.core.declare import elementwise, rowwise
from polyloss.core.domains import NONNEGATIVE, POSITIVE, Domain, special
from polyloss.core.entries import row_length
from polyloss.core.typing import Array, Call, KernelResult, Namespace, RowCall

__all__ = ["huber", "l1", "log_cosh", "mean_pairwise_squared_error", "mse", "quantile", "smooth_l1"]


@elementwise(tasks=["regression"])
def mse(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Squared error, averaged: the mean squared error.

    .. math:: \ell = (x - t)^2

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.

    See Also
    --------
    l1, huber : less sensitive to outliers.

    Notes
    -----
    ``torch.nn.functional.mse_loss``, ``keras.losses.MeanSquaredError`` and ``optax.losses.squared_error`` have this
    value. ``optax.losses.l2_loss`` is half of it, ``tf.nn.l2_loss`` half of its sum.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.mse(np.asarray([3.0, 1.0]), np.asarray([1.0, 1.0])))
    2.0
    """
    error = prediction - target
    return error * error, lambda: 2.0 * error, lambda: -2.0 * error


@elementwise(tasks=["regression", "outliers"])
def l1(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Absolute error, averaged: the mean absolute error.

    .. math:: \ell = |x - t|

    The derivative at :math:`x = t` is 0.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.

    See Also
    --------
    smooth_l1 : with a smooth bottom.
    huber, log_cosh

    Notes
    -----
    ``torch.nn.functional.l1_loss`` and ``keras.losses.MeanAbsoluteError`` have this value. On Keras's JAX backend the
    derivative at 0 is -1.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.l1(np.asarray([3.0, 1.0]), np.asarray([1.0, 1.0])))
    1.0
    """
    error = prediction - target
    return xp.abs(error), lambda: xp.sign(error), lambda: -xp.sign(error)


@elementwise(tasks=["regression", "outliers"], delta=POSITIVE)
def huber(
    xp: Namespace, prediction: Array, target: Array, *, delta: float | Array = 1.0, **call: Unpack[Call]
) -> KernelResult:
    r"""Huber loss: quadratic within `delta` of the target, linear outside.

    .. math::
        \ell = \begin{cases}
            \frac{1}{2} e^2 & |e| \le \delta \\
            \delta \left( |e| - \frac{1}{2} \delta \right) & |e| > \delta
        \end{cases}
        \qquad e = x - t

    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    delta : float or array, default 1.0
        :math:`\delta`, in the unit of the target. An array matches the trailing axes.

    See Also
    --------
    smooth_l1 : this divided by `delta`.
    tukey_biweight : bounded.

    Notes
    -----
    ``torch.nn.functional.huber_loss``, ``keras.losses.Huber`` and ``optax.losses.huber_loss`` have this value. The
    last two accept a `delta` of 0 or below, and the gradient of the last is 0 at an error of 1e-8.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.huber(np.asarray([3.0]), np.asarray([0.0]), delta=2.0))
    4.0
    """
    error = prediction - target
    slope = xp.clip(error, -delta, delta)
    by_parameter = {"delta": lambda: xp.sign(error) * (error - slope)}
    return slope * (error - 0.5 * slope), lambda: slope, lambda: -slope, by_parameter


@elementwise(tasks=["regression", "outliers"], beta=special(NONNEGATIVE, 0.0))
def smooth_l1(
    xp: Namespace, prediction: Array, target: Array, *, beta: float | Array = 1.0, **call: Unpack[Call]
) -> KernelResult:
    r"""Smooth L1 loss: the absolute error with a parabola of width `beta` at the bottom.

    .. math::
        \ell = \begin{cases}
            \frac{1}{2} e^2 / \beta & |e| < \beta \\
            |e| - \frac{1}{2} \beta & |e| \ge \beta
        \end{cases}
        \qquad e = x - t

    It is ``huber(delta=beta) / beta``, not ``huber(delta=beta)``: with a growing `beta` it tends to 0, with a
    vanishing one to `l1`.

    R. Girshick, "Fast R-CNN", ICCV 2015.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    beta : float or array, default 1.0
        :math:`\beta`; 0 is `l1`, with the derivative 0 at 0. An array matches the trailing axes.

    See Also
    --------
    huber : the same, times `beta`.

    Notes
    -----
    ``torch.nn.functional.smooth_l1_loss`` has this value, but overflows and underflows with very large and very small
    `beta`. Keras, TensorFlow and optax have no such loss.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.smooth_l1(np.asarray([-3.0]), np.asarray([0.0]), beta=2.0))
    2.0
    """
    error = prediction - target
    if numeric.is_zero(beta):
        # It has no parabola, whose curvature would be infinite.
        slope = xp.sign(error)
        return xp.abs(error), lambda: slope, lambda: -slope
    # The slope of l1, where the parabola is too narrow for a number to be in it.
    width = numeric.at_least(xp, beta, float(xp.finfo(error.dtype).smallest_normal))
    bound = xp.clip(error, -width, width)
    slope = bound / width
    by_parameter = {"beta": lambda: -0.5 * slope * slope}
    return slope * (error - 0.5 * bound), lambda: slope, lambda: -slope, by_parameter


@elementwise(tasks=["regression", "outliers"])
def log_cosh(xp: Namespace, prediction: Array, target: Array, **call: Unpack[Call]) -> KernelResult:
    r"""Logarithm of the hyperbolic cosine of the error: smooth everywhere, linear far out.

    .. math:: \ell = \log \cosh (x - t)

    About :math:`\frac{1}{2} e^2` for small errors :math:`e` and :math:`|e| - \log 2` for large ones. Exact for both:
    neither does a small loss cancel to 0 nor a large one overflow.

    R. Neuneier and H. G. Zimmermann, "How to train neural networks", in Neural Networks: Tricks of the Trade, 1998.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.

    See Also
    --------
    huber : with a parameter, and cheaper.

    Notes
    -----
    ``keras.losses.LogCosh`` and ``optax.losses.log_cosh`` are this, but lose all digits of errors below 3e-4 in
    float32.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> float(polyloss.log_cosh(np.asarray([1e-9]), np.asarray([0.0])))
    5e-19
    """
    error = prediction - target
    small = xp.abs(error) < 1.0
    near = xp.sinh(xp.where(small, error, 0.0))
    far = xp.where(small, 1.0, xp.abs(error))
    value = xp.where(small, 0.5 * xp.log1p(near * near), (far - math.log(2.0)) + xp.log1p(xp.exp(-2.0 * far)))
    return value, lambda: xp.tanh(error), lambda: -xp.tanh(error)


@elementwise(tasks=["regression", "quantiles"], q=Domain(low=0, high=1, open_low=True, open_high=True))
def quantile(
    xp: Namespace, prediction: Array, target: Array, *, q: float | Array = 0.5, **call: Unpack[Call]
) -> KernelResult:
    r"""Quantile loss, also called pinball loss: its least mean is at the quantile of the targets.

    .. math:: \ell = \begin{cases} q\,(t - x) & x < t \\ (1 - q)\,(x - t) & x \ge t \end{cases}

    The derivative at :math:`x = t` is 0.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    q : float or array, default 0.5
        The quantile: with 0.9, a prediction that is too low costs nine times as much as one that is too
        high. An array has one for each entry of the last axes, for several quantiles at once: then the target is
        repeated for each of them, since nothing is broadcast, and the mean is over quantiles too.

    See Also
    --------
    l1 : twice the quantile loss of the median.

    References
    ----------
    R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> polyloss.quantile(np.asarray([0.0, 1.0]), np.asarray([1.0, 0.0]), q=0.9, reduction="none").round(2).tolist()
    [0.9, 0.1]
    >>> prediction, target = np.asarray([[0.0, 2.0, 5.0]]), np.asarray([[3.0]])
    >>> q = np.asarray([0.1, 0.5, 0.9])
    >>> round(float(polyloss.quantile(prediction, np.repeat(target, 3, axis=1), q=q)), 4)
    0.3333
    """
    error = target - prediction
    weight = xp.where(error > 0, q, 1.0 - q)

    def slope() -> Array:
        return weight * xp.sign(error)

    return weight * xp.abs(error), lambda: -slope(), slope, {"q": lambda: error}


@rowwise(tasks=["regression"])
def mean_pairwise_squared_error(
    xp: Namespace, prediction: Array, target: Array, **call: Unpack[RowCall]
) -> KernelResult:
    r"""Squared error of the differences within a row, over all pairs of its entries: what all have in common is free.

    .. math::
        \ell = \frac{2}{n (n - 1)} \sum_{i < j} \bigl( (x_i - x_j) - (t_i - t_j) \bigr)^2
              = \frac{2}{n - 1} \sum_i (e_i - \bar e)^2, \qquad e = x - t

    Twice the variance of the errors of a row: a constant that is added to the whole row changes nothing, as brightness
    that is added to an image, which is one row where it is reshaped to one. It costs as much as `mse`, however many
    pairs there are, and does not cancel where all errors are large and alike. A row of one entry has no pairs, and a
    loss of 0.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating: the entries of a row along `axis`.
    target : array
        :math:`t`, of the shape of `prediction`.

    See Also
    --------
    mse : of the entries themselves.

    Notes
    -----
    ``tf.compat.v1.losses.mean_pairwise_squared_error`` sums over the batch, computes in float32 whatever it is given,
    and subtracts two large numbers: errors of 4096, 4097 and 4096 have a loss of 0 there, and of 2/3 here.

    References
    ----------
    D. Eigen, C. Puhrsch and R. Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network",
    NIPS 2014: a squared error that all of an image have in common counts less.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> prediction, target = np.asarray([[11.0, 12.0, 10.0]]), np.asarray([[1.0, 2.0, 3.0]])
    >>> float(polyloss.mean_pairwise_squared_error(prediction, target))
    6.0
    """
    error = prediction - target
    count, limit = row_length(xp, error), float(xp.finfo(error.dtype).max)
    # Twice: the mean of what is left has what the first one was rounded by. One of equal numbers is that number.
    mean = xp.sum(error / count, axis=-1, keepdims=True)
    least, largest = (choose(error, axis=-1, keepdims=True) for choose in (xp.min, xp.max))
    away = error - xp.clip(stop_gradient(xp.minimum(xp.maximum(mean, least), largest)), -limit, limit)
    away = xp.where(xp.isinf(away), away, away - xp.sum(away / count, axis=-1, keepdims=True))
    share = away * (2.0 / numeric.at_least(xp, count - 1, 1.0))
    return xp.sum(away * share, axis=-1), lambda: 2.0 * share, lambda: -2.0 * share
