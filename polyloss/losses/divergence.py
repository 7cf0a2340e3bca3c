"""Divergences between distributions."""

from dataclasses import replace
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import rowwise
from polyloss.core.domains import LOG_PROBABILITIES, NONNEGATIVE
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

__all__ = ["generalized_kl_divergence", "kl_divergence"]


@rowwise(
    tasks=["distribution"],
    log_probabilities=LOG_PROBABILITIES,
    target=replace(
        NONNEGATIVE,
        unless="log_target",
        instead=LOG_PROBABILITIES,
        hint="log_target=True takes log-probabilities",
    ),
)
def kl_divergence(
    xp: Namespace,
    log_probabilities: Array,
    target: Array,
    *,
    log_target: bool = False,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Kullback-Leibler divergence of a prediction from a target distribution.

    .. math:: \ell(a, t) = \sum_c t_c\, (\log t_c - a_c), \qquad a_c = \log p_c

    This is :math:`D(t \,\|\, p)`: the sum over the classes, where a class with :math:`t_c = 0` adds 0.

    Parameters
    ----------
    log_probabilities : array of shape (..., C)
        Real floating, the *logarithms* of the predicted probabilities, such as `log_softmax` gives: at most 0; up to
        0.1 passes for rounding.
    target : array of the same shape
        Probabilities, zero or positive (their sum is not checked); or with `log_target` their logarithms, at
        most 0.
    log_target : bool, default False
        Whether `target` holds logarithms. ``-inf`` is a probability of 0.

    See Also
    --------
    cross_entropy : the same up to a constant of the target, from logits.
    log_softmax

    Notes
    -----
    PyTorch's ``reduction="batchmean"`` is ``"mean"`` here; its own ``"mean"`` divides by the number of classes
    too. PyTorch and optax return NaN where both distributions are 0. Keras takes two probabilities, the target
    first, and clips them. The gradient with respect to a target of 0, where the slope is infinite, is 0: such a
    class is left out.

    References
    ----------
    S. Kullback and R. A. Leibler, "On Information and Sufficiency", Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> predicted, target = np.asarray([[0.5, 0.5, 0.0]]), np.asarray([[0.25, 0.75, 0.0]])
    >>> with np.errstate(divide="ignore"):
    ...     log_predicted = np.log(predicted)
    >>> round(float(polyloss.kl_divergence(log_predicted, target)), 4)
    0.1308
    """
    absent, t, log_ratio = _compared(xp, log_probabilities, target, log_target)

    def by_target() -> Array:
        # By t it is log(t / p) + 1, and by log t that times t.
        slope = xp.where(absent, 0.0, log_ratio + 1.0)
        return _times(xp, t, slope, log_target) if log_target else slope

    return xp.sum(_times(xp, t, log_ratio, log_target), axis=-1), lambda: -t, by_target


@rowwise(
    tasks=["distribution"],
    target=replace(NONNEGATIVE, unless="log_target", hint="log_target=True takes logarithms"),
)
def generalized_kl_divergence(
    xp: Namespace,
    log_prediction: Array,
    target: Array,
    *,
    log_target: bool = False,
    **call: Unpack[RowCall],
) -> KernelResult:
    r"""Generalized Kullback-Leibler divergence of a prediction from a target: of amounts that need not sum to 1.

    .. math:: \ell(a, t) = \sum_c \left( t_c\, (\log t_c - a_c) - t_c + e^{a_c} \right)

    It is zero where each :math:`e^{a_c} = t_c`, and positive elsewhere, whatever the sums are.

    Parameters
    ----------
    log_prediction : array of shape (..., C)
        Real floating, the *logarithms* of the predicted amounts.
    target : array of the same shape
        Amounts, zero or positive; or with `log_target` their logarithms.
    log_target : bool, default False
        Whether `target` holds logarithms. ``-inf`` is an amount of 0.

    See Also
    --------
    kl_divergence : of distributions.

    Notes
    -----
    optax has the same, but adds what nearly cancels: small numbers without digits, negative ones too, where the
    prediction is nearly right; and NaN where an amount of 0 is predicted to be 0. The gradient with respect to a target
    of 0, where the slope is infinite, is 0.

    References
    ----------
    L. M. Bregman, "The relaxation method of finding the common point of convex sets and its application to the
    solution of problems in convex programming", USSR Computational Mathematics and Mathematical Physics 7, 1967.

    Examples
    --------
    >>> import numpy as np, polyloss
    >>> predicted, target = np.asarray([[1.0, 2.0, 4.0]]), np.asarray([[1.0, 4.0, 0.0]])
    >>> round(float(polyloss.generalized_kl_divergence(np.log(predicted), target)), 4)
    4.7726
    """
    absent, t, log_ratio = _compared(xp, log_prediction, target, log_target)
    prediction = xp.exp(log_prediction)
    # With p = t exp(-r) it is t (exp(-r) - 1 + r), where the terms nearly cancel.
    near = ~absent & (log_ratio > -1.0) & (log_ratio < 1.0)
    minus_ratio = xp.where(near, -log_ratio, 0.0)
    close = t * numeric.exp_minus_line_near_0(xp, minus_ratio)
    # Without its ratio where that is infinite already, and -inf.
    left_out = near | numeric.is_infinite(xp, log_prediction, 1)
    apart = prediction + _times(xp, t, xp.where(left_out, 0.0, log_ratio - 1.0), log_target)

    def by_target() -> Array:
        return _times(xp, t, log_ratio, log_target) if log_target else log_ratio

    def by_prediction() -> Array:
        difference = prediction - t
        # Of logarithms it is exact, of their exponentials it is not.
        return xp.where(near, t * xp.expm1(minus_ratio), difference) if log_target else difference

    return xp.sum(xp.where(near, close, apart), axis=-1), by_prediction, by_target


def _compared(xp: Namespace, log_prediction: Array, target: Array, log_target: bool) -> tuple[Array, Array, Array]:
    """Where the target is 0; the target itself; and the logarithm of its ratio to the prediction, 0 where it is 0."""
    if log_target:
        absent, t = numeric.is_infinite(xp, target, -1), xp.exp(target)
    else:
        absent, t = target == 0, target
    # t log t tends to 0 with t: such a class is left out before its logarithm is taken.
    log_t = xp.where(absent, 0.0, target) if log_target else xp.log(xp.where(absent, 1.0, target))
    return absent, t, xp.where(absent, 0.0, log_t - log_prediction)


def _times(xp: Namespace, t: Array, log_ratio: Array, log_target: bool) -> Array:
    """``t * log_ratio``, infinite where the ratio is. A t of 0 whose logarithm is finite has but underflowed."""
    return (xp.where(xp.isinf(log_ratio), 1.0, t) if log_target else t) * log_ratio
