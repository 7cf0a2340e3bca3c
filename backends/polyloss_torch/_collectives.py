"""Groups of processes."""

import math
from collections.abc import Callable
from typing import Any

import torch

from polyloss.core.collectives import Alone, Group

from ._private import all_reduce, is_abstract


class _Sum(torch.autograd.Function):
    """The sum over a group. What becomes of it differs between processes, and the gradients by it are summed."""

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        return all_reduce(array, "sum", group)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _sum(upstream, ctx.group), None


class _ReplicatedSum(_Sum):
    """The sum over a group. What becomes of it is the same in every process, and so is the gradient by it."""

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _replicated(upstream, ctx.group), None


class _Replicated(torch.autograd.Function):
    """The same array; the gradients by it are summed. Megatron calls it `copy_to_tensor_model_parallel_region`."""

    @staticmethod
    def forward(ctx: Any, array: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        return array.view_as(array)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _replicated_sum(upstream, ctx.group), None


_sum: Callable[..., torch.Tensor] = _Sum.apply
_replicated_sum: Callable[..., torch.Tensor] = _ReplicatedSum.apply
_replicated: Callable[..., torch.Tensor] = _Replicated.apply


class Processes(Group):
    """The processes of a group of `torch.distributed`."""

    def __init__(self, group: Any, device: torch.device) -> None:
        self.group, self.device = group, device

    @property
    def size(self) -> int:
        return torch.distributed.get_world_size(self.group)

    def sum(self, array: torch.Tensor) -> torch.Tensor:
        return _sum(array, self.group)

    def replicated_sum(self, array: torch.Tensor) -> torch.Tensor:
        return _replicated_sum(array, self.group)

    def replicated(self, array: torch.Tensor) -> torch.Tensor:
        return _replicated(array, self.group)

    def maximum(self, array: torch.Tensor) -> torch.Tensor:
        return all_reduce(array.detach(), "max", self.group)

    def offset_and_length(self, shape: tuple[Any, ...]) -> tuple[Any, Any]:
        rank = torch.distributed.get_rank(self.group)
        shapes = torch.zeros((self.size, 2), dtype=torch.int64, device=self.device)
        shapes[rank, 0], shapes[rank, 1] = math.prod(shape[:-1]), shape[-1]
        shapes = all_reduce(shapes, "sum", self.group)
        if torch.compiler.is_compiling() or is_abstract(shapes):
            # Nothing can be raised while it is traced.
            return shapes[:rank, 1].sum(), shapes[:, 1].sum()
        rows, lengths = shapes.T.tolist()
        for other, count in enumerate(rows):
            if count != rows[rank]:
                raise ValueError(
                    f"process {rank} has {rows[rank]} rows, and process {other} {count}: each must have a part of "
                    "the same rows"
                )
        return sum(lengths[:rank]), sum(lengths)


def group_of(group: Any, array: torch.Tensor) -> Group:
    """The processes of what a user named."""
    dist: Any = torch.distributed
    if group is None:
        # One process without others need not say so.
        group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
        if group is None:
            return Alone()
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError("group: there are no processes yet; call torch.distributed.init_process_group before")
    if isinstance(group, dist.device_mesh.DeviceMesh):
        if group.ndim != 1:
            names = ", ".join(group.mesh_dim_names or map(str, range(group.ndim)))
            raise ValueError(
                f"group must be one dimension of a mesh, as in mesh['{names.partition(',')[0]}'], got {names}"
            )
        group = group.get_group()
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError("group: this process is no member of it")
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"group must be a ProcessGroup, a DeviceMesh or None, got {group!r}")
    return Alone() if dist.get_world_size(group) == 1 else Processes(group, array.device)


__all__ = ["Processes", "group_of"]
