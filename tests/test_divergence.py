"""The divergence of a prediction from a target: direction, zeros, logarithms, derivatives."""

import math
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import kl_divergence
from polyloss_conformance.frameworks import framework

INF = math.inf


def test_the_direction(backend: Any) -> None:
    predicted, target = np.asarray([[0.5, 0.5], [0.25, 0.75]]), np.asarray([[0.25, 0.75], [0.5, 0.5]])
    expected = np.sum(target * np.log(target / predicted), axis=-1)
    arrays = backend.array(np.log(predicted)), backend.array(target)
    value, gradients = backend.value_and_grad(kl_divergence, *arrays, cotangent=np.asarray([-2.0, 0.5]))
    backend.check(value, expected, dtype="float64", rtol=1e-14)
    backend.check(gradients[0], np.asarray([[2.0], [-0.5]]) * target)
    backend.check(gradients[1], np.asarray([[-2.0], [0.5]]) * (np.log(target / predicted) + 1), rtol=1e-14)
    assert abs(float(expected[0] - expected[1])) > 0.01


def test_a_sum_over_the_classes_and_a_mean_over_the_rows(backend: Any, rng: np.random.Generator) -> None:
    predicted, target = (rng.dirichlet(np.ones(4), size=(2, 3)) for _ in range(2))
    rows = np.sum(target * np.log(target / predicted), axis=-1)
    arrays = backend.array(np.log(predicted)), backend.array(target)
    backend.check(kl_divergence(*arrays, reduction="none"), rows, rtol=1e-13)
    backend.check(kl_divergence(*arrays), rows.mean(), rtol=1e-13)
    moved = backend.array(np.moveaxis(np.log(predicted), -1, 1)), backend.array(np.moveaxis(target, -1, 1))
    backend.check(kl_divergence(*moved, axis=1, reduction="none"), rows, rtol=1e-13)


@pytest.mark.parametrize("log_target", [False, True])
def test_a_class_without_mass_adds_nothing(backend: Any, log_target: bool) -> None:
    log_p = np.asarray([[-0.5, -INF, -1.0], [0.0, -INF, -INF], [-INF, -0.5, -1.0]])
    target = np.asarray([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
    with np.errstate(divide="ignore"):
        given = np.log(target) if log_target else target
    arrays = backend.array(log_p), backend.array(given)
    value, gradients = backend.value_and_grad(kl_divergence, *arrays, cotangent=np.ones(3), log_target=log_target)
    backend.check(value, [math.log(0.5) + 0.75, 0.0, INF], rtol=1e-14)
    backend.check(gradients[0], -target)
    zeros = backend.numpy(gradients[1])[target == 0]
    np.testing.assert_array_equal(zeros, np.zeros(zeros.shape))


def test_logarithms_of_the_target_are_the_same(backend: Any, rng: np.random.Generator) -> None:
    log_p, target = np.log(rng.dirichlet(np.ones(5), size=4)), rng.dirichlet(np.ones(5), size=4)
    plain, (by_p, by_t) = backend.value_and_grad(kl_divergence, backend.array(log_p), backend.array(target))
    logs = backend.array(log_p), backend.array(np.log(target))
    value, (first, second) = backend.value_and_grad(kl_divergence, *logs, log_target=True)
    backend.check(value, backend.numpy(plain), rtol=1e-13)
    backend.check(first, backend.numpy(by_p), rtol=1e-13)
    backend.check(second, target * backend.numpy(by_t), rtol=1e-12)


def test_equal_distributions(backend: Any) -> None:
    target = np.asarray([[0.5, 0.25, 0.25, 0.0]])
    with np.errstate(divide="ignore"):
        log_p = np.log(target)
    backend.check(kl_divergence(backend.array(log_p), backend.array(target)), 0.0)


def test_logarithms_that_nearly_agree(backend: Any) -> None:
    """Their difference is exact, and so is the gradient: its exponentials would cancel."""
    a, b = (np.asarray([[x]], np.float32) for x in (1e-3, 1e-3 + 1e-7))
    arrays = backend.array(a, "float32"), backend.array(b, "float32")
    found, _ = backend.grad(polyloss.generalized_kl_divergence, *arrays, log_target=True)
    difference = a.astype(np.float64) - b.astype(np.float64)
    backend.check(found, np.exp(b.astype(np.float64)) * np.expm1(difference), rtol=4 * 2.0**-23)


def test_nan_shows(backend: Any) -> None:
    arrays = backend.array([[-0.5, math.nan], [-1.0, -1.0]]), backend.array([[0.5, 0.5], [0.5, 0.5]])
    assert np.isnan(backend.numpy(kl_divergence(*arrays, reduction="none"))).tolist() == [True, False]


def test_bad_input(backend: Any) -> None:
    log_p = backend.array([[-0.5, -1.0]])
    with pytest.raises(ValueError, match=r"target must have the shape of log_probabilities, \(1, 2\), got \(1,\)"):
        kl_divergence(log_p, backend.array([0]))
    if "jax" not in backend.name:
        with pytest.raises(ValueError, match=r"kl_divergence: target must be zero or positive, got -0.5"):
            kl_divergence(log_p, backend.array([[1.5, -0.5]]))
    # Logarithms are negative.
    assert np.isfinite(backend.numpy(kl_divergence(log_p, log_p, log_target=True)))


@pytest.mark.parametrize("log_target", [False, True])
def test_second_derivatives(backend: Any, log_target: bool, rng: np.random.Generator) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    log_p, target = np.log(rng.dirichlet(np.ones(3), size=4)), rng.dirichlet(np.ones(3), size=4)
    arrays = [log_p, np.log(target) if log_target else target]
    directions = [rng.normal(size=(4, 3)) for _ in arrays]
    keywords: dict[str, Any] = {"reduction": "sum", "log_target": log_target}

    def gradients(step: float) -> Any:
        moved = [a + step * d for a, d in zip(arrays, directions, strict=True)]
        return polyloss.value_and_grad(kl_divergence, (0, 1))(*moved, **keywords)[1]

    expected = [(up - down) / 2e-7 for up, down in zip(gradients(1e-7), gradients(-1e-7), strict=True)]
    own = framework(backend.framework)
    found = own.hessian_product(
        kl_divergence,
        keywords,
        [own.array(a) for a in arrays],
        (0, 1),
        own.array(np.asarray(1.0)),
        [own.array(d) for d in directions],
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.numpy(ours), theirs, rtol=1e-6, atol=1e-7)
