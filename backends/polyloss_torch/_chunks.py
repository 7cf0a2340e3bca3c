"""Functions of many rows, a chunk of them at a time, that find their gradients together with their value."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from polyloss.adapters import Backend, lacks_closed_form
from polyloss.core.backend import at_trace_time
from polyloss.core.dtypes import widened

from ._common import backward_without_autocast, bound, gradients_of, is_distributed, place_of, refuse_transforms
from ._fused import FusedFunction
from ._private import (
    around_forward_mode,
    is_forward_mode,
    is_transformed,
    is_transforming,
    tangent_of,
    with_tangent,
)


class _TransformedFunction(torch.autograd.Function):
    """The value, for `torch.func` and forward mode. The backward pass computes once more."""

    generate_vmap_rule = True

    @staticmethod
    def forward(fused: Any, *arrays: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = fused.forward(arrays, (False,) * len(arrays))[0]
        return value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.fused, *arrays = inputs
        ctx.save_for_backward(*arrays)
        ctx.save_for_forward(*arrays)

    @staticmethod
    @backward_without_autocast
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        arrays, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if lacks_closed_form(ctx.fused.closed, wanted):
            return (None, *gradients_of(ctx.fused.plain, arrays, upstream, wanted))
        kept = ctx.fused.forward(arrays, wanted)[1] if ctx.fused.scalar else None
        return (None, *ctx.fused.backward(arrays, kept, upstream, wanted))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor | None) -> torch.Tensor:
        with around_forward_mode(ctx.saved_tensors) as arrays:
            found: torch.Tensor | None = None
            if not lacks_closed_form(ctx.fused.closed, [change is not None for change in tangents]):
                found = ctx.fused.tangent(arrays, tangents)
            if found is not None:
                return found
            pairs = zip(arrays, tangents, strict=True)
            return tangent_of(ctx.fused.plain(*(a if t is None else with_tangent(a, t) for a, t in pairs)))


@at_trace_time
def _has_products_of_halves(kind: str, index: int | None) -> bool:
    """Whether a device multiplies matrices of bfloat16 into one of float32."""
    return kind == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(index) >= (8, 0)


def _transformed(fused: Any, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    """The value. Products of halves have no rules for transforms."""
    value: torch.Tensor = _TransformedFunction.apply(fused, *map(widened, arrays))  # type: ignore[no-untyped-call]
    return value


_eager: Callable[..., torch.Tensor] = FusedFunction.apply


@torch.library.custom_op("polyloss::by_chunks", mutates_args=())
def _by_chunks(
    place: int, numbers: Sequence[float], arrays: Sequence[torch.Tensor], wanted: Sequence[bool]
) -> list[torch.Tensor]:
    """The value and the gradients that are wanted, as a call that the compiler does not look into.

    It would unroll the chunks, and let their logits live longer than one.
    """
    fused = bound[place](numbers)
    if not fused.scalar:
        return [fused.forward(arrays, wanted)[0]]
    value, kept = fused.forward(arrays, wanted)
    gradients = fused.backward(arrays, kept, torch.ones((), dtype=value.dtype, device=value.device), wanted)
    return [value, *(gradient.contiguous() for gradient in gradients if gradient is not None)]


def _gradients_like(arrays: Sequence[torch.Tensor], wanted: Sequence[bool]) -> list[torch.Tensor]:
    """What gradients look like: one behind the other in memory, whatever the arrays are, and no halves."""
    learned = [array for array, want in zip(arrays, wanted, strict=True) if want]
    return [array.new_empty(array.shape, dtype=_computed_in(array)) for array in learned]


def _computed_in(array: torch.Tensor) -> torch.dtype:
    return torch.float32 if array.dtype is torch.bfloat16 else array.dtype


@_by_chunks.register_fake
def _(place: int, numbers: Any, arrays: Sequence[torch.Tensor], wanted: Sequence[bool]) -> list[torch.Tensor]:
    first = arrays[0]
    if not bound[place](numbers).scalar:
        return [first.new_empty(first.shape[:1], dtype=_computed_in(first))]
    return [first.new_empty((), dtype=_computed_in(first)), *_gradients_like(arrays, wanted)]


@torch.library.custom_op("polyloss::by_chunks_backward", mutates_args=())
def _by_chunks_backward(
    place: int,
    numbers: Sequence[float],
    arrays: Sequence[torch.Tensor],
    upstream: torch.Tensor,
    wanted: Sequence[bool],
) -> list[torch.Tensor]:
    """The gradients that are wanted."""
    gradients = bound[place](numbers).backward(arrays, (), upstream, wanted)
    return [gradient.contiguous() for gradient in gradients if gradient is not None]


@_by_chunks_backward.register_fake
def _(place: int, numbers: Any, arrays: Any, upstream: Any, wanted: Sequence[bool]) -> list[torch.Tensor]:
    return _gradients_like(arrays, wanted)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    ctx.place, ctx.numbers, arrays, ctx.wanted = inputs
    ctx.scalar = output[0].ndim == 0
    ctx.dtypes = [array.dtype for array in arrays]
    ctx.save_for_backward(*(output[1:] if ctx.scalar else arrays))


def _pull(ctx: Any, upstream: list[torch.Tensor]) -> tuple[Any, ...]:
    saved = ctx.saved_tensors
    if ctx.scalar:
        gradients = iter([upstream[0] * gradient for gradient in saved])
    else:
        gradients = iter(_by_chunks_backward(ctx.place, ctx.numbers, saved, upstream[0], ctx.wanted))
    found = [next(gradients).to(dtype) if want else None for want, dtype in zip(ctx.wanted, ctx.dtypes, strict=True)]
    # The compiler compares what is returned with what came: no numbers are an empty list.
    return None, None if ctx.numbers else [], found, None


_by_chunks.register_autograd(_pull, setup_context=_setup_context)


@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]
def _in_graph(place: int, numbers: Sequence[float], wanted: Sequence[bool], *arrays: torch.Tensor) -> torch.Tensor:
    """The value. Operators of one's own have no rules for `torch.func`, and no program that is exported can be loaded
    where they are not known: there, the compiler sees the chunks."""
    if torch.compiler.is_exporting() or any(map(is_transformed, arrays)):
        fused = bound[place](numbers)
        refuse_transforms(fused.name, arrays)
        return _transformed(fused, arrays)
    value: torch.Tensor = _by_chunks(place, [float(number) for number in numbers], list(arrays), wanted)[0]
    return value


def _compiled(fused: Any, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    place, numbers = place_of(type(fused), fused.fixed, fused.parameters, fused.names)
    wanted = tuple(torch.is_grad_enabled() and array.requires_grad for array in arrays)
    value: torch.Tensor = _in_graph(place, numbers, wanted, *arrays)
    return value


class ByChunks(Backend):
    """What `TorchBackend` knows of them."""

    def attach_fused(self, fused: Any, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        if lacks_closed_form(fused.closed, [torch.is_grad_enabled() and array.requires_grad for array in arrays]):
            plain: torch.Tensor = fused.plain(*arrays)
            return plain
        if torch.compiler.is_compiling():
            return _compiled(fused, arrays)
        if is_forward_mode() or any(map(is_transformed, arrays)):
            return _transformed(fused, arrays)
        if torch.is_grad_enabled() and any(a.requires_grad for a in arrays):
            return _eager(fused, *arrays)
        value: torch.Tensor = fused.forward(arrays, (False,) * len(arrays))[0]
        return value

    def chunk(self, count: Any, size: int) -> Any:
        # A compiler is called anew for other numbers; what is exported is not.
        return super().chunk(count, size) if torch.compiler.is_exporting() else size

    def multiplies_halves(self, array: torch.Tensor) -> bool:
        # Slopes are too small for float16.
        if array.dtype is not torch.bfloat16 or (not torch.compiler.is_compiling() and is_distributed(array)):
            return False
        return _has_products_of_halves(array.device.type, array.device.index)

    def product(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.dtype is not torch.bfloat16:
            return left @ right
        multiply = torch.mm if left.ndim == 2 else torch.bmm
        return multiply(left, right, out_dtype=torch.float32)

    def accelerated(self, array: torch.Tensor) -> bool:
        return not array.is_cpu

    def add_product(self, total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.dtype is torch.bfloat16:
            return torch.addmm(total, left.mT, right, out_dtype=torch.float32, out=total)
        if not self.writable(total, left, right):
            return torch.addmm(total, left.mT, right)
        return total.addmm_(left.mT, right)

    def writable(self, *arrays: torch.Tensor) -> bool:
        if torch.compiler.is_compiling() or any(map(is_transformed, arrays)):
            return False
        return not torch.is_grad_enabled() or not any(array.requires_grad for array in arrays)

    def checkpoint(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def call(*arguments: Any) -> torch.Tensor:
            if is_transforming():
                # Under torch.func, autograd has no hooks.
                return function(*arguments)
            found: torch.Tensor = checkpoint(function, *arguments, use_reentrant=False)
            return found

        return call
