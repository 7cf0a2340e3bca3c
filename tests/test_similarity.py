"""Losses of distances: polarity, factors and powers; norms without epsilon, overflow or NaN; ties."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import contrastive, contrastive_embedding, triplet_margin
from polyloss_conformance.frameworks import framework

pytestmark = pytest.mark.unoptimised

SQRT2 = math.sqrt(2)


def norm(difference: Any, p: float = 2.0) -> Any:
    return np.linalg.norm(difference, ord=p, axis=-1)


def triplet(a: Any, p: Any, n: Any, margin: float = 1.0, degree: float = 2.0, power: int = 1) -> Any:
    return np.maximum(0, norm(a - p, degree) ** power - norm(a - n, degree) ** power + margin)


# --------------------------------------------------------------------------------------------------------- contrastive


def test_contrastive_known_values(backend: Any) -> None:
    # Half of the squares, no factor, or neither factor nor square: of a similar and of a dissimilar pair.
    distance, target = backend.array([0.5, 0.25]), backend.array([1, 0])
    for parameters, expected in (
        ({}, [0.125, 0.28125]),
        ({"factor": 1.0}, [0.25, 0.5625]),
        ({"factor": 1.0, "power": 1}, [0.5, 0.75]),
        ({"margin": 2.0}, [0.125, 1.53125]),
        ({"similar_label": 0}, [0.125, 0.03125]),
    ):
        backend.check(contrastive(distance, target, reduction="none", **parameters), expected)


@pytest.mark.parametrize("power", [1, 2])
def test_contrastive_gradient(backend: Any, power: int) -> None:
    # Similar; dissimilar within the margin, exactly at it, and beyond; in between; at distance 0.
    distance, target = np.asarray([0.5, 0.25, 1.0, 3.0, 0.5, 0.0]), np.asarray([1.0, 0.0, 0.0, 0.0, 0.75, 0.0])
    slopes = {1: [0.5, -0.5, 0.0, 0.0, 0.25, -0.5], 2: [0.5, -0.75, 0.0, 0.0, 0.25, -1.0]}[power]
    by_target = 0.5 * (distance**power - np.maximum(0, 1 - distance) ** power)
    cotangent = np.asarray([1.0, -2.0, 1.0, 1.0, 0.5, 1.0])
    for label, sign in ((1, 1), (0, -1)):
        given = target if label == 1 else 1 - target
        arrays = backend.array(distance), backend.array(given)
        gradient, change = backend.grad(contrastive, *arrays, cotangent=cotangent, power=power, similar_label=label)
        backend.check(gradient, cotangent * slopes)
        backend.check(change, cotangent * sign * by_target)


def test_contrastive_far_apart(backend: Any) -> None:
    distance, target = (
        backend.array([1e25, math.inf, math.inf, math.nan, math.nan], "float32"),
        [0.0, 0.0, 1.0, 0.0, 1.0],
    )
    value = contrastive(distance, backend.array(target, "float32"), reduction="none")
    backend.check(value, [0.0, 0.0, math.inf, math.nan, math.nan], dtype="float32")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": 0.0}, "margin must be positive"),
        ({"factor": -1.0}, "factor must be positive"),
        ({"power": 3}, "power must be 1 or 2, got 3"),
        ({"similar_label": -1}, "similar_label must be 0 or 1, got -1"),
    ],
)
def test_contrastive_bad_parameters(backend: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contrastive(backend.array([1.0]), backend.array([0.0]), **parameters)


def test_parameters_that_are_one_number_refuse_arrays(backend: Any) -> None:
    x, target, two = backend.array([[0.0, 1.0], [2.0, 0.0]]), backend.array([1.0, 0.0]), backend.array([1.0, 2.0])
    for loss, arrays, parameters in (
        (contrastive, (target, target), {"power": two}),
        (contrastive_embedding, (x, x, target), {"margin": two}),
        (contrastive_embedding, (x, x, target), {"factor": two}),
        (triplet_margin, (x, x, x), {"margin": two}),
        (triplet_margin, (x, x, x), {"p": two}),
    ):
        with pytest.raises((TypeError, ValueError), match=r"must be known while|must have the shape of a number, \(\)"):
            loss(*arrays, **parameters)
    # A margin per place is one of each distance.
    value = contrastive(backend.array([[0.5, 0.5]]), backend.array([[0.0, 0.0]]), margin=two, reduction="none")
    backend.check(value, [[0.125, 1.125]])


def test_contrastive_bad_values(backend: Any) -> None:
    if backend.name == "strict":
        pytest.skip("values are looked at on the CPU alone, and its device is another one")
    with pytest.raises(ValueError, match=r"target must be in \[0, 1\], got -1"):
        contrastive(backend.array([1.0, 2.0]), backend.array([1, -1]))
    with pytest.raises(ValueError, match=r"distance must be zero or positive, got -0\.5"):
        contrastive(backend.array([1.0, -0.5]), backend.array([1, 0]))


def test_contrastive_embedding_target_per_row(backend: Any) -> None:
    x = backend.array(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"target must have one value per row, shape \(3,\), got \(3, 1\)"):
        contrastive_embedding(x, x, backend.array(np.ones((3, 1))))


@pytest.mark.parametrize("power", [1, 2])
def test_contrastive_embedding(backend: Any, power: int, rng: np.random.Generator) -> None:
    x1, x2 = rng.normal(size=(2, 6, 3))
    target = np.asarray([1.0, 0.0, 1.0, 0.0, 0.25, 0.5])
    d = norm(x1 - x2)
    parameters: dict[str, Any] = {"power": power, "margin": 3.0}
    expected = backend.numpy(contrastive(backend.array(d), backend.array(target), reduction="none", **parameters))
    slope = backend.numpy(
        backend.grad(contrastive, backend.array(d), backend.array(target), cotangent=np.ones(6), **parameters)[0]
    )
    arrays = backend.array(x1), backend.array(x2), backend.array(target)
    cotangent = rng.normal(size=6)
    value, (by_x1, by_x2, _) = backend.value_and_grad(contrastive_embedding, *arrays, cotangent=cotangent, **parameters)
    backend.check(value, expected, rtol=1e-14)
    backend.check(by_x1, (cotangent * slope / d)[:, None] * (x1 - x2), rtol=1e-13)
    backend.check(by_x2, -backend.numpy(by_x1))
    # Features first.
    moved = backend.array(x1.T.copy()), backend.array(x2.T.copy()), backend.array(target)
    found = backend.value_and_grad(contrastive_embedding, *moved, cotangent=cotangent, axis=0, **parameters)
    backend.check(found[0], expected, rtol=1e-14)
    backend.check(found[1][0], backend.numpy(by_x1).T)


@pytest.mark.parametrize("power", [1, 2])
def test_contrastive_embedding_of_identical_points(backend: Any, power: int) -> None:
    x, target = backend.array([[1.0, 2.0], [0.0, 0.0]]), backend.array([1.0, 0.0])
    value, (by_x1, by_x2, _) = backend.value_and_grad(
        contrastive_embedding, x, x * 1.0, target, cotangent=np.ones(2), power=power
    )
    backend.check(value, [0.0, 0.5])
    backend.check(by_x1, np.zeros((2, 2)))
    backend.check(by_x2, np.zeros((2, 2)))


def test_contrastive_embedding_exactly_at_the_margin(backend: Any) -> None:
    x1, x2 = backend.array([[3.0, 4.0], [1.5, 2.0]]), backend.array(np.zeros((2, 2)))
    gradient = backend.grad(
        contrastive_embedding, x1, x2, backend.array([0.0, 0.0]), cotangent=np.ones(2), power=1, margin=5.0
    )[0]
    backend.check(gradient, [[0.0, 0.0], [-0.3, -0.4]])


def test_norms_neither_overflow_nor_vanish(backend: Any) -> None:
    for scale in (1e20, 1e-20, 1e-25, 3e37):
        x1, x2 = backend.array([[3.0 * scale, 4.0 * scale]], "float32"), backend.array([[0.0, 0.0]], "float32")
        one = backend.array([1.0], "float32")
        value, (gradient, *_) = backend.value_and_grad(
            contrastive_embedding, x1, x2, one, cotangent=np.ones(1), power=1, factor=1.0
        )
        backend.check(value, [5.0 * scale], dtype="float32")
        backend.check(gradient, [[0.6, 0.8]], dtype="float32")


# ------------------------------------------------------------------------------------------------------------- triplet


def test_triplet_known_values(backend: Any) -> None:
    anchor, positive, negative = (backend.array([row]) for row in ([0.0, 0.0], [3.0, 4.0], [0.0, 4.5]))
    for parameters, expected in (
        ({}, 1.5),
        ({"margin": 0.0}, 0.5),
        ({"squared": True}, 25 - 20.25 + 1),
        ({"p": 1}, 7 - 4.5 + 1),
        ({"p": math.inf}, 0.5),
        ({"p": math.inf, "margin": 2}, 1.5),
        ({"p": 1.0, "squared": True}, 49 - 20.25 + 1),
        ({"swap": True}, 5 - math.hypot(3, 0.5) + 1),
    ):
        backend.check(triplet_margin(anchor, positive, negative, reduction="none", **parameters), [expected])
    # Signed differences would give 30 and NaN.
    arrays = [backend.array([row]) for row in ([-3.0, 1.0], [0.0, 0.0], [10.0, 0.0])]
    backend.check(triplet_margin(*arrays, p=1.0, margin=20.0), 4 - 14 + 20)
    backend.check(triplet_margin(*arrays, p=3.0, margin=20.0), 28 ** (1 / 3) - 2198 ** (1 / 3) + 20)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_triplet_gradient(backend: Any, p: float, squared: bool, swap: bool, rng: np.random.Generator) -> None:
    arrays = list(rng.normal(size=(3, 7, 4)))
    parameters = {"p": p, "squared": squared, "swap": swap, "margin": 0.5}

    def value(a: Any, b: Any, c: Any) -> Any:
        power = 2 if squared else 1
        plain = triplet(a, b, c, 0.5, p, power)
        return np.maximum(plain, triplet(b, a, c, 0.5, p, power)) if swap else plain

    cotangent = rng.normal(size=7)
    found, gradients = backend.value_and_grad(
        triplet_margin, *map(backend.array, arrays), cotangent=cotangent, **parameters
    )
    backend.check(found, value(*arrays), rtol=1e-12)
    for k, gradient in enumerate(gradients):
        for j in range(4):
            step = np.zeros((3, 7, 4))
            step[k, :, j] = 1e-6
            slope = (value(*(arrays + step)) - value(*(arrays - step))) / 2e-6
            np.testing.assert_allclose(backend.numpy(gradient)[:, j], cotangent * slope, rtol=1e-6, atol=1e-8)
    # A common shift of all three changes nothing.
    np.testing.assert_allclose(sum(backend.numpy(g) for g in gradients), 0, atol=1e-13)


@pytest.mark.parametrize("margin", [0.0, 1.0])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_triplet_of_identical_points(backend: Any, p: float, margin: float) -> None:
    # All three the same, anchor and positive the same, anchor and negative the same.
    anchor = np.zeros((3, 2))
    positive, negative = anchor + np.asarray([[0], [0], [1]]), anchor + np.asarray([[0], [0.25], [0]])
    value, gradients = backend.value_and_grad(
        triplet_margin, *map(backend.array, (anchor, positive, negative)), cotangent=np.ones(3), p=p, margin=margin
    )
    backend.check(value, triplet(anchor, positive, negative, margin, p))
    share = 0.5 if p == math.inf else 2 ** (1 / p - 1)
    near, far = np.zeros((3, 2)), np.zeros((3, 2))
    far[1], near[2] = share if margin else 0.0, share
    for gradient, expected in zip(gradients, (far - near, near, -far), strict=True):
        backend.check(gradient, expected)


def test_triplet_exactly_at_the_margin(backend: Any) -> None:
    arrays = [
        backend.array(rows) for rows in ([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 3.0]], [[0.0, 6.0], [4.0, 1.0]])
    ]
    for gradient in backend.grad(triplet_margin, *arrays, cotangent=np.ones(2)):
        backend.check(gradient, np.zeros((2, 2)))
    # A square of 1 and one of 2, though neither root of 2 is exact.
    arrays = [backend.array([row]) for row in ([0.0, 0.0], [1.0, 0.0], [1.0, 1.0])]
    for gradient in backend.grad(triplet_margin, *arrays, cotangent=np.ones(1), squared=True):
        backend.check(gradient, np.zeros((1, 2)))


def test_triplet_swap_tie_is_shared(backend: Any) -> None:
    anchor, positive, negative = (backend.array([row]) for row in ([0.0, 0.0], [2.0, 0.0], [1.0, 1.0]))
    gradients = backend.grad(triplet_margin, anchor, positive, negative, cotangent=np.ones(1), swap=True, margin=4.0)
    h = 0.5 / SQRT2
    for gradient, expected in zip(gradients, ([-1 + h, h], [1 - h, h], [0.0, -2 * h]), strict=True):
        backend.check(gradient, [expected])


def test_triplet_ties_of_the_largest_coordinate_are_shared(backend: Any) -> None:
    arrays = [backend.array([row]) for row in ([0.0, 0.0, 0.0], [2.0, -2.0, 1.0], [0.5, 0.0, 0.0])]
    _, positive, negative = backend.grad(triplet_margin, *arrays, cotangent=np.ones(1), p=math.inf)
    backend.check(positive, [[0.5, -0.5, 0.0]])
    backend.check(negative, [[-1.0, 0.0, 0.0]])


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
def test_triplet_huge(backend: Any, p: float, squared: bool) -> None:
    # Satisfied, though each power of a distance overflows.
    arrays = [backend.array([row], "float32") for row in ([0.0, 0.0], [2e19, 0.0], [3e19, 0.0])]
    value, gradients = backend.value_and_grad(triplet_margin, *arrays, cotangent=np.ones(1), p=p, squared=squared)
    backend.check(value, [0.0], dtype="float32")
    for gradient in gradients:
        backend.check(gradient, [[0.0, 0.0]], dtype="float32")


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
def test_triplet_tiny(backend: Any, p: float) -> None:
    arrays = [backend.array([row], "float32") for row in ([0.0, 0.0], [1e-25, 2e-25], [0.0, 0.0])]
    value, gradients = backend.value_and_grad(triplet_margin, *arrays, cotangent=np.ones(1), p=p, margin=0.0)
    backend.check(value, [norm(np.asarray([1e-25, 2e-25]), p)], dtype="float32")
    expected = (
        np.asarray([0.0, 1.0]) if p == math.inf else (np.asarray([1, 2]) / norm(np.asarray([1, 2]), p)) ** (p - 1)
    )
    backend.check(gradients[1], [expected], dtype="float32")


def test_triplet_nan_shows(backend: Any) -> None:
    good, bad = backend.array([[0.0, 1.0]]), backend.array([[0.0, math.nan]])
    for position in range(3):
        arrays = [bad if k == position else good for k in range(3)]
        for p in (1.0, 1.5, 2.0, math.inf):
            backend.check(triplet_margin(*arrays, p=p, margin=0.0), math.nan)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"margin": -1.0}, "margin must be zero or positive"), ({"p": 0.5}, r"p must be in \[1")],
)
def test_triplet_bad_parameters(backend: Any, parameters: dict[str, Any], message: str) -> None:
    x = backend.array([[0.0, 1.0]])
    with pytest.raises(ValueError, match=message):
        triplet_margin(x, x, x, **parameters)


# ---------------------------------------------------------------------------------------------------- own distances


def euclid(backend: Any) -> Callable[[Any, Any], Any]:
    def distance(x: Any, y: Any) -> Any:
        return backend.xp.sqrt(backend.xp.sum((x - y) * (x - y), axis=-1))

    return distance


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("swap", [False, True])
def test_own_distance(backend: Any, swap: bool, squared: bool, rng: np.random.Generator) -> None:
    arrays = [backend.array(a) for a in rng.normal(size=(3, 2, 5, 3))]
    parameters: dict[str, Any] = {"swap": swap, "squared": squared, "axis": 1}
    own = triplet_margin.partial(distance=euclid(backend))
    expected = backend.numpy(triplet_margin(*arrays, reduction="none", **parameters))
    backend.check(own(*arrays, reduction="none", **parameters), expected, rtol=1e-13)
    if backend.name == "strict":
        # Its own functions take its own arrays alone, and not those that record.
        with pytest.raises(AttributeError, match="Recorded"):
            backend.grad(own, *arrays, **parameters)
        return
    cotangent = rng.normal(size=(2, 3))
    found, known = (backend.grad(loss, *arrays, cotangent=cotangent, **parameters) for loss in (own, triplet_margin))
    for one, other in zip(found, known, strict=True):
        np.testing.assert_allclose(backend.numpy(one), backend.numpy(other), rtol=1e-12, atol=1e-14)


def test_own_distance_shares_ties(backend: Any) -> None:
    if backend.name == "strict":
        pytest.skip("has no gradient of it")
    arrays = [backend.array([row]) for row in ([0.0, 0.0], [2.0, 0.0], [1.0, 1.0])]
    found, known = (
        backend.grad(triplet_margin, *arrays, swap=True, margin=4.0, **parameters)
        for parameters in ({"distance": euclid(backend)}, {})
    )
    for one, other in zip(found, known, strict=True):
        backend.check(one, backend.numpy(other))


def test_own_distance_must_be_one(backend: Any) -> None:
    x = backend.array([[0.0, 1.0]])
    with pytest.raises(TypeError, match="distance must be callable, got"):
        triplet_margin(x, x, x, distance=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"the result of distance must have one value per row, shape \(1,\)"):
        triplet_margin(x, x, x, distance=lambda a, b: a - b)


# -------------------------------------------------------------------------------------------------- second derivatives


@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        (contrastive, {"margin": 1.5}),
        (contrastive_embedding, {"margin": 1.5}),
        (contrastive_embedding, {"margin": 1.5, "power": 1, "similar_label": 0}),
        (triplet_margin, {}),
        (triplet_margin, {"p": 3.0, "swap": True}),
        (triplet_margin, {"p": 1.0}),
        (triplet_margin, {"p": 1.5}),
        (triplet_margin, {"p": math.inf}),
        (triplet_margin, {"squared": True}),
        (triplet_margin, {"squared": True, "p": 3.0}),
    ],
)
def test_second_derivatives(backend: Any, loss: Any, parameters: dict[str, Any], rng: np.random.Generator) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    if loss is contrastive:
        arrays = [np.abs(rng.normal(size=9)), rng.uniform(0.1, 0.9, size=9)]
    elif loss is contrastive_embedding:
        arrays = [*rng.normal(size=(2, 6, 3)), rng.uniform(0.1, 0.9, size=6)]
    else:
        arrays = list(rng.normal(size=(3, 6, 3)))
    directions = [rng.normal(size=a.shape) for a in arrays]
    step = 1e-6

    def gradient(sign: int) -> list[Any]:
        moved = [backend.array(a + sign * step * d) for a, d in zip(arrays, directions, strict=True)]
        return [backend.numpy(g) for g in backend.grad(loss, *moved, **parameters)]

    for product, high, low in zip(
        curvature(backend, loss, arrays, directions, parameters), gradient(1), gradient(-1), strict=True
    ):
        np.testing.assert_allclose(product, (high - low) / (2 * step), rtol=1e-6, atol=1e-7)


def curvature(
    backend: Any, loss: Any, arrays: list[Any], directions: list[Any], parameters: dict[str, Any]
) -> list[Any]:
    """The derivative of the gradient along `directions`."""
    own = framework(backend.framework)
    inputs, along = ([own.array(np.asarray(a)) for a in values] for values in (arrays, directions))
    wanted = tuple(range(len(arrays)))
    found = own.hessian_product(loss, parameters, inputs, wanted, own.array(np.asarray(1.0)), along)
    return [own.numpy(product) for product in found]


def test_second_derivatives_where_points_meet(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("has no second derivatives")
    # The square of a distance is smooth there; other curvatures at a kink are 0, never NaN.
    x, d = np.asarray([[1.0, 2.0]]), np.asarray([[1.0, -3.0]])
    still = [d, 0 * d, np.zeros(1)]
    similar = curvature(backend, contrastive_embedding, [x, x, np.ones(1)], still, {})
    np.testing.assert_array_equal(similar[0], d)
    for parameters in ({}, {"power": 1}):
        for found in curvature(backend, contrastive_embedding, [x, x, np.zeros(1)], still, parameters):
            np.testing.assert_array_equal(found, 0 * found)
    # All points the same, and points that differ in one coordinate alone.
    anchor = np.asarray([[1.0, 2.0], [0.0, 0.0]])
    positive, negative = anchor + np.asarray([[0, 0], [1, 0]]), anchor + np.asarray([[0, 0], [0.25, 0]])
    for p in (1.0, 1.5, 2.0, 3.0):
        moved = [np.asarray([[1.0, -3.0], [1.0, -3.0]]), 0 * anchor, 0 * anchor]
        for found in curvature(backend, triplet_margin, [anchor, positive, negative], moved, {"p": p}):
            np.testing.assert_array_equal(found[0], [0, 0])
            assert np.isfinite(found).all()


@pytest.mark.parametrize("margin", [1e18, 1e25, 3e38])
@pytest.mark.parametrize("power", [1, 2])
def test_the_margin_may_be_as_large_as_any_number(margin: float, power: int, backend: Any) -> None:
    """A similar pair has no part in it, even if its square is infinite."""
    d = np.asarray([0.0, 1.5, 1e10, 1e18], np.float32)
    distance = backend.array(d, "float32")
    call: dict[str, Any] = {"power": power, "reduction": "sum", "factor": 0.5}
    wide = backend.array(np.asarray(margin), "float32")
    similar, dissimilar = backend.array(np.ones_like(d), "float32"), backend.array(np.zeros_like(d), "float32")
    for number, expected in ((0, 0.5 * power * d ** (power - 1)), ("margin", 0.0)):
        value, gradient = polyloss.value_and_grad(polyloss.contrastive, number)(distance, similar, margin=wide, **call)
        backend.check(value, np.float32((0.5 * d.astype(np.float64) ** power).sum()))
        backend.check(gradient, expected)
    x1, x2 = backend.array(np.zeros((4, 1)), "float32"), backend.array(d[:, None], "float32")
    value, gradient = polyloss.value_and_grad(polyloss.contrastive_embedding)(x1, x2, similar, margin=wide, **call)
    backend.check(value, np.float32((0.5 * d.astype(np.float64) ** power).sum()))
    backend.check(gradient, -0.5 * power * d[:, None] ** (power - 1) * (d[:, None] > 0))
    half = {**call, "factor": backend.array(np.asarray(0.5), "float32")}
    with np.errstate(over="ignore"):
        for number in (0, 1, "margin", "factor"):
            of_gap = polyloss.value_and_grad(polyloss.contrastive, number)
            assert not any(np.isnan(backend.numpy(a)).any() for a in of_gap(distance, dissimilar, margin=wide, **half))
    # Nor does the square overflow where a small factor keeps it in range.
    small = polyloss.contrastive(distance, dissimilar, margin=1e25, **{**call, "factor": 1e-25})
    backend.check(small, (1e-25 * (1e25 - d.astype(np.float64)) ** power).sum(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_squared_distance_that_overflows_has_no_nan(backend: Any) -> None:
    """Where two distances are equal, their squares are, however large."""
    far = backend.array(np.asarray([[3e38, 0.0]]), "float32")
    near = backend.array(np.asarray([[0.0, 0.0]]), "float32")
    for p in (1.0, 3.0, math.inf):
        call: dict[str, Any] = {"p": p, "squared": True, "margin": 2.0}
        backend.check(polyloss.triplet_margin(near, far, far, **call), 2.0)
        for number in (0, 1, 2):
            _, gradient = polyloss.value_and_grad(polyloss.triplet_margin, number)(near, near, far, **call)
            assert np.array_equal(backend.numpy(gradient), [[0.0, 0.0]])


# --------------------------------------------------------------------------------------------------------------- cosine


def test_cosine_of_subnormal_vectors(backend: Any) -> None:
    # The inverse of their lengths is too large for float32.
    x = backend.array(np.asarray([[3.0, 4.0], [1.0, 0.0]]) * 2.0**-140, "float32")
    t = backend.array([[4.0, 3.0], [2.0, 0.0]], "float32")
    with np.errstate(over="ignore"):  # array-api-strict tells of an infinite slope
        by_x, by_t = backend.grad(polyloss.cosine_distance, x, t, cotangent=np.ones(2, np.float32))
    if not backend.numpy(x + x).any():
        # Subnormal numbers are 0 here.
        backend.check(by_x, np.zeros((2, 2)), dtype="float32")
        return
    backend.check(by_x, [[-math.inf, math.inf], [0.0, 0.0]], dtype="float32")
    backend.check(by_t, [[0.0336, -0.0448], [0.0, 0.0]], dtype="float32", rtol=1e-5)
    backend.check(polyloss.cosine_distance(x, t, reduction="none"), [0.04, 0.0], dtype="float32", rtol=1e-5)
