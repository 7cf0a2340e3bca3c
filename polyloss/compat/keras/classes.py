"""The classes of `keras.losses`."""

from collections.abc import Callable
from typing import Any

from polyloss.compat._classes import Recipe, recipe
from polyloss.compat._common import namespace
from polyloss.core.typing import Array

from .batch import circle
from .binary import binary_crossentropy, binary_focal_crossentropy
from .cosine import cosine_similarity
from .divergence import kl_divergence
from .likelihood import poisson
from .margin import hinge, squared_hinge
from .multiclass import (
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    sparse_categorical_crossentropy,
)
from .multiclass_margin import categorical_hinge
from .overlap import dice, tversky
from .regression import (
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from .sequence import ctc

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "BinaryCrossentropy": binary_crossentropy,
    "BinaryFocalCrossentropy": binary_focal_crossentropy,
    "CTC": ctc,
    "CategoricalCrossentropy": categorical_crossentropy,
    "CategoricalFocalCrossentropy": categorical_focal_crossentropy,
    "CategoricalGeneralizedCrossEntropy": categorical_generalized_cross_entropy,
    "CategoricalHinge": categorical_hinge,
    "Circle": circle,
    "CosineSimilarity": cosine_similarity,
    "Dice": dice,
    "Hinge": hinge,
    "Huber": huber,
    "KLDivergence": kl_divergence,
    "LogCosh": log_cosh,
    "MeanAbsoluteError": mean_absolute_error,
    "MeanAbsolutePercentageError": mean_absolute_percentage_error,
    "MeanSquaredError": mean_squared_error,
    "MeanSquaredLogarithmicError": mean_squared_logarithmic_error,
    "Poisson": poisson,
    "SparseCategoricalCrossentropy": sparse_categorical_crossentropy,
    "SquaredHinge": squared_hinge,
    "Tversky": tversky,
}


def _not_ignored(y_true: Array, losses: Array, *, ignore_class: int | None, **_: Any) -> Array | None:
    if ignore_class is None:
        return None
    ids = y_true if y_true.ndim == losses.ndim else namespace(y_true).squeeze(y_true, axis=-1)
    return ids != ignore_class


def _not_zero(y_true: Array, losses: Array, **_: Any) -> Array:
    return losses != 0


_COUNTED = {"Circle": _not_zero, "SparseCategoricalCrossentropy": _not_ignored}
_WITHOUT = {"Circle": ("ref_labels", "ref_embeddings")}
_ORDER = {"Circle": ("gamma", "margin", "remove_diagonal")}
"""Of what a class is made, where that is not the order of its function."""
_DEFAULTS: dict[str, dict[str, Any]] = {"CategoricalGeneralizedCrossEntropy": {"q": 0.5}}
"""What the functions have no default of."""

CLASSES: dict[str, Recipe] = {
    name: recipe(
        "keras",
        name,
        function,
        _WITHOUT.get(name, ()),
        counted=_COUNTED.get(name),
        order=_ORDER.get(name, ()),
        **_DEFAULTS.get(name, {}),
    )
    for name, function in _FUNCTIONS.items()
}
