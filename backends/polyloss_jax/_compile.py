"""`polyloss.compile` for JAX: what of a call is constant, and what `jax.jit` gets as an argument."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from polyloss import Loss
from polyloss.core.bind import becomes_array, check_constant
from polyloss.core.compose import Combinable
from polyloss.core.transforms import of_arrays


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` behind `jax.jit`. A number that nothing branches on is no constant: each would compile anew."""
    terms = [term for _, term in function._terms()] if isinstance(function, Combinable) else []
    losses = [term for term in terms if isinstance(term, Loss)]
    branches = False

    def run(*arguments: Any, **keywords: Any) -> Any:
        nonlocal branches
        named: dict[Any, Any] = dict(enumerate(arguments)) | keywords
        constants = {key for key, value in named.items() if _is_constant(value)}
        if losses and len(losses) == len(terms):
            return call(named, {key for key in constants if not _travels(losses, key, named[key])})
        floats = {key for key in constants if isinstance(named[key], float)}
        if floats and not branches:
            try:
                return call(named, constants - floats)
            except (TypeError, ValueError):
                # The function may branch on one of them. If not, the error comes again.
                pass
        found = call(named, constants)
        branches = branches or bool(floats)
        return found

    def call(named: dict[Any, Any], constants: set[Any]) -> Any:
        fixed = tuple((key, type(named[key]), named[key]) for key in named if key in constants)
        return jitted(tuple(named), fixed)([value for key, value in named.items() if key not in constants])

    @functools.lru_cache
    def jitted(names: tuple[Any, ...], constants: tuple[tuple[Any, type, Any], ...]) -> Callable[..., Any]:
        return jax.jit(of_arrays(function, names, {key: value for key, _, value in constants}))

    return run


def _travels(losses: Sequence[Loss[Any]], key: Any, value: Any) -> bool:
    """Whether an argument of losses is a parameter that nothing branches on."""
    if not all(isinstance(key, str) and key not in loss.arrays and becomes_array(loss, key, value) for loss in losses):
        return False
    for loss in losses:
        check_constant(loss, key, value)
    return True


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str)) or callable(value)


__all__ = ["compiled"]
