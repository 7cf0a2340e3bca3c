"""The losses of `torch.nn.functional` of two distributions."""

import math

from polyloss.compat import _common
from polyloss.compat._common import namespace, of_arrays
from polyloss.core import checks
from polyloss.core.typing import Array

from ._common import REDUCTIONS, literal, refuse_legacy

__all__ = [
    "kl_div",
]


@of_arrays(loss="kl_divergence")
def kl_div(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """`polyloss.kl_divergence`, every element on its own. Logarithms may be positive.

    ``"mean"`` divides by the number of elements, ``"batchmean"`` by the length of the first axis.
    """
    refuse_legacy("kl_div", size_average, reduce)
    checks.one_of("kl_div", "reduction", reduction, (*REDUCTIONS, "batchmean"))
    checks.shape_is("kl_div", "target", tuple(target.shape), tuple(input.shape), "the shape of input,")
    parts = 1
    if reduction == "batchmean":
        reduction = "mean" if input.ndim else "sum"
        parts = math.prod(input.shape[1:])
    xp = namespace(input)
    input, target = (xp.reshape(a, (-1, parts)) if parts > 1 else a[..., None] for a in (input, target))
    if checks.is_integer(xp, target):
        target = xp.astype(target, input.dtype)
    return _common.kl_divergence(input, target, log_target=log_target, reduction=literal(reduction))
