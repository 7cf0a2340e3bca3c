"""Divergences between distributions."""

from dataclasses import replace
from typing import Unpack

from polyloss import stable as numeric
from polyloss.core.declare import rowwise
from polyloss.core.domains import LOG_PROBABILITIES, NONNEGATIVE
from polyloss.core.typing import Array, KernelResult, Namespace, RowCall

__all__ = ["kl_divergence"]


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
    if log_target:
        absent, t = numeric.is_infinite(xp, target, -1), xp.exp(target)
    else:
        absent, t = target == 0, target
    # t log t tends to 0 with t: such a class is left out before its logarithm is taken.
    log_t = xp.where(absent, 0.0, target) if log_target else xp.log(xp.where(absent, 1.0, target))
    log_ratio = xp.where(absent, 0.0, log_t - log_probabilities)

    def by_target() -> Array:
        # By t it is log(t / p) + 1, and by log t that times t.
        slope = xp.where(absent, 0.0, log_ratio + 1.0)
        return t * slope if log_target else slope

    return xp.sum(t * log_ratio, axis=-1), lambda: -t, by_target
