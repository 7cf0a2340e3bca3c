"""What the modules share: arrays that broadcast in kernels, and plans that are the same."""

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import jax

from polyloss.core.backend import Evaluation

P = ParamSpec("P")
T = TypeVar("T")


def broadcasting(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, in which arrays broadcast, also where the caller's own arrays must not.

    And in which products of float32 are such: on accelerators JAX would round their factors to 10 bits or to 7, if the
    caller says nothing of it.
    """

    @functools.wraps(function, updated=())
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        precision = getattr(jax.config, "jax_default_matmul_precision") or "highest"  # noqa: B009
        with jax.numpy_rank_promotion("allow"), jax.default_matmul_precision(precision):
            return function(*args, **kwargs)

    return run


class Same:
    """A plan by what it computes: a function among its parameters may have been made anew."""

    def __init__(self, plan: Evaluation) -> None:
        self.plan = plan
        self._content: Evaluation = plan
        if any(callable(value) for _, value in plan.parameters):
            self._content = plan.with_parameters(tuple((key, _content(value)) for key, value in plan.parameters))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)


def _content(value: Any, within: tuple[Any, ...] = ()) -> Any:
    """What a function is made of: its code, and what it holds. Anything but numbers and text is itself alone."""
    if isinstance(value, (bool, int, float, complex, str, type(None))):
        return type(value), repr(value)
    if isinstance(value, types.FunctionType) and not any(value is outer for outer in within):
        try:
            held = tuple(cell.cell_contents for cell in value.__closure__ or ())
        except ValueError:
            return _Itself(value)
        content = (*held, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).items())
        parts = tuple(_content(part, (*within, value)) for part in content)
        return value.__code__, _Itself(value.__globals__), len(held), parts
    if type(value) is tuple:
        return tuple(_content(part, within) for part in value)
    return _Itself(value)


@dataclass(frozen=True, eq=False)
class _Itself:
    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


__all__ = ["Same", "broadcasting"]
