"""What a pair and a fused function have in common on their way into autograd, its transforms and the compiler."""

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

import torch

from ._private import is_any_autocast, is_transformed, is_transforming

bound: list[Callable[[Sequence[float]], Any]] = []
"""What the compiler cannot pass on waits here, each thing once: functions of the numbers among its parameters."""

_places: dict[Any, int] = {}


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _place(
    kind: Callable[..., Any], before: tuple[Any, ...], constants: Any, numeric: tuple[str, ...], behind: tuple[Any, ...]
) -> int:
    place = _places.setdefault((kind, before, constants, numeric, behind), len(bound))
    if place == len(bound):
        bound.append(lambda numbers: kind(*before, (*constants, *zip(numeric, numbers, strict=True)), *behind))
    return place


def place_of(
    kind: Callable[..., Any], before: tuple[Any, ...], parameters: tuple[tuple[str, Any], ...], *behind: Any
) -> tuple[int, tuple[float, ...]]:
    """The place in `bound` of ``kind(*before, parameters, *behind)`` without its numbers, and these."""
    numbers = {k: v for k, v in parameters if isinstance(v, (int, float)) and not isinstance(v, bool)}
    constants = tuple((k, v) for k, v in parameters if k not in numbers)
    return _place(kind, before, constants, tuple(numbers), behind), tuple(numbers.values())


def is_autocast(array: torch.Tensor) -> bool:
    """Whether operations on `array` choose their precision themselves."""
    return is_any_autocast() and not array.is_meta and torch.is_autocast_enabled(array.device.type)


def without_autocast(array: torch.Tensor) -> AbstractContextManager[Any]:
    """Where losses are computed: they choose their own precision, for products too."""
    return torch.autocast(array.device.type, enabled=False) if is_autocast(array) else nullcontext()


def backward_without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass as it is outside of autocast, wherever it is called."""

    @functools.wraps(function)
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        if not is_any_autocast():
            # Most often: there is nothing to leave.
            return function(ctx, upstream)
        with without_autocast(upstream):
            return function(ctx, upstream)

    return backward


def gradients_of(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    upstream: torch.Tensor,
    wanted: Sequence[bool],
) -> list[torch.Tensor | None]:
    """The gradients by the framework itself, of any order, where there is no closed form."""
    places = [place for place, want in enumerate(wanted) if want]

    def of_chosen(*chosen: torch.Tensor) -> torch.Tensor:
        given = list(arrays)
        for place, array in zip(places, chosen, strict=True):
            given[place] = array
        return function(*given)

    chosen = [arrays[place] for place in places]
    gradients: Sequence[torch.Tensor]
    if is_transforming() or (torch.compiler.is_compiling() and not torch.compiler.is_exporting()):
        gradients = torch.func.vjp(of_chosen, *chosen)[1](upstream)
    else:
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            value = of_chosen(*chosen)
        gradients = torch.autograd.grad(value, chosen, upstream, create_graph=again, materialize_grads=True)
    found: list[torch.Tensor | None] = [None] * len(arrays)
    for place, gradient in zip(places, gradients, strict=True):
        found[place] = gradient
    return found


def refuse_transforms(name: str, arrays: Sequence[torch.Tensor]) -> None:
    """Raise where a transform is exported: `torch.export` follows no `torch.autograd.Function` through one."""
    if torch.compiler.is_exporting() and any(map(is_transformed, arrays)):
        raise TypeError(
            f"{name}: torch.export cannot follow a loss through torch.func; for a gradient say "
            "polyloss.value_and_grad(function)(...) or torch.autograd.grad(...)"
        )


def is_distributed(array: torch.Tensor) -> bool:
    """Whether `array` is spread over processes."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(array, module.DTensor)


def with_code_of_its_own(function: Any) -> Callable[..., Any]:
    """A copy of `function` whose code object no other has: the compiler counts by those how often it compiled."""
    code, scope = function.__code__.replace(), function.__globals__
    copy = FunctionType(code, scope, function.__name__, function.__defaults__, function.__closure__)
    return functools.wraps(function)(copy)
