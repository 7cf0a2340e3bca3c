"""Keras: every loss of two arrays as a `keras.losses.Loss`, on each backend of Keras.

The classes have the names of the losses in capitals: ``polyloss_keras.Huber``, ``polyloss_keras.CrossEntropy``.
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

import keras

from polyloss import Loss
from polyloss.classes import (
    UNSET,
    check_attribute,
    check_complete,
    check_parameters,
    classes,
    defaults_of,
    is_of_object,
    no_class,
    no_positional,
    of_one_term,
    parameters_of,
)
from polyloss.compat._classes import class_of
from polyloss.compat.keras.classes import CLASSES
from polyloss.core.checks import brief
from polyloss.core.compose import terms_of
from polyloss.core.shown import Shown
from polyloss.core.words import unknown_keyword
from polyloss.multi_task import MultiTask

from ._config import from_config, from_plain, to_config, to_plain
from ._evaluate import evaluate
from ._private import get_keras_mask


@keras.saving.register_keras_serializable("polyloss")
class KerasLoss(Shown, keras.losses.Loss):  # type: ignore[misc]
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

    _of: ClassVar[Loss[Any] | None] = None
    """The loss of a class that is made for one."""

    def __init__(
        self,
        loss: Callable[..., Any],
        *arguments: Any,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **parameters: Any,
    ) -> None:
        owner = type(self).__name__
        if isinstance(loss, MultiTask):
            raise TypeError(
                f"{owner}: multi_task has several outputs, and Keras a loss for each: "
                "model.compile(loss={task: ...}, loss_weights={task: ...})"
            )
        parameters = from_plain(owner, parameters)
        check_parameters(owner, loss, parameters, reduction=False)
        known = defaults_of(loss, reduction=False) | {"reduction": "mean"}
        check = functools.partial(_check, owner, loss)
        no_positional(owner, arguments, known, check, ("y_true", "y_pred"), "" if self._of else "loss, ")
        _check(owner, loss, "reduction", reduction)
        check_complete(owner, loss, parameters)
        for _, term in terms_of(loss):
            if len(term.arrays) != 2:
                raise TypeError(f"{term.__name__} takes {', '.join(term.arrays)}: Keras has two arrays for a loss")
        if len({{**term.defaults, **parameters}.get("ignore_index") for _, term in terms_of(loss)}) > 1:
            raise ValueError(
                "KerasLoss: the losses of a sum must ignore the same class: give ignore_index to all of them"
            )
        super().__init__(name=name or _name_of(loss), reduction=reduction, dtype=dtype)
        self.loss: Any = loss
        self.parameters = parameters

    def __getattr__(self, name: str) -> Any:
        value = (self._defaults() | vars(self).get("parameters", {})).get(name, UNSET)
        if value is UNSET:
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        owner, known = type(self).__name__, self._defaults()
        if name in known:
            changed = from_plain(owner, {name: value})
            _check(owner, self.loss, name, changed[name])
            self.parameters.update(changed)
            return
        if "parameters" in vars(self):
            if name == "reduction":
                _check(owner, self.loss, name, value)
            check_attribute(self, name, ("reduction", *known))
        super().__setattr__(name, value)

    def _defaults(self) -> dict[str, Any]:
        return defaults_of(vars(self).get("loss"), reduction=False)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, **parameters: Any) -> Any:
        """The reduced loss."""
        for name in parameters:
            if name == "reduction" or name in self._defaults():
                raise is_of_object(type(self).__name__, name)
            own = ("y_true", "y_pred", "sample_weight")
            raise of_one_term(self.loss, name) or unknown_keyword(type(self).__name__, name, (), own)
        mask = get_keras_mask(y_pred)
        with keras.name_scope(re.sub(r"[^\w.\-/]+", "_", self.name, flags=re.ASCII).lstrip("_-/") or "loss"):
            return evaluate(self, y_true, y_pred, sample_weight, mask, self.reduction or "none")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example."""
        return evaluate(self, y_true, y_pred, None, None, "none")

    def __repr__(self) -> str:
        own = [repr(self.loss)] if self._of is None else []
        shown = {**self.parameters, "reduction": self.reduction, "name": self.name}
        own += [f"{name}={brief(value)}" for name, value in shown.items()]
        return f"{type(self).__name__}({', '.join(own)})"

    def _shown_as(self) -> tuple[Any, Mapping[str, Any]]:
        return self.loss, self.parameters

    def _no_operand(self, *_: object) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} of polyloss_keras does not add or scale; make it of a sum of losses, as in "
            "polyloss_keras.KerasLoss(0.5 * polyloss.mse + polyloss.huber); in compile() there are loss_weights"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _no_operand
    __array_ufunc__ = None

    def get_config(self) -> dict[str, Any]:
        """Everything that makes this loss again, as plain data."""
        config = {"name": self.name, "reduction": self.reduction, **to_plain(self.parameters)}
        if self.dtype != keras.config.floatx():
            config["dtype"] = self.dtype
        if self._of is None:
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
        config = dict(config)
        losses = [from_config(config.pop("loss"))] if "loss" in config else []
        return cls(*losses, **config)


_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)
_MEANT = {"weighted_mean": "mean_with_sample_weight"} | dict.fromkeys(("average", "avg", "batchmean"), "mean")


def _check(owner: str, loss: Any, name: str, value: Any) -> None:
    """Raise where a parameter, or the reduction, cannot have a value."""
    if name != "reduction":
        check_parameters(owner, loss, {name: value}, reduction=False)
        return
    written = isinstance(value, str | None)
    if not written or value not in _REDUCTIONS:
        lower = str(value).lower() if written else None
        meant = lower if lower in _REDUCTIONS else _MEANT.get(str(lower))
        known = ", ".join(map(str, _REDUCTIONS))
        hint = f"; say reduction={meant!r}" if meant else ""
        raise ValueError(f"{owner}: reduction must be one of {known}, got {value!r}{hint}")


def _name_of(loss: Any) -> str:
    return "_plus_".join(term.__name__ for _, term in terms_of(loss))


def _make(name: str, loss: Loss[Any]) -> type[KerasLoss]:
    def construct(self: KerasLoss, *arguments: Any, **parameters: Any) -> None:
        KerasLoss.__init__(self, loss, *arguments, **parameters)

    keras_own = [p for p in inspect.signature(KerasLoss.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    attributes = {
        "__init__": construct,
        "__doc__": loss.__doc__,
        "__module__": __name__,
        "__signature__": inspect.Signature([*parameters_of(loss, reduction=False), *keras_own]),
        "_of": loss,
    }
    made: type[KerasLoss] = type(name, (KerasLoss,), attributes)
    keras.saving.register_keras_serializable("polyloss")(made)
    return made


# Here and not on demand: Keras looks for the class of a saved loss among the names of its module.
LOSSES = {name: _make(name, loss) for name, loss in classes().items() if len(loss.arrays) == 2}
globals().update(LOSSES)
for _recipe in CLASSES.values():
    # An older Keras lacks some.
    if hasattr(keras.losses, _recipe.name):
        class_of(_recipe)


def __getattr__(name: str) -> Callable[..., KerasLoss]:
    found = classes().get(name)
    if found is not None:
        raise AttributeError(
            f"module 'polyloss_keras' has no attribute {name!r}: its loss takes {', '.join(found.arrays)}, and Keras "
            "has two arrays for a loss"
        )
    raise no_class("polyloss_keras", name, LOSSES, ["keras"])


__all__ = ["KerasLoss", *LOSSES]
