"""Calls on large tensors, in PyTorch's own operations, and on halves: the same as on small ones, and rounded once."""

from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import polyloss  # noqa: E402
from polyloss.engine import blocks as _blocks  # noqa: E402
from polyloss.engine import dialect as _dialect  # noqa: E402
from polyloss.engine.code import NUMPY as _NUMPY  # noqa: E402
from polyloss_torch._memory import TORCH  # noqa: E402

from .test_blocks import CALLS, CHOICES, LOSSES, PARAMETERS, arguments  # noqa: E402

HALVES = [torch.bfloat16, torch.float16]


def tensor(array: Any, dtype: Any) -> Any:
    found = torch.from_numpy(np.array(array))
    return found.to(dtype) if found.is_floating_point() else found


def find(loss: Any, arrays: list[Any], keywords: dict[str, Any], upstream: float) -> list[Any]:
    inputs = [array.requires_grad_(array.is_floating_point()) for array in (array.clone() for array in arrays)]
    value = loss(*inputs, **keywords)
    value.backward(torch.tensor(upstream, dtype=value.dtype))
    return [value.detach(), *(array.grad for array in inputs if array.grad is not None)]


@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_blocks_of_tensors(loss: Any, dtype: Any, rng: Any, monkeypatch: Any) -> None:
    """In blocks of PyTorch's, of NumPy's and as a whole: the same numbers; of halves, but for a last bit."""
    arrays = [tensor(array, dtype) for array in arguments(loss, rng)]
    found = {}
    for number, keywords in enumerate(CALLS if dtype == torch.float64 else CALLS[2:5]):
        options = {
            key: tensor(value, dtype) if isinstance(value, np.ndarray) else value for key, value in keywords.items()
        }
        upstream = -0.75 if number % 2 else 1.0
        for mode in ("NumPy", "PyTorch", "whole"):
            with monkeypatch.context() as patch:
                patch.setattr(_blocks, "enabled", mode != "whole")
                patch.setattr(_dialect, "BLOCK", 16 if mode == "PyTorch" else 1 << 18)
                copy = loss.partial()
                if mode == "PyTorch":
                    assert uses_tensors(copy, arrays, options)
                found[mode] = find(copy, arrays, options, upstream)
        # A half unit in the last place is where two sums of many numbers may be rounded apart.
        within = 1e-12 if dtype == torch.float64 else torch.finfo(dtype).eps
        for mode in ("NumPy", "PyTorch"):
            for one, other in zip(found[mode], found["whole"], strict=True):
                assert one.dtype == other.dtype
                largest = float(other.abs().max())
                torch.testing.assert_close(one, other, rtol=within, atol=1e-3 * within * largest)


def uses_tensors(loss: Any, arrays: list[Any], keywords: dict[str, Any]) -> bool:
    call = loss.bind(tuple(arrays), keywords)
    blocks = call.backend.blocks(call)
    return blocks is not None and blocks.memory.dialect is not _NUMPY


@pytest.mark.parametrize(("loss", "keywords"), PARAMETERS, ids=lambda p: p.__name__ if callable(p) else "-".join(p))
def test_parameters_in_blocks_of_tensors(loss: Any, keywords: dict[str, Any], rng: Any, monkeypatch: Any) -> None:
    arrays = [tensor(array, torch.float64) for array in arguments(loss, rng)]
    options = {
        key: tensor(value, torch.float64) if isinstance(value, np.ndarray) else value for key, value in keywords.items()
    }
    expected = find(loss.partial(), arrays, options, 1.5)
    monkeypatch.setattr(_dialect, "BLOCK", 16)
    copy = loss.partial()
    assert uses_tensors(copy, arrays, options)
    for one, other in zip(find(copy, arrays, options, 1.5), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("ids_of", [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int16], ids=str)
def test_large_tensors_of_any_layout(dtype: Any, axis: int, ids_of: Any, rng: Any) -> None:
    """Large enough for blocks of tensors, as users have them: classes along any axis, views with gaps, any ids."""
    logits = torch.from_numpy(rng.normal(size=(2, 70, 70, 70))).to(dtype)[1].movedim(-1, axis)
    ids = torch.from_numpy(rng.integers(0, 70, (70, 70))).to(ids_of)
    x, y = logits.clone().requires_grad_(), logits.float().requires_grad_()
    (polyloss.cross_entropy(x, ids, axis=axis, reduction="sum") * 3.0).backward()
    torch.nn.functional.cross_entropy(y.movedim(axis, 1).float(), ids.long(), reduction="sum").mul(3.0).backward()
    x_grad, y_grad = cast(Any, x.grad), cast(Any, y.grad)
    assert x_grad.dtype == dtype
    torch.testing.assert_close(x_grad, y_grad.to(dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_target_of_halves_beside_single_precision(size: int, rng: Any) -> None:
    """Its gradient is rounded once as well, after it was multiplied."""
    x = torch.from_numpy(rng.normal(size=size)).float()
    target = torch.from_numpy(rng.normal(size=size)).to(torch.float16).requires_grad_()
    (polyloss.mse(x, target) * 3e-4 * size).backward()
    exact = 2.0 * 3e-4 * (target.detach().double() - x.double())
    torch.testing.assert_close(cast(Any, target.grad), exact.to(torch.float16), rtol=2.0**-10, atol=2.0**-24)


@pytest.mark.parametrize("size", [100, 300_000])
def test_scaled_losses_of_halves_keep_what_is_small(size: int, rng: Any) -> None:
    """As with a scaled loss in mixed precision: each gradient is rounded once, after it was multiplied."""
    x = torch.from_numpy(rng.normal(size=size) * 1e-4).to(torch.float16).requires_grad_()
    target = torch.zeros(size, dtype=torch.float16)
    for scale in (2.0**15, 2.0**15, 1.0, 0.0, 2.0**15):
        x.grad = None
        with torch.autocast("cpu", torch.float16):
            (polyloss.mse(x, target) * scale).backward()
        exact = 2.0 * scale / size * x.detach().double()
        torch.testing.assert_close(cast(Any, x.grad), exact.to(torch.float16), rtol=0, atol=0)


@pytest.mark.parametrize("place", [0, 299_999])
def test_bad_values_in_large_tensors(place: int) -> None:
    x, target = torch.randn(300_000), torch.rand(300_000)
    target[place] = 1.5
    with pytest.raises(ValueError, match=rf"target must be in \[0, 1\], got 1.5 \(element {place} "):
        polyloss.binary_cross_entropy_with_logits(x, target)
    logits, ids = torch.randn(3000, 100), torch.zeros(3000, dtype=torch.int64)
    ids[place % 3000] = 100
    with pytest.raises(ValueError, match=r"class ids in \[0, 100\), got 100"):
        polyloss.cross_entropy(logits, ids)


@pytest.mark.parametrize("size", [100, 300_000])
def test_what_is_not_in_memory_as_it_is(size: int, rng: Any) -> None:
    """A tensor that its memory shows with the other sign."""
    x, y = torch.complex(*torch.from_numpy(rng.normal(size=(2, size)))), torch.zeros(size, dtype=torch.float64)
    lazy = x.conj().imag
    assert lazy.is_neg()
    torch.testing.assert_close(polyloss.hinge(lazy, y + 1.0), polyloss.hinge(-x.imag.clone(), y + 1.0))


def test_gradients_of_a_scaled_loss_wait_for_the_scale(monkeypatch: Any) -> None:
    """From the second step on, a step computes nothing that it throws away."""
    found: list[list[bool]] = []
    forward = _blocks.Blocks.forward

    def noted(self: Any, arrays: Any, wanted: Any, upstream: Any = None) -> Any:
        result = forward(self, arrays, wanted, upstream)
        found[-1].append(result[1][0] is not None)
        return result

    monkeypatch.setattr(_blocks.Blocks, "forward", noted)
    loss = polyloss.mse.partial()
    x = torch.ones(8, dtype=torch.bfloat16, requires_grad=True)
    for scale in (1.0, 1.0, 8.0, 8.0, 1.0, 1.0):
        found.append([])
        (scale * loss(x, torch.zeros(8, dtype=torch.bfloat16))).backward()
    assert found == [[True], [True], [True, True], [False, True], [False, True], [True]]


def test_a_block_needs_no_more_memory_than_a_thread_keeps(monkeypatch: Any) -> None:
    made: list[int] = []
    scratch = type(TORCH).scratch

    def noted(self: Any, size: int) -> Any:
        made.append(size)
        return scratch(self, size)

    monkeypatch.setattr(type(TORCH), "scratch", noted)
    x, target = torch.randn(2, 1 << 20, dtype=torch.float64), torch.rand(2, 1 << 20, dtype=torch.float64)
    for _ in range(3):
        polyloss.sigmoid_focal(x.requires_grad_(), target).backward()
    assert len(made) <= 1


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_of_large_tensors(choice: str, monkeypatch: Any) -> None:
    """In PyTorch's own operations, each way to write a choice down, of all pairs of what is special."""
    choose = CHOICES[choice]

    @polyloss.elementwise
    def chosen(xp: Any, x: Any, y: Any) -> Any:
        return xp.zeros_like(x), lambda: choose(xp, x, y)

    ends = torch.tensor([0.0, -0.0, 1.5, -1.5, torch.inf, -torch.inf, torch.nan, 1e-45, -1e-45, 3e38, -3e38])
    x, y = (array.reshape(-1).repeat(2000) for array in torch.meshgrid(ends, ends, indexing="ij"))
    call: Any = chosen.bind((x, y), {})
    assert call.backend.blocks(call).memory.dialect is TORCH
    found = polyloss.value_and_grad(chosen)(x, y, reduction="sum")[1]
    monkeypatch.setattr(_blocks, "enabled", False)
    expected = polyloss.value_and_grad(chosen.partial())(x, y, reduction="sum")[1]
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponential_of_large_tensors(dtype: Any) -> None:
    """Within its condition, right at the ends of the range, and the limits of infinity."""
    limit, least = (88.72, -103.9) if dtype == torch.float32 else (709.7, -745.1)
    ends = torch.tensor([2 * limit, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    x = torch.cat([torch.linspace(least, limit, 100_001, dtype=dtype), torch.zeros(1, dtype=dtype), ends])
    found = torch.empty_like(x)
    TORCH.functions["exp"](x, found)
    exact = torch.exp(x[:-4].to(torch.float64))
    eps = torch.finfo(dtype).eps
    # Beside it, the least number that there is.
    allowed = (1.0 + x[:-4].abs()) * eps * exact + (1.5e-45 if dtype == torch.float32 else 5e-324)
    assert bool(((found[:-4] - exact).abs() <= allowed).all())
    assert found[-4:-1].tolist() == [torch.inf, torch.inf, 0.0]
    assert bool(found[-1].isnan())
