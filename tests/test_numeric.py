"""Exponentials and logarithms: far out, at ties, at infinities; their derivatives in every framework."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import log_sigmoid, log_softmax, log_sum_exp, sigmoid, smooth_labels, softmax, softplus

INF, NAN = math.inf, math.nan
ROWS = [log_sum_exp, log_softmax, softmax]
NUMBERS = [softplus, log_sigmoid, sigmoid]


def pulled(backend: Any, function: Callable[..., Any], x: Any, cotangent: Any) -> np.ndarray[Any, Any]:
    """The gradient of ``sum(cotangent * function(x))``."""
    if not backend.has_autodiff:
        pytest.skip("cannot differentiate")
    weight = backend.array(np.asarray(cotangent, dtype=float), str(backend.numpy(x).dtype))
    _, gradient = polyloss.value_and_grad(lambda a: backend.xp.sum(weight * function(a)))(x)
    found: np.ndarray[Any, Any] = backend.numpy(gradient)
    return found


def test_known_values(backend: Any) -> None:
    x = backend.array([0.0, 1.0, -1.0])
    backend.check(softplus(x), np.log1p(np.exp([0.0, 1.0, -1.0])))
    backend.check(log_sigmoid(x), -np.log1p(np.exp([0.0, -1.0, 1.0])))
    backend.check(sigmoid(x), 1 / (1 + np.exp([0.0, -1.0, 1.0])))
    row = backend.array([0.0, math.log(2.0), 0.0])
    backend.check(log_sum_exp(row), math.log(4.0))
    backend.check(softmax(row), [0.25, 0.5, 0.25])
    backend.check(log_softmax(row), np.log([0.25, 0.5, 0.25]))


def test_far_out(backend: Any) -> None:
    x = backend.array([20.5, -20.5, -80.0, 1000.0, -1000.0, INF, -INF], "float32")
    small = np.exp([-20.5, -20.5, -80.0])
    backend.check(softplus(x), [20.5, small[0], small[2], 1000.0, 0.0, INF, 0.0], dtype="float32")
    backend.check(log_sigmoid(x), [-small[0], -20.5, -80.0, 0.0, -1000.0, 0.0, -INF], dtype="float32")
    backend.check(sigmoid(x), [1.0, small[1], small[2], 1.0, 0.0, 1.0, 0.0], dtype="float32")


def test_slopes_of_numbers(backend: Any) -> None:
    x = backend.array([0.0, 17.0, -17.0, 1000.0, -1000.0, INF, -INF], "float32")
    tail = math.exp(-17.0) / (1 + math.exp(-17.0))
    ones = np.ones(7)
    np.testing.assert_allclose(pulled(backend, softplus, x, ones), [0.5, 1 - tail, tail, 1, 0, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(pulled(backend, log_sigmoid, x, ones), [0.5, tail, 1 - tail, 0, 1, 0, 1], rtol=1e-6)
    slope = tail * (1 - tail)
    np.testing.assert_allclose(pulled(backend, sigmoid, x, ones), [0.25, slope, slope, 0, 0, 0, 0], rtol=1e-6)


def test_a_confident_row(backend: Any) -> None:
    row = backend.array([[50.0, 0.0, -INF], [0.0, 30.0, 10.0]], "float32")
    tail, pair = math.exp(-50.0), math.exp(-30.0) + math.exp(-20.0)
    logs = np.asarray([[-tail, -50.0, -INF], [-30.0, -pair, -20.0]])
    backend.check(log_softmax(row), logs, dtype="float32")
    backend.check(softmax(row), np.exp(logs), dtype="float32", rtol=2e-5)
    backend.check(log_sum_exp(row), [50.0, 30.0], dtype="float32")
    # The slope of the largest log-probability in its own logit is what the others have.
    found = pulled(backend, log_softmax, row, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(found, [[tail, -tail, 0], [-math.exp(-30.0), pair, -math.exp(-20.0)]], rtol=1e-6)
    found = pulled(backend, softmax, row, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(found, [[tail, -tail, 0], [-math.exp(-30.0), pair, -math.exp(-20.0)]], rtol=1e-6)


def test_ties(backend: Any) -> None:
    row = backend.array([[2.0, 2.0, 2.0], [1e4, 1e4, -1e4]])
    backend.check(softmax(row), [[1 / 3] * 3, [0.5, 0.5, 0.0]])
    backend.check(log_sum_exp(row), [2 + math.log(3.0), 1e4 + math.log(2.0)])
    found = pulled(backend, log_sum_exp, row, [1.0, -2.0])
    np.testing.assert_allclose(found, [[1 / 3] * 3, [-1.0, -1.0, 0.0]], rtol=1e-14)
    found = pulled(backend, log_softmax, row, [[1.0, 0.0, 0.0]] * 2)
    np.testing.assert_allclose(found, [[2 / 3, -1 / 3, -1 / 3], [0.5, -0.5, 0.0]], rtol=1e-14)


def test_infinities(backend: Any) -> None:
    row = backend.array([[-INF, -INF], [INF, 0.0], [INF, INF]])
    backend.check(log_sum_exp(row), [-INF, INF, INF])
    backend.check(softmax(row), [[0.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    backend.check(log_softmax(row), [[-INF, -INF], [0.0, -INF], [-math.log(2.0)] * 2])
    np.testing.assert_array_equal(pulled(backend, log_sum_exp, row, np.ones(3)), [[0, 0], [1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("function", ROWS)
def test_the_axis(backend: Any, function: Callable[..., Any], rng: np.random.Generator) -> None:
    x = rng.normal(0, 2, (2, 3, 4))
    expected = backend.numpy(function(backend.array(np.moveaxis(x, 1, -1))))
    if function is not log_sum_exp:
        expected = np.moveaxis(expected, -1, 1)
    for axis in (1, -2):
        backend.check(function(backend.array(x), axis=axis), expected)


@pytest.mark.parametrize("function", [*ROWS, *NUMBERS])
def test_slopes(backend: Any, function: Callable[..., Any], rng: np.random.Generator) -> None:
    x = rng.normal(0, 2, (3, 4))
    x[0] = 0.0
    shape = np.asarray(function(x)).shape
    cotangent, direction = rng.normal(size=shape), rng.normal(size=(3, 4))
    rise = (np.asarray(function(x + 1e-6 * direction)) - np.asarray(function(x - 1e-6 * direction))) / 2e-6
    found = pulled(backend, function, backend.array(x), cotangent)
    np.testing.assert_allclose(np.sum(found * direction), np.sum(cotangent * rise), rtol=1e-7)


@pytest.mark.parametrize("function", [*ROWS, *NUMBERS])
def test_nan_shows(backend: Any, function: Callable[..., Any]) -> None:
    x = backend.array([[NAN, 0.0], [0.0, 1.0]])
    bad = np.isnan(backend.numpy(function(x)))
    assert bad.any()
    assert not bad[1].any()


@pytest.mark.parametrize("function", [*ROWS, *NUMBERS])
def test_half_precision_rounds_once(backend: Any, function: Callable[..., Any]) -> None:
    for dtype in {"float16", "bfloat16"} & set(backend.dtypes):
        x = np.asarray([[10.0, 0.0, -2.0], [0.5, 0.25, 7.0]])
        expected = backend.numpy(backend.array(np.asarray(function(x)), dtype))
        backend.check(function(backend.array(x, dtype)), expected, dtype=dtype, rtol=0)


@pytest.mark.parametrize("function", [*ROWS, *NUMBERS])
def test_compiled(backend: Any, function: Callable[..., Any], rng: np.random.Generator) -> None:
    x = backend.array(rng.normal(0, 2, (3, 4)))
    backend.check(backend.compile(function)(x), backend.numpy(function(x)), rtol=1e-13)


@pytest.mark.parametrize("function", [*ROWS, *NUMBERS])
def test_bad_input(backend: Any, function: Callable[..., Any]) -> None:
    name = function.__name__
    with pytest.raises(TypeError, match=f"{name}: x must be an array, got list"):
        function([1.0, 2.0])
    with pytest.raises(TypeError, match=f"{name}: x must be an array, got float"):
        function(1.0)
    with pytest.raises(TypeError, match=f"{name}: x must be real floating, got dtype"):
        function(backend.array([1, 2]))
    if function in ROWS:
        with pytest.raises(ValueError, match=f"{name}: axis must be in"):
            function(backend.array([1.0, 2.0]), axis=1)
        with pytest.raises(TypeError, match=f"{name}: axis must be an integer"):
            function(backend.array([1.0, 2.0]), axis=0.0)


def test_in_a_loss_of_ones_own(backend: Any) -> None:
    """The helpers serve in kernels, with closed forms and without."""

    @polyloss.elementwise(autodiff=True)
    def logistic(xp: Any, /, scores: Any, target: Any, **call: Any) -> Any:
        return softplus(-target * scores)

    @polyloss.rowwise(autodiff=True)
    def surprise(xp: Any, /, logits: Any, target: Any, **call: Any) -> Any:
        return -xp.sum(target * log_softmax(logits), axis=-1)

    scores, target = backend.array([0.0, 80.0], "float32"), backend.array([1.0, 1.0], "float32")
    backend.check(logistic(scores, target, reduction="none"), [math.log(2.0), math.exp(-80.0)])
    logits, one_hot = backend.array([[30.0, 0.0]], "float32"), backend.array([[1.0, 0.0]], "float32")
    backend.check(surprise(logits, one_hot), math.exp(-30.0))
    if backend.has_autodiff:
        backend.check(backend.grad(logistic, scores, target)[0], [-0.25, -0.5 * math.exp(-80.0)])
        slope = math.exp(-30.0) / (1 + math.exp(-30.0))
        backend.check(backend.grad(surprise, logits, one_hot)[0], [[-slope, slope]])


def test_lazy_arrays(dask: Any, rng: np.random.Generator) -> None:
    x = rng.normal(0, 2, (3, 4))
    for function in (*ROWS, *NUMBERS):
        np.testing.assert_allclose(np.asarray(function(dask.array(x))), function(x), rtol=1e-13)


# -------------------------------------------------------------------------------------------------------------- labels


def test_smoothed_labels_are_those_of_cross_entropy(backend: Any, rng: np.random.Generator) -> None:
    ids, logits = np.asarray([0, 3, 1]), rng.normal(0, 2, (3, 4))
    masked = np.where(np.arange(4) == 2, -INF, logits)
    labels = backend.array(np.eye(4)[ids])
    for x, where in ((logits, None), (masked, backend.array(np.isfinite(masked), "bool"))):
        smoothed = smooth_labels(labels, 0.25, where=where)
        expected = polyloss.cross_entropy(x, ids, label_smoothing=0.25, reduction="none")
        backend.check(polyloss.cross_entropy(backend.array(x), smoothed, reduction="none"), expected, rtol=1e-13)


def test_labels_along_other_axes(backend: Any, rng: np.random.Generator) -> None:
    q, where = rng.uniform(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4)) < 0.5
    where[:, :, 0] = False
    for axis, count in ((1, 3), ((0, 2), 8), (-1, 4)):
        backend.check(smooth_labels(backend.array(q), 0.5, axis=axis), 0.5 * q + 0.5 / count)
        counts = np.maximum(where.sum(axis=axis, keepdims=True), 1)
        found = smooth_labels(backend.array(q), 0.5, axis=axis, where=backend.array(where, "bool"))
        backend.check(found, np.where(where, 0.5 * q + 0.5 / counts, 0.0))


def test_smoothed_half_precision_rounds_once(backend: Any) -> None:
    for dtype in {"float16", "bfloat16"} & set(backend.dtypes):
        q = np.eye(3)
        expected = backend.numpy(backend.array(smooth_labels(q, 0.1), dtype))
        backend.check(smooth_labels(backend.array(q, dtype), 0.1), expected, dtype=dtype, rtol=0)


def test_how_much_they_are_smoothed_may_be_an_array(backend: Any) -> None:
    q = backend.array(np.eye(3))
    backend.check(smooth_labels(q, backend.array(np.asarray(0.25), "float32")), smooth_labels(np.eye(3), 0.25))
    compiled = backend.compile(lambda q, alpha: smooth_labels(q, alpha))
    backend.check(compiled(q, backend.array(np.asarray(0.25))), smooth_labels(np.eye(3), 0.25))
    if backend.has_autodiff:
        alpha = backend.array(np.asarray(0.25))
        _, slope = polyloss.value_and_grad(lambda a: backend.xp.sum(smooth_labels(q, a)[0, ...] * q[0, ...]))(alpha)
        backend.check(slope, 1 / 3 - 1)


def test_what_cannot_be_smoothed_is_refused(backend: Any) -> None:
    q = backend.array(np.eye(3))
    for wrong, message in ((1.5, r"alpha must be in \[0, 1\], got 1.5"), (backend.array(np.asarray(-0.5)), "got -0.5")):
        with pytest.raises(ValueError, match=f"smooth_labels: .*{message}"):
            smooth_labels(q, wrong)
    with pytest.raises(ValueError, match=r"alpha must be one number, got shape \(3,\)"):
        smooth_labels(q, q[0, ...])
    with pytest.raises(TypeError, match=r"labels must be real floating, got dtype .*; of class ids make one-hot rows"):
        smooth_labels(backend.array([0, 1], "int64"), 0.1)
    with pytest.raises(TypeError, match="where must be boolean"):
        smooth_labels(q, 0.1, where=q)
    with pytest.raises(ValueError, match="where must have the shape of labels"):
        smooth_labels(q, 0.1, where=backend.array([True, False, True], "bool"))
    with pytest.raises(ValueError, match="axis must name one axis or more, each once"):
        smooth_labels(q, 0.1, axis=(0, -2))
