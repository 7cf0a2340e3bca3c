"""The losses of `torch.nn.functional` of the angle between vectors."""

import polyloss
from polyloss.compat._common import of_arrays
from polyloss.core import checks
from polyloss.core.typing import Array

from ._common import REDUCTIONS, literal, refuse_legacy

__all__ = [
    "cosine_embedding_loss",
]


@of_arrays(loss="cosine_embedding")
def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: Array | float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.cosine_embedding` along the last axis, without an epsilon.

    Targets other than 1 and -1 are refused: the built-in counts such a pair for nothing.
    """
    refuse_legacy("cosine_embedding_loss", size_average, reduce)
    checks.one_of("cosine_embedding_loss", "reduction", reduction, REDUCTIONS)
    return polyloss.cosine_embedding(input1, input2, target, margin=margin, reduction=literal(reduction))
