"""The classes of `keras.losses`."""

from collections.abc import Callable
from typing import Any

from polyloss.compat._classes import Recipe, recipe
from polyloss.compat._common import namespace
from polyloss.core.typing import Array

from .binary import binary_crossentropy, binary_focal_crossentropy
from .divergence import kl_divergence
from .margin import hinge, squared_hinge
from .multiclass import categorical_crossentropy, categorical_focal_crossentropy, sparse_categorical_crossentropy
from .regression import huber, log_cosh, mean_absolute_error, mean_squared_error

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "BinaryCrossentropy": binary_crossentropy,
    "BinaryFocalCrossentropy": binary_focal_crossentropy,
    "CategoricalCrossentropy": categorical_crossentropy,
    "CategoricalFocalCrossentropy": categorical_focal_crossentropy,
    "Hinge": hinge,
    "Huber": huber,
    "KLDivergence": kl_divergence,
    "LogCosh": log_cosh,
    "MeanAbsoluteError": mean_absolute_error,
    "MeanSquaredError": mean_squared_error,
    "SparseCategoricalCrossentropy": sparse_categorical_crossentropy,
    "SquaredHinge": squared_hinge,
}


def _not_ignored(y_true: Array, losses: Array, *, ignore_class: int | None, **_: Any) -> Array | None:
    if ignore_class is None:
        return None
    return namespace(y_true).reshape(y_true, tuple(losses.shape)) != ignore_class


CLASSES: dict[str, Recipe] = {
    name: recipe("keras", name, function, counted=_not_ignored if name == "SparseCategoricalCrossentropy" else None)
    for name, function in _FUNCTIONS.items()
}
