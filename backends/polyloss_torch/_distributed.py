"""Tensors that are spread over processes: what a loss makes of its own exists in each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polyloss.core.arguments import EXAMPLES
from polyloss.core.kernel import BoundKernel
from polyloss.core.plan import Plan

from ._common import is_distributed


@dataclass(frozen=True)
class Replicating:
    """A pair that may make plain tensors beside distributed ones, in the backward pass too."""

    pair: BoundKernel

    @property
    def inputs(self) -> int:
        """So many of the arrays are no parameters."""
        return self.pair.inputs

    def __call__(self, *arrays: torch.Tensor) -> tuple[Any, ...]:
        """The value and the gradients."""
        value, *gradients = _replicating(self.pair)(*arrays)
        return value, *(None if gradient is None else _replicating(gradient) for gradient in gradients)


def _replicating(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arrays: Any) -> Any:
        from torch.distributed.tensor.experimental import implicit_replication

        with implicit_replication():
            return function(*arrays)

    return call


def run_distributed(plan: Plan, arrays: Sequence[Any]) -> torch.Tensor:
    """The value of `plan`, where some arrays are distributed. The others are taken to be the same in every process.

    Examples may be anywhere. What belongs to one, and what all share, is gathered first, as torch's own losses do.
    """
    from torch.distributed.tensor import DTensor, Replicate, Shard

    mesh = next(array.device_mesh for array in arrays if is_distributed(array))
    count = len(plan.losses_shape(plan.named(arrays)))

    def spread(name: str, array: Any) -> torch.Tensor:
        if not is_distributed(array):
            return DTensor.from_local(array, mesh, [Replicate()] * mesh.ndim, run_check=False)
        argument = plan.loss.arguments[name]
        axes = plan.axes(argument, array, count)

        def placement(given: Any) -> Any:
            shared = argument.part == "last" or (isinstance(given, Shard) and axes[given.dim][0] != EXAMPLES)
            return Replicate() if isinstance(given, Shard) and shared else given

        gathered: torch.Tensor = array.redistribute(placements=[placement(given) for given in array.placements])
        return gathered

    value: torch.Tensor = _replicating(plan)([spread(*pair) for pair in zip(plan.names, arrays, strict=True)])
    return value
