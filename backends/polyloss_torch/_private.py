"""What PyTorch has no public name for. Tried on 2.13."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor, peek_interpreter_stack
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

_LEVEL = 0
"""The level of forward mode, of which torch has one: `torch.func` nests others itself."""

to_dlpack: Callable[[torch.Tensor], Any] = torch.utils.dlpack.to_dlpack  # type: ignore[attr-defined]
"""The memory of a tensor as a capsule."""


def is_forward_mode() -> bool:
    """Whether tangents are followed."""
    return forward_ad._current_level >= 0


@contextmanager
def around_forward_mode(arrays: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """`arrays` without their tangents, while those of transforms around this one are followed.

    In a `jvp` torch follows none of them, so that the derivative of a derivative would be 0.
    """
    with forward_ad._set_fwd_grad_enabled(True):
        yield [forward_ad.unpack_dual(array, level=_LEVEL).primal for array in arrays]  # type: ignore[no-untyped-call]


def with_tangent(array: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """`array` with its tangent."""
    dual: torch.Tensor = forward_ad.make_dual(array, tangent, level=_LEVEL)  # type: ignore[no-untyped-call]
    return dual


def tangent_of(array: torch.Tensor) -> torch.Tensor:
    """The tangent of `array`, 0 where there is none."""
    tangent: torch.Tensor | None = forward_ad.unpack_dual(array, level=_LEVEL).tangent  # type: ignore[no-untyped-call]
    return torch.zeros_like(array) if tangent is None else tangent


def is_transformed(array: Any) -> bool:
    """Whether an array belongs to a transform, such as `torch.vmap`."""
    return isinstance(array, torch.Tensor) and (is_functorch_wrapped_tensor(array) or is_legacy_batchedtensor(array))


def concrete(array: torch.Tensor) -> torch.Tensor:
    """The values of what `torch.func.grad` and its kin follow; anything else, such as in `vmap`, as it is."""
    functorch = torch._C._functorch
    while functorch.is_gradtrackingtensor(array):
        array = functorch.get_unwrapped(array)
    return array


def is_batched_gradient(array: torch.Tensor) -> bool:
    """Whether an upstream gradient is one of many, by ``is_grads_batched``. Few operations have a rule for such."""
    return is_legacy_batchedtensor(array)


is_zero: Callable[[torch.Tensor], bool] = torch.Tensor._is_zerotensor
"""Whether an array is zeros without any memory, which autograd makes."""


def is_as_made(array: torch.Tensor) -> bool:
    """Whether nothing was done to `array` in place, and gradients of what is computed with it can be found."""
    return not array.is_inference() and array._version == 0


def is_transforming() -> bool:
    """Whether a transform of `torch.func` is at work."""
    return peek_interpreter_stack() is not None


def is_any_autocast() -> bool:
    """Whether operations on any device choose their precision themselves."""
    return torch._C._is_any_autocast_enabled()


def is_abstract(array: torch.Tensor) -> bool:
    """Whether `array` has no values now, or code is made of what is done to it."""
    keys = torch._C._TorchDispatchModeKey
    return (
        isinstance(array, FakeTensor)
        or torch._C._get_dispatch_mode(keys.PROXY) is not None
        or torch._C._get_tracing_state() is not None
    )


def is_watched() -> bool:
    """Whether somebody follows what is done to tensors: a transform, forward mode, a tracer."""
    return (
        forward_ad._current_level >= 0
        or peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._get_tracing_state() is not None
    )


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """`apply` of a function without what it does for transforms, for where there are none."""
    apply: Callable[..., Any] = super(torch.autograd.Function, function).apply  # type: ignore[misc]
    return apply


def all_reduce(array: torch.Tensor, how: str, group: Any) -> torch.Tensor:
    """The sum or the maximum over a group of processes, in a new tensor; compilers see a function."""
    from torch.distributed import _functional_collectives

    collectives: Any = _functional_collectives
    found: torch.Tensor = collectives.wait_tensor(collectives.all_reduce(array.contiguous(), how, group))
    return found


def all_gather(array: torch.Tensor, group: Any) -> torch.Tensor:
    """The arrays of a group of processes, all of one shape, one behind the other; compilers see a function."""
    found = torch.ops._c10d_functional.all_gather_into_tensor(array.contiguous(), group.size(), group.group_name)
    whole: torch.Tensor = torch.ops._c10d_functional.wait_tensor(found)
    return whole


def reduce_scatter(array: torch.Tensor, group: Any) -> torch.Tensor:
    """A process's part of the sum over a group, which has as many parts of one length; compilers see a function."""
    found = torch.ops._c10d_functional.reduce_scatter_tensor(array.contiguous(), "sum", group.size(), group.group_name)
    part: torch.Tensor = torch.ops._c10d_functional.wait_tensor(found)
    return part


def is_replicating() -> bool:
    """Whether plain tensors beside distributed ones are taken to be the same in every process."""
    from torch.distributed.tensor import DTensor

    found: bool = DTensor._op_dispatcher._allow_implicit_replication
    return found


__all__ = [
    "all_gather",
    "all_reduce",
    "apply_of",
    "around_forward_mode",
    "concrete",
    "is_abstract",
    "is_any_autocast",
    "is_as_made",
    "is_batched_gradient",
    "is_forward_mode",
    "is_replicating",
    "is_transformed",
    "is_transforming",
    "is_watched",
    "is_zero",
    "reduce_scatter",
    "tangent_of",
    "with_tangent",
]
