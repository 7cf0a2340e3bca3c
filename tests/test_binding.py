"""What a call is bound to: which kinds of numbers and arrays are alike, and what is said where they are not."""

from typing import Any

import numpy as np
import pytest

import polyloss

pytestmark = pytest.mark.unoptimised


class Measured(np.ndarray):
    """An array of NumPy with a class of its own."""


X, Y = np.asarray([2.0, 3.0], np.float32), np.asarray([1.0, 1.0], np.float32)


@pytest.mark.numpy
def test_arrays_of_classes_of_users_are_those_of_numpy() -> None:
    expected = float(polyloss.mse(X, Y))
    for arrays in ((X.view(Measured), Y), (X, Y.view(Measured)), (X.view(Measured), Y.view(Measured))):
        assert float(polyloss.mse(*arrays)) == expected
    assert float(polyloss.mse(X, Y, sample_weight=Y.view(Measured))) == expected


def test_defaults_of_a_partial_may_be_scalars_of_numpy(backend: Any) -> None:
    x, y = backend.array(X), backend.array(Y)
    backend.check(polyloss.huber.partial(delta=np.float32(0.5))(x, y), 0.625)
    loss = polyloss.cross_entropy.partial(ignore_index=np.int64(1))
    backend.check(loss(x, backend.array(np.asarray(1))), 0.0)
    assert polyloss.triplet_margin.partial(swap=np.bool_(True)).defaults["swap"] is True


@pytest.mark.numpy
def test_what_has_a_gradient_does_not_depend_on_how_many_rows_there_are() -> None:
    function = polyloss.value_and_grad(polyloss.linear_cross_entropy, "class_weight")
    for rows in (0, 1):
        hidden, weight, ids = np.zeros((rows, 4)), np.ones((2, 4)), np.zeros(rows, np.int64)
        with pytest.raises(ValueError, match="argnums must be of hidden, weight"):
            function(hidden, weight, ids, class_weight=np.ones(2))
    with pytest.raises(ValueError, match="argnums must be of prediction, target, delta"):
        polyloss.value_and_grad(polyloss.huber, "denominator")(
            np.zeros(0), np.zeros(0), delta=np.asarray(1.0), denominator=np.asarray(1.0)
        )


@pytest.mark.numpy
def test_of_a_shape_that_does_not_fit_there_is_more_to_say_than_that_it_is_empty() -> None:
    with pytest.raises(ValueError, match="for classes along another axis of logits say axis=1"):
        polyloss.cross_entropy(np.zeros((0, 4)), np.zeros(0, np.int64), axis=0)
    with pytest.raises(ValueError, match="logits must have entries along axis 1"):
        polyloss.cross_entropy(np.zeros((4, 0)), np.zeros(4, np.int64))


def test_a_parameter_is_checked_as_it_is_computed(backend: Any) -> None:
    x, y = backend.array(X), backend.array(Y)
    for q in (1 - 1e-9, 1 - 1e-9):
        with pytest.raises(ValueError, match=r"quantile: q must be in \(0, 1\)"):
            polyloss.quantile(x, y, q=q)
    assert float(polyloss.quantile(x, y, q=1 - 1e-6)) > 0
    if "float64" in backend.dtypes:
        small = backend.array(np.asarray(1e-50))
        with pytest.raises(ValueError, match="delta must be positive, got 0"):
            polyloss.huber(x, y, delta=small)
        with pytest.raises(ValueError, match="denominator must be positive"):
            polyloss.mse(x, y, denominator=small)


def test_a_number_is_the_label_of_a_single_row(backend: Any) -> None:
    row, rows = backend.array(X), backend.array(X[None])
    backend.check(polyloss.cosine_embedding(row, row, -1), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match=r"target must have one value per row, shape \(1,\), got \(\)"):
        polyloss.cosine_embedding(rows, rows, 1)


def test_equal_parameters_of_different_types_are_different() -> None:
    @polyloss.elementwise
    def by_type(xp: Any, /, prediction: Any, target: Any, *, n: Any = 2, **call: Any) -> Any:
        factor = {bool: 10.0, int: 1.0, float: 100.0}[type(n)]
        return factor * (prediction - target), lambda: factor * xp.ones_like(prediction)

    found = [float(by_type(X, Y, n=n, reduction="sum")) for n in (True, 1, 1.0, True)]
    assert found == [30.0, 3.0, 300.0, 30.0]


def test_booleans_are_no_signs(backend: Any) -> None:
    """All of them True would pass, until one is not."""
    row, label = backend.array(X[None]), backend.array(np.asarray([True]))
    calls: list[tuple[Any, Any]] = [(polyloss.cosine_embedding, (row, row)), (polyloss.hinge, (backend.array(X[:1]),))]
    for loss, arrays in calls:
        with pytest.raises(TypeError, match="target must be -1 or 1, got dtype bool; 2 \\* target - 1"):
            loss(*arrays, label)
