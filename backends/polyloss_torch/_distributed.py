"""Tensors that are spread over processes: what a loss makes of its own exists in each of them."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from polyloss.core.arguments import EXAMPLES
from polyloss.core.collectives import WholeRowsError, split_kernel
from polyloss.core.kernel import BoundKernel
from polyloss.core.plan import Plan

from ._collectives import Processes
from ._common import is_distributed
from ._private import is_replicating


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

        # The one of torch, when it ends, ends those around it too.
        with nullcontext() if is_replicating() else implicit_replication():
            return function(*arrays)

    return call


@dataclass(frozen=True)
class Split:
    """A pair of rows whose classes are spread over one dimension of a mesh, for what this process has of them."""

    pair: BoundKernel
    arrays: Sequence[torch.Tensor]
    whole: Any
    """The first array as it is spread."""
    dimension: int

    def joined(self, losses: torch.Tensor) -> torch.Tensor:
        """The losses that this process has found of its rows, as those of all rows."""
        from torch.distributed.tensor import DTensor, Replicate

        placements = [
            Replicate() if place == self.dimension else placement
            for place, placement in enumerate(self.whole.placements)
        ]
        shape = self.whole.shape[:-1]
        found: torch.Tensor = DTensor.from_local(
            losses,
            self.whole.device_mesh,
            placements,
            run_check=False,
            shape=shape,
            stride=torch.empty(shape, device="meta").stride(),
        )
        return found


def split_pair(pair: Any, arrays: Sequence[Any]) -> Split | None:
    """A pair of rows for the local part of them, where their classes are spread."""
    from torch.distributed.tensor import Partial, Replicate, Shard

    first, last = arrays[0], arrays[0].ndim - 1
    dimension = spread_over(first, last) if pair.row == 1 and is_distributed(first) else None
    if dimension is None:
        return None

    def local(number: int, array: Any) -> torch.Tensor:
        of_rows = number < pair.inputs
        of_classes = array.ndim > (last if of_rows else 0)
        placements: list[Any] = []
        gradients: list[Any] = []
        for place, given in enumerate(first.placements):
            if place == dimension:
                placements.append(Shard(array.ndim - 1) if of_classes else Replicate())
                gradients.append(placements[-1])
            else:
                placements.append(given if of_rows else Replicate())
                # By what rows share, each process finds what its rows make of it.
                gradients.append(given if of_rows or not isinstance(given, Shard) else Partial())
        found: torch.Tensor = array.redistribute(placements=placements).to_local(grad_placements=gradients)
        return found

    mesh = first.device_mesh
    parts = _parts(first.shape[-1], mesh.size(dimension))
    group = Processes(mesh.get_group(dimension), first.device, parts, mesh.get_coordinate()[dimension])
    kernel = split_kernel(pair.kernel, lambda _: group)
    locals_ = [local(number, _as_distributed(array, mesh)) for number, array in enumerate(arrays)]
    return Split(replace(pair, kernel=kernel), locals_, first, dimension)


def spread_over(array: Any, axis: int) -> int | None:
    """The one dimension of the mesh that an axis is spread over, if every process has some of it."""
    from torch.distributed.tensor import Replicate, Shard

    places = [place for place, given in enumerate(array.placements) if isinstance(given, Shard) and given.dim == axis]
    plain = all(type(given) in (Shard, Replicate) for given in array.placements)
    if len(places) != 1 or not plain:
        return None
    parts = _parts(array.shape[axis], array.device_mesh.size(places[0]))
    return places[0] if len(parts) > 1 and parts[-1] > 0 else None


def _parts(length: int, processes: int) -> tuple[int, ...]:
    """How much of an axis each process has."""
    size = -(-length // processes)
    return tuple(max(0, min(size, length - size * place)) for place in range(processes))


def _as_distributed(array: Any, mesh: Any) -> Any:
    """An array that is the same in every process."""
    from torch.distributed.tensor import DTensor, Replicate

    if is_distributed(array):
        return array
    return DTensor.from_local(array, mesh, [Replicate()] * mesh.ndim, run_check=False)


def run_distributed(plan: Plan, arrays: Sequence[Any]) -> torch.Tensor:
    """The value of `plan`, where some arrays are distributed. The others are taken to be the same in every process.

    Examples may be anywhere, and so may the classes of rows. What else belongs to an example, and what all share, is
    gathered first, as torch's own losses do.
    """
    dimension = _spread_classes(plan, arrays[0])
    if dimension is not None:
        with suppress(WholeRowsError):
            return _run(plan, arrays, dimension)
    return _run(plan, arrays, None)


def _spread_classes(plan: Plan, first: Any) -> int | None:
    """The dimension of the mesh over which the classes of rows may stay spread."""
    loss = plan.loss
    # A kernel of somebody else's may look at a part of a row, and nobody would see it.
    ours = loss.__module__.partition(".")[0] == "polyloss" and loss.rowwise and len(loss.row) == 1
    # The values of entries that ids name are looked at in whole rows.
    if not ours or plan.by_autodiff() or any(domain.of_class for _, domain in plan.inputs()):
        return None
    return spread_over(first, plan.axis[0]) if is_distributed(first) else None


def _run(plan: Plan, arrays: Sequence[Any], dimension: int | None) -> torch.Tensor:
    """The same, where classes stay spread over a dimension of the mesh, or nowhere."""
    from torch.distributed.tensor import Replicate, Shard

    mesh = next(array.device_mesh for array in arrays if is_distributed(array))
    count = len(plan.losses_shape(plan.named(arrays)))

    def spread(name: str, array: Any) -> torch.Tensor:
        array, argument = _as_distributed(array, mesh), plan.loss.arguments[name]
        axes = plan.axes(argument, array, count)

        def placement(place: int, given: Any) -> Any:
            if place == dimension and argument.of_examples:
                others = [axis for axis, (letter, _) in enumerate(axes) if letter != EXAMPLES]
                return Shard(others[0]) if others else Replicate()
            shared = argument.part == "last" or (isinstance(given, Shard) and axes[given.dim][0] != EXAMPLES)
            return Replicate() if isinstance(given, Shard) and shared else given

        placements = [placement(*pair) for pair in enumerate(array.placements)]
        gathered: torch.Tensor = array.redistribute(placements=placements)
        return gathered

    value: torch.Tensor = _replicating(plan)([spread(*pair) for pair in zip(plan.names, arrays, strict=True)])
    return value
