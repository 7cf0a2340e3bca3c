"""PyTorch: autograd, forward mode, torch.func."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import polyloss

from .ordinary import ordinary

torch = pytest.importorskip("torch")
from torch import func  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402

# torch's own: forward mode loads decompositions by torch.jit.script, and AOTAutograd looks at .grad of a non-leaf
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]


@polyloss.elementwise
def detector(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """A value whose own derivative is 0: only its closed form yields 7 p^2."""
    return 0.0 * prediction * target + 1.0, lambda: 7.0 * prediction * prediction, lambda: target


@pytest.fixture
def x() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y() -> Any:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


LOSSES = [
    loss
    for loss in (getattr(polyloss, name) for name in vars(polyloss)["__all__"])
    if isinstance(loss, polyloss.Loss) and loss.fuse is None
]
OF_PROBABILITIES = ["cross_entropy", "nll", "softmax_focal", "generalized_cross_entropy", "poly1_cross_entropy"]


def huber(a: Any, b: Any) -> Any:
    return polyloss.huber(a, b, delta=0.7)


def detect(a: Any, b: Any) -> Any:
    return detector(a, b, reduction="sum")


def closed(loss: Any, a: Any, b: Any, **keywords: Any) -> Any:
    """The closed form, by NumPy."""
    return torch.asarray(polyloss.value_and_grad(loss)(a.detach().numpy(), b.detach().numpy(), **keywords)[1])


TRANSFORMS = {
    "grad": lambda a, b: func.grad(detect)(a, b),
    "vjp": lambda a, b: func.vjp(detect, a, b)[1](torch.tensor(1.0, dtype=a.dtype))[0],
    "jacrev": lambda a, b: func.jacrev(detect)(a, b),
    "jacfwd": lambda a, b: func.jacfwd(detect)(a, b),
    "vmap of grad": lambda a, b: func.vmap(func.grad(detect))(a, b),
    "grad of vmap": lambda a, b: func.grad(lambda p: func.vmap(detect)(p, b).sum())(a),
    "vmap over targets": lambda a, b: func.vmap(func.grad(detect), in_dims=(None, 0))(a[0], b) * a**2 / a[0] ** 2,
    "value_and_grad": lambda a, b: polyloss.value_and_grad(detect)(a, b)[1],
    "vmap of value_and_grad": lambda a, b: func.vmap(polyloss.value_and_grad(detect))(a, b)[1],
    "half of grad of grad": lambda a, b: func.grad(lambda p: func.grad(detect)(p, b).sum())(a) * a / 2,
    "half of grad of value_and_grad": lambda a, b: (
        func.grad(lambda p: polyloss.value_and_grad(detect)(p, b)[1].sum())(a) * a / 2
    ),
    "half the diagonal of hessian": lambda a, b: (
        func.hessian(detect)(a, b).reshape(a.numel(), -1).diagonal().reshape(a.shape) * a / 2
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transform_uses_the_closed_form(transform: Any, x: Any, y: Any) -> None:
    torch.testing.assert_close(transform(x, y), 7 * x**2)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transform_inside_the_compiler_uses_the_closed_form(transform: Any, x: Any, y: Any) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(transform, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, y), 7 * x**2)


def test_jvp(x: Any, y: Any) -> None:
    jvp: Any = func.jvp
    value, tangent = jvp(lambda a: detect(a, y), (x,), (y,))
    torch.testing.assert_close(tangent, (7 * x**2 * y).sum())
    torch.testing.assert_close(value, torch.tensor(24.0, dtype=x.dtype))
    with forward_ad.dual_level():
        forward: Any = forward_ad
        dual = detect(forward.make_dual(x, y), y)
        torch.testing.assert_close(forward.unpack_dual(dual).tangent, tangent)


def test_forward_mode_of_forward_mode(x: Any, y: Any) -> None:
    jvp: Any = func.jvp
    for loss in (polyloss.log_cosh, 0.5 * polyloss.huber + polyloss.log_cosh):
        hessian = func.jacrev(func.jacrev(loss))(x, y)
        torch.testing.assert_close(func.jacfwd(func.jacfwd(loss))(x, y), hessian)
        torch.testing.assert_close(func.jacfwd(func.jacrev(loss))(x, y), hessian)

        def slope(a: Any, loss: Any = loss) -> Any:
            return jvp(lambda b: loss(b, y), (a,), (y,))[1]

        torch.testing.assert_close(jvp(slope, (x,), (x,))[1], torch.einsum("ij,ijkl,kl->", y, hessian, x))
    third = func.jacfwd(func.jacfwd(func.jacfwd(polyloss.log_cosh)))(x[0], y[0])
    torch.testing.assert_close(third, func.jacrev(func.jacrev(func.jacrev(polyloss.log_cosh)))(x[0], y[0]))


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")
def test_linearize(x: Any, y: Any) -> None:
    jvp: Any = func.jvp
    for loss in (polyloss.huber, polyloss.binary_cross_entropy_with_logits, polyloss.cross_entropy):
        target = torch.sigmoid(y)
        value, push = func.linearize(lambda a, loss=loss, target=target: loss(a, target), x)
        torch.testing.assert_close(value, loss(x, target))
        torch.testing.assert_close(push(y), jvp(lambda a, loss=loss, target=target: loss(a, target), (x,), (y,))[1])


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_many_upstream_gradients_of_a_linear_layer(x: Any, reduction: Any) -> None:
    weight = torch.randn(3, 4, dtype=x.dtype, generator=torch.Generator().manual_seed(2)).requires_grad_()
    ids = torch.tensor([0, 1, 2, 0, 1, 1])
    many = torch.eye(6, dtype=x.dtype) if reduction == "none" else torch.tensor([1.0, 2.0], dtype=x.dtype)

    def ours(h: Any, w: Any) -> Any:
        return polyloss.linear_cross_entropy(h, w, ids, reduction=reduction)

    def plain(h: Any, w: Any) -> Any:
        return torch.nn.functional.cross_entropy(h @ w.mT, ids, reduction=reduction)

    h = x.requires_grad_()
    actual, expected = (
        torch.autograd.grad(loss(h, weight), (h, weight), many, is_grads_batched=True) for loss in (ours, plain)
    )
    torch.testing.assert_close(actual, expected)
    arrays = (h.detach(), weight.detach())
    for jacobian in (func.jacrev, func.jacfwd):
        torch.testing.assert_close(jacobian(ours, argnums=(0, 1))(*arrays), jacobian(plain, argnums=(0, 1))(*arrays))


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_gradcheck(x: Any, y: Any, reduction: Any) -> None:
    inputs = (x.requires_grad_(), y.requires_grad_())

    def loss(a: Any, b: Any) -> Any:
        return polyloss.huber(a, b, delta=0.7, reduction=reduction)

    assert torch.autograd.gradcheck(
        loss, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(loss, inputs, check_batched_grad=True, check_fwd_over_rev=True)


def test_gradcheck_rowwise(x: Any, y: Any) -> None:
    inputs = (x.requires_grad_(), y.requires_grad_(), torch.randn(6, 4, dtype=torch.float64, requires_grad=True))

    def loss(*arrays: Any) -> Any:
        return polyloss.triplet_margin(*arrays, axis=0, margin=3.0, reduction="none")

    assert torch.autograd.gradcheck(loss, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_weights_get_their_natural_gradient(x: Any, y: Any) -> None:
    weight = torch.rand(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda w: polyloss.huber(x, y, sample_weight=w, reduction="weighted_mean"), (weight,)
    )


def test_backward_twice(x: Any, y: Any) -> None:
    a = x.requires_grad_()
    value = huber(a, y)
    value.backward(retain_graph=True)
    once = a.grad.clone()
    value.backward()
    torch.testing.assert_close(a.grad, 2 * once)


def test_create_graph_after_backward(x: Any, y: Any) -> None:
    a = x.requires_grad_()
    value = detect(a, y)
    (first,) = torch.autograd.grad(value, a, retain_graph=True)
    assert not first.requires_grad
    (again,) = torch.autograd.grad(value, a, create_graph=True)
    (second,) = torch.autograd.grad(again.sum(), a)
    torch.testing.assert_close(second, 14 * a)


@pytest.mark.parametrize("which", [0, 1])
def test_modification_in_place_is_noticed(x: Any, y: Any, which: int) -> None:
    arrays = [x.requires_grad_() * 1.0, y * 1.0]
    value = huber(*arrays)
    arrays[which].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
def test_layouts(x: Any, y: Any, layout: str) -> None:
    base = x.requires_grad_()
    a = {"transposed": base.T, "strided": base[::2, 1::2], "expanded": base[:, :1].expand(6, 4)}[layout]
    b = y.T if layout == "transposed" else y[: a.shape[0], : a.shape[1]]
    cotangent = torch.linspace(1, 2, a.numel(), dtype=torch.float64).reshape(a.shape)
    (actual,) = torch.autograd.grad(polyloss.huber(a, b, reduction="none"), base, cotangent, retain_graph=True)
    slope = torch.asarray(polyloss.value_and_grad(polyloss.huber)(a.detach().numpy(), b.numpy(), reduction="sum")[1])
    (expected,) = torch.autograd.grad(a, base, cotangent * slope)
    torch.testing.assert_close(actual, expected)


def test_only_the_target_requires_a_gradient(x: Any, y: Any) -> None:
    target = y.requires_grad_()
    huber(x, target).backward()
    torch.testing.assert_close(target.grad, -closed(polyloss.huber, x, y, delta=0.7))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integer_target(x: Any, dtype: Any) -> None:
    a, target = x.requires_grad_(), torch.ones(6, 4, dtype=dtype)
    huber(a, target).backward()
    torch.testing.assert_close(a.grad, func.grad(huber)(x.detach(), target.double()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half(x: Any, y: Any, dtype: Any) -> None:
    a, b = x.to(dtype).requires_grad_(), y.to(dtype)
    value = huber(a, b)
    value.backward()
    wide = a.detach().float().requires_grad_()
    expected = huber(wide, b.float())
    expected.backward()
    assert value.dtype == a.grad.dtype == dtype
    torch.testing.assert_close(value, expected.to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(a.grad, wide.grad.to(dtype), rtol=0, atol=0)


def test_no_graph_where_nothing_requires_a_gradient(x: Any, y: Any) -> None:
    assert huber(x, y).grad_fn is None
    with torch.no_grad():
        assert huber(x.requires_grad_(), y).grad_fn is None
    with torch.inference_mode():
        assert huber(x, y).isfinite()


# ---------------------------------------------------------------------------------------------------- value and grad


def test_value_and_grad_is_detached_and_touches_nothing(x: Any, y: Any) -> None:
    a = x.requires_grad_()
    value, gradient = polyloss.value_and_grad(huber)(a * 1.0, y)
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert a.grad is None
    with torch.no_grad():
        torch.testing.assert_close(polyloss.value_and_grad(huber)(x, y)[1], gradient)


def test_value_and_grad_of_unused_argument_is_zero(x: Any, y: Any) -> None:
    _, (used, unused) = polyloss.value_and_grad(lambda a, b: a.sum(), argnums=(0, 1))(x, y)
    assert bool((used == 1).all())
    assert bool((unused == 0).all())
    assert bool((polyloss.value_and_grad(lambda a: torch.tensor(2.0))(x)[1] == 0).all())


def test_a_numpy_array_among_tensors_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=r"mse.*prediction is torch, target is numpy"):
        polyloss.mse(x, np.ones((6, 4)))


def gradient_at(x: Any, function: Any) -> Any:
    (found,) = torch.autograd.grad(function(x), x)
    return found


def test_change_between_forward_and_backward_raises() -> None:
    x, target = torch.randn(4096, requires_grad=True), torch.randn(4096)
    value = polyloss.huber(x, target)
    target.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_second_backward_has_a_gradient_of_its_own() -> None:
    x, target = torch.randn(4096, requires_grad=True), torch.randn(4096)
    value = polyloss.huber(x, target)
    (first,) = torch.autograd.grad(value, x, retain_graph=True)
    kept = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(3.0 * value, x, retain_graph=True)
    torch.testing.assert_close(second, 3.0 * kept)


def test_backward_without_retain_graph_frees() -> None:
    x = torch.randn(8, requires_grad=True)
    value = polyloss.mse(x, torch.zeros(8))
    value.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()


@pytest.mark.parametrize(
    "make",
    [lambda x: x.T, lambda x: x[:, ::2], lambda x: x[:1].expand(6, 4)],
    ids=["transposed", "strided", "expanded"],
)
def test_strided_arrays(make: Any) -> None:
    x, target = torch.randn(6, 4, dtype=torch.float64, requires_grad=True), torch.randn(6, 4, dtype=torch.float64)
    found = gradient_at(x, lambda x: polyloss.log_cosh(make(x), make(target)))
    expected = gradient_at(x, lambda x: torch.log(torch.cosh(make(x) - make(target))).mean())
    torch.testing.assert_close(found, expected)


def test_gradient_of_a_channels_last_class_axis() -> None:
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    target = torch.randint(0, 5, (2, 3, 4))
    found = gradient_at(x, lambda x: polyloss.cross_entropy(x, target, axis=1))
    torch.testing.assert_close(found, gradient_at(x, lambda x: torch.nn.functional.cross_entropy(x, target)))


def test_hooks_and_accumulation_see_the_gradient() -> None:
    x, seen = torch.randn(3000, requires_grad=True), []
    x.register_hook(lambda gradient: seen.append(gradient.clone()))
    for _ in range(2):
        polyloss.mse(x, torch.zeros(3000), reduction="sum").backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 4.0 * x.detach())
    torch.testing.assert_close(seen[1], 2.0 * x.detach())


def test_weight_that_requires_a_gradient_has_one() -> None:
    x, weight = torch.randn(5), torch.ones(5, requires_grad=True)
    (found,) = torch.autograd.grad(polyloss.mse(x, torch.zeros(5), sample_weight=weight, reduction="sum"), weight)
    torch.testing.assert_close(found, x * x)


def test_tracer_records_operations() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x, target = torch.randn(6), torch.randn(6)
    traced = make_fx(lambda x, t: polyloss.huber(x, t))(x, target)
    torch.testing.assert_close(traced(2 * x, target), polyloss.huber(2 * x, target))


def test_arguments_can_still_be_resized() -> None:
    x, target = torch.randn(8, requires_grad=True), torch.randn(8)
    polyloss.mse(x, target).backward()
    assert target.untyped_storage().resizable()
    assert x.untyped_storage().resizable()


@pytest.mark.parametrize("size", [5000, 300_000], ids=["in NumPy's operations", "in PyTorch's"])
def test_training_after_inference(size: int) -> None:
    x, target = torch.randn(size, requires_grad=True), torch.randn(size)
    with torch.inference_mode():
        expected = float(polyloss.tukey_biweight(x, target))
    value = polyloss.tukey_biweight(x, target)
    value.backward()
    assert value.item() == expected


def test_calls_from_several_threads(monkeypatch: Any) -> None:
    monkeypatch.setattr("polyloss.engine.dialect.BLOCK", 1 << 8)
    arrays = [(torch.randn(1 << 12), torch.randn(1 << 12)) for _ in range(6)]
    expected = [float(polyloss.huber(*pair)) for pair in arrays]
    with ThreadPoolExecutor(len(arrays)) as pool:
        for _ in range(30):
            assert list(pool.map(lambda pair: float(polyloss.huber(*pair)), arrays)) == expected


@pytest.mark.parametrize("bad", [-0.5, 1.5, float("nan")])
def test_target_outside_of_its_range(bad: float) -> None:
    logits, target = torch.randn(1 << 17), torch.rand(1 << 17)
    target[70000] = bad
    if bad != bad:
        # A NaN is let through: it shows in the result.
        assert polyloss.sigmoid_focal(logits, target).isnan()
    else:
        with pytest.raises(ValueError, match=rf"target must be in \[0, 1\], got {bad} \(element 70000 "):
            polyloss.sigmoid_focal(logits, target)


def test_a_first_call_imports_no_namespace_of_numpy() -> None:
    """It takes longer than all of a first call, and tensors need none, though blocks are made of NumPy's operations."""
    code = """
import sys

import torch

import polyloss
logits = torch.eye(3, requires_grad=True)

polyloss.cross_entropy(logits, torch.arange(3)).backward()
assert logits.grad is not None
print(*sorted(name for name in sys.modules if name.startswith("array_api_compat.")))
"""
    ran = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    imported = ran.stdout.split()
    assert "array_api_compat.torch" in imported
    assert "array_api_compat.numpy" not in imported


@pytest.mark.parametrize(
    ("loss", "soft"),
    [*((loss, False) for loss in LOSSES), *((getattr(polyloss, name), True) for name in OF_PROBABILITIES)],
    ids=lambda given: getattr(given, "__name__", "soft" if given else ""),
)
def test_closed_forms_are_the_derivatives_of_the_values_of_kernels(loss: Any, soft: bool, rng: Any) -> None:
    """Of what a kernel returns, PyTorch finds by itself the gradients that the kernel gives."""
    arrays = ordinary(loss, rng)
    if soft:
        arrays[1] = rng.dirichlet(np.ones(arrays[0].shape[-1]), len(arrays[0]))
    inputs = [torch.from_numpy(array).requires_grad_(array.dtype == np.float64) for array in arrays]
    call = loss.bind(inputs, {})
    ready = call.plan.prepare(call.backend.namespace(inputs[0]), call.named)
    value, *closed = ready.kernel(*ready.arrays.values())
    of = [array for array, found in zip(inputs, closed, strict=False) if array.requires_grad and found is not None]
    upstream = torch.from_numpy(rng.normal(size=value.shape))
    by_autograd = torch.autograd.grad(value, of, upstream)
    by_loss = torch.autograd.grad(loss(*inputs, reduction="none"), of, upstream)
    for one, other in zip(by_autograd, by_loss, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
