"""Tensors that are spread over processes: what a loss makes of its own exists in each of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polyloss._plan import BoundKernel, Plan

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


def run_distributed(plan: Plan, arrays: Sequence[Any], options: Mapping[str, Any]) -> torch.Tensor:
    """The value of `plan`, where some arrays are distributed. The others are taken to be the same in every process."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = next(array.device_mesh for array in (*arrays, *options.values()) if is_distributed(array))

    def spread(array: torch.Tensor) -> torch.Tensor:
        if is_distributed(array):
            return array
        return DTensor.from_local(array, mesh, [Replicate()] * mesh.ndim, run_check=False)

    spread_options = {name: spread(array) for name, array in options.items()}
    value: torch.Tensor = _replicating(plan)([spread(array) for array in arrays], spread_options)
    return value
