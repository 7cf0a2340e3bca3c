"""`keras.losses.Loss` classes, made from the signatures of the losses. They run on every backend of Keras."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import keras

from polyloss import Loss, LossSum
from polyloss import _checks as checks
from polyloss._objects import check_parameters, classes, parameters_of

Terms = Sequence[tuple[float, str, str, Mapping[str, Any]]]


@keras.saving.register_keras_serializable("polyloss")
class KerasLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss with its parameters, as Keras wants it: per-example losses from polyloss, the reduction by Keras.

    Unlike the losses of Keras it keeps the dtypes: float64 stays float64, and class ids stay integers. A
    `sample_weight` belongs to examples; axes that it lacks are the last ones. Keras loads a saved model that has one
    when ``polyloss_tensorflow.KerasLoss``, or any class here, was imported before.

    Parameters
    ----------
    loss : Loss
        A loss of two arrays, or a sum of such losses.
    reduction : str
        Keras's own: ``"sum_over_batch_size"``, ``"mean_with_sample_weight"``, ``"sum"``, ``"none"``.
    name : str, optional
    **parameters
        Keywords of the loss.
    """

    def __init__(
        self,
        loss: Callable[..., Any] | Terms,
        *,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        **parameters: Any,
    ) -> None:
        self.loss = loss if callable(loss) else _from_terms(loss)
        check_parameters(self.loss, parameters, reduction=False)
        for _, term in _terms(self.loss):
            if len(term.arrays) != 2:
                raise TypeError(f"{term.__name__} takes {', '.join(term.arrays)}: Keras has two arrays for a loss")
        super().__init__(name=name or self.loss.__name__, reduction=reduction)
        self.parameters = parameters

    @property
    def dtype(self) -> None:
        """None: nothing is cast."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Per-example losses."""
        return self.loss(y_pred, y_true, reduction="none", **self.parameters)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss."""
        if sample_weight is not None:
            sample_weight = keras.ops.convert_to_tensor(sample_weight)
            shape = list(y_pred.shape)
            sizes = list(keras.ops.shape(y_pred))
            if any(term.rowwise for _, term in _terms(self.loss)):
                axis = self.parameters.get("axis", -1)
                del shape[axis], sizes[axis]
            checks.shape_starts(self.name, "sample_weight", tuple(sample_weight.shape), tuple(shape))
            for _ in range(len(shape) - len(sample_weight.shape)):
                sample_weight = keras.ops.expand_dims(sample_weight, -1)
            sample_weight = keras.ops.broadcast_to(sample_weight, sizes)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Everything that makes this loss again."""
        config = {"name": self.name, "reduction": self.reduction, **self.parameters}
        if type(self) is KerasLoss:
            config["loss"] = [
                [scale, term.__module__, term.__qualname__, dict(term.fixed)] for scale, term in _terms(self.loss)
            ]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "KerasLoss":
        """The loss that `get_config` was asked of; its arrays may be in Keras's serialized form."""
        load = keras.saving.deserialize_keras_object
        return cls(**{key: load(value) if isinstance(value, dict) else value for key, value in config.items()})


def _terms(loss: Any) -> Sequence[tuple[float, Any]]:
    return loss.terms if isinstance(loss, LossSum) else [(1.0, loss)]


def _from_terms(terms: Terms) -> Any:
    losses = []
    for scale, module, name, fixed in terms:
        loss: Loss[Any] = getattr(import_module(module), name)
        losses.append((scale, loss.partial(**fixed) if fixed else loss))
    return losses[0][1] if len(losses) == 1 and losses[0][0] == 1.0 else LossSum(losses)


def _make(name: str, loss: Loss[Any]) -> type[KerasLoss]:
    def construct(self: KerasLoss, **parameters: Any) -> None:
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
