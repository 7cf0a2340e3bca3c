"""What Keras hands over, as the losses of polyloss want it: tensors of fitting shapes, class ids as integers."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from polyloss.core import checks
from polyloss.core.backend import backend_of

_EXACT = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24}
"""Up to here every whole number has a float of its own."""


def elements(y_true: Any, y_pred: Any, mask: Any) -> tuple[Any, Any]:
    """Target and prediction of a loss with one value for each element: of one rank, as Keras makes them."""
    extra = len(y_true.shape) - len(y_pred.shape)
    if extra == 1 and y_true.shape[-1] == 1:
        return (y_true, ops.expand_dims(y_pred, -1)) if len(y_pred.shape) == 1 else (ops.squeeze(y_true, -1), y_pred)
    if extra == -1 and y_pred.shape[-1] == 1:
        # A mask of the rank of the target says that each of its entries is an example.
        if len(y_true.shape) == 1 or (mask is not None and len(mask.shape) == len(y_true.shape)):
            return ops.expand_dims(y_true, -1), y_pred
        return y_true, ops.squeeze(y_pred, -1)
    return y_true, y_pred


def as_signs(name: str, labels: Any, mask: Any) -> Any:
    """Labels -1 and 1, of 0 and 1 too where all of them are such, as Keras has it."""
    either = ops.logical_or(labels == 0, labels == 1)
    if mask is not None:
        sizes = ops.shape(labels)
        kept = spread(trimmed(name, "mask", mask, labels.shape), sizes)
        either = ops.logical_or(either, ops.logical_not(kept))
    return ops.where(ops.all(either), 2.0 * labels - 1.0, labels)


def warn_of_activation(name: str, y_pred: Any) -> None:
    """Warn where logits are wanted, and a tensor shows that it is what a softmax or a sigmoid made of them.

    Keras notes the logits on what these make, where a tensor can hold a note; a graph of TensorFlow has its history.
    """
    operation = getattr(getattr(y_pred, "op", None), "type", None)
    if hasattr(y_pred, "_keras_logits") or operation in ("Softmax", "Sigmoid"):
        warnings.warn(
            f"{name}: y_pred is the output of a softmax or a sigmoid, and this loss takes logits: leave out the "
            "activation of the last layer",
            stacklevel=2,
        )


def check_classes(kind: str, name: str, y_true: Any, y_pred: Any, axis: Any) -> None:
    """Raise for shapes of a loss of classes that only another order of the arrays, or another layer, explains."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    swapped = f"; are they swapped? {kind} takes (y_true, y_pred)"
    if len(true) > len(pred):
        raise ValueError(
            f"{name}: y_true must have a class id for each row of y_pred, of shape {pred}, or probabilities in this "
            f"shape, got shape {true}{swapped}"
        )
    axis = checks.axis_of(name, axis, len(pred))
    if len(true) == len(pred) and pred[axis] == 1 and true[axis] not in (1, None):
        one = "float" in keras.backend.standardize_dtype(y_pred.dtype)
        layer = f"; the last layer needs {true[axis]} units, as in keras.layers.Dense({true[axis]})"
        raise ValueError(
            f"{name}: y_pred must have an entry for each of the {true[axis]} classes of y_true along axis {axis}, got "
            f"shape {pred}{layer if one else swapped}"
        )


def class_ids(name: str, y_true: Any, y_pred: Any, mask: Any, axis: int, ignored: Any) -> Any:
    """Class ids, one for each row, where the shape of the target says that it holds them; else None.

    They may have an axis of length one where the prediction has its classes, and be whole numbers in floats.
    """
    dtype = keras.backend.standardize_dtype(y_true.dtype)
    count = y_pred.shape[axis]
    if len(y_true.shape) == len(y_pred.shape):
        # Of a single class, a float may be the probability.
        if y_true.shape[axis] != 1 or (count == 1 and "float" in dtype):
            return None
        y_true = ops.squeeze(y_true, axis)
    if "float" not in dtype:
        wide = dtype in ("int64", "uint32", "uint64") and keras.backend.backend() != "jax"
        return ops.cast(y_true, "int64" if wide else "int32")
    if count is not None and count > _EXACT.get(dtype, count):
        raise ValueError(f"{name}: y_true must be integers: {dtype} cannot tell the ids of {count} classes apart")
    if mask is not None:
        y_true = ops.where(spread(trimmed(name, "mask", mask, y_true.shape), ops.shape(y_true)), y_true, 0.0)
    broken = ops.logical_or(y_true != ops.floor(y_true), ops.logical_not(ops.abs(y_true) < 2.0**31))
    backend = backend_of(y_true)
    if backend.readable(y_true):
        checks.none_outside(name, "y_true", backend.namespace(y_true), y_true, broken, "class ids, whole numbers")
    # Where values cannot be looked at, an id that no class has makes its row NaN.
    return ops.cast(ops.where(broken, -2.0 if ignored == -1 else -1.0, y_true), "int32")


def trimmed(name: str, what: str, value: Any, shape: Sequence[int | None]) -> Any:
    """A weight or a mask without the axes of length one at its end: what belongs to an example has none of them."""
    found = len(value.shape)
    while found > 1 and value.shape[-1] == 1 and (found > len(shape) or shape[found - 1] != 1):
        value = ops.squeeze(value, -1)
        found -= 1
    checks.shape_starts(name, what, tuple(value.shape), tuple(shape))
    return value


def spread(value: Any, sizes: Sequence[Any]) -> Any:
    """A weight or a mask for every loss of a shape."""
    for _ in range(len(sizes) - len(value.shape)):
        value = ops.expand_dims(value, -1)
    return ops.broadcast_to(value, sizes)


def product(sizes: Sequence[Any], dtype: str) -> Any:
    """The product of lengths, some of which may be unknown while tracing."""
    if all(isinstance(size, int) for size in sizes):
        return float(math.prod(sizes))
    return math.prod(ops.cast(size, dtype) for size in sizes)
