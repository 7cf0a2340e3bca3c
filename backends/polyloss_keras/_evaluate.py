"""The path of a call: what each term of a loss makes of the arrays, and then the reduction, as Keras has it."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from polyloss import Loss
from polyloss.core import checks, words
from polyloss.core.bind import axes_of, default_axis
from polyloss.core.compose import terms_of
from polyloss.core.domains import SIGN, Classes

from ._arguments import as_signs, check_classes, class_ids, elements, product, spread, trimmed, warn_of_activation
from ._private import scale_loss_for_distribution

if TYPE_CHECKING:
    from . import KerasLoss


def evaluate(loss: "KerasLoss", y_true: Any, y_pred: Any, weight: Any, mask: Any, reduction: str) -> Any:
    """The loss in one of Keras's reductions."""
    try:
        return _evaluate(loss, y_true, y_pred, weight, mask, reduction)
    except (TypeError, ValueError) as error:
        # Here the arrays have another order.
        message = words.without_order(str(error))
        if message == str(error):
            raise
        raise type(error)(f"{message}; are they swapped? {type(loss).__name__} takes (y_true, y_pred)") from None


def _evaluate(loss: "KerasLoss", y_true: Any, y_pred: Any, weight: Any, mask: Any, reduction: str) -> Any:
    if any(term.arrays[0] == "logits" for _, term in terms_of(loss.loss)):
        warn_of_activation(loss.name, y_pred)
    working = "float32" if checks.is_half(loss.dtype) else loss.dtype
    y_true, y_pred = _tensor(loss.name, "y_true", y_true), _tensor(loss.name, "y_pred", y_pred)
    for _, term in terms_of(loss.loss):
        if isinstance(term.domains.get("target"), Classes):
            axis = (term.fixed | loss.parameters).get("axis", -1)
            last = axis if isinstance(axis, int) else axis[-1]
            check_classes(type(loss).__name__, loss.name, y_true, y_pred, last)
    y_pred = ops.cast(y_pred, working)
    mask = None if mask is None else ops.cast(mask, "bool")
    parts = [_fit(loss, term, y_true, y_pred, mask, working) for _, term in terms_of(loss.loss)]
    sizes, shape = parts[0].losses(ops.shape), parts[0].losses(lambda array: array.shape)
    options = {}
    if weight is not None:
        weight = ops.convert_to_tensor(weight, dtype=working)
        options["sample_weight"] = trimmed(loss.name, "sample_weight", weight, shape)
    if mask is not None:
        options["where"] = trimmed(loss.name, "mask", mask, shape)

    total: Any = 0.0
    for part, (factor, _) in zip(parts, terms_of(loss.loss), strict=True):
        total = total + factor * part.value(reduction, options)
    if reduction not in ("none", "sum"):
        kept = [spread(one, sizes) for one in (options.get("where"), *(part.kept for part in parts)) if one is not None]
        counted = functools.reduce(ops.logical_and, kept) if kept else None
        weight = options.get("sample_weight") if reduction == "mean_with_sample_weight" else None
        if weight is not None:
            weight = spread(weight, sizes)
            divisor = ops.sum(weight if counted is None else ops.where(counted, weight, 0.0))
        else:
            # In integers: a sum of ones in float32 may stop at 2^24.
            divisor = product(sizes, working) if counted is None else ops.sum(ops.cast(counted, "int32"))
        total = scale_loss_for_distribution(ops.divide_no_nan(total, ops.cast(divisor, working)))
    return ops.cast(total, loss.dtype)


@dataclass(frozen=True)
class _Part:
    """A loss with arrays that fit it.

    Parameters
    ----------
    axes : tuple of int
        The axes that the losses do not have: of a row, or the one that they are averaged over.
    kept : tensor or None
        Which ids are not ignored.
    """

    term: Loss[Any]
    prediction: Any
    target: Any
    keywords: dict[str, Any]
    axes: tuple[int, ...]
    kept: Any = None

    def losses(self, shape_of: Any) -> list[Any]:
        """The shape of the losses."""
        return [length for axis, length in enumerate(shape_of(self.prediction)) if axis not in self.axes]

    def value(self, reduction: str, options: dict[str, Any]) -> Any:
        """The losses, or their sum."""
        averaged = bool(self.axes) and not self.term.row
        arrays = self.prediction, self.target
        if reduction == "none":
            losses = self.term(*arrays, reduction="none", **options, **self.keywords)
            return ops.mean(losses, axis=self.axes) if averaged else losses
        # One call of the loss for value and gradient, with its exact sums.
        total = self.term(*arrays, reduction="sum", **options, **self.keywords)
        return total / product([ops.shape(self.prediction)[self.axes[0]]], total.dtype) if averaged else total


def _fit(loss: "KerasLoss", term: Loss[Any], y_true: Any, y_pred: Any, mask: Any, working: str) -> _Part:
    keywords = {name: _parameter(value, working) for name, value in (term.fixed | loss.parameters).items()}
    if not term.row:
        target, prediction = elements(y_true, y_pred, mask)
        last = len(prediction.shape) - 1
        target = ops.cast(target, working)
        if term.domains.get("target") == SIGN:
            target = as_signs(loss.name, target, mask)
        return _Part(term, prediction, target, keywords, (last,) if last else ())
    axes = _axes(loss.name, term, keywords, len(y_pred.shape))
    if isinstance(term.domains.get("target"), Classes):
        ignored = keywords.get("ignore_index", term.defaults.get("ignore_index"))
        ids = class_ids(loss.name, y_true, y_pred, mask, axes[-1], ignored)
        if ids is not None:
            # Within a region, an ignored id is a part of an example.
            kept = None if ignored is None or len(term.row) > 1 else ops.not_equal(ids, ignored)
            return _Part(term, y_pred, ids, keywords, axes, kept)
    return _Part(term, y_pred, ops.cast(y_true, working), keywords, axes)


def _axes(name: str, term: Loss[Any], keywords: dict[str, Any], ndim: int) -> tuple[int, ...]:
    """The axes of a row."""
    if not term.rowwise:
        return (checks.axis_of(name, -1, ndim),)
    return axes_of(term, keywords.get("axis", default_axis(term)), ndim)


def _tensor(name: str, what: str, array: Any) -> Any:
    array = ops.convert_to_tensor(array)
    if getattr(array.shape, "rank", 0) is None:
        raise ValueError(f"{name}: {what} must have a known number of axes, got a tensor of unknown shape")
    return array


def _parameter(value: Any, working: str) -> Any:
    """A parameter for the arrays of this backend: NumPy arrays and variables of Keras become tensors."""
    if not hasattr(value, "shape"):
        return value
    floating = "float" in keras.backend.standardize_dtype(value.dtype)
    return ops.convert_to_tensor(value, dtype=working if floating else None)
