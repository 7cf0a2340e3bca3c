"""What the translations share."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec

import numpy as np

import polyloss
from polyloss.core import checks, words
from polyloss.core.arguments import IGNORED
from polyloss.core.backend import backend_of, find_backend, unwrapped
from polyloss.core.domains import REAL, Domain, LogProbabilities
from polyloss.core.loss import Loss
from polyloss.core.typing import Array, Namespace

P = ParamSpec("P")


_OF_ELEMENTS = ("weight", "pos_weight", "where", "linear_bias", "class_weights")
"""Arguments that are arrays where they are given."""

_NO_LOSS = "prediction and target"
"""Stands for the name of the twin in what `as_probabilities` says."""


def of_arrays(
    *, loss: str, ids: str | None = None, numbers: Sequence[str] = ()
) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """A function of plain arrays of one framework: all that has no default is one, or a number, an array full of it.

    A variable is what it holds, and what is no array of numbers is refused by name.

    Parameters
    ----------
    loss : str
        The loss of polyloss that it computes, which is its attribute `__loss__` then.
    ids : str, optional
        The argument that holds class ids: a number there is that of a single row.
    numbers : sequence of str
        Arguments without a default that are numbers all the same.
    """

    def decorate(function: Callable[P, Array]) -> Callable[P, Array]:
        twin = function.__name__
        parameters = inspect.signature(function).parameters
        names = tuple(parameters)
        needed = [
            name for name, p in parameters.items() if p.default is p.empty and name not in (*_OF_ELEMENTS, *numbers)
        ]

        def called(*args: Any, **kwargs: Any) -> Array:
            for name in kwargs:
                if name not in parameters:
                    arrays = [one for one in names if one in needed]
                    raise words.unknown_keyword(twin, name, arrays, [one for one in names if one not in needed])
            values = dict(zip(names, map(unwrapped, args), strict=False))
            values |= {name: unwrapped(value) for name, value in kwargs.items()}
            if not all(isinstance(values.get(name), np.generic) for name in needed):
                # Beside an array, a NumPy scalar is a number like any other.
                values = {
                    name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()
                }
            if all(name in values for name in needed):
                values = _of_one_framework(twin, values, needed, ids)
            rest = args[len(names) :]
            positional = (*(values[name] for name in names[: len(args)]), *rest)
            keywords = {name: values[name] for name in kwargs}
            try:
                return function(*positional, **keywords)
            except (TypeError, ValueError) as error:
                told = _by_its_names(twin, names, str(error))
                if type(error) not in (TypeError, ValueError) or told is None:
                    raise
                raise type(error)(told) from None

        made: Any = functools.wraps(function)(called)
        made.__loss__ = loss
        decorated: Callable[P, Array] = made
        return decorated

    return decorate


def _by_its_names(twin: str, names: Sequence[str], message: str) -> str | None:
    """What a loss says of its arguments, said of those of the twin that called it; None where no loss says it."""
    name, _, text = message.partition(": ")
    loss = vars(polyloss).get(name)
    if not isinstance(loss, Loss) and name != _NO_LOSS:
        return None
    arrays = loss.arrays if isinstance(loss, Loss) else ("prediction", "target")
    theirs = {ours: one for one in names for ours in words.OUR_NAMES.get(one, ()) if ours not in names}
    for of_target in (False, True):
        known = {n: theirs[n] for n in arrays if n in theirs}
        ours, of_twin = (
            [n for n in group if (n in words.TARGETS) is of_target and n not in settled]
            for group, settled in ((arrays, {*known}), (names, {*known.values()}))
        )
        theirs |= dict(zip(ours, of_twin, strict=False))
    called = twin if IGNORED in (*names, *theirs) else f"polyloss.{name}"
    text = re.sub(rf"(?<![\w.]){name}(?!\w)", called, text)
    text = words.without_order(text)
    if "from_logits" in names:
        text = re.sub(r"; \w+ takes logits$", "; from_logits=True takes logits", text)
    # Ways out that this twin does not have.
    if "axis" not in names:
        text = re.sub(r"; for classes along another axis of \w+ say axis=\d+", "", text)
    text = re.sub(r"; (\w+)=True takes [\w -]+$", lambda m: m[0] if theirs.get(m[1], m[1]) in names else "", text)
    # Not the adjective: "must be positive".
    argument = rf"(?<![\w.])(?<!be )(?<!or )({'|'.join(theirs)})(?!\w)"
    return f"{twin}: {re.sub(argument, lambda match: theirs[match[1]], text)}"


def _of_one_framework(loss: str, arguments: dict[str, Any], needed: Sequence[str], ids: str | None) -> dict[str, Any]:
    arrays = {name: value for name, value in arguments.items() if _is_array(name, value, needed)}
    backend = checks.common_backend(loss, arrays)
    converted = {name: backend.asarray(value, None) for name, value in arrays.items() if find_backend(type(value))}
    like = next(iter(converted.values()))
    for name, value in arrays.items():
        if name in converted or name == ids:
            continue
        if ids is not None or name == "where":
            raise TypeError(f"{loss}: {name} must be an array, got {checks.describe(value)}")
        if name in needed:
            converted[name] = backend.namespace(like).full_like(like, value)
    return arguments | converted


def _is_array(name: str, value: Any, needed: Sequence[str]) -> bool:
    """Whether an argument must be an array, or is one."""
    if name in needed or (name in _OF_ELEMENTS and value is not None):
        return True
    return find_backend(type(value)) is not None and hasattr(value, "shape")


def namespace(array: Array) -> Namespace:
    """The Array API namespace of an array."""
    return backend_of(array).namespace(array)


def widened(function: Callable[..., Array], *arrays: Array) -> Array:
    """`function` of arrays in at least float32, its result rounded once to the dtype of the first."""
    xp, dtype = namespace(arrays[0]), backend_of(arrays[0]).result_dtype(arrays[0])
    if not checks.is_half(arrays[0].dtype):
        return function(*arrays)
    wide = [xp.astype(a, xp.float32) if checks.is_half(a.dtype) else a for a in arrays]
    return xp.astype(function(*wide), dtype)


def as_probabilities(target: Array, like: Array) -> Array:
    """A target in the dtype of the prediction: an integer one-hot target is not class ids."""
    backend = checks.common_backend(_NO_LOSS, {"prediction": like, "target": target})
    checks.real_floating(_NO_LOSS, "prediction", backend_of(like).namespace(like), like)
    checks.real(_NO_LOSS, "target", backend_of(target).namespace(target), target)
    return backend.namespace(like).astype(backend.asarray(target, like), like.dtype)


def only(loss: str, name: str, array: Array, domain: Domain) -> Array:
    """`array`, with an error where a value is outside `domain`; NaN there where values cannot be looked at."""
    backend = backend_of(array)
    xp = backend.namespace(array)
    checks.real(loss, name, xp, array)
    if checks.is_kind(xp, array, "integral", "bool"):
        # In its own dtype a bound may wrap, and booleans have none.
        array = xp.astype(array, xp.float32)
    if not backend.readable(array):
        return xp.where(domain.outside(xp, array), xp.full_like(array, float("nan")), array)
    seen = backend.look(array)
    xp = namespace(seen)
    checks.none_outside(loss, name, xp, seen, domain.outside(xp, seen), str(domain))
    return array


def of_any_logarithms(loss: Loss[P]) -> Loss[P]:
    """`loss`, which takes positive log-probabilities too, as built-ins do."""
    domains = {
        name: replace(domain, instead=None)
        for name, domain in loss.domains.items()
        if not isinstance(domain, LogProbabilities)
    }
    return Loss(loss.kernel, signature=loss.signature, autodiff=loss.autodiff, domains=domains)


nll, kl_divergence = of_any_logarithms(polyloss.nll), of_any_logarithms(polyloss.kl_divergence)


def static_number(loss: str, name: str, value: Any, domain: Domain = REAL) -> float:
    """A number that decides what is computed; an array may hold it, if that can be looked at."""
    backend = find_backend(type(value))
    if backend is not None:
        if getattr(value, "shape", None) != () or not backend.readable(value):
            raise checks.not_static(loss, name, value)
        value = float(backend.look(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{loss}: {name} must be a number, got {checks.describe(value)}")
    if not domain.holds(value):
        raise ValueError(f"{loss}: {name} must be {domain}, got {value}")
    return value


def no_eps(loss: str, eps: Any, *, default: float = 1e-6, exact: str = "distances") -> None:
    """Refuse what would change what is exact."""
    if static_number(loss, "eps", eps) not in (0, default):
        raise ValueError(f"{loss}: eps must be 0 or left alone: {exact} are exact; got {eps!r}")


def spread(loss: str, name: str, array: Array | float, like: Array, what: str) -> Array:
    """`array`, repeated along the axes of `like` that it lacks or that have length 1 in it."""
    xp = namespace(like)
    if not hasattr(array, "shape"):
        return xp.full_like(like, array)
    broadcasts(loss, name, array, like, what)
    # Whose lengths may be unknown while tracing.
    return xp.broadcast_arrays(array, like)[0]


def broadcasts(loss: str, name: str, array: Array, like: Array, what: str) -> None:
    """Refuse an array that is no part of `like`, repeated."""
    shape, whole = tuple(array.shape), tuple(like.shape)
    ends = whole[len(whole) - len(shape) :]
    if len(shape) > len(whole) or not all(n == 1 or checks.same_length(n, m) for n, m in zip(shape, ends, strict=True)):
        raise ValueError(f"{loss}: {name} must broadcast to the shape of {what}, {whole}, got shape {shape}")


def needs(loss: str, **arguments: Any) -> None:
    """Refuse None."""
    for name, value in arguments.items():
        if value is None:
            raise TypeError(f"{loss}: missing {name}")


def last(loss: str, array: Array, axis: int | Sequence[int] | None) -> Array:
    """`array` with one axis or several (None: all) as its last one, in the order given."""
    xp = namespace(array)
    axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(checks.axis_of(loss, one, array.ndim) for one in axes)
    if not axes or len(set(axes)) < len(axes):
        raise ValueError(f"{loss}: axis must name one axis or more, each once, got {axis!r}")
    moved = xp.moveaxis(array, axes, tuple(range(-len(axes), 0)))
    return xp.reshape(moved, (*moved.shape[: array.ndim - len(axes)], -1)) if len(axes) > 1 else moved
