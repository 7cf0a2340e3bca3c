"""The losses of `torch.nn.functional`: same names, same parameters, on the arrays of any framework.

What differs on purpose, because the built-in is wrong there: shapes are never broadcast, a target out of range is
refused, a mean over nothing is 0 and not NaN, logarithms are not clamped, and distances have no `eps`.
"""

import math
from collections.abc import Callable
from typing import Any

import polyloss
from polyloss.core import checks
from polyloss.core.backend import find_backend
from polyloss.core.domains import POSITIVE, SIGN
from polyloss.core.typing import Array

from . import _common
from ._common import namespace, no_eps, of_arrays, only, spread

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "linear_cross_entropy",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

_REDUCTIONS = ("none", "mean", "sum")


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
    _refuse_legacy("cross_entropy", size_average, reduce)
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
    _refuse_legacy("nll_loss", size_average, reduce)
    if not _are_ids(target):
        raise TypeError(f"nll_loss: target must be class ids (integers), got {checks.describe(target)}")
    keywords = _classes("nll_loss", target, weight, ignore_index, reduction)
    return _common.nll(input, target, axis=_class_axis(input), **keywords)


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
    _refuse_legacy("binary_cross_entropy", size_average, reduce)
    return polyloss.binary_cross_entropy(
        input, target, **_rescaled("binary_cross_entropy", input, weight, reduction, repeat=True)
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
    _refuse_legacy("binary_cross_entropy_with_logits", size_average, reduce)
    rescaled = _rescaled("binary_cross_entropy_with_logits", input, weight, reduction, repeat=True)
    return polyloss.binary_cross_entropy_with_logits(input, target, pos_weight=pos_weight, **rescaled)


@of_arrays(loss="mse")
def mse_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """`polyloss.mse`; a mean divides by the sum of the weights."""
    _refuse_legacy("mse_loss", size_average, reduce)
    return polyloss.mse(input, target, **_rescaled("mse_loss", input, weight, reduction, mean="weighted_mean"))


@of_arrays(loss="l1")
def l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """`polyloss.l1`; a mean divides by the sum of the weights."""
    _refuse_legacy("l1_loss", size_average, reduce)
    return polyloss.l1(input, target, **_rescaled("l1_loss", input, weight, reduction, mean="weighted_mean"))


@of_arrays(loss="huber")
def huber_loss(
    input: Array, target: Array, reduction: str = "mean", delta: Array | float = 1.0, weight: Array | None = None
) -> Array:
    """`polyloss.huber`; unlike those of `mse_loss`, a mean divides by the number of elements, whatever the weights."""
    return polyloss.huber(input, target, delta=delta, **_rescaled("huber_loss", input, weight, reduction))


@of_arrays(loss="smooth_l1")
def smooth_l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: Array | float = 1.0,
) -> Array:
    """`polyloss.smooth_l1`."""
    _refuse_legacy("smooth_l1_loss", size_average, reduce)
    return polyloss.smooth_l1(input, target, beta=beta, **_rescaled("smooth_l1_loss", input, None, reduction))


@of_arrays(loss="kl_divergence")
def kl_div(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """`polyloss.kl_divergence`, every element on its own. Logarithms may be positive.

    ``"mean"`` divides by the number of elements, ``"batchmean"`` by the length of the first axis.
    """
    _refuse_legacy("kl_div", size_average, reduce)
    checks.one_of("kl_div", "reduction", reduction, (*_REDUCTIONS, "batchmean"))
    checks.shape_is("kl_div", "target", tuple(target.shape), tuple(input.shape), "the shape of input,")
    parts = 1
    if reduction == "batchmean":
        reduction = "mean" if input.ndim else "sum"
        parts = math.prod(input.shape[1:])
    xp = namespace(input)
    input, target = (xp.reshape(a, (-1, parts)) if parts > 1 else a[..., None] for a in (input, target))
    if checks.is_integer(xp, target):
        target = xp.astype(target, input.dtype)
    return _common.kl_divergence(input, target, log_target=log_target, reduction=_literal(reduction))


@of_arrays(loss="cosine_embedding")
def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: Array | float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.cosine_embedding` along the last axis, without an epsilon.

    Targets other than 1 and -1 are refused: the built-in counts such a pair for nothing.
    """
    _refuse_legacy("cosine_embedding_loss", size_average, reduce)
    checks.one_of("cosine_embedding_loss", "reduction", reduction, _REDUCTIONS)
    return polyloss.cosine_embedding(input1, input2, target, margin=margin, reduction=_literal(reduction))


@of_arrays(loss="triplet_margin")
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: Array | float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.triplet_margin` along the last axis.

    Distances are exact and differentiable everywhere, so `eps`, which the built-in adds to every difference, adds
    nothing here. A value other than 0 and the built-in's default is refused.
    """
    _refuse_legacy("triplet_margin_loss", size_average, reduce)
    no_eps("triplet_margin_loss", eps)
    margin = _positive("triplet_margin_loss", margin)
    checks.one_of("triplet_margin_loss", "reduction", reduction, _REDUCTIONS)
    return polyloss.triplet_margin(
        anchor, positive, negative, margin=margin, p=p, swap=swap, reduction=_literal(reduction)
    )


@of_arrays(loss="triplet_margin")
def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Callable[[Array, Array], Array] | None = None,
    margin: Array | float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """`polyloss.triplet_margin` with a distance of your own (None: the Euclidean distance, without an eps)."""
    margin = _positive("triplet_margin_with_distance_loss", margin)
    checks.one_of("triplet_margin_with_distance_loss", "reduction", reduction, _REDUCTIONS)
    return polyloss.triplet_margin(
        anchor,
        positive,
        negative,
        margin=margin,
        swap=swap,
        distance=distance_function,
        reduction=_literal(reduction),
    )


@of_arrays(loss="binary_cross_entropy_with_logits")
def soft_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.binary_cross_entropy_with_logits` for labels -1 and 1: no overflow at any margin."""
    _refuse_legacy("soft_margin_loss", size_average, reduce)
    return polyloss.binary_cross_entropy_with_logits(
        input, _is_one("soft_margin_loss", target), **_rescaled("soft_margin_loss", input, None, reduction)
    )


@of_arrays(loss="contrastive")
def hinge_embedding_loss(
    input: Array,
    target: Array,
    margin: Array | float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`polyloss.contrastive` of a distance (not negative) for labels -1 and 1, linear in the distance."""
    _refuse_legacy("hinge_embedding_loss", size_average, reduce)
    return polyloss.contrastive(
        input,
        _is_one("hinge_embedding_loss", target),
        margin=margin,
        similar_label=1,
        factor=1.0,
        power=1,
        **_rescaled("hinge_embedding_loss", input, None, reduction),
    )


def _refuse_legacy(loss: str, size_average: bool | None, reduce: bool | None) -> None:
    if size_average is None and reduce is None:
        return
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    raise TypeError(
        f"{loss}: size_average and reduce are not supported, got size_average={size_average!r}, reduce={reduce!r}; "
        f"use reduction={meant!r}"
    )


def _literal(reduction: str) -> Any:
    return reduction


def _positive(loss: str, margin: Array | float) -> Array | float:
    if find_backend(type(margin)) is not None:
        return only(loss, "margin", margin, POSITIVE)
    checks.number_in(loss, "margin", margin, POSITIVE)
    return margin


def _is_one(loss: str, target: Array) -> Array:
    """Labels -1 and 1 as 0 and 1."""
    return (only(loss, "target", target, SIGN) + 1) / 2


def _rescaled(
    loss: str, input: Array, weight: Array | None, reduction: str, *, mean: str = "mean", repeat: bool = False
) -> dict[str, Any]:
    """The keywords for a weight per element, and what a mean divides by when there is one."""
    checks.one_of(loss, "reduction", reduction, _REDUCTIONS)
    if weight is None:
        return {"reduction": reduction}
    if repeat or not hasattr(weight, "shape"):
        weight = spread(loss, "weight", weight, input, "input")
    else:
        checks.shape_is(loss, "weight", tuple(weight.shape), tuple(input.shape), "the shape of input,")
    return {"reduction": mean if reduction == "mean" else reduction, "sample_weight": weight}


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
    checks.one_of(loss, "reduction", reduction, _REDUCTIONS)
    ids = _are_ids(target)
    # With probabilities the built-in refuses an index that could be a class and passes over the others.
    passed_over = not ids and isinstance(ignore_index, int) and ignore_index < 0
    return {
        "class_weight": weight,
        "ignore_index": None if passed_over else ignore_index,
        "reduction": "weighted_mean" if ids and reduction == "mean" else reduction,
    }
