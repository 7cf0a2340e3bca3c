"""The least adapter of a library with a tape, from public names alone: PyTorch's tensors, served by it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import array_api_compat.torch as xp  # noqa: E402

import polyloss  # noqa: E402
from polyloss import adapters  # noqa: E402

from .test_blocks import LOSSES, arguments  # noqa: E402


class Attached(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """The losses, and what they pass back."""

    @staticmethod
    def forward(ctx: Any, pair: adapters.Pair, *arrays: Any) -> Any:
        value, *ctx.gradients = pair(*arrays)
        ctx.inputs, ctx.shapes = pair.inputs, [array.shape for array in arrays]
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        found: list[Any] = [None]
        for place, gradient in enumerate(ctx.gradients):
            if gradient is None or not ctx.needs_input_grad[1 + place]:
                found.append(None)
                continue
            pulled = adapters.pull(upstream, gradient())
            if place >= ctx.inputs:
                pulled = adapters.sum_to(backend.namespace(pulled), pulled, ctx.shapes[place])
            found.append(pulled)
        return tuple(found)


class Small(polyloss.Backend):
    """What polyloss must know, and no more."""

    name = "small"

    def namespace(self, array: Any) -> Any:
        return xp

    def asarray(self, value: Any, like: Any, dtype: Any = None) -> Any:
        return value if torch.is_tensor(value) else torch.as_tensor(value, dtype=dtype or like.dtype)

    def readable(self, *arrays: Any) -> bool:
        return all(array.is_cpu for array in arrays)

    def look(self, array: Any) -> Any:
        return array.detach()

    def attach(self, pair: adapters.Pair, arrays: Sequence[Any]) -> Any:
        return Attached.apply(pair, *arrays)

    def value_and_grad(self, function: Callable[..., Any], argnums: Sequence[int]) -> Callable[..., Any]:
        def differentiated(*arguments: Any, **keywords: Any) -> Any:
            inputs = [a.detach().requires_grad_() if i in argnums else a for i, a in enumerate(arguments)]
            value = adapters.scalar(function)(*inputs, **keywords)
            return value, torch.autograd.grad(value, [inputs[i] for i in argnums])

        return differentiated

    def stop_gradient(self, array: Any) -> Any:
        return array.detach()


backend = Small()


@pytest.fixture
def small_torch() -> Iterator[Any]:
    module: Any = ModuleType("small_torch")
    module.backend = backend
    sys.modules["small_torch"] = module
    polyloss.register_backend("torch", "small_torch")
    yield torch
    polyloss.register_backend("torch", "polyloss_torch")
    del sys.modules["small_torch"]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_a_small_adapter_of_a_library_with_a_tape(small_torch: Any, rng: Any, loss: Any) -> None:
    arrays = arguments(loss, rng)
    rows = loss(*arrays, reduction="none").shape
    options = {"where": rng.random(rows) < 0.7, "sample_weight": rng.random(rows[:1])}
    ours = [small_torch.asarray(a) for a in arrays]
    theirs = {key: small_torch.asarray(value) for key, value in options.items()}
    found = polyloss.value_and_grad(loss)(*ours, **theirs)
    expected = polyloss.value_and_grad(loss)(*arrays, **options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach(), other, rtol=1e-12, atol=1e-300)


def test_it_learns_parameters_and_has_upstream_gradients(small_torch: Any) -> None:
    x, delta = small_torch.tensor([0.5, -3.0, 2.0]), small_torch.tensor(1.5)
    x.requires_grad_()
    delta.requires_grad_()
    losses = polyloss.huber(x, small_torch.zeros(3), delta=delta, reduction="none")
    (losses * small_torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    np.testing.assert_allclose(x.grad, [0.5, -3.0, 4.5])
    np.testing.assert_allclose(delta.grad, 2.0 * 1.5 + 3.0 * 0.5)
    assert type(losses.grad_fn).__name__ != "_EagerBackward"
