"""The losses of `tf.nn`: same names, same parameters, on the arrays of any framework. `name` has no meaning here."""

import polyloss
from polyloss.core.typing import Array

from ._common import as_probabilities, broadcasts, namespace, needs, of_arrays

__all__ = [
    "l2_loss",
    "log_poisson_loss",
    "sigmoid_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
]


@of_arrays(loss="binary_cross_entropy_with_logits")
def sigmoid_cross_entropy_with_logits(
    labels: Array | None = None, logits: Array | None = None, name: str | None = None
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` of every element."""
    needs("sigmoid_cross_entropy_with_logits", labels=labels, logits=logits)
    return polyloss.binary_cross_entropy_with_logits(logits, labels, reduction="none")


@of_arrays(loss="binary_cross_entropy_with_logits")
def weighted_cross_entropy_with_logits(
    labels: Array, logits: Array, pos_weight: Array | float, name: str | None = None
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` of every element, positives weighted."""
    if hasattr(pos_weight, "shape"):
        broadcasts("weighted_cross_entropy_with_logits", "pos_weight", pos_weight, logits, "logits")
        _, pos_weight = namespace(logits).broadcast_arrays(logits, pos_weight)
    return polyloss.binary_cross_entropy_with_logits(logits, labels, pos_weight=pos_weight, reduction="none")


@of_arrays(loss="cross_entropy")
def softmax_cross_entropy_with_logits(labels: Array, logits: Array, axis: int = -1, name: str | None = None) -> Array:
    """`polyloss.cross_entropy` of probabilities, one value per row."""
    return polyloss.cross_entropy(logits, as_probabilities(labels, logits), axis=axis, reduction="none")


@of_arrays(loss="cross_entropy", ids="labels")
def sparse_softmax_cross_entropy_with_logits(labels: Array, logits: Array, name: str | None = None) -> Array:
    """`polyloss.cross_entropy` of class ids, one value per row."""
    return polyloss.cross_entropy(logits, labels, reduction="none")


@of_arrays(loss="mse")
def l2_loss(t: Array, name: str | None = None) -> Array:
    """Half the sum of squares: half of `polyloss.mse` against 0, summed."""
    return 0.5 * polyloss.mse(t, namespace(t).zeros_like(t), reduction="sum")


@of_arrays(loss="poisson_nll")
def log_poisson_loss(
    targets: Array, log_input: Array, compute_full_loss: bool = False, name: str | None = None
) -> Array:
    """`polyloss.poisson_nll` of logarithms of rates, every element. The full loss has Stirling's approximation."""
    full = compute_full_loss and "stirling"
    return polyloss.poisson_nll(log_input, targets, log_rate=True, full=full, reduction="none")
