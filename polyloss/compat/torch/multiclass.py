"""The losses of `torch.nn.functional` of one class of many."""

from typing import Any

import polyloss
from polyloss.compat import _common
from polyloss.compat._common import namespace, of_arrays
from polyloss.core import checks
from polyloss.core.typing import Array

from ._common import REDUCTIONS, refuse_legacy

__all__ = [
    "cross_entropy",
    "linear_cross_entropy",
    "nll_loss",
]


@of_arrays(loss="cross_entropy", ids="target")
def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: Array | int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: Array | float = 0.0,
) -> Array:
    """`polyloss.cross_entropy` with the class axis second (first of a vector).

    A mean over class ids divides by the weights of the targets, over probabilities by their number.
    Classes whose logit is -inf take no part in the smoothing.
    """
    refuse_legacy("cross_entropy", size_average, reduce)
    return polyloss.cross_entropy(
        input,
        target,
        label_smoothing=label_smoothing,
        axis=_class_axis(input),
        **_classes("cross_entropy", target, weight, ignore_index, reduction),
    )


@of_arrays(loss="linear_cross_entropy", ids="target")
def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Array,
    *,
    linear_bias: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: Array | int | None = None,
    label_smoothing: Array | float = 0.0,
    options: Any = None,
) -> Array:
    """`polyloss.linear_cross_entropy`, in chunks of its own whatever `options` say of theirs.

    A mean over class ids divides by the weights of the targets, over probabilities by their number; ids of -100 are
    ignored unless `ignore_index` is another. `linear_weight` has two axes.
    """
    if options is not None and not hasattr(options, "batch_chunk_size"):
        raise TypeError(f"linear_cross_entropy: options must be LinearCrossEntropyOptions, got {options!r}")
    if len(shape := getattr(linear_weight, "shape", (0, 0))) != 2:
        raise ValueError(f"linear_cross_entropy: linear_weight must have two axes, got the shape {tuple(shape)}")
    keywords = _classes("linear_cross_entropy", target, weight, -100, reduction)
    if ignore_index is not None:
        keywords["ignore_index"] = ignore_index
    return polyloss.linear_cross_entropy(
        input, linear_weight, target, bias=linear_bias, label_smoothing=label_smoothing, **keywords
    )


@of_arrays(loss="nll", ids="target")
def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: Array | int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.nll` of class ids with the class axis second (first of a vector). Logarithms may be positive."""
    refuse_legacy("nll_loss", size_average, reduce)
    if not _are_ids(target):
        raise TypeError(f"nll_loss: target must be class ids (integers), got {checks.describe(target)}")
    keywords = _classes("nll_loss", target, weight, ignore_index, reduction)
    return _common.nll(input, target, axis=_class_axis(input), **keywords)


def _class_axis(input: Array) -> int:
    return 1 if input.ndim > 1 else 0


def _are_ids(target: Array | float) -> bool:
    if not hasattr(target, "shape"):
        return isinstance(target, int)
    return checks.is_integer(namespace(target), target)


def _classes(
    loss: str, target: Array, weight: Array | None, ignore_index: Array | int, reduction: str
) -> dict[str, Any]:
    """The keywords for class weights, ignored classes, and what a mean divides by."""
    checks.one_of(loss, "reduction", reduction, REDUCTIONS)
    ids = _are_ids(target)
    # With probabilities the built-in refuses an index that could be a class and passes over the others.
    passed_over = not ids and isinstance(ignore_index, int) and ignore_index < 0
    return {
        "class_weight": weight,
        "ignore_index": None if passed_over else ignore_index,
        "reduction": "weighted_mean" if ids and reduction == "mean" else reduction,
    }
