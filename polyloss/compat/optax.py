"""The losses of `optax.losses`: same names, same parameters, on the arrays of any framework.

What differs on purpose, because the built-in is wrong there: shapes are never broadcast, class ids out of range
are refused and never wrap around, and the distances of `triplet_margin_loss` are exact for every `norm_degree`.
"""

from collections.abc import Sequence

import polyloss
from polyloss.core import checks
from polyloss.core.typing import Array

from . import _common
from ._common import as_probabilities, last, namespace, no_eps, of_arrays, spread, static_number

__all__ = [
    "hinge_loss",
    "huber_loss",
    "kl_divergence",
    "kl_divergence_with_log_targets",
    "l2_loss",
    "log_cosh",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
    "triplet_margin_loss",
]


@of_arrays(loss="mse")
def squared_error(predictions: Array, targets: Array | None = None) -> Array:
    """`polyloss.mse` of every element."""
    return polyloss.mse(predictions, _or_zeros(targets, predictions), reduction="none")


@of_arrays(loss="mse")
def l2_loss(predictions: Array, targets: Array | None = None) -> Array:
    """Half of `polyloss.mse` of every element."""
    return 0.5 * polyloss.mse(predictions, _or_zeros(targets, predictions), reduction="none")


@of_arrays(loss="huber")
def huber_loss(predictions: Array, targets: Array | None = None, *, delta: Array | float = 1.0) -> Array:
    """`polyloss.huber` of every element."""
    return polyloss.huber(predictions, _or_zeros(targets, predictions), delta=delta, reduction="none")


@of_arrays(loss="log_cosh")
def log_cosh(predictions: Array, targets: Array | None = None) -> Array:
    """`polyloss.log_cosh` of every element."""
    return polyloss.log_cosh(predictions, _or_zeros(targets, predictions), reduction="none")


@of_arrays(loss="hinge")
def hinge_loss(predictor_outputs: Array, targets: Array) -> Array:
    """`polyloss.hinge` of every element. Labels are -1 and 1."""
    return polyloss.hinge(predictor_outputs, targets, reduction="none")


@of_arrays(loss="binary_cross_entropy_with_logits")
def sigmoid_binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` of every element."""
    return polyloss.binary_cross_entropy_with_logits(logits, labels, reduction="none")


@of_arrays(loss="cross_entropy")
def softmax_cross_entropy(
    logits: Array, labels: Array, axis: int | tuple[int, ...] | None = -1, where: Array | None = None
) -> Array:
    """`polyloss.cross_entropy` of probabilities.

    `where` selects rows, or classes where it has as many axes as `logits`.
    """
    loss = "softmax_cross_entropy"
    logits, labels = last(loss, logits, axis), last(loss, as_probabilities(labels, logits), axis)
    rows, classes = _rows_and_classes(loss, where, logits, axis)
    if classes is not None:
        xp = namespace(logits)
        logits = xp.where(classes, logits, -float("inf"))
        labels = xp.where(classes, labels, 0.0)
    return polyloss.cross_entropy(logits, labels, where=rows, reduction="none")


@of_arrays(loss="cross_entropy", ids="labels")
def softmax_cross_entropy_with_integer_labels(
    logits: Array, labels: Array, axis: int | tuple[int, ...] = -1, where: Array | None = None
) -> Array:
    """`polyloss.cross_entropy` of class ids.

    `where` selects rows, or classes where it has as many axes as `logits`. A label whose class is not selected has
    infinite loss.
    """
    loss = "softmax_cross_entropy_with_integer_labels"
    logits = last(loss, logits, axis)
    rows, classes = _rows_and_classes(loss, where, logits, axis)
    if classes is not None:
        logits = namespace(logits).where(classes, logits, -float("inf"))
    return polyloss.cross_entropy(logits, labels, where=rows, reduction="none")


@of_arrays(loss="cross_entropy")
def safe_softmax_cross_entropy(logits: Array, labels: Array) -> Array:
    """`polyloss.cross_entropy` of probabilities; a class of probability 0 may have logit -inf."""
    labels = as_probabilities(labels, logits)
    return polyloss.cross_entropy(logits, labels, reduction="none")


@of_arrays(loss="kl_divergence")
def kl_divergence(
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.kl_divergence`. `where` selects the elements that are summed. Logarithms may be positive."""
    return _kl_divergence("kl_divergence", log_predictions, targets, axis, where, log_target=False)


@of_arrays(loss="kl_divergence")
def kl_divergence_with_log_targets(
    log_predictions: Array,
    log_targets: Array,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
) -> Array:
    """`polyloss.kl_divergence` of two logarithms, of any sign. `where` selects the elements that are summed."""
    return _kl_divergence("kl_divergence_with_log_targets", log_predictions, log_targets, axis, where, log_target=True)


@of_arrays(loss="sigmoid_focal")
def sigmoid_focal_loss(
    logits: Array, labels: Array, *, alpha: Array | float | None = None, gamma: Array | float = 2.0
) -> Array:
    """`polyloss.sigmoid_focal` of every element."""
    return polyloss.sigmoid_focal(logits, labels, alpha=alpha, gamma=gamma, reduction="none")


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


def _or_zeros(targets: Array | None, predictions: Array) -> Array:
    return namespace(predictions).zeros_like(predictions) if targets is None else targets


def _rows_and_classes(
    loss: str, where: Array | None, logits: Array, axis: int | Sequence[int] | None
) -> tuple[Array | None, Array | None]:
    """What `where` says about rows, and about the classes in them. `logits` has its classes last already."""
    if where is None:
        return None, None
    if where.ndim < logits.ndim:
        return where, None
    xp = namespace(logits)
    checks.boolean(loss, "where", xp, where)
    classes = spread(loss, "where", last(loss, where, axis), logits, "logits")
    return xp.any(classes, axis=-1), classes


def _kl_divergence(
    loss: str,
    log_predictions: Array,
    targets: Array,
    axis: int | tuple[int, ...] | None,
    where: Array | None,
    *,
    log_target: bool,
) -> Array:
    if where is not None:
        xp = namespace(log_predictions)
        shape = tuple(log_predictions.shape)
        checks.boolean(loss, "where", xp, where)
        where = spread(loss, "where", where, log_predictions, "log_predictions")
        checks.shape_is(loss, "targets", tuple(targets.shape), shape, "the shape of log_predictions,")
        log_predictions = xp.where(where, log_predictions, 0.0)
        targets = xp.where(where, targets, -float("inf") if log_target else 0.0)
    return _common.kl_divergence(
        last(loss, log_predictions, axis), last(loss, targets, axis), log_target=log_target, reduction="none"
    )
