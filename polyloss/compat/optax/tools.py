"""What `optax.losses` has beside losses."""

import polyloss
from polyloss.compat._common import spread
from polyloss.core.typing import Array


def smooth_labels(
    labels: Array,
    alpha: Array | float,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.smooth_labels`. A class that `where` leaves out has no share, where the built-in gives it one."""
    if hasattr(labels, "ndim"):
        where = where if where is None else spread("smooth_labels", "where", where, labels, "labels")
        axis = tuple(range(labels.ndim)) if axis is None else axis
    return polyloss.smooth_labels(labels, alpha, axis=-1 if axis is None else axis, where=where)
