"""Tensors that are spread over processes: what a loss makes of its own exists in each of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polyloss.core.backend import Evaluation
from polyloss.core.kernel import BoundKernel
from polyloss.core.plan import OF_A_CALL
from polyloss.losses.linear import LinearPlan

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
    def call(*arrays: torch.Tensor) -> Any:
        from torch.distributed.tensor.experimental import implicit_replication

        with implicit_replication():
            return function(*arrays)

    return call


def run_distributed(plan: Evaluation, arrays: Sequence[Any], options: Mapping[str, Any]) -> torch.Tensor:
    """The value of `plan`, where some arrays are distributed. The others are taken to be the same in every process.

    Rows may be anywhere. What belongs to one row, and what all rows share, is gathered first, as torch's own losses do.
    """
    from torch.distributed.tensor import DTensor, Replicate, Shard

    mesh = next(array.device_mesh for array in (*arrays, *options.values()) if is_distributed(array))
    linear, ndim = isinstance(plan, LinearPlan), arrays[0].ndim
    entries = ndim - 1 if linear else plan.axis

    def spread(name: str, array: Any) -> torch.Tensor:
        if not is_distributed(array):
            return DTensor.from_local(array, mesh, [Replicate()] * mesh.ndim, run_check=False)
        shared = name not in (*plan.loss.arrays, *OF_A_CALL) or (linear and name == "weight")

        def placement(given: Any) -> Any:
            apart = isinstance(given, Shard) and (shared or (array.ndim == ndim and given.dim % ndim == entries))
            return Replicate() if apart else given

        gathered: torch.Tensor = array.redistribute(placements=[placement(given) for given in array.placements])
        return gathered

    inputs = [spread(name, array) for name, array in zip(plan.loss.arrays, arrays, strict=True)]
    value: torch.Tensor = _replicating(plan)(inputs, {name: spread(name, array) for name, array in options.items()})
    return value
