"""The losses of `torch.nn.functional` of scores that shall clear a margin."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core.typing import Array

from ._common import refuse_legacy, rescaled

__all__ = [
    "margin_ranking_loss",
]


@of_arrays(loss="margin_ranking")
def margin_ranking_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: Array | float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.margin_ranking`. Targets other than 1 and -1 are refused: the loss of 0 is the margin, no less."""
    refuse_legacy("margin_ranking_loss", size_average, reduce)
    return polyloss.margin_ranking(
        input1, input2, target, margin=margin, **rescaled("margin_ranking_loss", input1, None, reduction)
    )
