"""Tukey's biweight: where it saturates, and the scale that it takes from the data."""

import math
from typing import Any

import numpy as np
import pytest

from polyloss import tukey_biweight
from polyloss_conformance.frameworks import framework

C = 4.685


def biweight(residual: Any, scale: float = 1.0, c: float = C) -> Any:
    u = np.minimum(np.abs(residual) / (c * scale), 1)
    return c**2 / 6 * (1 - (1 - u**2) ** 3)


def psi(residual: Any, scale: float = 1.0, c: float = C) -> Any:
    u = np.clip(residual / (c * scale), -1, 1)
    return residual / scale**2 * (1 - u**2) ** 2


def deviation(residual: Any) -> float:
    return float(1.4826 * np.median(np.abs(residual - np.median(residual))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_known_values(backend: Any, dtype: str) -> None:
    # c²/6 is 3.658204 for the default; beyond c there is no gradient.
    residual = np.asarray([0.0, 1.0, -2.0, 4.5, C, 6.0, -1e4])
    arrays = backend.array(residual, dtype), backend.array(np.zeros(7), dtype)
    value, (gradient, by_target) = backend.value_and_grad(tukey_biweight, *arrays, cotangent=np.full(7, -2.0))
    backend.check(value, biweight(residual), dtype=dtype, rtol=1e-5 if dtype == "float32" else 1e-12)
    backend.check(gradient, -2 * psi(residual), dtype=dtype, rtol=1e-4 if dtype == "float32" else 1e-12)
    backend.check(by_target, -backend.numpy(gradient), dtype=dtype)
    assert float(backend.numpy(value)[-1]) == pytest.approx(3.658204, abs=1e-6)
    np.testing.assert_array_equal(backend.numpy(gradient)[[0, 5, 6]], 0)


def test_c_and_scale(backend: Any) -> None:
    residual = np.asarray([0.25, -0.75, 1.5, 3.0])
    arrays = backend.array(residual), backend.array(np.zeros(4))
    for c, scale in ((1.0, 1.0), (2.0, 0.5), (1.5, 4.0)):
        parameters = {"c": c, "scale": scale}
        value, (gradient, _) = backend.value_and_grad(tukey_biweight, *arrays, cotangent=np.ones(4), **parameters)
        backend.check(value, biweight(residual, scale, c), rtol=1e-12)
        backend.check(gradient, psi(residual, scale, c), rtol=1e-12)
    backend.check(
        tukey_biweight(*arrays, scale=backend.array([0.5, 0.5, 2.0, 2.0]), reduction="none"),
        [*biweight(residual[:2], 0.5), *biweight(residual[2:], 2.0)],
        rtol=1e-12,
    )


def test_small_residuals_do_not_cancel(backend: Any) -> None:
    residual = backend.array([1e-3, -1e-5, 1e-15], "float32")
    value = tukey_biweight(residual, residual * 0.0, reduction="none")
    backend.check(value, [0.5e-6, 0.5e-10, 0.5e-30], rtol=1e-6)


def test_scale_from_the_data(backend: Any, rng: np.random.Generator) -> None:
    for count in (7, 8):
        prediction, target = rng.normal(5, 2, count), rng.normal(0, 1, count)
        prediction[0] += 100
        residual = prediction - target
        scale = deviation(residual)
        arrays = backend.array(prediction), backend.array(target)
        value, (gradient, _) = backend.value_and_grad(tukey_biweight, *arrays, cotangent=np.ones(count), scale="mad")
        backend.check(value, biweight(residual, scale), rtol=1e-12)
        # The scale is a constant to the gradient.
        backend.check(gradient, psi(residual, scale), rtol=1e-12)


def test_scale_counts_unmasked_examples_alone(backend: Any, rng: np.random.Generator) -> None:
    prediction, target = rng.normal(0, 2, (3, 4)), rng.normal(0, 1, (3, 4))
    mask = np.asarray([[True] * 4, [False, True, True, False], [True] * 4])
    scale = deviation((prediction - target)[mask])
    expected = np.where(mask, biweight(prediction - target, scale), 0)
    prediction[~mask] = np.nan
    arrays, keywords = (
        (backend.array(prediction), backend.array(target)),
        {"scale": "mad", "where": backend.array(mask)},
    )
    value, (gradient, _) = backend.value_and_grad(tukey_biweight, *arrays, cotangent=np.ones((3, 4)), **keywords)
    backend.check(value, expected, rtol=1e-12)
    np.testing.assert_array_equal(backend.numpy(gradient)[~mask], 0)
    rows = backend.array([True, False, True])
    value = tukey_biweight(*arrays, scale="mad", where=rows, reduction="none")
    some = (backend.numpy(arrays[0]) - target)[[0, 2]]
    np.testing.assert_allclose(backend.numpy(value)[[0, 2]], biweight(some, deviation(some)), rtol=1e-12)


def test_scale_from_the_data_makes_it_scale_invariant(backend: Any, rng: np.random.Generator) -> None:
    prediction, target = rng.normal(0, 2, 9), rng.normal(0, 1, 9)
    one, other = (
        tukey_biweight(backend.array(k * prediction), backend.array(k * target), scale="mad", reduction="none")
        for k in (1.0, 2.0**-60)
    )
    backend.check(one, backend.numpy(other), rtol=1e-13)


def test_scale_of_nothing(backend: Any) -> None:
    # More than half of the residuals are equal, or there is but one: the limit of a vanishing scale.
    for residual, expected in (([0.0, 0.0, 0.0, 0.5, 0.0], [0, 0, 0, C**2 / 6, 0]), ([2.0], [C**2 / 6])):
        arrays = backend.array(residual), backend.array(np.zeros(len(residual)))
        cotangent = np.ones(len(residual))
        value, (gradient, _) = backend.value_and_grad(tukey_biweight, *arrays, cotangent=cotangent, scale="mad")
        backend.check(value, expected)
        backend.check(gradient, np.zeros(len(residual)))
    arrays = backend.array([1.0, math.nan]), backend.array([0.0, 0.0])
    nothing = backend.array([False, False])
    value, (gradient, _) = backend.value_and_grad(tukey_biweight, *arrays, scale="mad", where=nothing)
    backend.check(value, 0.0)
    backend.check(gradient, [0.0, 0.0])


def test_nan_shows_and_infinity_saturates(backend: Any) -> None:
    prediction = backend.array([math.nan, math.inf, -math.inf])
    value = tukey_biweight(prediction, backend.array([0.0, 0.0, 0.0]), reduction="none")
    backend.check(value, [math.nan, C**2 / 6, C**2 / 6])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"c": 0.0}, "c must be positive"),
        ({"scale": -1.0}, "scale must be positive"),
        ({"scale": "std"}, "scale must be one of mad, got 'std'"),
    ],
)
def test_bad_parameters(backend: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tukey_biweight(backend.array([1.0]), backend.array([0.0]), **parameters)


@pytest.mark.parametrize("scale", [1.0, "mad"])
def test_second_derivatives(backend: Any, scale: Any, rng: np.random.Generator) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    prediction, target = rng.normal(0, 3, 15), rng.normal(0, 1, 15)
    directions = [rng.normal(size=15) for _ in range(2)]
    residual, along = prediction - target, directions[0] - directions[1]
    s = deviation(residual) if scale == "mad" else scale
    expected = (psi(residual + 1e-6 * along, s) - psi(residual - 1e-6 * along, s)) / 2e-6 / 15
    own = framework(backend.framework)
    inputs, given = ([own.array(a) for a in arrays] for arrays in ((prediction, target), directions))
    found = own.hessian_product(tukey_biweight, {"scale": scale}, inputs, (0, 1), own.array(np.asarray(1.0)), given)
    np.testing.assert_allclose(own.numpy(found[0]), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(own.numpy(found[1]), -expected, rtol=1e-6, atol=1e-8)
