"""The Array API for tensors, as array-api-compat has it, except where `torch.compile` cannot follow that."""

from typing import Any

import array_api_compat.torch as compat
import torch
from array_api_compat.torch import *  # noqa: F403
from array_api_compat.torch import astype as astype
from array_api_compat.torch import isdtype as isdtype


def clip(x: torch.Tensor, /, min: Any = None, max: Any = None) -> torch.Tensor:
    """`x` within bounds. The bounds may be symbolic while compiling, where a question like isnan has no answer."""
    return torch.clamp(x, min, max)


def _filled(value: Any, like: Any) -> Any:
    """A number as a tensor that is made on the device of another one: to copy it there would wait for the device."""
    if isinstance(value, torch.Tensor):
        return value
    return torch.full((), value, dtype=compat.result_type(value, like), device=like.device)


def maximum(x1: Any, x2: Any, /) -> torch.Tensor:
    """The larger one of two tensors, or of a tensor and a number."""
    found: torch.Tensor = compat.maximum(_filled(x1, x2), _filled(x2, x1))
    return found


def minimum(x1: Any, x2: Any, /) -> torch.Tensor:
    """The smaller one."""
    found: torch.Tensor = compat.minimum(_filled(x1, x2), _filled(x2, x1))
    return found


def moveaxis(x: torch.Tensor, source: Any, destination: Any, /) -> torch.Tensor:
    """The array with axes in other places. `torch.moveaxis` itself has no rule for `torch.vmap`."""
    return torch.movedim(x, source, destination)


def take_along_axis(x: torch.Tensor, indices: torch.Tensor, /, *, axis: int = -1) -> torch.Tensor:
    """The entries that indices of any integer dtype name along one axis, where all other axes are of the same lengths.

    `torch.take_along_dim` takes int64 alone, and fixes the lengths while compiling.
    """
    return torch.gather(x, axis, indices.to(torch.int64))


def cumulative_sum(
    x: torch.Tensor, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False
) -> torch.Tensor:
    """The sums of the entries up to each one."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("a tensor that is not one-dimensional needs an axis")
        axis = 0
    total = torch.cumsum(x, axis, dtype=dtype)
    if not include_initial:
        return total
    shape = list(x.shape)
    shape[axis] = 1
    return torch.cat([total.new_zeros(shape), total], axis)


_BLOCK = 512


def sum(x: torch.Tensor, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> torch.Tensor:
    """The sum along one axis, several or all. Compiled code for the CPU adds one by one: long sums would drift."""
    if torch.compiler.is_compiling() and x.is_cpu and x.dtype.is_floating_point and dtype is None:
        if x.dtype == torch.float32:
            return compat.sum(x, axis=axis, dtype=torch.float64, keepdims=keepdims).to(x.dtype)
        if not keepdims:
            # Nothing wider, or slow: sums of sums. But the compiler does not see through the views.
            if axis is None:
                x, axis = x.reshape(-1), -1
            if axis in (-1, x.ndim - 1):
                while x.shape[-1] > _BLOCK:
                    x = torch.nn.functional.pad(x, (0, -x.shape[-1] % _BLOCK))
                    x = x.reshape(*x.shape[:-1], -1, _BLOCK).sum(-1)
    return compat.sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


def mean(x: torch.Tensor, /, *, axis: Any = None, keepdims: bool = False) -> torch.Tensor:
    """The mean along one axis, several or all."""
    if torch.compiler.is_compiling() and axis is None and not keepdims:
        return sum(x) / x.numel()
    return compat.mean(x, axis=axis, keepdims=keepdims)


def expm1(x: torch.Tensor, /) -> torch.Tensor:
    """exp(x) - 1. Compiled code for the CPU would subtract, which is 0 for a small `x`."""
    if not (torch.compiler.is_compiling() and x.is_cpu):
        return torch.expm1(x)
    near = x > -1.0
    half = 0.5 * torch.where(near, x, 0.0)
    return torch.where(near, 2.0 * torch.exp(half) * torch.sinh(half), torch.exp(x) - 1.0)


def sort(x: torch.Tensor, /, *, axis: int = -1) -> torch.Tensor:
    """`x` in ascending order. Values alone need no sort that is stable, for which ONNX has no operator."""
    return torch.sort(x, dim=axis).values


def sign(x: torch.Tensor, /) -> torch.Tensor:
    """The sign, NaN of NaN: without the boolean indexing that vmap cannot follow."""
    return torch.where(x == x, torch.sign(x), x)
