"""Losses as plain data, and back. Nothing is imported because a file says so."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

import polyloss
from polyloss import Loss, LossSum


def terms_of(loss: Any) -> Sequence[tuple[float, Any]]:
    """The losses that `loss` is a sum of, with their factors."""
    return loss.terms if isinstance(loss, LossSum) else [(1.0, loss)]


def to_config(loss: Any) -> list[list[Any]]:
    """A loss as a list of terms: factor, name, parameters that were fixed."""
    return [[scale, _name(term), plain(term.fixed)] for scale, term in terms_of(loss)]


def from_config(terms: Sequence[Sequence[Any]]) -> Any:
    """The loss that `to_config` was asked of."""
    losses = []
    # Version 0.1 wrote the module in front of the name.
    for scale, *_, name, fixed in terms:
        loss = _find(name)
        losses.append((scale, loss.partial(**fixed) if fixed else loss))
    return losses[0][1] if len(losses) == 1 and losses[0][0] == 1.0 else LossSum(losses)


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON knows them: arrays as lists."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(value)).tolist() if hasattr(value, "shape") else value
        for name, value in parameters.items()
    }


def _name(loss: Any) -> str:
    return loss.__name__ if _is_ours(loss.__name__, loss) else str(keras.saving.get_registered_name(loss._origin))


def _is_ours(name: str, loss: Any) -> bool:
    ours = getattr(polyloss, name, None)
    return isinstance(ours, Loss) and ours is loss._origin


def _find(name: str) -> Any:
    ours = getattr(polyloss, name, None) if name in polyloss.__all__ else None
    found = ours or keras.saving.get_registered_object(name)
    if not isinstance(found, Loss):
        raise ValueError(
            f"KerasLoss: there is no loss {name!r}. Before a model with a loss of your own is loaded, register that: "
            "keras.saving.register_keras_serializable('my_package')(my_loss)"
        )
    return found
