"""The losses of `torch.nn.functional` of two classes, or of labels that are each true or not."""

import polyloss
from polyloss.compat._common import namespace, of_arrays, widened
from polyloss.core.entries import width
from polyloss.core.typing import Array

from ._common import is_one, refuse_legacy, rescaled

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


@of_arrays(loss="binary_cross_entropy")
def binary_cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.binary_cross_entropy`; a mean divides by the number of elements, whatever the weights.

    Infinite where the true value is: the built-in clamps logarithms at -100.
    """
    refuse_legacy("binary_cross_entropy", size_average, reduce)
    return polyloss.binary_cross_entropy(
        input, target, **rescaled("binary_cross_entropy", input, weight, reduction, repeat=True)
    )


@of_arrays(loss="binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits`; a mean divides by the number of elements, whatever the weights."""
    refuse_legacy("binary_cross_entropy_with_logits", size_average, reduce)
    keywords = rescaled("binary_cross_entropy_with_logits", input, weight, reduction, repeat=True)
    return polyloss.binary_cross_entropy_with_logits(input, target, pos_weight=pos_weight, **keywords)


@of_arrays(loss="binary_cross_entropy_with_logits")
def multilabel_soft_margin_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits`, averaged over the classes: the last axis.

    ``"sum"`` is a sum of such averages. `weight` is one number for each class, or for each element.
    """
    refuse_legacy("multilabel_soft_margin_loss", size_average, reduce)
    keywords = rescaled("multilabel_soft_margin_loss", input, weight, reduction, repeat=True)

    def of_rows(input: Array, target: Array) -> Array:
        losses = polyloss.binary_cross_entropy_with_logits(input, target, **keywords)
        return losses / width(input) if reduction == "sum" else namespace(losses).mean(losses, axis=-1)

    if reduction == "mean":
        return polyloss.binary_cross_entropy_with_logits(input, target, **keywords)
    return widened(of_rows, input, target)


@of_arrays(loss="binary_cross_entropy_with_logits")
def soft_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` for labels -1 and 1: no overflow at any margin."""
    refuse_legacy("soft_margin_loss", size_average, reduce)
    return polyloss.binary_cross_entropy_with_logits(
        input, is_one("soft_margin_loss", target), **rescaled("soft_margin_loss", input, None, reduction)
    )
