"""The losses of `optax.losses` of embeddings, or of distances between them."""

import polyloss
from polyloss.compat._common import no_eps, of_arrays, static_number
from polyloss.core.typing import Array

__all__ = [
    "triplet_margin_loss",
]


@of_arrays(loss="triplet_margin")
def triplet_margin_loss(
    anchors: Array,
    positives: Array,
    negatives: Array,
    axis: int = -1,
    norm_degree: Array | float = 2,
    margin: Array | float = 1.0,
    eps: float = 1e-06,
) -> Array:
    """`polyloss.triplet_margin` of every row.

    Distances are exact and differentiable everywhere, so `eps`, which the built-in adds under the root, adds nothing
    here. A value other than 0 and the built-in's default is refused.
    """
    no_eps("triplet_margin_loss", eps)
    norm = static_number("triplet_margin_loss", "norm_degree", norm_degree)
    return polyloss.triplet_margin(anchors, positives, negatives, axis=axis, margin=margin, p=norm, reduction="none")
