"""The losses of `optax.losses` of regions."""

from typing import Any

import polyloss
from polyloss.compat._common import as_probabilities, namespace, of_arrays, only, widened
from polyloss.core import checks
from polyloss.core.domains import NONNEGATIVE
from polyloss.core.entries import positions
from polyloss.core.typing import Array

__all__ = [
    "binary_dice_loss",
    "dice_loss",
    "multiclass_generalized_dice_loss",
]


@of_arrays(loss="dice")
def binary_dice_loss(
    predictions: Array, targets: Array, *, smooth: Array | float = 1.0, apply_sigmoid: bool = True
) -> Array:
    """`polyloss.dice` of each example: over all axes but the first, with `smooth` elements of agreement more.

    A last axis of length 1 is that of the one class. With ``apply_sigmoid=False`` the predictions are probabilities.
    """
    if predictions.ndim == targets.ndim and predictions.shape[-1] != 1:
        predictions, targets = predictions[..., None], targets[..., None]
    predictions, targets = _same_rank("binary_dice_loss", predictions, targets)
    predictions, targets, axes = _regions("binary_dice_loss", predictions, targets, None)
    return polyloss.dice(predictions, targets, smooth=smooth, from_logits=apply_sigmoid, axis=axes, reduction="none")[
        ..., 0
    ]


@of_arrays(loss="softmax_dice")
def dice_loss(
    predictions: Array,
    targets: Array,
    *,
    class_weights: Array | None = None,
    smooth: Array | float = 1.0,
    alpha: Array | float = 0.5,
    beta: Array | float = 0.5,
    apply_softmax: bool = True,
    reduction: str = "mean",
    ignore_background: bool = False,
    axis: int | tuple[int, ...] | None = None,
) -> Array:
    """`polyloss.softmax_dice`, or `polyloss.tversky` where there is one class or the predictions are probabilities.

    The classes are the last axis, and a region is all others but the first, or `axis`. The mean over the classes
    divides by their number, whatever their weights.
    """
    parameters = {"smooth": smooth, "alpha": alpha, "beta": beta}
    return _of_classes(
        "dice_loss",
        predictions,
        targets,
        class_weights,
        apply_softmax,
        reduction,
        ignore_background,
        axis,
        **parameters,
    )


@of_arrays(loss="softmax_dice")
def multiclass_generalized_dice_loss(
    predictions: Array,
    targets: Array,
    *,
    smooth: Array | float = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
) -> Array:
    """`polyloss.softmax_dice` with weights of the classes by their frequencies in the whole batch, as `dice_loss`.

    They are one by the square of these, and 1 in the mean. `polyloss.generalized_dice` is the loss of the paper.
    """
    targets = as_probabilities(targets, predictions)
    checks.shape_is(
        "multiclass_generalized_dice_loss",
        "targets",
        tuple(targets.shape),
        tuple(predictions.shape),
        "the shape of predictions,",
    )

    def loss(predictions: Array, targets: Array) -> Array:
        xp = namespace(predictions)
        size = xp.sum(targets, axis=tuple(range(targets.ndim - 1)))
        weight = 1.0 / (size * size + 1e-7)
        weight = weight / xp.mean(weight)
        name, options = "multiclass_generalized_dice_loss", (apply_softmax, "mean", ignore_background)
        return xp.mean(_of_classes(name, predictions, targets, weight, *options, smooth=smooth))

    return widened(loss, predictions, targets)


def _of_classes(
    name: str,
    predictions: Array,
    targets: Array,
    class_weights: Array | None,
    apply_softmax: bool,
    reduction: str,
    ignore_background: bool,
    axis: int | tuple[int, ...] | None = None,
    **parameters: Any,
) -> Array:
    checks.one_of(name, "reduction", reduction, ("mean", "sum", "none"))
    predictions, targets = _same_rank(name, predictions, targets)
    predictions, targets, axes = _regions(name, predictions, targets, axis)
    parameters = {**parameters, "reduction": "none"}

    def loss(predictions: Array, targets: Array) -> Array:
        xp, classes = namespace(predictions), predictions.shape[-1]
        first, place = int(ignore_background and classes > 1), positions(xp, predictions, -1, xp.int32)
        weight = xp.astype(place >= first, predictions.dtype)
        if class_weights is not None:
            checks.shape_is(name, "class_weights", tuple(class_weights.shape), (classes,), "one number per class,")
            weight = weight * xp.astype(only(name, "class_weights", class_weights, NONNEGATIVE), predictions.dtype)

        def of_all(weight: Array) -> Array:
            return polyloss.softmax_dice(predictions, targets, class_weight=weight, axis=(*axes, -1), **parameters)

        if not apply_softmax or classes == 1:
            each = weight * polyloss.tversky(predictions, targets, from_logits=apply_softmax, axis=axes, **parameters)
        elif reduction == "none":
            alone = [of_all(xp.astype(place == one, predictions.dtype)) for one in range(classes)]
            each = weight * xp.stack(alone, axis=-1)
        else:
            total = xp.sum(weight) * of_all(weight)
            return total if reduction == "sum" else total / (classes - first)
        if reduction == "none":
            return each[..., first:]
        return xp.sum(each, axis=-1) / (1 if reduction == "sum" else classes - first)

    return widened(loss, predictions, targets)


def _same_rank(loss: str, predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Both with an axis of classes, where one has none. Targets are probabilities."""
    targets = as_probabilities(targets, predictions)
    for array in (predictions, targets):
        checks.axis_of(loss, -1, array.ndim)
    if predictions.ndim == targets.ndim - 1:
        predictions = predictions[..., None]
    if targets.ndim == predictions.ndim - 1:
        targets = targets[..., None]
    return predictions, targets


def _regions(
    loss: str, predictions: Array, targets: Array, axis: int | tuple[int, ...] | None
) -> tuple[Array, Array, tuple[int, ...]]:
    """Both, and the axes of a region: one of length 1 where there would be none."""
    ndim = predictions.ndim
    axes = range(1, ndim - 1) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(checks.axis_of(loss, one, ndim) for one in axes)
    if ndim - 1 in axes:
        raise ValueError(f"{loss}: axis must leave the last axis to the classes, got {axis!r}")
    if axes:
        return predictions, targets, axes
    return predictions[..., None, :], targets[..., None, :], (ndim - 1,)
