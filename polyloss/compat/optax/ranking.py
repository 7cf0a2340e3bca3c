"""The losses of `optax.losses` of lists of items."""

import math
from collections.abc import Callable
from typing import get_args

import polyloss
from polyloss.compat._common import as_probabilities, namespace, of_arrays, only, spread
from polyloss.core import checks
from polyloss.core.domains import NONNEGATIVE
from polyloss.core.typing import Array, Reduction

__all__ = [
    "ranking_softmax_loss",
]

_LIBRARIES = ("jax", "numpy", "tensorflow", "torch")
_REDUCTIONS: dict[str, Reduction] = {"mean": "mean", "reduce_mean": "mean", "sum": "sum", "reduce_sum": "sum"}


@of_arrays(loss="ranking_softmax")
def ranking_softmax_loss(
    logits: Array,
    labels: Array,
    *,
    where: Array | None = None,
    weights: Array | None = None,
    reduce_fn: Callable[..., Array] | Reduction | None = "mean",
) -> Array:
    """`polyloss.ranking_softmax`, items last.

    `where` selects items, and lists that have one; `weights` are factors of the labels. `reduce_fn` is the mean unless
    given, of the lists that are selected, and 0 if none is. It may be ``jax.numpy.mean``, ``jax.numpy.sum`` and such of
    any framework; another function is called with the losses of the lists and, beside `where`, which ones count; None
    returns the losses.
    """
    loss, xp, rows = "ranking_softmax_loss", namespace(logits), None
    labels = as_probabilities(labels, logits)
    if weights is not None:
        weights = only(loss, "weights", weights, NONNEGATIVE)
        labels = labels * xp.astype(spread(loss, "weights", weights, logits, "logits"), logits.dtype)
    if where is not None:
        checks.boolean(loss, "where", xp, where)
        where = spread(loss, "where", where, logits, "logits")
        checks.shape_is(loss, "labels", tuple(labels.shape), tuple(logits.shape), "the shape of logits,")
        logits, labels, rows = xp.where(where, logits, -math.inf), xp.where(where, labels, 0.0), xp.any(where, axis=-1)
    reduction = _name_of(loss, reduce_fn)
    losses = polyloss.ranking_softmax(logits, labels, where=rows, reduction=reduction or "none")
    if reduction is not None or reduce_fn is None:
        return losses
    if not callable(reduce_fn):
        raise TypeError(f"{loss}: reduce_fn must be a function or None, got {checks.describe(reduce_fn)}")
    return reduce_fn(losses) if rows is None else reduce_fn(losses, where=rows)


def _name_of(loss: str, reduce_fn: Callable[..., Array] | Reduction | None) -> Reduction | None:
    """What a mean or a sum that comes with a framework is called here; None of any other function."""
    if isinstance(reduce_fn, str):
        checks.one_of(loss, "reduce_fn", reduce_fn, get_args(Reduction))
        return reduce_fn
    name, module = (getattr(reduce_fn, key, None) or "" for key in ("__name__", "__module__"))
    return _REDUCTIONS.get(name) if module.partition(".")[0] in _LIBRARIES else None
