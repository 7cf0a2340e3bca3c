"""Linear cross entropy where products of halves are summed in float32, and on a device with large chunks.

PyTorch has such products on CUDA alone: here, the operations that it has there get kernels of the CPU.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from polyloss import linear_cross_entropy
from polyloss.core import chunked, sums
from polyloss.core.backend import backend_of
from polyloss.engine import blocks

pytestmark = pytest.mark.unoptimised

TOKENS, FEATURES, CLASSES = 13, 64, 10
MANY = 1 + sums.NARROW // FEATURES
"""So many classes that the framework sums the gradient of the layer."""
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
LEAST = {"float16": 2.0**-24}
"""The smallest number, where results may be as small."""
MULTIPLIED_AS_THEY_ARE = {"torch": ("bfloat16",), "jax": ("bfloat16",)}
"""The halves that a framework multiplies without widening them."""


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five rows, the last one shorter, of blocks of two."""
    monkeypatch.setattr(chunked, "CHUNK", 5 * CLASSES)
    monkeypatch.setattr(chunked, "BLOCK", 2 * CLASSES)
    monkeypatch.setattr(chunked, "ROWS", 6)


@pytest.fixture
def products(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The dtypes that matrices have which are multiplied."""
    found: list[str] = []
    kind = type(backend_of(backend.array([1.0])))
    for name in ("product", "add_product"):
        usual = getattr(kind, name)

        def noted(self: Any, *matrices: Any, usual: Any = usual) -> Any:
            found.extend(map(backend._dtype_name, matrices[-2:]))
            return usual(self, *matrices)

        monkeypatch.setattr(kind, name, noted)
    if backend.name in MULTIPLIED_AS_THEY_ARE:
        monkeypatch.setattr(kind, "accelerated", lambda self, array: True)
    if backend.name != "torch":
        yield found
        return
    import torch

    from polyloss_torch import _chunks

    def multiplied(left: Any, right: Any, dtype: Any) -> Any:
        assert left.dtype == right.dtype == torch.bfloat16
        return left.to(dtype) @ right.to(dtype)

    def added(total: Any, left: Any, right: Any, dtype: Any, *, out: Any) -> Any:
        return out.copy_(total + multiplied(left, right, dtype))

    # As on such a device: nothing can be looked at, and there are no blocks.
    monkeypatch.setattr(_chunks, "_has_products_of_halves", lambda kind, index: True)
    monkeypatch.setattr(kind, "readable", lambda self, *arrays: False)
    monkeypatch.setattr(blocks, "enabled", False)
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    library.impl("mm.dtype", multiplied, "CPU")
    library.impl("bmm.dtype", multiplied, "CPU")
    library.impl("addmm.dtype_out", added, "CPU")
    yield found
    library._destroy()


def drawn(backend: Any, rng: Any, dtype: str, tokens: int = TOKENS, classes: int = CLASSES) -> tuple[Any, ...]:
    """Arrays of a framework: hidden states, weights, class ids."""
    hidden, weight = rng.normal(size=(tokens, FEATURES)), rng.normal(size=(classes, FEATURES)) / 4
    ids = rng.integers(0, classes, tokens)
    return backend.array(hidden, dtype), backend.array(weight, dtype), backend.array(ids)


def exact(hidden: Any, weight: Any, ids: Any, share: Any, bias: Any) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """The losses; by hidden states, weights and bias, the gradients in float64; what their terms sum to, and what they
    change by where the terms of the logits change by as much as these are."""
    logits = hidden @ weight.T + bias
    losses = np.log(np.sum(np.exp(logits), axis=-1)) - logits[np.arange(len(ids)), ids]
    shares = np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)
    slope = share[:, None] * (shares - np.eye(len(weight))[ids])
    terms = abs(hidden) @ abs(weight).T + abs(bias)
    changes = abs(share[:, None]) * shares * (terms + np.sum(shares * terms, axis=-1, keepdims=True))
    gradients = [slope @ weight, slope.T @ hidden, np.sum(slope, axis=0)]
    scales = [[by @ abs(weight), by.T @ abs(hidden), np.sum(by, axis=0)] for by in (abs(slope), changes)]
    return losses, gradients, *scales


@pytest.mark.parametrize(("reduction", "classes"), [("none", CLASSES), ("mean", CLASSES), ("mean", MANY)])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gradients_are_near_those_in_float64(
    backend: Any, products: list[str], rng: Any, dtype: str, reduction: str, compiled: bool, classes: int
) -> None:
    """A gradient is rounded once, however nearly its terms cancel: slopes are not rounded to halves."""
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend.name} has no {dtype}")
    if not backend.has_autodiff:
        pytest.skip("no gradient by upstream ones")
    hidden, weight, ids = drawn(backend, rng, dtype, classes=classes)
    bias, weighed = backend.array(rng.normal(size=classes), "float32"), rng.uniform(0.5, 2.0, TOKENS)
    upstream = backend.array(rng.normal(size=() if reduction == "mean" else TOKENS), dtype)
    loss: Any = linear_cross_entropy

    def run(hidden: Any, weight: Any, bias: Any, ids: Any, sample_weight: Any, *, reduction: str = reduction) -> Any:
        return loss(hidden, weight, ids, bias=bias, sample_weight=sample_weight, reduction=reduction)

    called: Any = backend.compile(run) if compiled else run
    value, gradients = backend.value_and_grad(
        lambda *arrays, reduction: called(*arrays, ids, backend.array(weighed, "float32")),
        hidden, weight, bias, cotangent=upstream, reduction=reduction,
    )  # fmt: skip
    hidden64, weight64, bias64, upstream64 = (
        backend.numpy(array).astype(np.float64) for array in (hidden, weight, bias, upstream)
    )
    share = weighed * upstream64 / (TOKENS if reduction == "mean" else 1)
    losses, *wanted = exact(hidden64, weight64, backend.numpy(ids), share, bias64)
    counted = np.mean(weighed * losses) if reduction == "mean" else weighed * losses
    assert value.dtype == hidden.dtype
    np.testing.assert_allclose(backend.numpy(value).astype(np.float64), counted, rtol=8 * EPS[dtype])
    for array, gradient, truth, scale, changes in zip((hidden, weight, bias), gradients, *wanted, strict=True):
        assert gradient.dtype == array.dtype
        error = abs(backend.numpy(gradient).astype(np.float64) - truth)
        rounding = abs(truth) * EPS[dtype] + LEAST.get(dtype, 0.0) + scale * EPS[dtype] ** 2
        assert np.all(error <= rounding + 8 * EPS["float32"] * (scale + changes)), np.max(error / scale)
    # Where the framework differentiates the losses of rows, all is widened.
    narrow = dtype in MULTIPLIED_AS_THEY_ARE.get(backend.name, ()) and (backend.name, reduction) != ("jax", "none")
    assert products
    assert set(products) == {dtype if narrow else "float32"}


@pytest.mark.usefixtures("products")
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_transforms_of_halves(backend: Any, rng: Any) -> None:
    """Whatever computes once more, or in another way, finds the same gradients: an eps apart."""
    if "bfloat16" not in MULTIPLIED_AS_THEY_ARE.get(backend.name, ()):
        pytest.skip("halves are widened")
    hidden, weight, ids = drawn(backend, rng, "bfloat16")
    usual = backend.grad(lambda h, w: linear_cross_entropy(h, w, ids), hidden, weight)
    if backend.name == "torch":
        import torch

        def loss(h: Any, w: Any) -> Any:
            return linear_cross_entropy(h, w, ids)

        stack: Any = torch.stack([hidden, hidden])
        found = [gradient[1] for gradient in torch.vmap(torch.func.grad(loss, (0, 1)), (0, None))(stack, weight)]
        moved = torch.func.jvp(loss, (hidden, weight), (hidden, weight))[1]
        inputs = [array.clone().requires_grad_() for array in (hidden, weight)]
        again = torch.autograd.grad(loss(*inputs), inputs, create_graph=True)
        total: Any = sum((gradient.float() ** 2).sum() for gradient in again)
        second: Any = torch.autograd.grad(total, inputs)
    else:
        import jax

        def loss(h: Any, w: Any) -> Any:
            return linear_cross_entropy(h, w, ids)

        stack = jax.numpy.stack([hidden, hidden])
        found = [gradient[1] for gradient in jax.vmap(jax.grad(loss, (0, 1)), (0, None))(stack, weight)]
        moved = jax.jvp(loss, (hidden, weight), (hidden, weight))[1]

        def squares(h: Any, w: Any) -> Any:
            return sum((gradient.astype("float32") ** 2).sum() for gradient in jax.grad(loss, (0, 1))(h, w))

        second = jax.grad(squares, (0, 1))(hidden, weight)
    wide = [backend.array(backend.numpy(array).astype(np.float64)) for array in (hidden, weight)]
    exactly = backend.grad(lambda h, w: linear_cross_entropy(h, w, ids), *wide)
    change = sum(np.sum(backend.numpy(g) * backend.numpy(array)) for g, array in zip(exactly, wide, strict=True))
    np.testing.assert_allclose(float(moved), change, rtol=4 * EPS["bfloat16"])
    for one, other, twice in zip(found, usual, second, strict=True):
        assert one.dtype == other.dtype == twice.dtype == hidden.dtype
        largest = float(np.max(abs(backend.numpy(other))))
        np.testing.assert_allclose(backend.numpy(one), backend.numpy(other), atol=2 * EPS["bfloat16"] * largest, rtol=0)
        assert np.all(np.isfinite(backend.numpy(twice)))
        assert np.any(backend.numpy(twice) != 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_nothing_in_halves(backend: Any, rng: Any, dtype: str, products: list[str]) -> None:
    if dtype not in backend.dtypes:
        pytest.skip(f"{backend.name} has no {dtype}")
    hidden, weight, ids = drawn(backend, rng, dtype, tokens=0)
    value, gradients = backend.value_and_grad(linear_cross_entropy, hidden, weight, ids)
    backend.check(value, 0.0, dtype=dtype)
    backend.check(gradients[0], np.zeros((0, FEATURES)), dtype=dtype)
    backend.check(gradients[1], np.zeros((CLASSES, FEATURES)), dtype=dtype)
    assert not products


@pytest.mark.parametrize("accelerated", [False, True])
def test_chunks_are_large_on_an_accelerator(
    backend: Any, rng: Any, monkeypatch: pytest.MonkeyPatch, accelerated: bool
) -> None:
    """Of few rows, a fast product would wait for the layer. The gradients are the same."""
    rows: list[int] = []
    usual = chunked.Chunked._slopes

    def noted(self: Any, backend: Any, xp: Any, row: Any, *others: Any) -> Any:
        rows.append(row["logits"].shape[0])
        return usual(self, backend, xp, row, *others)

    # Of shapes of their own: JAX remembers what it has compiled.
    tokens = 19 + accelerated
    hidden, weight, ids = drawn(backend, rng, "float32", tokens)
    monkeypatch.setattr(chunked.Chunked, "_slopes", noted)
    monkeypatch.setattr(type(backend_of(hidden)), "accelerated", lambda self, array: accelerated)
    found = backend.value_and_grad(linear_cross_entropy, hidden, weight, ids)[1]
    # Otherwise of two: there is room for sums of few terms beside the logits.
    assert max(rows) == (6 if accelerated else 2)
    numbers = backend.numpy(hidden), backend.numpy(weight), backend.numpy(ids)
    wanted = exact(*numbers, np.full(tokens, 1 / tokens), np.zeros(CLASSES))[1]
    for gradient, truth in zip(found[:2], wanted[:2], strict=True):
        np.testing.assert_allclose(backend.numpy(gradient), truth, atol=1e-6 * np.max(abs(truth)), rtol=0)
