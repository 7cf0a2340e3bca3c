"""The losses of `optax.losses` of a batch whose examples are compared with each other."""

import polyloss
from polyloss.compat._common import namespace, of_arrays
from polyloss.core.dtypes import working
from polyloss.core.typing import Array

__all__ = [
    "ntxent",
]


@of_arrays(loss="nt_xent", ids="labels")
def ntxent(embeddings: Array, labels: Array, temperature: Array | float = 0.07) -> Array:
    """`polyloss.nt_xent`, the mean over all pairs of positives; 0, not NaN, where there are none."""
    if embeddings.ndim != 2:
        raise ValueError(f"ntxent: embeddings must have the shape (batch, features), got {tuple(embeddings.shape)}")
    xp, positives = namespace(embeddings), None
    if labels.ndim == 1:
        alike = labels[:, None] == labels[None, :]
        positives = xp.sum(xp.astype(alike, working(xp, embeddings.dtype)), axis=-1) - 1.0
    return polyloss.nt_xent(
        embeddings, labels, temperature=temperature, sample_weight=positives, reduction="weighted_mean"
    )
