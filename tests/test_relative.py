"""Losses of ratios: targets of 0, numbers that are close, and numbers out of range."""

import math
from typing import Any

import numpy as np
import pytest

from polyloss import mape, msle
from polyloss.compat import keras
from polyloss_conformance.frameworks import framework


def test_a_percentage(backend: Any) -> None:
    prediction, target = backend.array([3.0, 9.0, -1.0]), backend.array([2.0, 10.0, -4.0])
    value, (by_prediction, by_target) = backend.value_and_grad(mape, prediction, target, cotangent=np.ones(3))
    backend.check(value, [50.0, 10.0, 75.0], rtol=1e-12)
    backend.check(by_prediction, [50.0, -10.0, 25.0], rtol=1e-12)
    backend.check(by_target, [-75.0, 9.0, -6.25], rtol=1e-12)


def test_a_floor_keeps_one_target_of_0_from_being_the_mean(backend: Any) -> None:
    prediction, target = backend.array([1.0, 3.0, 0.0]), backend.array([0.0, 2.0, 0.0])
    with np.errstate(divide="ignore"):
        backend.check(mape(prediction, target, reduction="none"), [math.inf, 50.0, 0.0])
    backend.check(mape(prediction, target, floor=0.5, reduction="none"), [200.0, 50.0, 0.0], rtol=1e-12)
    each = backend.array([4.0, 4.0, 4.0])
    backend.check(mape(prediction, target, floor=each, reduction="none"), [25.0, 25.0, 0.0], rtol=1e-12)


def test_logarithms_that_are_close_are_not_subtracted(backend: Any) -> None:
    prediction, target = backend.array([1e-5, 1e-15, 1000.0], "float32"), backend.array([2e-5, 0.0, 1001.0], "float32")
    exact = [math.log1p(-1e-5 / 1.00002) ** 2, 1e-30, math.log1p(1 / 1001) ** 2]
    backend.check(msle(prediction, target, reduction="none"), exact, rtol=1e-6)


def test_only_numbers_above_minus_1_have_a_logarithm() -> None:
    good, bad = np.asarray([0.0, -0.5]), np.asarray([0.0, -1.0])
    with pytest.raises(ValueError, match=r"msle: prediction must be above -1, got -1 \(element 1"):
        msle(bad, good)
    with pytest.raises(ValueError, match=r"msle: target must be above -1, got -1 \(element 1"):
        msle(good, bad)


def test_second_derivatives_where_the_prediction_is_perfect(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("no autodiff")
    own, target = framework(backend.framework), np.asarray([0.5, 3.0])
    found = own.hessian_product(
        msle,
        {"reduction": "sum"},
        [own.array(target), own.array(target)],
        (0, 1),
        own.array(np.ones(())),
        [own.array(np.ones(2)), own.array(np.zeros(2))],
    )
    for array, sign in zip(found, (1, -1), strict=True):
        np.testing.assert_allclose(own.numpy(array), sign * 2 / (1 + target) ** 2, rtol=1e-12)


def test_what_keras_replaces_by_its_epsilon(backend: Any) -> None:
    target, prediction = backend.array([[-0.5, 0.0, 1.0]]), backend.array([[-0.9, 1.0, math.nan]])
    value = keras.mean_squared_logarithmic_error(target[:, :2], prediction[:, :2])
    backend.check(value, [(math.log(2) - math.log1p(1e-7)) ** 2 / 2], rtol=1e-9)
    assert np.isnan(backend.numpy(keras.mean_squared_logarithmic_error(target, prediction)))
    backend.check(keras.mean_absolute_percentage_error(target[:, 1:2], prediction[:, 1:2]), [1e9], rtol=1e-9)


def test_slopes_exactly_at_the_floor_are_the_least(backend: Any) -> None:
    # By t between the slopes of a target below and above, by f between 0 and that of a floor above.
    prediction, target = backend.array([1.0, -1.0, 0.25, 0.25]), backend.array([0.5, 0.5, 0.5, 0.25])
    slopes = backend.grad(mape, prediction, target, cotangent=np.ones(4), floor=0.5)
    backend.check(slopes[1], [-200.0, 0.0, 100.0, 0.0])
    if backend.has_autodiff:
        by_floor = backend.grad(lambda f, **_: mape(prediction[:1], target[:1], floor=f), backend.array(0.5))
        backend.check(by_floor[0], 0.0)
