"""Losses and their parameters as plain data, and back. Nothing is imported because a file says so."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from polyloss import Loss, LossSum
from polyloss.classes import classes
from polyloss.core import checks
from polyloss.core.compose import terms_of

_OURS = {f"polyloss>{loss.__name__}": loss for loss in classes().values()}


def to_config(loss: Any) -> list[list[Any]]:
    """A loss as a list of terms: factor, name, parameters that were fixed."""
    return [[factor, *_written(term)] for factor, term in terms_of(loss)]


def _written(loss: Any) -> tuple[str, dict[str, Any]]:
    for name, ours in _OURS.items():
        if ours is loss.origin:
            return name, to_plain(loss.fixed)
    if keras.saving.get_registered_name(loss) != loss.__name__:
        # A partial that is registered itself.
        return str(keras.saving.get_registered_name(loss)), {}
    name = str(keras.saving.get_registered_name(loss.origin))
    if keras.saving.get_registered_object(name) is not loss.origin:
        warnings.warn(
            f"KerasLoss: {name} is a loss of your own that is not registered: what is saved with it can be loaded only "
            f"with custom_objects={{{name!r}: ...}}. Register it before it is saved: "
            f"keras.saving.register_keras_serializable('my_package')({name})",
            stacklevel=2,
        )
    return name, to_plain(loss.fixed)


def from_config(terms: Sequence[Sequence[Any]]) -> Any:
    """The loss that `to_config` was asked of, in this version or in 0.1, which wrote the module before the name."""
    losses = []
    for factor, *module, name, fixed in terms:
        loss = _find(f"polyloss>{name}" if module and module[0].partition(".")[0] == "polyloss" else name)
        losses.append((factor, loss.partial(**from_plain(loss.__name__, fixed)) if fixed else loss))
    return losses[0][1] if len(losses) == 1 and losses[0][0] == 1.0 else LossSum(losses)


def _find(name: str) -> Any:
    found = _OURS.get(name) or keras.saving.get_registered_object(name)
    if not isinstance(found, Loss):
        package, registered, own = name.rpartition(">")
        way = (
            f"register it before: keras.saving.register_keras_serializable({package!r}, {own!r})(my_loss)"
            if registered
            else f"it was not registered when it was saved; load it with custom_objects={{{name!r}: my_loss}}"
        )
        raise ValueError(f"KerasLoss: there is no loss {name!r} in polyloss. If it is one of your own, {way}")
    return found


def to_plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON knows them: arrays as lists."""
    return {name: _listed(value) if hasattr(value, "shape") else value for name, value in parameters.items()}


def _listed(array: Any) -> Any:
    return (array if hasattr(array, "tolist") else np.asarray(keras.ops.convert_to_numpy(array))).tolist()


def from_plain(owner: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are kept: what has axes as an array, what has none as a number of Python."""
    return {name: _kept(owner, name, value) for name, value in parameters.items()}


def _kept(owner: str, name: str, value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        # An array as Keras wrote it in files of version 0.1.
        value = value["config"]["value"]
    if name == "axis" and isinstance(value, (list, tuple)):
        # A list where it was read from a file.
        return tuple(value)
    if isinstance(value, (list, tuple, np.ndarray, np.generic)):
        value = np.asarray(value)
        value = value if value.ndim else value.item()
    numeric = value.dtype.kind in "biuf" if isinstance(value, np.ndarray) else not isinstance(value, (Mapping, complex))
    if not numeric:
        raise TypeError(f"{owner}: {name} must be a number or an array of numbers, got {checks.describe(value)}")
    return value
