"""What a pair and a fused function have in common on their way into autograd, its transforms and the compiler."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

bound: list[Callable[[Sequence[float]], Any]] = []
"""Functions of the numbers among their parameters: what the compiler cannot pass on waits here."""


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _entry(
    kind: Callable[..., Any],
    before: tuple[Any, ...],
    constants: tuple[Any, ...],
    numeric: tuple[str, ...],
    names: tuple[str, ...],
    behind: tuple[Any, ...],
) -> int:
    bound.append(lambda numbers: kind(*before, (*constants, *zip(numeric, numbers, strict=True)), names, *behind))
    return len(bound) - 1


def entry(
    kind: Callable[..., Any],
    before: tuple[Any, ...],
    parameters: tuple[tuple[str, Any], ...],
    names: tuple[str, ...],
    behind: tuple[Any, ...] = (),
) -> tuple[int, tuple[float, ...]]:
    """The place in `bound` of ``kind(*before, parameters, names, *behind)`` without its numbers, and these."""
    numbers = {k: v for k, v in parameters if isinstance(v, (int, float)) and not isinstance(v, bool)}
    constants = tuple((k, v) for k, v in parameters if k not in numbers)
    return _entry(kind, before, constants, tuple(numbers), names, behind), tuple(numbers.values())


def is_transformed(array: Any) -> bool:
    """Whether an array belongs to a transform, such as `torch.vmap`."""
    known = torch._C._functorch
    return isinstance(array, torch.Tensor) and (
        known.is_functorch_wrapped_tensor(array) or known.is_legacy_batchedtensor(array)
    )
