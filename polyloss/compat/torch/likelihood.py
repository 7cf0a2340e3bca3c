"""The losses of `torch.nn.functional` of a distribution that is predicted."""

import polyloss
from polyloss.compat._common import namespace, no_eps, of_arrays, only, spread, static_number, widened
from polyloss.core.backend import stop_gradient
from polyloss.core.domains import NONNEGATIVE
from polyloss.core.typing import Array

from ._common import refuse_legacy, rescaled

__all__ = [
    "gaussian_nll_loss",
    "poisson_nll_loss",
]


@of_arrays(loss="poisson_nll")
def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.poisson_nll`, of logarithms of rates unless `log_input` says otherwise.

    `full` adds Stirling's approximation, as there. Logarithms are exact, so `eps`, which the built-in adds to rates,
    adds nothing here. A value other than 0 and the built-in's default is refused.
    """
    refuse_legacy("poisson_nll_loss", size_average, reduce)
    no_eps("poisson_nll_loss", eps, default=1e-8, exact="logarithms")
    keywords = rescaled("poisson_nll_loss", input, None, reduction)
    return polyloss.poisson_nll(input, target, log_rate=bool(log_input), full="stirling" if full else False, **keywords)


@of_arrays(loss="gaussian_nll")
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Array:
    """`polyloss.gaussian_nll`. A variance below `eps` is replaced by that, and has the gradient of that, as there.

    `target` and `var` may have axes of length 1, for which they are repeated; `var` may be a number, or lack the last
    axis.
    """
    loss = "gaussian_nll_loss"
    eps = static_number(loss, "eps", eps, NONNEGATIVE)
    keywords = rescaled(loss, input, None, reduction)
    xp = namespace(input)
    var = only(loss, "var", var, NONNEGATIVE)
    if var.ndim and var.ndim == input.ndim - 1:
        var = xp.expand_dims(var, axis=-1)
    var = spread(loss, "var", var, input, "input")
    if target.ndim == input.ndim:
        target = spread(loss, "target", target, input, "input")

    def floored_loss(input: Array, target: Array, var: Array) -> Array:
        # In half precision `eps` would be another number.
        floored = var + stop_gradient(xp.where(var < eps, eps - var, 0.0))
        return polyloss.gaussian_nll(input, target, floored, full=bool(full), **keywords)

    return widened(floored_loss, input, target, var)
