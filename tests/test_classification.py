"""Losses of classes: hand-computed values, confident and impossible rows, bad labels, derivatives."""

import math
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    nll,
    sigmoid_focal,
    softmax_focal,
    squared_hinge,
)
from polyloss_conformance.frameworks import framework

pytestmark = pytest.mark.unoptimised

INF, NAN = math.inf, math.nan
LOG2 = math.log(2.0)
EASY, HARD = math.log1p(math.exp(-2.0)), 2.0 + math.log1p(math.exp(-2.0))  # logits 2 and 0: the costs of either class
RIGHT, WRONG = math.exp(-EASY), math.exp(-HARD)

# loss, parameters, then arrays, per-example values, gradients with respect to the first array
Known = tuple[Any, dict[str, Any], list[Any], list[float], list[Any]]
KNOWN: list[Known] = [
    (cross_entropy, {}, [[[2.0, 0.0], [0.0, 0.0]], [0, 1]], [EASY, LOG2], [[-WRONG, WRONG], [0.5, -0.5]]),
    (cross_entropy, {}, [[[2.0, 0.0]], [[0.25, 0.75]]], [0.25 * EASY + 0.75 * HARD], [[RIGHT - 0.25, 0.25 - RIGHT]]),
    (
        cross_entropy,
        {"label_smoothing": 0.2},
        [[[2.0, 0.0]], [0]],
        [0.9 * EASY + 0.1 * HARD],
        [[RIGHT - 0.9, 0.9 - RIGHT]],
    ),
    # A masked class takes no share of the smoothing: the same as with two classes.
    (
        cross_entropy,
        {"label_smoothing": 0.2},
        [[[2.0, -INF, 0.0]], [0]],
        [0.9 * EASY + 0.1 * HARD],
        [[RIGHT - 0.9, 0.0, 0.9 - RIGHT]],
    ),
    (nll, {}, [[[-0.5, -1.0], [-3.0, -0.25]], [1, 1]], [1.0, 0.25], [[0.0, -1.0], [0.0, -1.0]]),
    (nll, {}, [[[-0.5, -1.0, -INF]], [[0.25, 0.75, 0.0]]], [0.875], [[-0.25, -0.75, 0.0]]),
    (nll, {"label_smoothing": 0.5}, [[[-0.5, -1.0, -INF]], [0]], [0.625], [[-0.75, -0.25, 0.0]]),
    (binary_cross_entropy, {}, [[0.25, 0.25, 0.5], [1.0, 0.0, 0.5]], [2 * LOG2, math.log(4 / 3), LOG2], [-4, 4 / 3, 0]),
    (binary_cross_entropy, {}, [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]], [0, 0, INF, INF], [1, -1, -INF, INF]),
    (binary_cross_entropy, {"clip": 0.25}, [[0.0, 0.25, 0.5], [1.0, 1.0, 1.0]], [2 * LOG2, 2 * LOG2, LOG2], [0, 0, -2]),
    (
        binary_cross_entropy_with_logits,
        {},
        [[2.0, -2.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.5]],
        [EASY, HARD, LOG2, LOG2],
        [-WRONG, -RIGHT, 0.5, 0.0],
    ),
    (binary_cross_entropy_with_logits, {"pos_weight": 3.0}, [[0.0, 0.0], [1.0, 0.0]], [3 * LOG2, LOG2], [-1.5, 0.5]),
    (
        binary_cross_entropy_with_logits,
        {"label_smoothing": 0.2},
        [[2.0, -2.0], [1.0, 0.0]],
        [0.9 * EASY + 0.1 * HARD] * 2,
        [RIGHT - 0.9, 0.9 - RIGHT],
    ),
    (sigmoid_focal, {"gamma": 0.0}, [[2.0, -2.0], [1.0, 1.0]], [EASY, HARD], [-WRONG, -RIGHT]),
    (
        sigmoid_focal,
        {"gamma": 2.0, "alpha": 0.25},
        [[2.0, 2.0], [1.0, 0.0]],
        [0.25 * WRONG**2 * EASY, 0.75 * RIGHT**2 * HARD],
        [-0.25 * WRONG**2 * (2 * RIGHT * EASY + WRONG), 0.75 * RIGHT**2 * (2 * WRONG * HARD + RIGHT)],
    ),
    (
        softmax_focal,
        {"gamma": 2.0},
        [[[2.0, 0.0]], [1]],
        [RIGHT**2 * HARD],
        [[RIGHT**2 * (2 * WRONG * HARD + RIGHT), -(RIGHT**2) * (2 * WRONG * HARD + RIGHT)]],
    ),
    (hinge, {}, [[0.5, 3.0, 0.5, 1.0], [1.0, 1.0, -1.0, 1.0]], [0.5, 0.0, 1.5, 0.0], [-1.0, 0.0, 1.0, 0.0]),
    (squared_hinge, {}, [[0.5, 3.0, 0.5, 1.0], [1.0, 1.0, -1.0, 1.0]], [0.25, 0.0, 2.25, 0.0], [-1.0, 0.0, 3.0, 0.0]),
]


@pytest.mark.parametrize(("loss", "parameters", "arrays", "values", "gradient"), KNOWN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_known_values(
    backend: Any,
    loss: Any,
    parameters: dict[str, Any],
    arrays: list[Any],
    values: list[float],
    gradient: list[Any],
    dtype: str,
) -> None:
    first, target = (np.asarray(a) for a in arrays)
    inputs = backend.array(first, dtype), backend.array(target, dtype if target.dtype.kind == "f" else None)
    cotangent = np.asarray([-2.0, 0.5, 3.0, 1.0])[: len(values)]
    value, gradients = backend.value_and_grad(loss, *inputs, cotangent=cotangent, **parameters)
    backend.check(value, values, dtype=dtype)
    expected = np.asarray(gradient, dtype=float)
    expected = cotangent.reshape(-1, *[1] * (expected.ndim - 1)) * expected
    # Some of these gradients are differences of nearly equal numbers.
    backend.check(gradients[0], expected, dtype=dtype, rtol={"float32": 4e-6, "float64": 1e-14}[dtype])


def test_a_confident_row_does_not_cancel(backend: Any) -> None:
    margins = np.asarray([10.0, 17.0, 30.0, 80.0])
    logits = backend.array(np.stack([margins, 0 * margins], axis=1), "float32")
    exact = np.log1p(np.exp(-margins))
    slope = np.exp(-margins) / (1 + np.exp(-margins))
    value, (gradient, _) = backend.value_and_grad(cross_entropy, logits, backend.array([0] * 4), cotangent=np.ones(4))
    backend.check(value, exact, dtype="float32")
    backend.check(gradient, np.stack([-slope, slope], axis=1))
    one_hot = backend.array([[1.0, 0.0]] * 4, "float32")
    value, (gradient, _) = backend.value_and_grad(cross_entropy, logits, one_hot, cotangent=np.ones(4))
    backend.check(value, exact)
    backend.check(gradient, np.stack([-slope, slope], axis=1))
    logits = backend.array([-30.0, 30.0, -80.0], "float32")
    target = backend.array([0.0, 1.0, 0.0], "float32")
    value, (gradient, _) = backend.value_and_grad(
        binary_cross_entropy_with_logits, logits, target, cotangent=np.ones(3)
    )
    backend.check(value, np.log1p(np.exp([-30.0, -30.0, -80.0])))
    backend.check(gradient, [math.exp(-30.0), -math.exp(-30.0), math.exp(-80.0)])


def test_a_confidently_wrong_example_has_its_gradient(backend: Any) -> None:
    logits, target = backend.array([[100.0, 0.0], [0.0, 1e4]], "float32"), backend.array([1, 0])
    rowwise: list[Any] = [cross_entropy, softmax_focal]
    for loss in rowwise:
        value, (gradient, _) = backend.value_and_grad(loss, logits, target, cotangent=np.ones(2))
        backend.check(value, [100.0, 1e4])
        backend.check(gradient, [[1.0, -1.0], [-1.0, 1.0]])
    logits, target = backend.array([-100.0, 1e4], "float32"), backend.array([1.0, 0.0], "float32")
    for loss in (binary_cross_entropy_with_logits, sigmoid_focal):
        value, (gradient, _) = backend.value_and_grad(loss, logits, target, cotangent=np.ones(2))
        backend.check(value, [100.0, 1e4])
        backend.check(gradient, [-1.0, 1.0])


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("loss", [cross_entropy, softmax_focal])
def test_infinite_logits_have_their_limits(backend: Any, loss: Any, ids: bool) -> None:
    logits = [[0.0, -INF, 0.0], [INF, 0.0, -INF], [1.0, INF, 0.0], [0.0, -INF, -INF], [0.0, -INF, 0.0]]
    labels = [0, 0, 0, 0, 1]
    target = backend.array(labels) if ids else backend.array(np.eye(3)[labels])
    loss = loss.partial(gamma=0.0) if loss is softmax_focal else loss
    value, (gradient, _) = backend.value_and_grad(loss, backend.array(logits), target, cotangent=np.ones(5))
    backend.check(value, [LOG2, 0.0, INF, 0.0, INF])
    backend.check(gradient, [[-0.5, 0.0, 0.5], [0.0] * 3, [-1.0, 1.0, 0.0], [0.0] * 3, [0.5, -1.0, 0.5]])


def test_infinite_logits_of_two_classes_have_their_limits(backend: Any) -> None:
    logits, target = backend.array([INF, -INF, INF, -INF]), backend.array([1.0, 0.0, 0.0, 1.0])
    for loss in (binary_cross_entropy_with_logits, sigmoid_focal):
        value, (gradient, _) = backend.value_and_grad(loss, logits, target, cotangent=np.ones(4))
        backend.check(value, [0.0, 0.0, INF, INF])
        backend.check(gradient, [0.0, 0.0, 1.0, -1.0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_gradients_are_finite(backend: Any, gamma: float) -> None:
    logits = np.asarray([0.0, 20.0, 100.0, 1e4, -1e4], dtype=np.float32)
    target = backend.array(np.ones(5), "float32")
    (first, second) = backend.grad(sigmoid_focal, backend.array(logits), target, gamma=gamma)
    assert np.all(np.isfinite(backend.numpy(first)))
    assert np.all(np.isfinite(backend.numpy(second)))
    rows = backend.array(np.stack([logits, 0 * logits], axis=1))
    (first, _) = backend.grad(softmax_focal, rows, backend.array([0] * 5), gamma=gamma)
    assert np.all(np.isfinite(backend.numpy(first)))


def test_focal_without_focus_is_cross_entropy(backend: Any, rng: np.random.Generator) -> None:
    logits, target = backend.array(rng.normal(0, 3, (6, 4))), backend.array(rng.integers(0, 4, 6))
    backend.check(softmax_focal(logits, target, gamma=0.0), backend.numpy(cross_entropy(logits, target)))
    soft = backend.array(rng.uniform(size=(6, 4)))
    expected = backend.numpy(binary_cross_entropy_with_logits(logits, soft))
    backend.check(sigmoid_focal(logits, soft, gamma=0.0), expected)
    # Two logits are one, and its opposite labels.
    both = np.stack([np.linspace(-4, 4, 6), np.zeros(6)], axis=1)
    labels = np.asarray([0, 1, 0, 1, 1, 0])
    one = sigmoid_focal(backend.array(both[:, 0]), backend.array(1.0 - labels), reduction="none")
    backend.check(softmax_focal(backend.array(both), backend.array(labels), reduction="none"), backend.numpy(one))


def test_soft_targets_interpolate_the_probability(backend: Any) -> None:
    x, t = 2.0, 0.9
    p = 1 / (1 + math.exp(-x))
    entropy = -t * math.log(p) - (1 - t) * math.log1p(-p)
    expected = (p * (1 - t) + (1 - p) * t) ** 2 * entropy
    value = sigmoid_focal(backend.array([x]), backend.array([t]))
    backend.check(value, expected)
    assert abs(expected - 0.01248) < 1e-5


def test_class_weights(backend: Any) -> None:
    logits, labels = np.asarray([[2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]), np.asarray([0, 1, 1])
    ids, one_hot = backend.array(labels), backend.array(np.eye(2)[labels])
    weight = backend.array([1.0, 3.0])
    values = [EASY, 3 * LOG2, 3 * HARD]
    for target in (ids, one_hot):
        keywords = {"class_weight": weight}
        backend.check(cross_entropy(backend.array(logits), target, reduction="none", **keywords), values)
        backend.check(cross_entropy(backend.array(logits), target, **keywords), sum(values) / 3)
        backend.check(
            cross_entropy(backend.array(logits), target, reduction="weighted_mean", **keywords), sum(values) / 7
        )
    smoothed = cross_entropy(backend.array(logits[:1]), ids[:1], label_smoothing=0.2, class_weight=weight)
    backend.check(smoothed, 0.9 * EASY + 0.3 * HARD)
    backend.check(nll(backend.array(logits - 5.0), ids, reduction="none", class_weight=weight), [3.0, 15.0, 15.0])


def test_a_weight_of_zero_wins(backend: Any) -> None:
    logits, target = backend.array([[0.0, -INF], [0.0, 0.0]]), backend.array([1, 0])
    weight = backend.array([1.0, 0.0])
    value, (gradient, _) = backend.value_and_grad(cross_entropy, logits, target, class_weight=weight)
    backend.check(value, LOG2 / 2)
    backend.check(gradient, [[0.0, 0.0], [-0.25, 0.25]])
    backend.check(softmax_focal(logits, target, alpha=weight, gamma=0.0), LOG2 / 2)


def test_alpha_is_a_factor_and_no_weight(backend: Any) -> None:
    logits, target = backend.array([[2.0, 0.0], [2.0, 0.0]]), backend.array([0, 1])
    plain = backend.numpy(softmax_focal(logits, target, reduction="none"))
    backend.check(softmax_focal(logits, target, alpha=0.25, reduction="none"), 0.25 * plain)
    per_class = backend.array([0.25, 2.0])
    backend.check(softmax_focal(logits, target, alpha=per_class, reduction="none"), plain * [0.25, 2.0])
    mean = softmax_focal(logits, target, alpha=per_class, reduction="weighted_mean")
    backend.check(mean, (plain * [0.25, 2.0]).mean())


def test_pos_weight_per_label(backend: Any) -> None:
    logits, target = backend.array([[2.0, -2.0], [2.0, 0.0]]), backend.array([[1.0, 1.0], [0.0, 1.0]])
    value = binary_cross_entropy_with_logits(logits, target, pos_weight=backend.array([3.0, 0.5]), reduction="none")
    backend.check(value, [[3 * EASY, 0.5 * HARD], [HARD, 0.5 * LOG2]])


def test_the_class_axis(backend: Any, rng: np.random.Generator) -> None:
    logits, labels = rng.normal(0, 2, (2, 3, 4)), rng.integers(0, 3, (2, 4))
    expected = backend.numpy(
        cross_entropy(backend.array(np.moveaxis(logits, 1, -1)), backend.array(labels), reduction="none")
    )
    for axis in (1, -2):
        found = cross_entropy(backend.array(logits), backend.array(labels), axis=axis, reduction="none")
        backend.check(found, expected)
    soft = np.moveaxis(np.eye(3)[labels], -1, 1)
    weight = backend.array([0.5, 1.0, 2.0])
    for loss, x in ((cross_entropy, logits), (nll, -abs(logits))):
        with_ids = loss(backend.array(x), backend.array(labels), axis=1, class_weight=weight)
        with_soft = loss(backend.array(x), backend.array(soft), axis=1, class_weight=weight)
        backend.check(with_soft, backend.numpy(with_ids), rtol=1e-13)


def test_ignored_rows_count_for_nothing(backend: Any) -> None:
    logits = backend.array([[2.0, 0.0], [NAN, INF], [0.0, 0.0]])
    for ignored in (-1, -100, 7):
        target = backend.array([0, ignored, 1])
        value, (gradient, _) = backend.value_and_grad(cross_entropy, logits, target, ignore_index=ignored)
        backend.check(value, (EASY + LOG2) / 2)
        backend.check(gradient, [[-WRONG / 2, WRONG / 2], [0.0, 0.0], [0.25, -0.25]])
    # A class that is ignored as a label stays in the softmax.
    value = cross_entropy(logits, backend.array([1, 1, 1]), ignore_index=1)
    backend.check(value, 0.0)


@pytest.mark.parametrize("loss", [cross_entropy, nll, softmax_focal])
@pytest.mark.parametrize("label", [-1, -100, 3])
def test_a_bad_label_never_gives_a_plausible_number(backend: Any, loss: Any, label: int) -> None:
    logits, target = backend.array(-np.ones((2, 3))), backend.array([0, label])
    if "jax" not in backend.name:
        with pytest.raises(ValueError, match=rf"target must be class ids in \[0, 3\), got {label}"):
            loss(logits, target)
    compiled = backend.compile(lambda a, b: loss(a, b, reduction="none"))
    if backend.has_autodiff:
        found = backend.numpy(compiled(logits, target))
        assert np.isfinite(found[0])
        assert np.isnan(found[1])


@pytest.mark.parametrize("loss", [cross_entropy, nll, softmax_focal])
def test_class_ids_are_integers(backend: Any, loss: Any) -> None:
    logits = backend.array(-np.ones((2, 3)))
    with pytest.raises(TypeError, match="target with one value per row holds class ids: integers"):
        loss(logits, backend.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="ignore_index must come with class ids"):
        loss(logits, backend.array(np.ones((2, 3)) / 3), ignore_index=0)


def test_what_belongs_to_classes_has_one_axis(backend: Any) -> None:
    logits, target = backend.array(-np.ones((2, 3))), backend.array([0, 1])
    weight = backend.array(np.ones((2, 3)))
    for loss, name in ((cross_entropy, "class_weight"), (nll, "class_weight"), (softmax_focal, "alpha")):
        with pytest.raises(ValueError, match=f"{loss.__name__}: {name} must .*number"):
            loss(logits, target, **{name: weight})


@pytest.mark.parametrize(
    ("loss", "parameters", "message"),
    [
        (cross_entropy, {"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\]"),
        (nll, {"label_smoothing": 1.5}, r"label_smoothing must be in \[0, 1\]"),
        (softmax_focal, {"gamma": -1.0}, "gamma must be zero or positive"),
        (softmax_focal, {"alpha": -0.5}, "alpha must be zero or positive"),
    ],
)
def test_bad_parameters(backend: Any, loss: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(backend.array([[0.0, 1.0]]), backend.array([0]), **parameters)


@pytest.mark.parametrize(
    ("loss", "parameters", "message"),
    [
        (binary_cross_entropy, {"clip": 0.75}, r"clip must be in \(0, 0.5\]"),
        (binary_cross_entropy_with_logits, {"pos_weight": -1.0}, "pos_weight must be zero or positive"),
        (binary_cross_entropy_with_logits, {"label_smoothing": 1.5}, r"label_smoothing must be in \[0, 1\]"),
        (sigmoid_focal, {"alpha": 1.5}, r"alpha must be in \[0, 1\]"),
        (sigmoid_focal, {"gamma": -0.5}, "gamma must be zero or positive"),
    ],
)
def test_bad_binary_parameters(backend: Any, loss: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(backend.array([0.5]), backend.array([1.0]), **parameters)


def test_bad_binary_values(backend: Any) -> None:
    if "jax" in backend.name:
        pytest.skip("looks at values under jit alone")
    with pytest.raises(ValueError, match=r"probabilities must be in \[0, 1\], got 1.5"):
        binary_cross_entropy(backend.array([0.5, 1.5]), backend.array([1.0, 1.0]))
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\], got -1"):
        binary_cross_entropy_with_logits(backend.array([0.5, 1.5]), backend.array([1.0, -1.0]))
    for loss in (hinge, squared_hinge):
        with pytest.raises(ValueError, match="target must be -1 or 1, got 0"):
            loss(backend.array([0.5, 1.5]), backend.array([1.0, 0.0]))


@pytest.mark.parametrize("loss", [binary_cross_entropy_with_logits, sigmoid_focal, hinge, squared_hinge])
def test_nan_shows(backend: Any, loss: Any) -> None:
    logits, target = backend.array([NAN, 0.5]), backend.array([1.0, 1.0])
    value, (gradient, _) = backend.value_and_grad(loss, logits, target, cotangent=np.ones(2))
    assert np.isnan(backend.numpy(value)).tolist() == [True, False]
    assert np.isnan(backend.numpy(gradient)).tolist() == [True, False]


@pytest.mark.parametrize("loss", [cross_entropy, softmax_focal])
def test_nan_shows_in_its_row(backend: Any, loss: Any) -> None:
    logits, target = backend.array([[0.0, NAN, 1.0], [0.0, 0.0, 1.0]]), backend.array([0, 1])
    value, (gradient, _) = backend.value_and_grad(loss, logits, target, cotangent=np.ones(2))
    assert np.isnan(backend.numpy(value)).tolist() == [True, False]
    assert np.isnan(backend.numpy(gradient)).tolist() == [[True] * 3, [False] * 3]


def test_half_precision_is_computed_in_float32(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    logits = np.asarray([[10.0, 0.0, -2.0], [0.5, 0.25, 7.0]])
    target = backend.array([0, 1])
    exact = polyloss.cross_entropy(logits, np.asarray([0, 1]), reduction="none").astype(np.float16)
    value = cross_entropy(backend.array(logits, "float16"), target, reduction="none")
    backend.check(value, exact, dtype="float16", rtol=0)
    rows = backend.array(np.zeros((70_000, 2)), "float16")
    value, (gradient, _) = backend.value_and_grad(cross_entropy, rows, backend.array(np.zeros(70_000, dtype=int)))
    backend.check(value, np.float16(LOG2), dtype="float16", rtol=0)
    assert np.all(backend.numpy(gradient) != 0)


SMOOTH: list[tuple[Any, dict[str, Any], str]] = [
    (cross_entropy, {}, "ids"),
    (cross_entropy, {"label_smoothing": 0.1}, "ids"),
    (cross_entropy, {"label_smoothing": 0.1}, "soft"),
    (nll, {}, "soft"),
    (softmax_focal, {"gamma": 1.5}, "ids"),
    (softmax_focal, {"gamma": 0.5, "alpha": 0.25}, "soft"),
    (binary_cross_entropy, {}, "binary"),
    (binary_cross_entropy_with_logits, {"pos_weight": 2.5, "label_smoothing": 0.1}, "binary"),
    (sigmoid_focal, {"gamma": 0.5, "alpha": 0.25}, "binary"),
    (sigmoid_focal, {"gamma": 2.0}, "hard"),
    (sigmoid_focal, {"gamma": 1.5}, "label"),
    (squared_hinge, {}, "sign"),
]


@pytest.mark.parametrize(("loss", "parameters", "kind"), SMOOTH)
def test_second_derivatives(backend: Any, loss: Any, parameters: dict[str, Any], kind: str) -> None:
    """Hessian-vector products, ties and the logit 0 among them, against difference quotients of the gradient."""
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    rng = np.random.default_rng(7)
    first = rng.normal(0, 1.5, (5, 4))
    first[0], first[1, :2], first[2] = 0.0, 2.0, [9.0, -1.0, 0.0, 0.5]
    second: np.ndarray[Any, Any] = rng.uniform(0.1, 0.9, (5, 4))
    if kind == "ids":
        second = np.asarray([0, 1, 0, 3, 2])
    elif kind in ("hard", "label"):
        second = (second > 0.5).astype(float)
    elif kind == "sign":
        second = np.sign(second - 0.5)
    if loss is binary_cross_entropy:
        first = 1 / (1 + np.exp(-first))
    elif loss is nll:
        first = -1.0 - abs(first)
    wanted = (0,) if kind in ("ids", "hard", "sign") else (0, 1)
    arrays, step = [first, second], 1e-6
    directions = [rng.normal(size=a.shape) for a in arrays[: len(wanted)]]
    if kind == "label":
        # Labels cannot move both ways; how the gradients of the logits depend on them shows all the same.
        directions[1] *= 0.0

    def gradients(sign: float) -> Any:
        moved = [a + sign * step * d for a, d in zip(arrays, directions, strict=False)] + arrays[len(wanted) :]
        return polyloss.value_and_grad(loss, wanted)(*moved, reduction="sum", **parameters)[1]

    expected = [(up - down) / (2 * step) for up, down in zip(gradients(1.0), gradients(-1.0), strict=True)]
    own = framework(backend.framework)
    found = own.hessian_product(
        loss,
        {"reduction": "sum", **parameters},
        [own.array(a) for a in arrays],
        wanted,
        own.array(np.asarray(1.0)),
        [own.array(d) for d in directions],
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own.numpy(ours), theirs, rtol=1e-6, atol=2e-8)


MASKED_ROWS = [[-INF, -INF, -INF], [-INF, 1.0, 2.0], [0.5, -INF, -INF], [-INF, -INF, 3.0]]
OF_CLASSES = [
    (cross_entropy, {}),
    (cross_entropy, {"label_smoothing": 0.25}),
    (softmax_focal, {}),
    (polyloss.poly1_cross_entropy, {}),
    (polyloss.generalized_cross_entropy, {}),
    (polyloss.multiclass_sparsemax, {}),
]


@pytest.mark.parametrize(("loss", "parameters"), OF_CLASSES)
def test_class_ids_and_one_hot_rows_are_one_target_where_classes_are_masked(
    backend: Any, loss: Any, parameters: dict[str, Any]
) -> None:
    """Of a row of nothing but masked classes all have the probability 0: the derivative is ``p - q`` there too."""
    logits, ids = backend.array(MASKED_ROWS), np.asarray([0, 0, 1, 2])
    cotangent = np.asarray([0.5, 1.5, 2.0, 0.25])
    (by_ids, _), (by_rows, _) = (
        backend.grad(loss, logits, backend.array(target), cotangent=cotangent, **parameters)
        for target in (ids, np.eye(3)[ids])
    )
    np.testing.assert_allclose(backend.numpy(by_ids), backend.numpy(by_rows), rtol=1e-12, atol=0)
    one, other = (loss(logits, backend.array(given), reduction="none", **parameters) for given in (ids, np.eye(3)[ids]))
    np.testing.assert_allclose(backend.numpy(one), backend.numpy(other), rtol=1e-12, atol=0)


def test_second_derivatives_stay_finite(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    own = framework(backend.framework)
    rows = np.asarray([[100.0, 0.0, -INF], [0.0, -INF, 1e4], [0.0, 0.0, 0.0], [INF, 0.0, 1.0]], dtype=np.float32)
    numbers = np.asarray([100.0, -100.0, 1e4, -1e4, INF, -INF, 0.0], dtype=np.float32)
    hard = np.asarray([1, 0, 1, 1, 1, 0, 1], dtype=np.float32)
    calls: list[tuple[Any, dict[str, Any], list[Any]]] = [
        (cross_entropy, {}, [rows, np.asarray([0, 2, 1, 0])]),
        (softmax_focal, {"gamma": 0.5}, [rows, np.asarray([0, 2, 1, 0])]),
        (binary_cross_entropy_with_logits, {}, [numbers, hard]),
        (sigmoid_focal, {"gamma": 0.5}, [numbers, hard]),
    ]
    for loss, parameters, arrays in calls:
        direction = own.array(np.ones_like(arrays[0]))
        cotangent = own.array(np.asarray(1.0, dtype=np.float32))
        inputs = [own.array(a) for a in arrays]
        (found,) = own.hessian_product(loss, {"reduction": "sum", **parameters}, inputs, (0,), cotangent, [direction])
        assert np.all(np.isfinite(own.numpy(found))), loss


def test_lazy_arrays(dask: Any, rng: np.random.Generator) -> None:
    logits, labels = rng.normal(0, 2, (5, 3)), rng.integers(0, 3, 5)
    soft = rng.uniform(size=(5, 3))
    calls: list[tuple[Any, Any]] = [
        (cross_entropy, labels),
        (cross_entropy, soft),
        (softmax_focal, labels),
        (nll, labels),
    ]
    for loss, target in calls:
        x = -abs(logits) if loss is nll else logits
        value, gradient = polyloss.value_and_grad(loss)(dask.array(x), dask.array(target))
        expected, slope = polyloss.value_and_grad(loss)(x, target)
        np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-13)
        np.testing.assert_allclose(np.asarray(gradient), slope, rtol=1e-12)
    for loss in (binary_cross_entropy_with_logits, sigmoid_focal):
        value = loss(dask.array(logits), dask.array(soft))
        np.testing.assert_allclose(np.asarray(value), loss(logits, soft), rtol=1e-13)


def test_rows_one_at_a_time(backend: Any, rng: np.random.Generator) -> None:
    """Under the vmap of a framework a row-wise loss sees single rows."""
    logits, labels = backend.array(rng.normal(0, 2, (5, 3))), backend.array(rng.integers(0, 3, 5))
    if backend.framework == "torch":
        import torch

        vmap: Any = torch.func.vmap
    elif backend.framework == "jax":
        import jax

        vmap = jax.vmap
    elif backend.framework == "mlx":
        import mlx.core as mx

        vmap = mx.vmap
    else:
        pytest.skip("has no vmap")
    for loss in (cross_entropy, softmax_focal):
        backend.check(vmap(loss)(logits, labels), backend.numpy(loss(logits, labels, reduction="none")), rtol=1e-14)
    backend.check(vmap(polyloss.log_softmax)(logits), backend.numpy(polyloss.log_softmax(logits)), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("reduction", ["none", "sum"])
@pytest.mark.parametrize(
    "loss", [polyloss.cross_entropy, polyloss.nll, polyloss.softmax_focal], ids=lambda p: p.__name__
)
def test_class_ids_of_any_integer_dtype(backend: Any, rng: Any, loss: Any, dtype: str, reduction: str) -> None:
    x, ids = -abs(rng.normal(size=(4, 3))), np.asarray([0, 2, 1, 2])
    hot = np.eye(3)[ids]
    value, gradient = backend.value_and_grad(loss, backend.array(x), backend.array(ids, dtype), reduction="sum")
    expected, others = backend.value_and_grad(loss, backend.array(x), backend.array(hot), reduction="sum")
    backend.check(value, backend.numpy(expected), rtol=1e-12)
    np.testing.assert_allclose(backend.numpy(gradient[0]), backend.numpy(others[0]), rtol=1e-11)
    rows = loss(backend.array(x), backend.array(ids, dtype), reduction=reduction)
    backend.check(rows, backend.numpy(loss(backend.array(x), backend.array(hot), reduction=reduction)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [2000.0, 1e4, 1e10, 1e30, 3e38])
def test_a_focus_has_its_limit_for_every_gamma(dtype: str, gamma: float, backend: Any) -> None:
    """Only a share so small that it is 0 counts."""
    logits = np.asarray([[0.0, 0.0], [0.0, 0.9], [0.0, 1.0], [-1.0, 0.0], [30.0, 0.0], [-1e4, 0.0]], dtype)
    ids, exponent = backend.array(np.zeros(6, np.int64)), backend.array(np.asarray(gamma), dtype)
    x, margin = backend.array(logits, dtype), backend.array(logits[:, 0] - logits[:, 1], dtype)
    ones = backend.array(np.ones(6), dtype)
    with np.errstate(all="ignore"):
        near = np.exp(gamma * np.log1p(-1 / (1 + np.exp(logits[:, 1] - logits[:, 0].astype(np.float64)))))
    expected = near * np.logaddexp(0, logits[:, 1] - logits[:, 0].astype(np.float64))
    for loss, arrays in ((polyloss.softmax_focal, (x, ids)), (polyloss.sigmoid_focal, (margin, ones))):
        with np.errstate(over="ignore"):
            value = loss(*arrays, gamma=exponent, reduction="none")
        backend.check(value, expected.astype(dtype), dtype=dtype, rtol=1e-3 if dtype == "float32" else 1e-11)
        for argument in (0, "gamma"):
            of_sum = polyloss.value_and_grad(loss, argument)
            with np.errstate(over="ignore"):
                _, gradient = of_sum(*arrays, gamma=exponent, reduction="sum")
            assert np.isfinite(backend.numpy(gradient)).all()
        if backend.has_autodiff and gamma <= 1e10:
            own = framework(backend.framework)
            inputs, one = [own.array(backend.numpy(a)) for a in arrays], own.array(np.asarray(1.0, dtype))
            direction = own.array(np.ones(inputs[0].shape, dtype))
            call = {"reduction": "sum", "gamma": gamma}
            (found,) = own.hessian_product(loss, call, inputs, (0,), one, [direction])
            assert np.isfinite(own.numpy(found)).all()
