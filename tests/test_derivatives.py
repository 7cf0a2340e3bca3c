"""Second derivatives of all losses on all backends, and gradients where a kernel returns its value alone."""

import functools
import pickle
from collections.abc import Callable
from typing import Any, Unpack, cast

import numpy as np
import pytest

import polyloss
from polyloss.adapters import Array, Namespace
from polyloss.core.backend import backend_of
from polyloss_autodiff import Dual, Recorded, backwards

from .ordinary import ordinary
from .test_vocabulary import INPUTS, NAMES, TABLE

pytestmark = pytest.mark.unoptimised

LOSSES = [loss for loss in vars(polyloss).values() if isinstance(loss, polyloss.Loss)]
MOVING = [loss for loss in LOSSES if loss is not polyloss.circle]
"""Those whose gradient takes nothing for a constant that moves with the scores."""
OF_EACH = [loss for loss in LOSSES if loss.fuse is None and not loss.autodiff]


def arrays_of(loss: Any) -> list[Any]:
    return ordinary(loss, np.random.default_rng(11), rows=4, classes=3)


def quotients(loss: Any, arrays: list[Any], **keywords: Any) -> Any:
    """The Hessian by the first array, as differences of the closed-form gradient."""
    step, columns = 1e-6, []
    for place in np.ndindex(arrays[0].shape):
        ends = []
        for sign in (1, -1):
            moved = arrays[0].copy()
            moved[place] += sign * step
            ends.append(polyloss.value_and_grad(loss)(moved, *arrays[1:], **keywords)[1])
        columns.append(((ends[0] - ends[1]) / (2 * step)).ravel())
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("loss", MOVING, ids=lambda loss: loss.__name__)
def test_second_derivatives_are_those_of_the_gradient(loss: Any) -> None:
    arrays = arrays_of(loss)
    expected = quotients(loss, arrays)
    value, gradient, curvature = polyloss.curvature(loss)(*arrays)
    assert value == loss(*arrays)
    np.testing.assert_array_equal(gradient, polyloss.value_and_grad(loss)(*arrays)[1])
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(curvature.ravel(), np.diag(expected), atol=1e-7 * scale)
    np.testing.assert_allclose(
        polyloss.curvature_bound(loss)(*arrays)[2].ravel(), np.abs(expected).sum(axis=-1), atol=1e-6 * scale
    )
    vector = np.cos(np.arange(arrays[0].size)).reshape(arrays[0].shape)
    product = polyloss.hessian_product(loss)(vector, *arrays)
    np.testing.assert_allclose(product.ravel(), expected @ vector.ravel(), atol=1e-6 * scale)
    matrix = polyloss.hessian(loss)(*arrays)[2]
    rows = matrix.reshape(-1, *matrix.shape[-2:])
    blocks = np.stack([expected[k * n : (k + 1) * n, k * n : (k + 1) * n] for k, n in _blocks(rows)])
    np.testing.assert_allclose(rows, blocks, atol=1e-7 * scale)


def _blocks(rows: Any) -> list[tuple[int, int]]:
    return [(number, rows.shape[-1]) for number in range(len(rows))]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_curvature_is_the_same_on_every_backend(backend: Any, loss: Any) -> None:
    arrays = arrays_of(loss)
    expected = polyloss.curvature(loss)(*arrays)
    found = polyloss.curvature(loss)(*map(backend.array, arrays))
    for one, other in zip(found, expected, strict=True):
        assert backend.owns(one)
        np.testing.assert_allclose(backend.numpy(one), other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_masks_and_weights_count_as_in_the_gradient(backend: Any, reduction: str) -> None:
    """The curvature of each row, times the share of the row in the reduced loss."""
    logits, ids = np.asarray([[1.0, 0.5], [-2.0, 0.25], [np.nan, 3.0]]), np.asarray([0, 1, 1])
    weight, where = np.asarray([0.5, 3.0, 1.0]), np.asarray([True, True, False])
    call = {"sample_weight": backend.array(weight), "where": backend.array(where), "reduction": reduction}
    _, _, found = polyloss.curvature(polyloss.cross_entropy)(backend.array(logits), backend.array(ids), **call)
    p = np.exp(logits[:2]) / np.exp(logits[:2]).sum(axis=1, keepdims=True)
    divisor = {"sum": 1.0, "mean": 2.0, "weighted_mean": 3.5}[reduction]
    expected = np.concatenate([p * (1 - p) * weight[:2, None] / divisor, [[0.0, 0.0]]])
    np.testing.assert_allclose(backend.numpy(found), expected, rtol=1e-13)


def test_rows_along_any_axis(backend: Any) -> None:
    rng = np.random.default_rng(5)
    logits, ids = rng.normal(size=(2, 3, 4)), rng.integers(0, 3, (2, 4))
    moved = np.moveaxis(logits, 1, -1)
    expected = polyloss.hessian(polyloss.cross_entropy)(moved, ids)
    found = polyloss.hessian(polyloss.cross_entropy)(backend.array(logits), backend.array(ids), axis=1)
    np.testing.assert_allclose(backend.numpy(found[2]), expected[2], rtol=1e-12, atol=1e-16)
    _, _, diagonal = polyloss.curvature(polyloss.cross_entropy)(backend.array(logits), backend.array(ids), axis=1)
    np.testing.assert_allclose(
        np.moveaxis(backend.numpy(diagonal), 1, -1), np.diagonal(expected[2], axis1=-2, axis2=-1), rtol=1e-12
    )


def test_a_confident_row_keeps_its_curvature(backend: Any) -> None:
    """It is ``p (1 - p)`` of the far class: what 1 - p would round to 0."""
    logits, ids = backend.array(np.asarray([[40.0, 0.0]]), "float32"), backend.array(np.asarray([0]))
    _, _, found = polyloss.curvature(polyloss.cross_entropy)(logits, ids)
    np.testing.assert_allclose(backend.numpy(found), np.exp([[-40.0, -40.0]]), rtol=1e-5)
    _, _, found = polyloss.curvature(polyloss.binary_cross_entropy_with_logits)(logits, backend.array(np.ones((1, 2))))
    np.testing.assert_allclose(backend.numpy(found), [[np.exp(-40.0) / 2, 0.125]], rtol=1e-5)


def test_half_precision_is_computed_in_float32(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    logits, ids = backend.array(np.asarray([[0.5, -1.0, 2.0]]), "float16"), backend.array(np.asarray([1]))
    _, _, found = polyloss.curvature(polyloss.cross_entropy)(logits, ids)
    p = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    backend.check(found, [p * (1 - p)], dtype="float16", rtol=2.0**-10)


def test_sums_of_losses_and_array_parameters(backend: Any) -> None:
    x, t = np.asarray([0.25, -3.0, 1.0]), np.zeros(3)
    delta = np.asarray([1.0, 1.0, 0.5])
    loss = 0.5 * polyloss.mse + 2.0 * polyloss.huber.partial(delta=backend.array(delta))
    _, _, found = polyloss.curvature(loss)(backend.array(x), backend.array(t), reduction="sum")
    np.testing.assert_allclose(backend.numpy(found), [3.0, 1.0, 1.0], rtol=1e-15)


def test_by_another_argument(backend: Any) -> None:
    """Of the Gaussian likelihood ``log(v) / 2 + e^2 / (2 v)`` by its variance, and of a parabola's width."""
    x, t, v = np.asarray([1.0, 3.0]), np.zeros(2), np.asarray([0.5, 2.0])
    arrays = list(map(backend.array, (x, t, v)))
    expected = x**2 / v**3 - 0.5 / v**2
    for place, name in ((2, "by position"), ("variance", "by name")):
        _, _, found = polyloss.curvature(polyloss.gaussian_nll, place)(*arrays, reduction="sum")
        np.testing.assert_allclose(backend.numpy(found), expected, rtol=1e-13, err_msg=name)
    _, _, matrix = polyloss.hessian(polyloss.gaussian_nll, 2)(*arrays, reduction="sum")
    np.testing.assert_allclose(backend.numpy(matrix)[:, 0, 0], expected, rtol=1e-13)
    # Outside of it, the Huber loss is delta |e| - delta^2 / 2.
    delta = backend.array(np.asarray(0.75))
    _, gradient, found = polyloss.curvature(polyloss.huber, "delta")(*arrays[:2], delta=delta, reduction="sum")
    np.testing.assert_allclose(backend.numpy(gradient), 4.0 - 2 * 0.75, rtol=1e-13)
    np.testing.assert_allclose(backend.numpy(found), -2.0, rtol=1e-13)


def test_arrays_may_come_by_name(backend: Any) -> None:
    x, t = backend.array(np.asarray([1.0, 3.0])), backend.array(np.asarray([0.0, 1.0]))
    for call in ({"prediction": x, "target": t}, {"target": t, "prediction": x}):
        _, _, found = polyloss.curvature(polyloss.mse, "prediction")(**call)
        np.testing.assert_array_equal(backend.numpy(found), [1.0, 1.0])
    np.testing.assert_array_equal(
        backend.numpy(polyloss.hessian_product(polyloss.mse)(x, x, target=t)), backend.numpy(x)
    )


def test_nothing_is_differentiated_through_the_results(backend: Any) -> None:
    if backend.framework != "torch":
        pytest.skip("elsewhere, no array says that it is differentiated through")
    for loss in (polyloss.cross_entropy, polyloss.nt_xent):
        x, ids = backend.array(np.eye(4)).requires_grad_(), backend.array(np.asarray([0, 1, 1, 0]))
        found = [*polyloss.curvature(loss)(x, ids), polyloss.hessian_product(loss)(x, x, ids)]
        assert not any(array.requires_grad for array in found)


def test_what_is_returned_can_be_pickled() -> None:
    x, t = np.asarray([1.0, 3.0]), np.zeros(2)
    for transform in (polyloss.curvature, polyloss.curvature_bound, polyloss.hessian):
        made = pickle.loads(pickle.dumps(transform(polyloss.huber.partial(delta=2.0))))
        assert made.__name__ == "huber"
        np.testing.assert_array_equal(made(x, t)[2].ravel(), [0.5, 0.0])


def test_a_loss_without_examples_has_no_curvature(backend: Any) -> None:
    x, ids = backend.array(np.zeros((0, 3))), backend.array(np.zeros(0, dtype=np.int64))
    for loss in (polyloss.cross_entropy, polyloss.nt_xent):
        assert polyloss.curvature(loss)(x, ids)[2].shape == (0, 3)
        assert polyloss.curvature_bound(loss)(x, ids)[2].shape == (0, 3)
    assert polyloss.hessian(polyloss.cross_entropy)(x, ids)[2].shape == (0, 3, 3)
    assert polyloss.hessian(polyloss.nt_xent)(x, ids)[2].shape == (0, 0)


def test_a_kink_has_no_curvature(backend: Any) -> None:
    x = backend.array(np.zeros(3))
    for loss in (polyloss.l1, polyloss.quantile.partial(q=0.75), polyloss.mape):
        target = backend.array(np.ones(3)) if loss is polyloss.mape else x
        assert not backend.numpy(polyloss.curvature(loss)(x, target)[2]).any()


def value_alone(loss: Any) -> Any:
    """A loss without its closed form."""
    twin = loss._same()
    kernel = loss.kernel

    @functools.wraps(kernel)
    def alone(xp: Namespace, *arrays: Array, **keywords: Any) -> Array:
        return kernel(xp, *arrays, **keywords)[0]

    twin.kernel, twin.autodiff, twin.origin = alone, True, twin
    twin._forget()
    return twin


@pytest.mark.parametrize("loss", OF_EACH, ids=lambda loss: loss.__name__)
def test_a_kernel_of_a_value_alone_has_a_gradient_everywhere(backend: Any, loss: Any) -> None:
    if backend.has_autodiff:
        pytest.skip("the framework differentiates")
    arrays = [backend.array(array) for array in arrays_of(loss)]
    twin = value_alone(loss)
    floats = tuple(place for place, array in enumerate(arrays) if "float" in str(array.dtype))
    closed = polyloss.value_and_grad(loss)(*arrays)
    value, gradient = polyloss.value_and_grad(twin)(*arrays)
    np.testing.assert_array_equal(backend.numpy(value), backend.numpy(closed[0]))
    np.testing.assert_allclose(backend.numpy(gradient), backend.numpy(closed[1]), rtol=1e-9, atol=1e-12)
    assert len(polyloss.value_and_grad(twin, floats)(*arrays)[1]) == len(floats)


@pytest.mark.parametrize("loss", OF_EACH, ids=lambda loss: loss.__name__)
def test_a_kernel_of_a_value_alone_has_curvature(loss: Any) -> None:
    arrays = arrays_of(loss)
    _, _, expected = polyloss.curvature(loss)(*arrays)
    _, _, found = polyloss.curvature(value_alone(loss))(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)


@polyloss.rowwise(autodiff=True)
def lots(xp: Namespace, x: Array, t: Array, **call: Unpack[polyloss.RowCall]) -> Array:
    """A value of functions that no loss differentiates."""
    ordered, summed = xp.sort(x), xp.cumulative_sum(x, axis=-1, include_initial=True)
    ends = xp.concat([ordered[..., 1:], summed[..., :2], x[..., :1]], axis=-1)
    pairs = xp.stack([x, t], axis=-1)
    products = xp.matrix_transpose(pairs) @ xp.tanh(pairs)
    chosen = xp.max(xp.sinh(0.5 * x), axis=-1) * xp.min(t, axis=-1) + xp.mean(xp.clip(x * t, -0.5, 0.5), axis=-1)
    powers = xp.sum(xp.abs(x) ** (1.0 + xp.abs(t)), axis=-1)
    return xp.sum(ends * ends, axis=-1) + xp.sum(products, axis=(-2, -1)) + chosen + powers


def test_functions_of_a_value_alone(backend: Any) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=(5, 4)), rng.normal(size=(5, 4))]
    found = polyloss.value_and_grad(lots, (0, 1))(*map(backend.array, arrays), reduction="sum")[1]
    step = 1e-6
    for place, gradient in enumerate(found):
        expected = np.empty((5, 4))
        for index in np.ndindex(5, 4):
            ends = []
            for sign in (1, -1):
                moved = [array.copy() for array in arrays]
                moved[place][index] += sign * step
                ends.append(lots(*moved, reduction="sum"))
            expected[index] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(backend.numpy(gradient), expected, rtol=1e-6, atol=1e-8)


def test_tangents_of_a_value_alone_are_what_its_gradient_says() -> None:
    rng = np.random.default_rng(4)
    x, t, along = (rng.normal(size=(5, 4)) for _ in range(3))
    tangent = lots(Dual(x, along), Dual(t), reduction="sum").tangent
    gradient = polyloss.value_and_grad(lots)(x, t, reduction="sum")[1]
    np.testing.assert_allclose(tangent, (gradient * along).sum(), rtol=1e-12)


KINKS: dict[str, tuple[Callable[[Any, Any], Any], list[float], list[float]]] = {
    "the largest of a row": (lambda xp, x: xp.max(x), [2.0, 0.0, 2.0], [0.5, 0.0, 0.5]),
    "of two arrays": (lambda xp, x: xp.sum(xp.maximum(x, 2.0 * x)), [0.0, 1.0, -1.0], [1.5, 2.0, 1.0]),
    "an array and a number": (lambda xp, x: xp.sum(xp.maximum(x, 1.0)), [1.0, 2.0, 0.0], [0.0, 1.0, 0.0]),
    "an array and a constant": (
        lambda xp, x: xp.sum(xp.minimum(xp.zeros_like(x), x)),
        [0.0, 1.0, -1.0],
        [0.0, 0.0, 1.0],
    ),
    "bounds": (lambda xp, x: xp.sum(xp.clip(x, -1.0, 1.0)), [-1.0, 0.5, 1.0], [0.0, 1.0, 0.0]),
    "the absolute value": (lambda xp, x: xp.sum(xp.abs(x)), [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
    "no power of 0": (lambda xp, x: xp.sum(x**0 + x ** xp.zeros_like(x)), [0.0, 1.0, -1.0], [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_the_derivative_at_a_kink_is_that_of_least_norm(name: str) -> None:
    function, x, expected = KINKS[name]
    _, (gradient,) = backwards(lambda x: function(x.__array_namespace__(), x), [np.asarray(x)], [0])
    np.testing.assert_array_equal(gradient, expected)


def test_small_derivatives_behind_large_ones_are_exact() -> None:
    """That by the last entry is 1, whatever there is before."""

    def weighed(x: Any) -> Any:
        xp = x.__array_namespace__()
        return xp.sum(xp.cumulative_sum(x, axis=-1) * np.asarray([1e20, 0.0, 1.0]))

    _, (gradient,) = backwards(weighed, [np.ones(3)], [0])
    np.testing.assert_array_equal(gradient, [1e20, 1.0, 1.0])


DIFFERENTIABLE = sorted(
    NAMES
    - {"bool", "int32", "int64", "float32", "float64", "inf", "finfo", "iinfo", "isdtype", "result_type"}
    - {"isfinite", "isinf", "isnan", "all", "any", "argmax", "arange", "asarray", "sign", "floor"}
    - {"full_like", "ones_like", "zeros_like"}
)
"""The names that kernels may use, but for those that have no derivative."""


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_each_name_has_its_derivative_in_both_directions(name: str) -> None:
    """Forwards it is a difference quotient, and backwards the transpose of that."""
    rng, count = np.random.default_rng(7), 0
    for row in (row for row in TABLE if row.name == name):
        # In general position: kinks and special numbers are elsewhere.
        arrays = [
            rng.uniform(0.1, 0.9, array.shape) if array.dtype == np.float64 else array
            for array in (INPUTS[kind]("float64") for kind in row.inputs)
        ]
        along = [rng.normal(size=array.shape) if array.dtype == np.float64 else None for array in arrays]
        if not any(direction is not None and direction.size for direction in along):
            continue
        duals = list(map(Dual, arrays, along))
        found = row.call(duals[0].__array_namespace__(), *duals)
        if not isinstance(found, Dual) or found.dtype != np.float64:
            continue
        ends = [
            [array if d is None else array + step * d for array, d in zip(arrays, along, strict=True)]
            for step in (1e-6, -1e-6)
        ]
        xp = backend_of(arrays[0]).namespace(arrays[0])
        expected = (row.call(xp, *ends[0]) - row.call(xp, *ends[1])) / 2e-6
        # Some choose between an array and infinity, or take a power that is no number.
        finite = np.isfinite(expected)
        if not finite.any():
            continue
        tangent = np.where(finite, 0.0 if found.tangent is None else found.tangent, 0.0)
        case = f"row {TABLE.index(row)}, {', '.join(row.inputs)}"
        np.testing.assert_allclose(tangent[finite], expected[finite], rtol=1e-6, atol=1e-7, err_msg=case)
        weights = np.where(finite, rng.normal(size=found.shape), 0.0)

        def weighed(*recorded: Any, row: Any = row, weights: Any = weights) -> Any:
            space = recorded[0].__array_namespace__()
            return space.sum(row.call(space, *recorded) * weights)

        places = [place for place, direction in enumerate(along) if direction is not None]
        _, gradients = backwards(weighed, arrays, places)
        for place, gradient in zip(places, gradients, strict=True):
            assert gradient.shape == arrays[place].shape, case
        back = sum((gradient * along[place]).sum() for place, gradient in zip(places, gradients, strict=True))
        np.testing.assert_allclose(back, (tangent * weights).sum(), rtol=1e-10, atol=1e-10, err_msg=case)
        count += 1
    assert count


def test_what_cannot_be_differentiated_says_so() -> None:
    x = np.ones((2, 3))

    @polyloss.rowwise(autodiff=True)
    def strange(xp: Namespace, x: Array, t: Array, **call: Unpack[polyloss.RowCall]) -> Array:
        return xp.linalg.vector_norm(x - t, axis=-1)  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="linalg: no derivative of it is known"):
        polyloss.value_and_grad(strange)(x, x)
    with pytest.raises(ValueError, match="a gradient needs a scalar"):
        polyloss.curvature(polyloss.mse)(x, x, reduction="none")
    with pytest.raises(ValueError, match=r"hessian_product: vector must have .*\(2, 3\)"):
        polyloss.hessian_product(polyloss.mse)(np.ones(3), x, x)
    with pytest.raises(TypeError, match="curvature: expected a loss or a sum of losses, got ndarray"):
        polyloss.curvature(cast(Any, x))
    with pytest.raises(TypeError, match="hessian: expected a loss or a sum of losses, got function"):
        polyloss.hessian(lambda x: x)
    with pytest.raises(TypeError, match="argnums must be the number or the name of one argument, got \\(0, 1\\)"):
        polyloss.curvature(polyloss.mse, cast(Any, (0, 1)))
    with pytest.raises(TypeError, match=r"curvature: takes function and argnums, .* as in curvature\(polyloss.mse\)"):
        polyloss.curvature(polyloss.mse, x, x)  # type: ignore[call-arg, arg-type]
    with pytest.raises(ValueError, match="mse: argnums='delta' is none of the arguments of this call"):
        polyloss.curvature(polyloss.mse, "delta")(x, x)
    with pytest.raises(TypeError, match="mse: unexpected delta"):
        polyloss.curvature(polyloss.mse)(x, x, delta=1.0)
    with pytest.raises(TypeError, match="prediction must be real floating"):
        polyloss.curvature(polyloss.mse)(np.ones(3, dtype=np.int64), np.ones(3))
    with pytest.raises(TypeError, match="in steps of 2 have no derivative"):
        backwards(lambda x: x[::2].__array_namespace__().sum(x[::2]), [np.ones(4)], [0])


def test_jax_compiles_curvature() -> None:
    jax = pytest.importorskip("jax")
    x, ids = jax.numpy.asarray([[0.5, -1.0, 2.0]]), jax.numpy.asarray([1])
    plain = polyloss.curvature(polyloss.cross_entropy)(x, ids)
    compiled = jax.jit(polyloss.curvature(polyloss.cross_entropy))(x, ids)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6)


def test_constants_are_not_recorded() -> None:
    x = Recorded(np.ones(3))
    assert not (x * 2.0 + 1.0).tracked
    assert not (Recorded.start(np.ones(3)) > x).tracked
    assert repr(Dual(np.ones(1))) == "Dual(array([1.]))"


def test_remainders_and_powers_of_a_value_alone() -> None:
    @polyloss.elementwise(autodiff=True)
    def powers(xp: Namespace, x: Array, t: Array, **call: Unpack[polyloss.Call]) -> Array:
        return x % 2.0 + 7.0 % t + x**0 + x**3

    x, t = np.asarray([0.0, 0.5, 3.5]), np.asarray([2.0, 3.0, 4.0])
    _, (by_x, by_t) = polyloss.value_and_grad(powers, (0, 1))(x, t, reduction="sum")
    np.testing.assert_array_equal(by_x, 1.0 + 3.0 * x * x)
    np.testing.assert_array_equal(by_t, [-3.0, -2.0, -1.0])


def test_nothing_has_no_second_derivatives() -> None:
    x, ids = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    assert polyloss.curvature(polyloss.nt_xent)(x, ids, reduction="sum")[2].shape == (0, 3)
    assert polyloss.hessian(polyloss.nt_xent)(x, ids, reduction="sum")[2].shape == (0, 0)


def test_results_are_constants_and_functions_are_pickled() -> None:
    jax = pytest.importorskip("jax")
    x, t = jax.numpy.asarray([0.5, -1.0]), jax.numpy.zeros(2)
    assert not jax.grad(lambda x: polyloss.curvature(polyloss.log_cosh)(x, t)[2].sum())(x).any()
    find = pickle.loads(pickle.dumps(polyloss.hessian_product(polyloss.mse)))
    np.testing.assert_array_equal(find(np.ones(2), np.ones(2), np.zeros(2), reduction="sum"), [2.0, 2.0])
    with pytest.raises(TypeError, match="vector must be real floating"):
        find(np.asarray([1j, 1.0]), np.ones(2), np.zeros(2))


def test_lengths_may_be_unknown_to_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    logits, ids = np.asarray([[0.5, -1.0, 2.0]]), np.asarray([1])
    function = tf.function(
        lambda x, ids: polyloss.curvature(polyloss.cross_entropy)(x, ids)[2],
        input_signature=[tf.TensorSpec([None, 3], tf.float64), tf.TensorSpec([None], tf.int64)],
        autograph=False,
    )
    expected = polyloss.curvature(polyloss.cross_entropy)(logits, ids)[2]
    np.testing.assert_allclose(function(logits, ids).numpy(), expected, rtol=1e-12)
