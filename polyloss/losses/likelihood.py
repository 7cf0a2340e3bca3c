"""Negative log-likelihoods: a prediction says of what distribution its target is."""

import math
from dataclasses import replace
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import elementwise
from polyloss.core.domains import NONNEGATIVE, POSITIVE, finite, one_of
from polyloss.core.typing import Array, Call, KernelResult, Namespace

__all__ = ["gaussian_nll", "poisson_nll"]


@elementwise(
    tasks=["counts"],
    prediction=replace(NONNEGATIVE, unless="log_rate", hint="log_rate=True takes logarithms of rates"),
    target=finite(NONNEGATIVE),
    full=one_of(False, True, "stirling"),
)
def poisson_nll(
    xp: Namespace,
    prediction: Array,
    target: Array,
    *,
    log_rate: bool = False,
    full: bool | str = False,
    **call: Unpack[Call],
) -> KernelResult:
    r"""Negative log-likelihood of counts: the Poisson loss, of rates or of their logarithms.

    .. math:: \ell = \mu - t \log \mu, \qquad \mu = \begin{cases} x & \text{a rate} \\ e^x & \text{its logarithm}
        \end{cases}

    Without :math:`\log t!`, which no prediction changes: a loss may be negative, and that of :math:`\mu = t` is the
    least. A count of 0 is :math:`\mu` alone, even at a rate of 0; any other one is infinite there. With `full` it is
    the negative logarithm of the probability of a whole count, and does not cancel where :math:`\mu` is close to it.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape: rates, zero or positive; or with `log_rate` their logarithms.
    target : array
        :math:`t`, of the shape of `prediction`: counts, zero or positive and finite. They need not be whole.
    log_rate : bool, default False
        Whether `prediction` holds logarithms, which may be any numbers: what a network without an activation gives.
    full : bool or "stirling", default False
        Whether :math:`\log t!` is added, which is :math:`\log \Gamma(t + 1)` of any count. ``"stirling"`` adds what
        others call full, Stirling's approximation, of counts above 1: :math:`t \log t - t + \frac{1}{2} \log 2 \pi t`.

    See Also
    --------
    gaussian_nll : of measurements.

    Notes
    -----
    The defaults of others differ: Keras takes rates, ``torch.nn.functional.poisson_nll_loss`` and
    ``tf.nn.log_poisson_loss`` take logarithms. Rates have a constant added under the logarithm there: PyTorch's loss of
    a rate of 1e-8 and a count of 1 is 17.7, Keras's 16.0, and the true value 18.4. What `full` adds there is
    Stirling's approximation, off by 0.04 at a count of 2; it cancels: of a rate and a count of 50,000, the full loss of
    PyTorch is 6.344 in float32, and 6.3288 here. The gradient with respect to a count of 0 at a rate of 0, where the
    slope is infinite, is 0.

    References
    ----------
    J. A. Nelder and R. W. M. Wedderburn, "Generalized Linear Models", Journal of the Royal Statistical Society A 135,
    1972.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> rate, count = np.asarray([2.0, 0.5]), np.asarray([2.0, 0.0])
    >>> polyloss.poisson_nll(rate, count, reduction="none").round(4).tolist()
    [0.6137, 0.5]
    >>> polyloss.poisson_nll(np.log(rate), count, log_rate=True, reduction="none").round(4).tolist()
    [0.6137, 0.5]
    >>> polyloss.poisson_nll(rate, count, full=True, reduction="none").round(4).tolist()
    [1.3069, 0.5]
    """
    if full:
        return _full_poisson_nll(xp, prediction, target, log_rate, full == "stirling")
    # An infinite rate costs infinitely much, however large the count.
    absent, infinite = target == 0, numeric.is_infinite(xp, prediction, 1)
    if log_rate:
        rate, left_out = xp.exp(prediction), absent & numeric.is_infinite(xp, prediction, -1)
        value = rate - target * xp.where(absent | infinite, 0.0, prediction)
        return value, lambda: rate - target, lambda: -xp.where(left_out, 0.0, prediction)
    left_out = absent & (prediction == 0)
    value = prediction - target * xp.log(xp.where(absent | infinite, 1.0, prediction))

    def by_prediction() -> Array:
        return 1.0 - target / xp.where(absent, 1.0, prediction)

    return value, by_prediction, lambda: -xp.log(xp.where(left_out, 1.0, prediction))


def _full_poisson_nll(xp: Namespace, prediction: Array, target: Array, log_rate: bool, stirling: bool) -> KernelResult:
    """With v the logarithm of rate / t, it is t (exp(v) - 1 - v) and the rest of the factorial: nothing large."""
    factorial = (numeric.log_factorial_of_stirling if stirling else numeric.log_factorial_of)(xp, target)
    absent, infinite = target == 0, numeric.is_infinite(xp, prediction, 1)
    impossible = numeric.is_infinite(xp, prediction, -1) if log_rate else prediction == 0
    left_out = absent & impossible
    t, possible = xp.where(absent, 1.0, target), xp.where(left_out, 1.0, prediction)
    if log_rate:
        rate, log = xp.exp(prediction), possible
        v = xp.where(infinite, 0.0, log) - xp.log(t)
        near = (xp.abs(v) < 1.0) & ~infinite
        v_near = xp.where(near, v, 0.0)
    else:
        rate, log = prediction, xp.log(possible)
        surplus, ratio = (rate - t) / t, xp.where(infinite, 1.0, possible / t)
        near, limits = xp.abs(surplus) < 0.5, xp.finfo(t.dtype)
        v_near = xp.log1p(xp.where(near, surplus, 0.0))
        fits = (ratio >= float(limits.smallest_normal)) & (ratio <= float(limits.max))
        v = xp.where(near, v_near, xp.where(fits, xp.log(xp.where(fits, ratio, 1.0)), log - xp.log(t)))
    deviance = xp.where(near, t * numeric.exp_minus_line_near_0(xp, v_near), (rate - t) - t * v)

    def by_prediction() -> Array:
        return rate - target if log_rate else 1.0 - target / xp.where(absent, 1.0, prediction)

    def by_target() -> Array:
        slope = factorial.slope() - log
        if not log_rate:
            # Of large counts, the logarithms of both cancel.
            slope = xp.where((target < 1.0) | infinite, slope, factorial.slope_of_rest() - v)
        return xp.where(left_out, 0.0, slope)

    return xp.where(absent, rate, deviance + factorial.rest), by_prediction, by_target


@elementwise(
    tasks=["regression"],
    variance=replace(POSITIVE, unless="log_variance", hint="log_variance=True takes logarithms of variances"),
)
def gaussian_nll(
    xp: Namespace,
    prediction: Array,
    target: Array,
    variance: Array,
    *,
    log_variance: bool = False,
    full: bool = False,
    **call: Unpack[Call],
) -> KernelResult:
    r"""Negative log-likelihood of measurements with a predicted variance each.

    .. math:: \ell = \frac{1}{2} \left( \log v + \frac{(x - t)^2}{v} \right)

    A large variance excuses a large error, and costs its logarithm. With a variance of 1 everywhere it is half of
    `mse`. The error is divided before it is squared: nothing overflows that is not too large itself.

    Parameters
    ----------
    prediction : array
        :math:`x`, real floating, of any shape.
    target : array
        :math:`t`, of the shape of `prediction`.
    variance : array
        :math:`v`, of the shape of `prediction`: positive; or with `log_variance` its logarithm.
    log_variance : bool, default False
        Whether `variance` holds logarithms, which may be any numbers: what a network without an activation gives.
    full : bool, default False
        Whether :math:`\frac{1}{2} \log 2 \pi` is added, which makes it the negative logarithm of a density.

    See Also
    --------
    mse : of a variance that all have in common.

    Notes
    -----
    ``torch.nn.functional.gaussian_nll_loss`` replaces a variance below 1e-6 by that, takes no logarithms, and is
    infinite in float32 from errors of 1.8e19 on. Keras, TensorFlow and optax have no such loss.

    References
    ----------
    D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability distribution", IEEE
    International Conference on Neural Networks, 1994.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> prediction, target, variance = np.asarray([3.0]), np.asarray([1.0]), np.asarray([4.0])
    >>> round(float(polyloss.gaussian_nll(prediction, target, variance)), 4)
    1.1931
    >>> round(float(polyloss.gaussian_nll(prediction, target, np.log(variance), log_variance=True)), 4)
    1.1931
    """
    error = prediction - target
    constant = 0.5 * math.log(2.0 * math.pi) if full else 0.0
    if log_variance:
        # The root of the inverse deviation, finite: an error of 0 stays 0. Where it has been cut off, the square of any
        # other error is infinite all the same, for it takes this four times.
        limit = math.floor(math.log(float(xp.finfo(error.dtype).max)))
        root = xp.exp(xp.clip(-0.25 * variance, None, limit))
        score = error * root * root
        square = score * score
        # An infinite square wins over the logarithm of a variance of 0.
        value = 0.5 * xp.where(numeric.is_infinite(xp, square, 1), square, variance + square) + constant

        def by_error() -> Array:
            return score * root * root

        return value, by_error, lambda: -by_error(), lambda: 0.5 * (1.0 - square)
    slope = error / variance
    value = 0.5 * (xp.log(variance) + error * slope) + constant

    def by_variance() -> Array:
        # (1 / v - slope^2) / 2, without the inverse of a subnormal number.
        root = 1.0 / xp.sqrt(variance)
        return 0.5 * (root - slope) * (root + slope)

    return value, lambda: slope, lambda: -slope, by_variance
