"""What the adapters need to make classes of losses: `torch.nn.Module`, `keras.losses.Loss`."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polyloss

from .compat.names import no_attribute
from .core import checks, words
from .core.compose import LossSum
from .core.loss import Loss
from .core.plan import IGNORED, OF_A_CALL


def classes() -> dict[str, Loss[Any]]:
    """Every loss of polyloss, by the name of its class: ``CrossEntropy`` for ``cross_entropy``."""
    losses = {name: value for name, value in vars(polyloss).items() if isinstance(value, Loss)}
    return {"".join(part.capitalize() for part in name.split("_")): loss for name, loss in losses.items()}


def parameters_of(loss: Callable[..., Any], *, reduction: bool) -> list[inspect.Parameter]:
    """The keywords of `loss` that an object may hold."""
    refused = OF_A_CALL if reduction else (*OF_A_CALL, "reduction")
    own = inspect.signature(loss).parameters.values()
    return [p for p in own if p.kind is p.KEYWORD_ONLY and p.name not in refused]


def no_positional(
    name: str, arguments: Sequence[Any], parameters: Sequence[inspect.Parameter], arrays: Sequence[str]
) -> None:
    """Raise for arguments of a class that have no name."""
    if arguments:
        known = ", ".join(p.name for p in parameters)
        raise TypeError(
            f"{name}: takes its parameters by name ({known}), got {checks.describe(arguments[0])} without one; "
            f"make the object first, then call it with arrays: {name}(...)({', '.join(arrays)})"
        )


def check_parameters(loss: Callable[..., Any], parameters: Mapping[str, Any], *, reduction: bool) -> None:
    """Raise for an unknown keyword, or a value out of its range, before there is a call.

    Parameters
    ----------
    loss : callable
        A loss or a sum of losses.
    parameters : mapping
        Keywords for it.
    reduction : bool
        Whether `reduction` may be one of them.
    """
    if isinstance(loss, LossSum):
        for _, term in loss.terms:
            check_parameters(term, parameters, reduction=reduction)
        return
    if not isinstance(loss, Loss):
        raise TypeError(f"expected a loss or a sum of losses, got {checks.describe(loss)}")
    known = [p.name for p in parameters_of(loss, reduction=reduction)]
    for name, value in parameters.items():
        if name not in known:
            raise words.unknown_keyword(loss.__name__, name, (), known)
        if name == "reduction":
            words.check_reduction(loss.__name__, value)
        elif isinstance(value, (bool, int, float, str)):
            loss.check_constant(name, value)
        elif name == IGNORED and value is not None and tuple(getattr(value, "shape", (None,))):
            raise checks.one_id(loss.__name__, name, value)


def check_attribute(owner: Any, name: str, parameters: Iterable[str]) -> None:
    """Raise for an attribute that was meant to be a parameter: nobody would read it. Any other may be set."""
    kind = type(owner).__name__
    if name.startswith("_") or name in vars(owner) or hasattr(type(owner), name):
        return
    if name in OF_A_CALL:
        raise AttributeError(f"{kind}: {name} is no attribute: it belongs to the arrays of a call, and comes with them")
    near = difflib.get_close_matches(name, list(parameters), n=1, cutoff=0.75)
    if near:
        raise AttributeError(f"{kind}: has no parameter {name}; did you mean {near[0]}?")


def is_of_object(owner: str, name: str) -> TypeError:
    """The error for a parameter of an object that comes with a call."""
    return TypeError(
        f"{owner}: {name} belongs to the object, not to a call: give it when the object is made, or set it as an "
        f"attribute: criterion.{name} = ..."
    )


def no_class(module: str, name: str, made: Iterable[str], families: Sequence[str]) -> AttributeError:
    """The error for a class that `module`, which has those in `made`, does not have.

    `families` are as in `compat.names`.
    """
    return no_attribute(module, name, {classes()[one].__name__: f"{module}.{one}" for one in made}, families)
