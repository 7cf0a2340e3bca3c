"""What `optax.losses` has beside losses of arrays."""

from collections.abc import Callable
from typing import Any

import polyloss
from polyloss.compat._common import spread
from polyloss.core.backend import backend_of
from polyloss.core.typing import Array, Namespace


def make_fenchel_young_loss(max_fun: Callable[..., Array]) -> Callable[..., Array]:
    """`polyloss.fenchel_young` of a function of one vector of scores, which the framework maps over rows.

    What the loss is called with beside scores and targets goes to `max_fun`; the built-in refuses it or, of keywords,
    drops it.
    """

    usual = _of_vectors(max_fun)

    def fenchel_young_loss(scores: Array, targets: Array, *args: Any, **kwargs: Any) -> Array:
        """The Fenchel-Young loss of every row."""
        loss = _of_vectors(lambda row: max_fun(row, *args, **kwargs)) if args or kwargs else usual
        return loss(scores, targets, reduction="none")

    return fenchel_young_loss


def _of_vectors(max_fun: Callable[[Array], Array]) -> polyloss.Loss[...]:
    def maximum(xp: Namespace, scores: Array) -> Array:
        if scores.ndim == 1:
            return max_fun(scores)
        rows = scores if scores.ndim == 2 else xp.reshape(scores, (-1, scores.shape[-1]))
        found = backend_of(rows).each_row(max_fun, rows)
        return found if scores.ndim == 2 else xp.reshape(found, scores.shape[:-1])

    return polyloss.fenchel_young(maximum)


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
