"""Losses of a residual: hand-computed values, scales at which built-ins fail, derivatives."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import huber, l1, log_cosh, mse, smooth_l1
from polyloss_conformance.frameworks import framework

ALL: list[Any] = [mse, l1, huber, smooth_l1, log_cosh]
INF, NAN = math.inf, math.nan

# loss, parameters, then (residual, value, slope)
Row = tuple[float, float, float]
KNOWN: list[tuple[Any, dict[str, float], list[Row]]] = [
    (mse, {}, [(2.0, 4.0, 4.0), (-0.5, 0.25, -1.0)]),
    (l1, {}, [(-3.0, 3.0, -1.0), (0.0, 0.0, 0.0)]),
    (huber, {}, [(-3.0, 2.5, -1.0), (0.5, 0.125, 0.5), (0.0, 0.0, 0.0)]),
    (huber, {"delta": 2.0}, [(-3.0, 4.0, -2.0), (2.0, 2.0, 2.0)]),
    (huber, {"delta": 0.5}, [(-3.0, 1.375, -0.5)]),
    (huber, {"delta": INF}, [(3.0, 4.5, 3.0)]),
    (smooth_l1, {"beta": 2.0}, [(-3.0, 2.0, -1.0), (1.0, 0.25, 0.5), (2.0, 1.0, 1.0)]),
    (smooth_l1, {"beta": 0.5}, [(-3.0, 2.75, -1.0)]),
    (smooth_l1, {"beta": 0.0}, [(-3.0, 3.0, -1.0), (0.0, 0.0, 0.0)]),
    (
        log_cosh,
        {},
        [(0.0, 0.0, 0.0), (1.0, math.log(math.cosh(1.0)), math.tanh(1.0)), (-1e3, 1e3 - math.log(2.0), -1.0)],
    ),
]

# In float32, where a plain formula overflows, underflows or cancels.
SCALES: list[tuple[Any, dict[str, float], list[Row]]] = [
    (huber, {}, [(1e20, 1e20, 1.0), (1e-8, 0.5e-16, 1e-8)]),
    (huber, {"delta": 0.5}, [(-3e38, 1.5e38, -0.5)]),
    (huber, {"delta": 1e25}, [(1e15, 0.5e30, 1e15)]),
    (smooth_l1, {}, [(-3e38, 3e38, -1.0)]),
    (smooth_l1, {"beta": 2.0**90}, [(1e25, 1e25 / 2**90 * 0.5e25, 1e25 / 2**90)]),
    (smooth_l1, {"beta": 2.0**-100}, [(2.0**-101, 2.0**-103, 0.5), (1.0, 1.0, 1.0)]),
    (log_cosh, {}, [(1e-3, 4.9999991666669e-7, 9.99999666666e-4), (-1e-4, 5e-9, -1e-4), (1.8e-8, 1.62e-16, 1.8e-8)]),
    (log_cosh, {}, [(89.0, 89.0 - math.log(2.0), 1.0), (1e30, 1e30, 1.0)]),
]


def check_rows(
    backend: Any, loss: Any, parameters: dict[str, float], rows: list[Row], origin: float, dtype: str
) -> None:
    residual, value, slope = np.asarray(rows).T
    arrays = backend.array(residual + origin, dtype), backend.array(np.full(residual.shape, origin), dtype)
    cotangent = np.where(np.arange(len(rows)) % 2, 2.0, -0.5)
    found, gradients = backend.value_and_grad(loss, *arrays, cotangent=cotangent, **parameters)
    backend.check(found, value, dtype=dtype)
    backend.check(gradients[0], cotangent * slope, dtype=dtype)
    backend.check(gradients[1], -cotangent * slope, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "parameters", "rows"), KNOWN)
def test_known_values(backend: Any, loss: Any, parameters: dict[str, float], rows: list[Row], dtype: str) -> None:
    check_rows(backend, loss, parameters, rows, 1.0, dtype)


@pytest.mark.parametrize(("loss", "parameters", "rows"), SCALES)
def test_scales(backend: Any, loss: Any, parameters: dict[str, float], rows: list[Row]) -> None:
    check_rows(backend, loss, parameters, rows, 0.0, "float32")


def test_smooth_l1_is_huber_over_beta(backend: Any, rng: np.random.Generator) -> None:
    arrays = backend.array(rng.normal(0, 3, 20)), backend.array(rng.normal(0, 3, 20))
    for beta in (0.1, 1.0, 1.345, 7.0):
        divided = backend.numpy(huber(*arrays, delta=beta, reduction="none")) / beta
        backend.check(smooth_l1(*arrays, beta=beta, reduction="none"), divided)


def test_parameters_are_not_rounded_to_float32(backend: Any) -> None:
    prediction, target = backend.array([3.0]), backend.array([0.0])
    backend.check(huber(prediction, target, delta=1.345), 1.345 * (3 - 1.345 / 2))
    backend.check(smooth_l1(prediction, target, beta=1.345), 3 - 1.345 / 2)
    backend.check(backend.grad(huber, prediction, target, delta=1.345)[0], [1.345])


@pytest.mark.parametrize(("loss", "name"), [(huber, "delta"), (smooth_l1, "beta")])
def test_a_parameter_per_feature(backend: Any, loss: Any, name: str) -> None:
    prediction, target = backend.array([[3.0, 3.0], [0.5, 0.5]]), backend.array(np.zeros((2, 2)))
    together = loss(prediction, target, reduction="none", **{name: backend.array([0.25, 2.0])})
    apart = [backend.numpy(loss(prediction, target, reduction="none", **{name: value})) for value in (0.25, 2.0)]
    backend.check(together, np.stack([apart[0][:, 0], apart[1][:, 1]], axis=1))


def test_a_beta_of_zero_among_others(backend: Any) -> None:
    prediction, target = backend.array([[3.0, 3.0, 0.0], [-0.25, -0.25, 0.25]]), backend.array(np.zeros((2, 3)))
    value, gradients = backend.value_and_grad(
        smooth_l1, prediction, target, cotangent=np.ones((2, 3)), beta=backend.array([0.0, 0.5, 0.0])
    )
    backend.check(value, [[3.0, 2.75, 0.0], [0.25, 0.0625, 0.25]])
    backend.check(gradients[0], [[1.0, 1.0, 0.0], [-1.0, -0.5, 1.0]])


@pytest.mark.parametrize("loss", ALL)
def test_gradients_per_example(backend: Any, loss: Any, rng: np.random.Generator) -> None:
    module = {"torch": "torch.func", "jax": "jax", "mlx": "mlx.core"}.get(backend.name)
    if module is None:
        pytest.skip("has no vmap")
    transforms: Any = importlib.import_module(module)
    prediction, target = rng.normal(size=(2, 3, 4))
    found = transforms.vmap(transforms.grad(loss))(backend.array(prediction), backend.array(target))
    for one, x, t in zip(backend.numpy(found), prediction, target, strict=True):
        np.testing.assert_allclose(one, polyloss.value_and_grad(loss)(x, t)[1], rtol=1e-14)


@pytest.mark.parametrize("loss", ALL)
def test_nan_and_infinity_show(backend: Any, loss: Any) -> None:
    prediction = backend.array([NAN, INF, -INF, 1.0])
    target = backend.array([0.0, 0.0, 0.0, INF])
    backend.check(loss(prediction, target, reduction="none"), [NAN, INF, INF, INF])


@pytest.mark.parametrize("loss", ALL)
def test_half_precision_rounds_once(backend: Any, loss: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    prediction, target = (
        np.asarray([3.0, 0.125, 200.0], dtype=np.float16),
        np.asarray([0.1, 0.0, 0.0], dtype=np.float16),
    )
    exact = loss(prediction.astype(np.float64), target.astype(np.float64), reduction="none")
    with np.errstate(over="ignore"):
        expected = exact.astype(np.float16).astype(np.float64)
    arrays = backend.array(prediction, "float16"), backend.array(target, "float16")
    backend.check(loss(*arrays, reduction="none"), expected, dtype="float16", rtol=0)


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN])
def test_delta_must_be_positive(backend: Any, bad: float) -> None:
    with pytest.raises(ValueError, match="huber: delta must be positive"):
        huber(backend.array([1.0]), backend.array([0.0]), delta=bad)


def test_beta_must_not_be_negative(backend: Any) -> None:
    with pytest.raises(ValueError, match="smooth_l1: beta must be zero or positive, got -1"):
        smooth_l1(backend.array([1.0]), backend.array([0.0]), beta=-1.0)


@pytest.mark.parametrize("loss", ALL)
def test_nothing_is_broadcast(backend: Any, loss: Any) -> None:
    with pytest.raises(ValueError, match=r"target must have the shape of prediction, \(3, 1\), got \(3,\)"):
        loss(backend.array(np.zeros((3, 1))), backend.array(np.zeros(3)))
    with pytest.raises(TypeError, match="prediction must be real floating"):
        loss(backend.array([1, 2]), backend.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        (mse, {}),
        (l1, {}),
        (huber, {"delta": 0.75}),
        (smooth_l1, {"beta": 0.75}),
        (smooth_l1, {"beta": 0.0}),
        (log_cosh, {}),
    ],
)
def test_second_derivatives(backend: Any, loss: Any, parameters: dict[str, float], rng: np.random.Generator) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    prediction, target = rng.normal(0, 2, 24), rng.normal(0, 2, 24)
    prediction[:4] += 1e-4 + target[:4] - prediction[:4]
    check_second_derivatives(backend, loss, [prediction, target], **parameters)


def check_second_derivatives(backend: Any, loss: Callable[..., Any], arrays: list[Any], **parameters: Any) -> None:
    """The derivative of the gradient along random directions, against a difference quotient of the gradient."""
    rng = np.random.default_rng(0)
    directions = [rng.normal(size=a.shape) for a in arrays]
    step = 1e-6

    def gradient(sign: int) -> list[Any]:
        moved = [backend.array(a + sign * step * d) for a, d in zip(arrays, directions, strict=True)]
        return [backend.numpy(g) for g in backend.grad(loss, *moved, **parameters)]

    own = framework(backend.framework)
    wanted = tuple(range(len(arrays)))
    inputs, along = ([own.array(a) for a in values] for values in (arrays, directions))
    found = own.hessian_product(loss, parameters, inputs, wanted, own.array(np.asarray(1.0)), along)
    for product, high, low in zip(found, gradient(1), gradient(-1), strict=True):
        np.testing.assert_allclose(own.numpy(product), (high - low) / (2 * step), rtol=1e-6, atol=1e-7)


def test_tags() -> None:
    assert all("regression" in loss.tasks for loss in ALL)
    assert "outliers" not in mse.tasks
