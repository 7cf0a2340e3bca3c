"""The losses of `torch.nn.functional` of one class of many."""

from typing import Any

import polyloss
from polyloss.compat import _common
from polyloss.compat._common import namespace, of_arrays, widened
from polyloss.core import checks
from polyloss.core.chunked import logits_of
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
    ignored unless `ignore_index` is another. With more axes than two, `linear_weight` has classes of their own for each
    place of the target beside the first axis, as there; then all logits exist.
    """
    if options is not None and not hasattr(options, "batch_chunk_size"):
        raise TypeError(f"linear_cross_entropy: options must be LinearCrossEntropyOptions, got {options!r}")
    keywords = _classes("linear_cross_entropy", target, weight, -100, reduction)
    if ignore_index is not None:
        keywords["ignore_index"] = ignore_index
    keywords["label_smoothing"] = label_smoothing
    if getattr(linear_weight, "ndim", 2) > 2:
        return _of_many_places(input, linear_weight, target, linear_bias, keywords)
    return polyloss.linear_cross_entropy(input, linear_weight, target, bias=linear_bias, **keywords)


def _of_many_places(
    input: Array, linear_weight: Array, target: Array, linear_bias: Array | None, keywords: dict[str, Any]
) -> Array:
    """The cross entropy of logits that a layer of more axes than two gives, the classes second."""
    loss, places = "linear_cross_entropy", tuple(linear_weight.shape)[:-1]
    if input.ndim != 2 or not checks.same_length(input.shape[1], linear_weight.shape[-1]):
        raise ValueError(
            f"{loss}: input must have the shape (N, {linear_weight.shape[-1]}) beside linear_weight of shape "
            f"{tuple(linear_weight.shape)}, got {tuple(input.shape)}"
        )
    if linear_bias is not None:
        checks.shape_is(
            loss, "linear_bias", tuple(linear_bias.shape), places, "the shape of linear_weight but its end,"
        )

    def cost(hidden: Array, layer: Array, labels: Array, *bias: Array) -> Array:
        xp = namespace(hidden)
        flat = [xp.reshape(one, (-1,)) for one in bias]
        logits = logits_of(hidden, xp.reshape(layer, (-1, layer.shape[-1])), flat[0] if flat else None)
        return polyloss.cross_entropy(xp.reshape(logits, (-1, *places)), labels, axis=1, **keywords)

    return widened(cost, input, linear_weight, target, *([] if linear_bias is None else [linear_bias]))


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
