"""What the adapters need to make classes of losses: `torch.nn.Module`, `keras.losses.Loss`."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import polyloss

from .compat.names import no_attribute, public_names
from .core import checks, words
from .core.arguments import OF_A_CALL, REGION
from .core.bind import check_parameter
from .core.compose import scaled, terms_of
from .core.loss import Loss

UNSET: Any = object()
"""The default of a parameter that has none, or of which the terms of a sum have different ones."""


def classes() -> dict[str, Loss[Any]]:
    """Every loss of polyloss, by the name of its class: ``CrossEntropy`` for ``cross_entropy``."""
    losses = {name: value for name, value in vars(polyloss).items() if isinstance(value, Loss)}
    return {words.class_name(name): loss for name, loss in losses.items()}


def parameters_of(loss: Callable[..., Any], *, reduction: bool) -> list[inspect.Parameter]:
    """The keywords of `loss` that an object may hold."""
    refused = OF_A_CALL if reduction else (*OF_A_CALL, "reduction")
    parameters = inspect.signature(loss).parameters.values()
    return [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in refused]


def defaults_of(loss: Any, *, reduction: bool) -> dict[str, Any]:
    """The parameters that an object may hold for `loss`, with their defaults, or `UNSET`: of a sum, those of all its
    terms."""
    terms = [term for _, term in terms_of(loss)]
    if not all(isinstance(term, Loss) for term in terms):
        return {}
    first, *rest = (
        {p.name: UNSET if p.default is p.empty else p.default for p in parameters_of(term, reduction=reduction)}
        for term in terms
    )
    return {
        name: value if all(same(value, other[name]) for other in rest) else UNSET
        for name, value in first.items()
        if all(name in other for other in rest)
    }


def same(one: Any, other: Any) -> bool:
    """Whether two parameters are one, or equal numbers."""
    arrays = hasattr(one, "shape") or hasattr(other, "shape")
    return one is other or (not arrays and bool(one == other))


def no_positional(
    owner: str,
    arguments: Sequence[Any],
    defaults: Mapping[str, Any],
    check: Callable[[str, Any], None],
    arrays: Sequence[str],
    first: str = "",
) -> None:
    """Raise for arguments of a class that have no name.

    `check` raises where a parameter cannot have a value; `first` is what comes before the parameters.
    """
    if not arguments:
        return
    value = arguments[0]
    if isinstance(value, str | int | float | np.generic):
        # What is a number by default, or has no default, is more likely to be meant than an array that one number would
        # do for.
        likely = {name: default is UNSET or isinstance(default, int | float) for name, default in defaults.items()}
        names = sorted(defaults, key=lambda name: name == "axis" or not likely[name])
        flags = {name for name, default in defaults.items() if isinstance(default, bool)}
        fits = [name for name in names if name not in flags or isinstance(value, bool)]
        meant = [name for name in fits if _passes(check, name, value)]
        way = f", as in {owner}({first}{meant[0]}={value!r})" if meant else ""
    else:
        way = f"; make the object first, then call it with arrays: {owner}({first}...)({', '.join(arrays)})"
    raise TypeError(
        f"{owner}: takes its parameters by name ({', '.join(defaults)}), got {checks.describe(value)} without one{way}"
    )


def _passes(check: Callable[[str, Any], None], name: str, value: Any) -> bool:
    try:
        check(name, value)
    except (TypeError, ValueError):
        return False
    return True


def check_parameters(
    owner: str,
    loss: Any,
    parameters: Mapping[str, Any],
    *,
    reduction: bool,
    beside: Callable[[Any], Any] | None = None,
) -> None:
    """Raise for an unknown keyword, or a value out of its range, before there is a call.

    Parameters
    ----------
    owner : str
        Who wants a loss.
    loss : callable
        A loss or a sum of losses.
    parameters : mapping
        Keywords for it.
    reduction : bool
        Whether `reduction` may be one of them.
    beside : callable, optional
        Of a value, an array such as calls will bring, where that is known: of another framework no parameter may be.
    """
    terms = [term for _, term in terms_of(loss)]
    for term in terms:
        if not isinstance(term, Loss):
            raise _no_loss(owner, term)
    defaults = defaults_of(loss, reduction=reduction)
    for name, value in parameters.items():
        if name not in defaults:
            raise of_one_term(loss, name) or words.unknown_keyword(loss.__name__, name, (), tuple(defaults))
        value = value.item() if isinstance(value, np.generic) else value
        for term in terms:
            _check_value(term, name, value, None if beside is None else beside(value))


def check_complete(owner: str, loss: Any, parameters: Iterable[str]) -> None:
    """Raise for an object without a parameter that has no default: its calls bring none."""
    known = defaults_of(loss, reduction=True)
    for _, term in terms_of(loss):
        for name in term.parameters:
            if name not in term.defaults and name not in parameters:
                own = f"{owner}(..., {name}=...)" if name in known else f"{term.__name__}.partial({name}=...)"
                raise TypeError(f"{owner}: missing {name}, of which {term.__name__} has no default, as in {own}")


def _check_value(loss: Loss[Any], name: str, value: Any, like: Any) -> None:
    if name == "reduction":
        words.check_reduction(loss.__name__, value)
    elif name != "axis":
        check_parameter(loss, name, value, like)
    else:
        axes = value if isinstance(value, (tuple, list)) and REGION in loss.row else (value,)
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in axes):
            raise checks.not_static(loss.__name__, name, value)


def _no_loss(owner: str, value: Any) -> TypeError:
    """The error for what is no loss, with the one that it probably is elsewhere."""
    name = value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)
    ours = {loss.__name__: f"polyloss.{loss.__name__}" for loss in classes().values()}
    hint = str(no_attribute("polyloss", name, ours)).partition("; ")[2]
    if not hint and callable(value):
        hint = "polyloss.elementwise or polyloss.rowwise makes a loss of a function"
    came = f"{owner}: expected a loss or a sum of losses, got {checks.describe(value)}"
    return TypeError(f"{came}; {hint}" if hint else came)


def of_one_term(loss: Any, name: str) -> TypeError | None:
    """The error for a parameter that only some terms of a sum have, if it is one."""
    terms = list(terms_of(loss))
    having_it = [isinstance(term, Loss) and name in defaults_of(term, reduction=True) for _, term in terms]
    if len(terms) == 1 or not any(having_it) or all(having_it):
        return None
    having = " and ".join(term.__name__ for (_, term), has in zip(terms, having_it, strict=True) if has)
    shown = [
        scaled(scale, f"{term.__name__}.partial({name}=...)" if has else term.__name__)
        for (scale, term), has in zip(terms, having_it, strict=True)
    ]
    return TypeError(
        f"{loss.__name__}: {name} belongs to {having} alone: fix it there before the sum is made, as in "
        f"{' + '.join(shown)}"
    )


def check_attribute(owner: Any, name: str, parameters: Iterable[str]) -> None:
    """Raise for an attribute that was meant to be a parameter: nobody would read it. Any other may be set."""
    kind = type(owner).__name__
    if name.startswith("_") or name in vars(owner) or hasattr(type(owner), name):
        return
    if name in OF_A_CALL:
        raise AttributeError(f"{kind}: {name} is no attribute: it belongs to the arrays of a call, and comes with them")
    error = of_one_term(owner.loss, name)
    if error is not None:
        raise AttributeError(str(error))
    meant = [parameter for parameter in parameters if _is_slip(name, parameter)]
    if meant:
        raise AttributeError(f"{kind}: has no parameter {name}; did you mean {meant[0]}?")


def _is_slip(name: str, meant: str) -> bool:
    """Whether letters of a parameter were swapped, or one was left out; one that is wrong tells of a long name alone:
    ``scaler`` and ``axes`` are words."""
    without_one = (meant[:i] + meant[i + 1 :] for i in range(len(meant)))
    return (
        sorted(name) == sorted(meant)
        or (len(meant) > 2 and name in without_one)
        or difflib.SequenceMatcher(None, name, meant).ratio() > 0.93
    )


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
    public = public_names(module) | {classes()[one].__name__: f"{module}.{one}" for one in made}
    return no_attribute(module, name, public, families)
