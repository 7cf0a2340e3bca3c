"""Groups of processes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from polyloss.core.collectives import Alone, Group, layout_of, lengths_of

from ._common import is_distributed
from ._private import all_gather, all_reduce, is_abstract, reduce_scatter


class _Linear(torch.autograd.Function):
    """A function that is linear in its first argument. It has no forward mode: compilers take no function that has."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        array, *ctx.others = inputs
        ctx.rows = len(array) if array.ndim else 1


class _Sum(_Linear):
    """The sum over a group. What becomes of it differs between processes, and the gradients by it are summed."""

    @staticmethod
    def forward(array: torch.Tensor, group: Any) -> torch.Tensor:
        return all_reduce(array, "sum", group)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _sum(upstream, *ctx.others), None


class _ReplicatedSum(_Sum):
    """The sum over a group. What becomes of it is the same in every process, and so is the gradient by it."""

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _replicated(upstream, *ctx.others), None


class _Replicated(_Linear):
    """The same array; the gradients by it are summed. Megatron calls it `copy_to_tensor_model_parallel_region`."""

    @staticmethod
    def forward(array: torch.Tensor, group: Any) -> torch.Tensor:
        return array.view_as(array)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _replicated_sum(upstream, *ctx.others), None


class _Gather(_Linear):
    """The parts of all processes, of these lengths, one behind the other."""

    @staticmethod
    def forward(array: torch.Tensor, lengths: Sequence[int], group: Any) -> torch.Tensor:
        size = max(lengths)
        found = all_gather(_filled(array, size), group)
        if min(lengths) == size:
            return found
        return torch.cat([found[place * size : place * size + length] for place, length in enumerate(lengths)])

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _reduce_scatter(upstream, *ctx.others), None, None


class _ReduceScatter(_Linear):
    """This process's part, of which these are the lengths, of the sum over a group."""

    @staticmethod
    def forward(array: torch.Tensor, lengths: Sequence[int], group: Any) -> torch.Tensor:
        size = max(lengths)
        if min(lengths) < size:
            array = torch.cat([_filled(part, size) for part in torch.split(array, list(lengths))])
        return reduce_scatter(array, group)[: lengths[torch.distributed.get_rank(group)]]

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        return _gather(upstream, *ctx.others), None, None


class _Shift(_Linear):
    """The array of the process that is so many places before this one, and that has so many rows."""

    @staticmethod
    def forward(array: torch.Tensor, rows: int, places: int, group: Any) -> torch.Tensor:
        return _exchanged(array, rows, places, group)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        _, places, group = ctx.others
        return _shift(upstream, ctx.rows, -places, group), None, None, None


def _filled(array: torch.Tensor, size: int) -> torch.Tensor:
    """`array`, with zeros behind its rows."""
    missing = size - len(array)
    return torch.cat([array, array.new_zeros((missing, *array.shape[1:]))]) if missing else array


def _exchanged(array: torch.Tensor, rows: int, places: int, group: Any) -> torch.Tensor:
    """Send `array` so many places on, while another one with so many rows comes from as far."""
    dist: Any = torch.distributed
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    found = array.new_empty((rows, *array.shape[1:])[: array.ndim])
    ways = ((dist.isend, array.contiguous(), rank + places), (dist.irecv, found, rank - places))
    # What is empty need not travel.
    both = [dist.P2POp(way, one, group=group, group_peer=peer % size) for way, one, peer in ways if one.numel()]
    for request in dist.batch_isend_irecv(both) if both else ():
        request.wait()
    return found


_sum: Callable[..., torch.Tensor] = _Sum.apply
_gather: Callable[..., torch.Tensor] = _Gather.apply
_reduce_scatter: Callable[..., torch.Tensor] = _ReduceScatter.apply
_shift: Callable[..., torch.Tensor] = _Shift.apply
_replicated_sum: Callable[..., torch.Tensor] = _ReplicatedSum.apply
_replicated: Callable[..., torch.Tensor] = _Replicated.apply


_NUMBERS = 32
"""So many a process says of its call before anything else."""
_DTYPES = {
    dtype: -place
    for place, dtype in enumerate((torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64), 1)
}
"""As which number a dtype travels."""


class Processes(Group):
    """The processes of a group of `torch.distributed`.

    `parts` is how long the part of each one is, where that is known; `rank` is the place of this one.
    """

    def __init__(
        self, group: Any, device: torch.device, parts: tuple[int, ...] | None = None, rank: int | None = None
    ) -> None:
        self.group, self.device, self.parts = group, device, parts
        self.rank: int = torch.distributed.get_rank(group) if rank is None else rank

    @property
    def size(self) -> int:
        return torch.distributed.get_world_size(self.group)

    def common_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return dtype if self.device.type == "mps" else torch.float64

    def sum(self, array: torch.Tensor) -> torch.Tensor:
        return _sum(array, self.group)

    def replicated_sum(self, array: torch.Tensor) -> torch.Tensor:
        return _replicated_sum(array, self.group)

    def replicated(self, array: torch.Tensor) -> torch.Tensor:
        return _replicated(array, self.group)

    def maximum(self, array: torch.Tensor) -> torch.Tensor:
        return all_reduce(array.detach(), "max", self.group)

    def offset_and_length(self, part: int) -> tuple[Any, Any]:
        if self.parts is None:
            told = self._told(part)[:, 0]
            return told[: self.rank].sum(), told.sum()
        return sum(self.parts[: self.rank]), sum(self.parts)

    def longest(self, part: int) -> int | None:
        return None if self.parts is None else max(self.parts)

    def agreed(self, part: int, alike: Mapping[str, Any]) -> "Processes":
        if self.parts is not None or _is_traced():
            # Nothing can be raised while it is traced.
            return self
        mine = [1, part, *(v if isinstance(v, int) else _DTYPES.get(v, 0) for v in alike.values())]
        told = self._told(*mine).tolist()
        for other, theirs in enumerate(told):
            if theirs[0] == 0:
                raise ValueError(f"process {self.rank} has parts of rows, and the call of process {other} is an error")
            for what, here, there in zip(alike, mine[2:], theirs[2:], strict=False):
                if here != there:
                    raise self._differ(what, here, other, there)
        return Processes(self.group, self.device, tuple(part for _, part, *_ in told), self.rank)

    def withdraw(self) -> None:
        if self.parts is None and not _is_traced():
            self._told(0)

    def _told(self, *numbers: int) -> torch.Tensor:
        """What each process tells of itself."""
        told = torch.zeros((self.size, _NUMBERS), dtype=torch.int64, device=self.device)
        for place, number in enumerate(numbers):
            told[self.rank, place] = number
        return all_reduce(told, "sum", self.group)

    def _differ(self, what: str, here: int, other: int, there: int) -> ValueError:
        names = {number: str(dtype) for dtype, number in _DTYPES.items()}
        mine, theirs = (what.format(names.get(number, number)) for number in (here, there))
        return ValueError(
            f"process {self.rank} has {mine}, and process {other} has {theirs}: each must have a part of the same rows"
        )

    def lengths(self, arrays: Mapping[str, torch.Tensor | None]) -> Mapping[str, Any]:
        layout = torch.tensor(layout_of(arrays), device=self.device)
        return lengths_of("process", arrays, all_gather(layout[None], self.group).tolist())

    def start(self, lengths: Any) -> Any:
        return sum(lengths[: self.rank])

    def gather(self, array: torch.Tensor, lengths: Any) -> torch.Tensor:
        return _gather(array, lengths, self.group)

    def reduce_scatter(self, array: torch.Tensor, lengths: Any) -> torch.Tensor:
        return _reduce_scatter(array, lengths, self.group)

    def shift(self, block: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        mine = torch.tensor(max(len(array) for array in block.values() if array.ndim), device=self.device)
        rows = int(_exchanged(mine, 1, 1, self.group))
        return {name: _shift(array, rows, 1, self.group) for name, array in block.items()}


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or is_abstract(torch.empty(0))


def group_of(group: Any, array: torch.Tensor) -> Group:
    """The processes of what a user named."""
    dist: Any = torch.distributed
    started = dist.is_available() and dist.is_initialized()
    if group is None:
        # One process without others need not say so.
        if not started:
            return Alone()
        group = dist.group.WORLD
    if not started:
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
    if group.size() == 1:
        return Alone()
    if is_distributed(array):
        raise TypeError("a DTensor knows itself where its parts are: call the loss as always, or give .to_local()")
    return Processes(group, array.device)


__all__ = ["Processes", "group_of"]
