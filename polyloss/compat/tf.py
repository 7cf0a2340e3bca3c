"""The losses of `tf.nn`: same names, same parameters, on the arrays of any framework. `name` has no meaning here."""

from collections.abc import Callable
from typing import Any

import polyloss
from polyloss.core import checks
from polyloss.core.backend import backend_of, stop_gradient
from polyloss.core.chunked import logits_of
from polyloss.core.domains import POSITIVE
from polyloss.core.typing import Array

from ._common import as_probabilities, broadcasts, namespace, needs, of_arrays, only, widened

__all__ = [
    "ctc_loss",
    "l2_loss",
    "log_poisson_loss",
    "nce_loss",
    "sampled_softmax_loss",
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


@of_arrays(loss="ctc", ids="labels")
def ctc_loss(
    labels: Array,
    logits: Array,
    label_length: Array,
    logit_length: Array,
    logits_time_major: bool = True,
    unique: Any = None,
    blank_index: int | None = None,
    name: str | None = None,
) -> Array:
    """`polyloss.ctc`, one value per example. The blank is 0, or counts from the end. `unique` changes nothing."""
    blank = 0 if blank_index is None else blank_index
    if isinstance(blank, int) and blank < 0 and logits.ndim and logits.shape[-1] is not None:
        blank += logits.shape[-1]
    if logits_time_major and logits.ndim == 3:
        logits = namespace(logits).moveaxis(logits, 0, 1)
    return polyloss.ctc(logits, labels, logit_length, label_length, blank=blank, reduction="none")


@of_arrays(loss="mse")
def l2_loss(t: Array, name: str | None = None) -> Array:
    """Half the sum of squares: half of `polyloss.mse` against 0, summed."""
    return 0.5 * polyloss.mse(t, namespace(t).zeros_like(t), reduction="sum")


@of_arrays(loss="poisson_nll")
def log_poisson_loss(
    targets: Array, log_input: Array, compute_full_loss: bool = False, name: str | None = None
) -> Array:
    """`polyloss.poisson_nll` of logarithms of rates, every element. The full loss has Stirling's approximation."""
    full = "stirling" if compute_full_loss else False
    return polyloss.poisson_nll(log_input, targets, log_rate=True, full=full, reduction="none")


@of_arrays(loss="cross_entropy", ids="labels", numbers=("num_sampled", "num_classes"))
def sampled_softmax_loss(
    weights: Array,
    biases: Array,
    labels: Array,
    inputs: Array,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    seed: int | None = None,
    name: str = "sampled_softmax_loss",
) -> Array:
    """`polyloss.cross_entropy` of a linear layer, over the right classes and a sample of all others, one value per row.

    `sampled_values` must be given: the classes, and how often each right one and each of these was to be expected, as
    the samplers of ``tf.random`` return them; nothing is random here, so `seed` has no meaning. `weights` is one array,
    with a row for each of `num_classes`.
    """

    def losses(logits: Array, target: Array) -> Array:
        return polyloss.cross_entropy(logits, target, reduction="none")

    shapes = (num_sampled, num_classes, num_true, remove_accidental_hits)
    return _sampled("sampled_softmax_loss", losses, weights, biases, labels, inputs, sampled_values, *shapes)


@of_arrays(loss="binary_cross_entropy_with_logits", ids="labels", numbers=("num_sampled", "num_classes"))
def nce_loss(
    weights: Array,
    biases: Array,
    labels: Array,
    inputs: Array,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    name: str = "nce_loss",
) -> Array:
    """Noise-contrastive estimation: `polyloss.binary_cross_entropy_with_logits` of the right classes of a linear layer
    and of a sample of all, summed for each row.

    A right class has the target 1 / `num_true`, as there. `sampled_values` must be given, as for
    `sampled_softmax_loss`.
    """

    def losses(logits: Array, target: Array) -> Array:
        each = polyloss.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return namespace(each).sum(each, axis=-1)

    shapes = (num_sampled, num_classes, num_true, remove_accidental_hits)
    return _sampled("nce_loss", losses, weights, biases, labels, inputs, sampled_values, *shapes)


def _sampled(
    loss: str,
    losses: Callable[[Array, Array], Array],
    weights: Array,
    biases: Array,
    labels: Array,
    inputs: Array,
    sampled_values: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    remove_accidental_hits: bool,
) -> Array:
    """The losses of each row's logits, the right classes first, and of their targets."""
    if sampled_values is None:
        raise ValueError(
            f"{loss}: sampled_values must be given, for nothing is random here: "
            "tf.random.log_uniform_candidate_sampler(labels, num_true, num_sampled, True, num_classes) draws them"
        )
    if not isinstance(sampled_values, tuple | list) or len(sampled_values) != 3:
        what = checks.describe(sampled_values)
        raise ValueError(
            f"{loss}: sampled_values must be three arrays: classes, and two of expected counts; got {what}"
        )
    backend = backend_of(inputs)
    sampled, *counts = (stop_gradient(backend.asarray(array, inputs)) for array in sampled_values)
    if weights.ndim != 2 or inputs.ndim != 2 or not checks.same_length(inputs.shape[1], weights.shape[1]):
        raise ValueError(
            f"{loss}: inputs must have the shape (N, D) and weights (C, D), got {tuple(inputs.shape)} and "
            f"{tuple(weights.shape)}"
        )
    checks.shape_is(loss, "biases", tuple(biases.shape), tuple(weights.shape)[:1], "one number for each class,")
    if not checks.same_length(weights.shape[0], num_classes):
        raise ValueError(f"{loss}: num_classes must be the rows of weights, {weights.shape[0]}, got {num_classes!r}")
    right = (inputs.shape[0], num_true)
    if num_true == 1 and labels.ndim == 1:
        checks.shape_is(loss, "labels", tuple(labels.shape), right[:1], "a class for each of inputs,")
    else:
        checks.shape_is(loss, "labels", tuple(labels.shape), right, "a row of num_true classes for each of inputs,")
    for array, shape in zip((sampled, *counts), ((num_sampled,), right, (num_sampled,)), strict=True):
        checks.shape_is(loss, "sampled_values", tuple(array.shape), shape, "three arrays, this one of the shape")
    (labels, bad), (sampled, bad_sample) = (
        _known(loss, name, ids, weights.shape[0]) for name, ids in (("labels", labels), ("sampled_values", sampled))
    )
    labels = namespace(sampled).astype(labels, sampled.dtype)

    def of_rows(hidden: Array, layer: Array, bias: Array) -> Array:
        xp = namespace(hidden)
        layer, bias = xp.astype(layer, hidden.dtype), xp.astype(bias, hidden.dtype)
        of_right, of_sample = (
            -xp.log(xp.astype(only(loss, "sampled_values", n, POSITIVE), hidden.dtype)) for n in counts
        )
        ids = xp.reshape(labels, (-1,))
        vectors = xp.reshape(xp.take(layer, ids, axis=0), (-1, num_true, layer.shape[1]))
        of_right = of_right + xp.reshape(xp.take(bias, ids, axis=0), (-1, num_true))
        of_right = of_right + xp.sum(hidden[:, None, :] * vectors, axis=-1)
        of_sample = of_sample + logits_of(hidden, xp.take(layer, sampled, axis=0), xp.take(bias, sampled, axis=0))
        if remove_accidental_hits:
            hit = xp.any(xp.reshape(labels, (-1, num_true, 1)) == sampled, axis=1)
            of_sample = xp.where(hit, float(xp.finfo(hidden.dtype).min), of_sample)
        target = [xp.full_like(of_right, 1.0 / num_true), xp.zeros_like(of_sample)]
        found = losses(xp.concat([of_right, of_sample], axis=1), xp.concat(target, axis=1))
        wrong = xp.any(xp.reshape(bad, (-1, num_true)), axis=1) | xp.any(bad_sample)
        return xp.where(wrong, float("nan"), found)

    return widened(of_rows, inputs, weights, biases)


def _known(loss: str, name: str, ids: Array, classes: int) -> tuple[Array, Array]:
    """Class ids, with 0 for what is none, and where that is."""
    backend, expected = backend_of(ids), f"class ids in [0, {classes})"
    xp = backend.namespace(ids)
    if not checks.is_integer(xp, ids):
        raise TypeError(f"{loss}: {name} must be class ids (integers), got {checks.describe(ids)}")
    if backend.readable(ids):
        seen = backend.look(ids)
        seen = checks.wide_ids(namespace(seen), seen)
        checks.none_outside(loss, name, namespace(seen), seen, (seen < 0) | (seen >= classes), expected)
    ids = checks.wide_ids(xp, ids)
    bad = (ids < 0) | (ids >= classes)
    return xp.where(bad, xp.zeros_like(ids), ids), bad
