"""Likelihoods: rates and their logarithms, variances and theirs, and the twins with the constants that others add."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from polyloss import gaussian_nll, poisson_nll, stable
from polyloss.compat import keras, tf, torch
from polyloss.core.backend import backend_of
from polyloss_conformance.frameworks import framework

RATE, COUNT = np.asarray([2.0, 0.5, 7.0]), np.asarray([2.0, 0.0, 5.0])


def stirling(count: Any) -> Any:
    t = np.maximum(count, 1.0)
    return np.where(count > 1, t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t), 0.0)


def test_rates_and_their_logarithms_have_one_loss(backend: Any) -> None:
    exact = RATE - COUNT * np.log(RATE)
    count = backend.array(COUNT)
    value, (by_rate, by_count) = backend.value_and_grad(poisson_nll, backend.array(RATE), count, cotangent=np.ones(3))
    backend.check(value, exact, rtol=1e-12)
    backend.check(by_rate, 1 - COUNT / RATE, rtol=1e-12)
    backend.check(by_count, -np.log(RATE), rtol=1e-12)
    value, (by_log, by_count) = backend.value_and_grad(
        poisson_nll, backend.array(np.log(RATE)), count, cotangent=np.ones(3), log_rate=True
    )
    backend.check(value, exact, rtol=1e-12)
    backend.check(by_log, RATE - COUNT, rtol=1e-12)
    backend.check(by_count, -np.log(RATE), rtol=1e-12)


def test_what_was_thought_impossible_is_infinite(backend: Any) -> None:
    with np.errstate(divide="ignore"):
        found = poisson_nll(backend.array([0.0, 0.0]), backend.array([0.0, 1.0]), reduction="none")
    backend.check(found, [0.0, math.inf])
    logarithms = backend.array([-math.inf, -math.inf, math.inf])
    found = poisson_nll(logarithms, backend.array([0.0, 1.0, 9.0]), log_rate=True, reduction="none")
    backend.check(found, [0.0, math.inf, math.inf])


def test_logarithms_by_mistake() -> None:
    with pytest.raises(ValueError, match=r"prediction must be zero or positive, got -1 .*; log_rate=True takes"):
        poisson_nll(np.asarray([-1.0]), np.asarray([1.0]))
    with pytest.raises(ValueError, match=r"variance must be positive, got 0 .*; log_variance=True takes"):
        gaussian_nll(np.asarray([1.0]), np.asarray([1.0]), np.asarray([0.0]))
    with pytest.raises(TypeError, match="unexpected log_input; did you mean log_rate"):
        poisson_nll(RATE, COUNT, log_input=True)  # type: ignore[call-arg]


def test_variances_and_their_logarithms_have_one_loss(backend: Any) -> None:
    variance = np.asarray([4.0, 1.0, 0.25])
    prediction, target = backend.array([3.0, 1.0, 0.0]), backend.array([1.0, 1.0, 2.0])
    square = np.asarray([4.0, 0.0, 4.0])
    for given, keywords in ((variance, {}), (np.log(variance), {"log_variance": True})):
        value, (by_prediction, by_target, by_variance) = backend.value_and_grad(
            gaussian_nll, prediction, target, backend.array(given), cotangent=np.ones(3), **keywords
        )
        backend.check(value, 0.5 * (np.log(variance) + square / variance), rtol=1e-12)
        backend.check(by_prediction, np.asarray([2.0, 0.0, -2.0]) / variance, rtol=1e-12)
        backend.check(by_target, np.asarray([-2.0, 0.0, 2.0]) / variance, rtol=1e-12)
        slope = 0.5 * (1 - square / variance)
        # One more: the slope is 0 where the error is one deviation.
        backend.check(1.0 + by_variance, 1.0 + (slope if keywords else slope / variance), rtol=1e-12)
    full = gaussian_nll(prediction, target, backend.array(variance), full=True, reduction="none")
    backend.check(full, 0.5 * (np.log(2 * np.pi * variance) + square / variance), rtol=1e-12)


def test_a_perfect_prediction_of_no_variance(backend: Any) -> None:
    logs, zero = backend.array([-1e4, 0.0], "float32"), backend.array([0.0, 0.0], "float32")
    value, gradients = backend.value_and_grad(gaussian_nll, zero, zero, logs, cotangent=np.ones(2), log_variance=True)
    backend.check(value, [-5e3, 0.0])
    for gradient, exact in zip(gradients, ([0.0, 0.0], [0.0, 0.0], [0.5, 0.5]), strict=True):
        backend.check(gradient, exact)


def test_second_derivatives_where_the_error_is_0(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("no autodiff")
    own, logs = framework(backend.framework), np.asarray([-1.0, 2.0])
    zero, one = np.zeros(2), np.ones(2)
    for given, keywords in ((np.exp(logs), {}), (logs, {"log_variance": True})):
        found = own.hessian_product(
            gaussian_nll,
            {"reduction": "sum", **keywords},
            [own.array(zero), own.array(zero), own.array(given)],
            (0, 1, 2),
            own.array(np.ones(())),
            [own.array(one), own.array(zero), own.array(zero)],
        )
        for array, exact in zip(found, (np.exp(-logs), -np.exp(-logs), zero), strict=True):
            np.testing.assert_allclose(own.numpy(array), exact, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_factorial(backend: Any, dtype: str) -> None:
    count = np.concatenate([np.exp(np.linspace(-60, 60, 241)), np.arange(1.0, 40)]).astype(dtype)
    t = [mpmath.mpf(float(one)) for one in count]
    with mpmath.workdps(50):
        rest = [mpmath.loggamma(one + 1) - one * mpmath.log(one) + one for one in t]
        slope = [mpmath.psi(0, one + 1) for one in t]
        of_rest = [by - mpmath.log(one) for by, one in zip(slope, t, strict=True)]
    array = backend.array(count, dtype)
    found = stable.log_factorial_of(backend_of(array).namespace(array), array)
    for values, exact, limit in ((found.rest, rest, 4), (found.slope_of_rest(), of_rest, 8)):
        off = [abs(float(v) / e - 1) for v, e in zip(backend.numpy(values), exact, strict=True)]
        assert max(off) < limit * np.finfo(dtype).eps
    # It changes its sign.
    off = [abs(float(v) - e) / (1 + abs(e)) for v, e in zip(backend.numpy(found.slope()), slope, strict=True)]
    assert max(off) < 4 * np.finfo(dtype).eps


def test_the_full_loss_is_that_of_a_probability(backend: Any) -> None:
    rate, count = 3.5, np.arange(60.0)
    arrays = backend.array(np.full(60, rate)), backend.array(count)
    chances = np.exp(-backend.numpy(poisson_nll(*arrays, full=True, reduction="none")))
    assert abs(chances.sum() - 1) < 1e-12
    assert abs((chances * count).sum() - rate) < 1e-12


def test_the_full_loss_of_others_has_stirlings_approximation(backend: Any) -> None:
    rate, count = backend.array(RATE), backend.array(COUNT)
    exact = RATE - COUNT * np.log(RATE) + stirling(COUNT)
    logs = backend.array(np.log(RATE))
    backend.check(torch.poisson_nll_loss(logs, count, full=True, reduction="none"), exact, rtol=1e-12)
    backend.check(torch.poisson_nll_loss(rate, count, log_input=False, full=True), exact.mean(), rtol=1e-12)
    backend.check(tf.log_poisson_loss(count, logs, compute_full_loss=True), exact, rtol=1e-12)
    if backend.has_autodiff:
        found = backend.grad(lambda t, x: torch.poisson_nll_loss(x, t, full=True, reduction="sum"), count, logs)[0]
        backend.check(found, -np.log(RATE) + [math.log(2) + 0.25, 0.0, math.log(5) + 0.1], rtol=1e-12)


def test_the_variances_of_torch(backend: Any) -> None:
    prediction, target = np.asarray([[1.0, 2.0], [3.0, 5.0]]), np.zeros((2, 2))
    variance = np.asarray([4.0, 0.5])
    arrays = backend.array(prediction), backend.array(target)
    for var, each in (
        (2.0, np.full((2, 2), 2.0)),
        (variance, variance[:, None]),
        (variance[:, None], variance[:, None]),
        (np.repeat(variance[None], 2, axis=0), variance[None]),
    ):
        given = var if isinstance(var, float) else backend.array(var)
        exact = 0.5 * (np.log(each) + prediction**2 / each)
        backend.check(torch.gaussian_nll_loss(*arrays, given, reduction="none"), exact, rtol=1e-12)
        backend.check(torch.gaussian_nll_loss(*arrays, given), exact.mean(), rtol=1e-12)
    with pytest.raises(ValueError, match="var must broadcast"):
        torch.gaussian_nll_loss(*arrays, backend.array([1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="var must be zero or positive"):
        torch.gaussian_nll_loss(*arrays, backend.array([1.0, -1.0]))


def test_a_small_variance_is_replaced_and_has_a_gradient(backend: Any) -> None:
    one, zero = backend.array([1.0]), backend.array([0.0])
    backend.check(torch.gaussian_nll_loss(one, zero, zero), 0.5 * (math.log(1e-6) + 1e6), rtol=1e-12)
    backend.check(torch.gaussian_nll_loss(one, zero, zero, eps=0.5), 0.5 * (math.log(0.5) + 2), rtol=1e-12)
    if backend.has_autodiff:
        variance = backend.array([0.0])
        found = backend.grad(lambda v, x, t: torch.gaussian_nll_loss(x, t, v), variance, one, zero)[0]
        backend.check(found, [0.5 * (1e6 - 1e12)], rtol=1e-9)


def test_twins_speak_of_what_they_have() -> None:
    rows = np.asarray([[-1.0, 1.0]])
    with pytest.raises(ValueError, match=r"^poisson: y_pred must be zero or positive, got -1 [^;]*$"):
        keras.poisson(-rows * rows, rows)
    with pytest.raises(ValueError, match=r"eps must be 0 or left alone: logarithms are exact; got 0\.1"):
        torch.poisson_nll_loss(rows, rows, eps=0.1)
    with pytest.raises(ValueError, match=r"^log_poisson_loss: targets must be zero or positive and finite, got -1"):
        tf.log_poisson_loss(rows, rows)


def test_what_is_masked_may_have_any_variance(backend: Any) -> None:
    keep = backend.array(np.asarray([True, False, False]))
    arrays = [backend.array(a) for a in ([3.0, 1.0, math.nan], [1.0, 1.0, 0.0], [4.0, 0.0, -1.0])]
    value, gradients = backend.value_and_grad(gaussian_nll, *arrays, where=keep)
    backend.check(value, 0.5 * (math.log(4) + 1), rtol=1e-12)
    for gradient, exact in zip(gradients, ([0.5, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]), strict=True):
        backend.check(gradient, exact, rtol=1e-12)


def test_gaussian_nll_by_a_subnormal_variance(backend: Any) -> None:
    # Its inverse is too large for float32, where the slope is not.
    if framework(backend.framework).flushes:
        pytest.skip("a subnormal variance is 0 there, which is refused")
    variance, error = backend.array([2.0**-128] * 2, "float32"), backend.array([0.0, 2.0**-64], "float32")
    zero = backend.array([0.0] * 2, "float32")
    slopes = backend.grad(gaussian_nll, error, zero, variance, cotangent=np.ones(2, np.float32))
    backend.check(slopes[2], [2.0**127, 0.0], dtype="float32")
