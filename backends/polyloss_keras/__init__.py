"""Keras: every loss of two arrays as a `keras.losses.Loss`, on each backend of Keras.

The classes have the names of the losses in capitals: ``polyloss_keras.Huber``, ``polyloss_keras.CrossEntropy``.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from polyloss import Loss
from polyloss import _checks as checks
from polyloss._backend import find_backend
from polyloss._objects import check_parameters, classes, no_positional, parameters_of

from ._config import from_config, plain, terms_of, to_config
from ._private import get_keras_mask, reduce_weighted_values


@keras.saving.register_keras_serializable("polyloss")
class KerasLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss with its parameters, as Keras wants it: losses from polyloss, weights, masks and the reduction as Keras.

    As of Keras's own losses, an element-wise one is averaged over the last axis, a target may lack or have a last axis
    of length 1, class ids may be whole numbers in floats, and the result is float32 (or `dtype`) whatever the
    prediction is. Ignored classes count in no denominator. A `sample_weight` belongs to examples; axes that it lacks
    are the last ones.

    Parameters
    ----------
    loss : Loss
        A loss of two arrays, or a sum of such losses.
    reduction : str
        Keras's own: ``"sum_over_batch_size"`` or ``"mean"``, ``"mean_with_sample_weight"``, ``"sum"``, ``"none"``.
    name : str, optional
    dtype : str or keras.DTypePolicy, optional
        What the loss is computed in: `keras.config.floatx` unless given.
    **parameters
        Keywords of the loss. Arrays may be of NumPy, or lists.

    Examples
    --------
    >>> import numpy as np, polyloss, polyloss_keras
    >>> loss = polyloss_keras.KerasLoss(0.5 * polyloss.mse + polyloss.l1)
    >>> float(loss(np.asarray([[0.0]]), np.asarray([[2.0]])))
    4.0
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        *,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **parameters: Any,
    ) -> None:
        self.loss: Any = loss
        parameters = {
            key: np.asarray(value) if isinstance(value, (list, tuple)) else value for key, value in parameters.items()
        }
        check_parameters(self.loss, parameters, reduction=False)
        for _, term in terms_of(self.loss):
            if len(term.arrays) != 2:
                raise TypeError(f"{term.__name__} takes {', '.join(term.arrays)}: Keras has two arrays for a loss")
        if len({{**term.defaults, **parameters}.get("ignore_index") for _, term in terms_of(self.loss)}) > 1:
            raise ValueError(
                "KerasLoss: the losses of a sum must ignore the same class: give ignore_index to all of them"
            )
        super().__init__(name=name or _name_of(self.loss), reduction=reduction, dtype=dtype)
        self.parameters = parameters

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss."""
        mask = get_keras_mask(y_pred)
        with keras.name_scope(re.sub(r"[^\w.\-/]+", "_", self.name).lstrip("_-/") or "loss"):
            y_true, y_pred = self._fitted(y_true, y_pred)
            losses = self._losses(y_true, y_pred)
            kept = self._kept(y_true, losses)
            if kept is not None:
                mask = kept if mask is None else ops.logical_and(ops.cast(mask, "bool"), kept)
            if sample_weight is not None:
                sample_weight = self._weights(sample_weight, losses)
            return reduce_weighted_values(
                losses, sample_weight=sample_weight, mask=mask, reduction=self.reduction, dtype=self.dtype
            )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example."""
        return self._losses(*self._fitted(y_true, y_pred))

    def _losses(self, y_true: Any, y_pred: Any) -> Any:
        parameters = {
            name: ops.convert_to_tensor(value, self.dtype) if hasattr(value, "shape") else value
            for name, value in self.parameters.items()
        }
        losses = self.loss(y_pred, y_true, reduction="none", **parameters)
        return ops.mean(losses, axis=-1) if not self._rowwise and len(losses.shape) > 1 else losses

    @property
    def _rowwise(self) -> bool:
        return any(term.rowwise for _, term in terms_of(self.loss))

    @property
    def _of_classes(self) -> bool:
        return any(isinstance(term.domains.get("target"), checks.Classes) for _, term in terms_of(self.loss))

    def _fitted(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Target and prediction as the loss wants them."""
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        y_true = self._target(y_true)
        axis = self.parameters.get("axis", -1)
        if self._of_classes:
            if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1 != y_pred.shape[axis]:
                y_true = ops.squeeze(y_true, axis)
            if len(y_true.shape) == len(y_pred.shape):
                return ops.cast(y_true, self.dtype), y_pred
            return self._ids(y_true), y_pred
        if len(y_true.shape) == 1 and y_pred.shape[1:] == (1,):
            y_true = ops.expand_dims(y_true, -1)
        elif len(y_pred.shape) == 1 and y_true.shape[1:] == (1,):
            y_pred = ops.expand_dims(y_pred, -1)
        elif len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        return ops.cast(y_true, self.dtype), y_pred

    def _target(self, y_true: Any) -> Any:
        """The target as a tensor: floats in the dtype of the loss, integers in 32 bits where these do, as JAX wants."""
        if not isinstance(y_true, (np.ndarray, np.generic, list, tuple, int, float)):
            return ops.convert_to_tensor(y_true)
        array = np.asarray(y_true)
        if array.dtype.kind == "f":
            return ops.convert_to_tensor(array, self.dtype)
        wide = array.dtype == np.int64 and array.size and np.abs(array).max() >= 2**31
        return ops.convert_to_tensor(array if wide or array.dtype != np.int64 else array.astype(np.int32))

    def _ids(self, y_true: Any) -> Any:
        """Class ids, which Keras hands over as floats: integers."""
        if "float" not in keras.backend.standardize_dtype(y_true.dtype):
            return y_true
        whole = ops.equal(y_true, ops.floor(y_true))
        backend = find_backend(type(y_true))
        if backend is not None and backend.readable(y_true) and not bool(ops.all(whole)):
            raise ValueError(f"{self.name}: class ids must be whole numbers, got a fraction")
        # No class: of what cannot be looked at, the loss is NaN.
        return ops.where(whole, ops.cast(y_true, "int32"), 2**31 - 1)

    def _kept(self, y_true: Any, losses: Any) -> Any:
        """Which examples are not of the class that is ignored."""
        ignored = [{**term.defaults, **self.parameters}.get("ignore_index") for _, term in terms_of(self.loss)]
        if not self._of_classes or ignored[0] is None or len(y_true.shape) != len(losses.shape):
            return None
        kind = "int64" if keras.backend.standardize_dtype(y_true.dtype) in ("int64", "uint32") else "int32"
        return ops.not_equal(ops.cast(y_true, kind), ops.cast(ignored[0], kind))

    def _weights(self, sample_weight: Any, losses: Any) -> Any:
        """Weights in the shape of the losses."""
        sample_weight = ops.convert_to_tensor(sample_weight, self.dtype)
        if len(sample_weight.shape) == len(losses.shape) + 1 and sample_weight.shape[-1] == 1:
            sample_weight = ops.squeeze(sample_weight, -1)
        checks.shape_starts(self.name, "sample_weight", tuple(sample_weight.shape), tuple(losses.shape))
        for _ in range(len(losses.shape) - len(sample_weight.shape)):
            sample_weight = ops.expand_dims(sample_weight, -1)
        return ops.broadcast_to(sample_weight, ops.shape(losses))

    def __repr__(self) -> str:
        own = [repr(self.loss)] if type(self) is KerasLoss else []
        shown = {**self.parameters, "reduction": self.reduction, "name": self.name}
        return f"{type(self).__name__}({', '.join([*own, *(f'{name}={value!r}' for name, value in shown.items())])})"

    def get_config(self) -> dict[str, Any]:
        """Everything that makes this loss again, as plain data."""
        config = {"name": self.name, "reduction": self.reduction, **plain(self.parameters)}
        if self.dtype != keras.config.floatx():
            config["dtype"] = self.dtype
        if type(self) is KerasLoss:
            config["loss"] = to_config(self.loss)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "KerasLoss":
        """The loss that `get_config` was asked of.

        Raises
        ------
        ValueError
            If it names a loss that is neither one of polyloss nor registered with Keras: nothing is imported for it.
        """
        terms = {"loss": from_config(config["loss"])} if "loss" in config else {}
        return cls(**{**config, **terms})


def _name_of(loss: Any) -> str:
    return "_plus_".join(term.__name__ for _, term in terms_of(loss))


def _make(name: str, loss: Loss[Any]) -> type[KerasLoss]:
    def construct(self: KerasLoss, *arguments: Any, **parameters: Any) -> None:
        no_positional(name, arguments, parameters_of(loss, reduction=False), ("y_true", "y_pred"))
        KerasLoss.__init__(self, loss, **parameters)

    keras_own = [p for p in inspect.signature(KerasLoss.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    attributes = {
        "__init__": construct,
        "__doc__": loss.__doc__,
        "__module__": __name__,
        "__signature__": inspect.Signature([*parameters_of(loss, reduction=False), *keras_own]),
    }
    made: type[KerasLoss] = type(name, (KerasLoss,), attributes)
    keras.saving.register_keras_serializable("polyloss")(made)
    return made


# Here and not on demand: Keras looks for the class of a saved loss among the names of its module.
LOSSES = {name: _make(name, loss) for name, loss in classes().items() if len(loss.arrays) == 2}
globals().update(LOSSES)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., KerasLoss]: ...


__all__ = ["KerasLoss", *LOSSES]
