"""PyTorch: a pair becomes a `torch.autograd.Function`, and a loss becomes an `nn.Module` where one is wanted.

Every loss has a module class under its name in capitals: ``polyloss_torch.Huber``, ``polyloss_torch.CrossEntropy``.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch

from polyloss.adapters import Pair, lacks_closed_form, pull, push, scalar, sum_to
from polyloss.classes import classes
from polyloss.core.backend import Bound
from polyloss.core.collectives import Group, split_over
from polyloss.core.kernel import BoundKernel
from polyloss.engine import dialect as _dialect
from polyloss.engine.blocks import Blocks, InMemory, Memory

from . import _namespace
from ._chunks import ByChunks
from ._collectives import group_of
from ._common import (
    backward_without_autocast,
    bound,
    gradients_of,
    is_autocast,
    is_distributed,
    place_of,
    refuse_transforms,
    with_code_of_its_own,
    without_autocast,
)
from ._distributed import Replicating, run_distributed, split_pair
from ._fused import FusedFunction
from ._memory import HALVES, KNOWN, AsArrays, AsTensors
from ._module import LossModule, module, module_class
from ._private import (
    apply_of,
    around_forward_mode,
    concrete,
    is_abstract,
    is_as_made,
    is_forward_mode,
    is_transformed,
    is_watched,
    is_zero,
    tangent_of,
    with_tangent,
)

xp: Any = _namespace
"""Of array-api-compat, type checkers know nothing."""


def _backward(
    ctx: Any,
    arrays: Sequence[torch.Tensor],
    upstream: torch.Tensor,
    gradients: Sequence[Callable[[], torch.Tensor] | None],
) -> tuple[Any, ...]:
    wanted = ctx.needs_input_grad[1:]
    group = split_over(ctx.pair, upstream)
    if group is not None:
        if lacks_closed_form([gradient is not None for gradient in gradients], wanted):
            raise TypeError(
                f"{ctx.pair.name}: by an argument without a closed form, its rows must be whole: gather them"
            )
        upstream = group.replicated(upstream)
    found: list[Any] = [None] * len(arrays)
    for place, (gradient, want) in enumerate(zip(gradients, wanted, strict=True)):
        if want and gradient is not None:
            found[place] = pull(upstream, gradient())
            if place >= ctx.pair.inputs:
                found[place] = sum_to(xp, found[place], arrays[place].shape)
    rest = [want and gradient is None for gradient, want in zip(gradients, wanted, strict=True)]
    if any(rest):
        by_framework = gradients_of(lambda *given: ctx.pair(*given)[0], arrays, upstream, rest)
        found = [one if other is None else other for one, other in zip(found, by_framework, strict=True)]
    return None, *found


def _apply(function: Any, pair: Pair, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    value: torch.Tensor = function.apply(pair, *arrays)
    return value


class _Eager(torch.autograd.Function):
    """The value of a pair. The backward pass asks the forward pass's own gradients, which share its results."""

    @staticmethod
    def forward(ctx: Any, pair: Pair, *arrays: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor
        value, *ctx.gradients = pair(*arrays)
        ctx.pair = pair
        ctx.save_for_backward(*arrays)
        return value

    @staticmethod
    @backward_without_autocast
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        arrays = ctx.saved_tensors
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None or torch.is_grad_enabled():
            # Once more, or to be differentiated again: only the inputs were kept for that.
            gradients = ctx.pair(*arrays)[1:]
        return _backward(ctx, arrays, upstream, gradients)


class _Transformed(torch.autograd.Function):
    """The value of a pair, for `torch.func`, forward mode and the compiler."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pair: Pair, *arrays: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = pair(*arrays)[0]
        return value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.pair, *arrays = inputs
        ctx.save_for_backward(*arrays)
        ctx.save_for_forward(*arrays)

    @staticmethod
    @backward_without_autocast
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        arrays = ctx.saved_tensors
        return _backward(ctx, arrays, upstream, ctx.pair(*arrays)[1:])

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor | None) -> torch.Tensor:
        with around_forward_mode(ctx.saved_tensors) as arrays:
            value, *gradients = ctx.pair(*arrays)
            group = split_over(ctx.pair, value)
            parts: list[torch.Tensor] = []
            duals = list(arrays)
            for place, (gradient, change) in enumerate(zip(gradients, tangents, strict=True)):
                if change is None:
                    continue
                if gradient is None:
                    duals[place] = with_tangent(arrays[place], change)
                else:
                    local = gradient()
                    part = push(xp, local, change, value.ndim)
                    if group is not None and local.ndim > value.ndim:
                        # Each process has a part of the sum along a row.
                        part = group.replicated_sum(part)
                    parts.append(part)
            if any(dual is not array for dual, array in zip(duals, arrays, strict=True)):
                # No closed form: the value is differentiated.
                parts.append(tangent_of(ctx.pair(*duals)[0]))
            tangent: torch.Tensor = sum(parts[1:], start=parts[0])
            return tangent


@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]
def _in_graph(place: int, numbers: Sequence[float], *arrays: torch.Tensor) -> torch.Tensor:
    """The value of a pair, as a call that the compiler does not look into.

    It would lose the gradients: under `torch.func` it would differentiate the value. What such a call takes besides
    tensors must be numbers, symbolic ones among them; the rest waits in a list.
    """
    pair = bound[place](numbers)
    refuse_transforms(pair.name, arrays)
    return _apply(_Transformed, pair, arrays)


def _compiled(pair: BoundKernel, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    place, numbers = place_of(BoundKernel, (pair.kernel, pair.inputs), pair.parameters, pair.names, pair.row)
    value: torch.Tensor = _in_graph(place, numbers, *arrays)
    return value


_apply_now = apply_of(FusedFunction)
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_IN_NUMPY, _IN_TORCH = AsArrays(), AsTensors()
_MANY = 16
"""More blocks than these are computed in threads of their own."""


class TorchBackend(ByChunks, InMemory):
    """The adapter of `torch.Tensor`."""

    name = "torch"
    constructor = "torch.tensor"
    static_hint = "; torch.compile takes a scalar of NumPy for an array: make it a number of Python before"

    def namespace(self, array: Any) -> Any:
        return xp

    def asarray(self, value: Any, like: torch.Tensor, dtype: Any = None) -> torch.Tensor:
        if isinstance(value, torch.Tensor):
            # A number on the CPU counts on any device, as in torch itself.
            moves = like is not None and value.is_cpu and not like.is_cpu
            return value.to(like.device, non_blocking=True) if moves else value
        dtype = dtype or like.dtype
        if torch.compiler.is_compiling() and isinstance(value, float):
            # Other ways to make a tensor of a number take its value for a constant: each one is compiled for.
            return torch.ones((), dtype=dtype, device=like.device) * value
        # Of integers, torch takes those of 64 bits alone.
        value = float(value) if dtype.is_floating_point else value
        return torch.full((), value, dtype=dtype, device=like.device)

    def keeps(self, array: torch.Tensor) -> bool:
        return is_as_made(array) and not array.requires_grad

    def scalar(self, value: Any) -> Any:
        if torch.compiler.is_compiling():
            # The compiler shows an array in the place of a scalar of NumPy.
            return torch.as_tensor(value) if isinstance(value, np.ndarray) and value.shape == () else value
        return super().scalar(value)

    def result_dtype(self, prediction: torch.Tensor) -> torch.dtype:
        # As the losses of torch itself, which autocast lets compute in float32.
        half = prediction.dtype in HALVES and is_autocast(prediction)
        return torch.float32 if half else prediction.dtype

    def readable(self, *arrays: torch.Tensor) -> bool:
        if torch.compiler.is_compiling():
            return False
        return all(
            a.is_cpu and not (is_transformed(a) or is_abstract(a) or is_distributed(a)) for a in map(concrete, arrays)
        )

    def look(self, array: torch.Tensor) -> torch.Tensor:
        array = concrete(array)
        # A number of what is learned is asked for with a warning.
        return array.detach() if array.requires_grad else array

    def signature(self, arrays: Sequence[Any]) -> Hashable | None:
        if torch.compiler.is_compiling() or is_watched():
            return None
        strided = torch.strided
        found: list[Hashable] = []
        for array in arrays:
            if type(array) not in _PLAIN or array.layout is not strided or array.is_nested:
                return None
            if array.is_neg() or is_zero(array):
                # Not what is in its memory, or without any.
                return None
            dtype = array.dtype
            found += dtype, array.shape, array.requires_grad, array.is_cpu or array.device
            if dtype in HALVES:
                found.append(is_autocast(array))
        return tuple(found)

    def blockwise(self, inputs: Sequence[torch.Tensor], options: Sequence[torch.Tensor]) -> bool:
        if self.signature((*inputs, *options)) is None or any(array.requires_grad for array in options):
            return False
        return all(array.is_cpu for array in (*inputs, *options))

    def attach_blocks(self, blocks: Blocks, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        value: torch.Tensor
        if torch.is_grad_enabled():
            wanted = tuple([array.requires_grad for array in arrays])
            if True in wanted:
                if not blocks.lacks_closed_form(wanted):
                    value = _apply_now(blocks, *arrays)
                    return value
                with without_autocast(arrays[0]):
                    # Without a closed form, the framework differentiates.
                    value = blocks.plain(*arrays)
                return value
        value, _ = blocks.forward(arrays, (False,) * len(arrays))
        return value

    def memory(self, arrays: Sequence[torch.Tensor]) -> Memory:
        size = max(array.numel() for array in arrays)
        # Threads that meet once a call are quicker than those that meet at each operation, once they have a core.
        some = 2 * size > _dialect.BLOCK and (size <= _MANY * _dialect.BLOCK or arrays[0].dtype in HALVES)
        return _IN_TORCH if some and KNOWN.issuperset(array.dtype for array in arrays) else _IN_NUMPY

    def wrap(self, number: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(number))

    def is_one(self, array: torch.Tensor) -> bool:
        # Of a device it would have to be waited for.
        return type(array) is torch.Tensor and array.is_cpu and not is_transformed(array) and array.item() == 1.0

    def refusal(self, array: Any) -> str | None:
        if not isinstance(array, torch.Tensor):
            return None
        if array.is_nested:
            return "a nested tensor; use torch.nested.to_padded_tensor, and where= for what is padded"
        if array.layout is not torch.strided:
            return (
                f"a {'sparse' if 'sparse' in str(array.layout) else 'foreign'} tensor ({array.layout}); use .to_dense()"
            )
        if array.is_quantized:
            return "a quantized tensor; use .dequantize()"
        if "float8" in str(array.dtype) or "float4" in str(array.dtype):
            return f"a tensor of dtype {array.dtype}; use .to(torch.float32)"
        return None

    def refusal_beside(self, array: Any, other: Any) -> str | None:
        if not (isinstance(array, torch.Tensor) and isinstance(other, torch.Tensor)) or array.device == other.device:
            return None
        way = "; move it there, as with .to(...)"
        if array.is_meta or other.is_meta:
            way = ": on the meta device there are no values"
        elif array.is_cpu and not array.ndim:
            return None
        return f"a tensor on {array.device} beside one on {other.device}{way}"

    def whole(self, call: Bound) -> torch.Tensor:
        distributed = not torch.compiler.is_compiling() and any(map(is_distributed, call.arrays))
        value: torch.Tensor
        with without_autocast(call.arrays[0]):
            value = run_distributed(call.plan, call.arrays) if distributed else super().whole(call)
        return value

    def group(self, group: Any, array: torch.Tensor) -> Group:
        return group_of(group, array)

    def threads(self) -> int:
        return torch.get_num_threads()

    def attach(self, pair: Any, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        if torch.compiler.is_compiling():
            return _compiled(pair, arrays)
        if any(map(is_distributed, arrays)):
            split = split_pair(pair, arrays)
            if split is not None:
                return split.joined(self.attach(split.pair, split.arrays))
            pair = Replicating(pair)
        if is_forward_mode() or any(map(is_transformed, arrays)):
            return _apply(_Transformed, pair, arrays)
        if torch.is_grad_enabled() and any(a.requires_grad for a in arrays):
            return _apply(_Eager, pair, arrays)
        value: torch.Tensor = pair(*arrays)[0]
        return value

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        """Value and gradients are detached; inside `torch.func` transforms and the compiler they are differentiable."""

        def differentiated(*arguments: Any, **keywords: Any) -> Any:
            # What is exported has no transforms: see `refuse_transforms`.
            compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
            if compiled or any(map(is_transformed, (*arguments, *keywords.values()))):
                gradients, value = torch.func.grad_and_value(scalar(function), tuple(argnums))(*arguments, **keywords)
                return value, gradients
            inputs = list(arguments)
            for number in argnums:
                inputs[number] = inputs[number].detach().requires_grad_()
            with torch.enable_grad():
                value = scalar(function)(*inputs, **keywords)
                wanted = [inputs[number] for number in argnums]
                if not value.requires_grad:
                    return value, tuple(map(torch.zeros_like, wanted))
                gradients = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
            return value.detach(), gradients

        return differentiated

    def each_row(self, function: Callable[[torch.Tensor], Any], rows: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.vmap(function)(rows)
        return found

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            return function(*arguments, **keywords)

        return torch.compile(with_code_of_its_own(call), fullgraph=True)

    def stop_gradient(self, array: torch.Tensor) -> torch.Tensor:
        return array.detach()


backend = TorchBackend()


def __getattr__(name: str) -> Callable[..., LossModule]:
    return module_class(name)


def __dir__() -> list[str]:
    return [*globals(), *classes()]


__all__ = ["LossModule", "TorchBackend", "backend", "module"]
