"""Functions that find their gradients together with their value."""

from collections.abc import Sequence
from typing import Any

import torch

from polyloss.adapters import Fused

from ._common import backward_without_autocast, gradients_of
from ._private import is_batched_gradient


class FusedFunction(torch.autograd.Function):
    """The forward pass finds the gradients; the backward pass hands them out."""

    @staticmethod
    def forward(ctx: Any, fused: Fused, *arrays: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor
        value, ctx.kept = fused.forward(arrays, ctx.needs_input_grad[1:])
        ctx.fused = fused
        # What is modified in place until the backward pass then raises, as in any other function.
        ctx.save_for_backward(*arrays)
        return value

    @staticmethod
    @backward_without_autocast
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        arrays: Sequence[torch.Tensor] = ctx.saved_tensors
        kept, wanted = ctx.kept, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or (upstream.ndim and is_batched_gradient(upstream)):
            return (None, *gradients_of(ctx.fused.plain, arrays, upstream, wanted))
        ctx.kept = None
        if kept is None:
            _, kept = ctx.fused.forward(arrays, wanted)
        return (None, *ctx.fused.backward(arrays, kept, upstream, wanted))
