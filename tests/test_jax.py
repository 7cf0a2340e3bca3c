"""JAX: both modes, vmap, jit, the cache of jitted plans."""

from typing import Any

import numpy as np
import pytest

import polyloss

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax import export  # noqa: E402

import polyloss_jax  # noqa: E402


@polyloss.elementwise
def detector(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """A value whose own derivative is 0, with the closed form 7 p^2; infinitely steep in its target."""
    return 0.0 * prediction * target + 1.0, lambda: 7.0 * prediction * prediction, lambda: prediction / 0.0


@pytest.fixture(autouse=True, params=[True, False], ids=["x64", "x32"])
def x64(request: Any) -> Any:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def x(rng: Any) -> Any:
    return jnp.asarray(rng.normal(size=(6, 4)))


@pytest.fixture
def y(rng: Any) -> Any:
    return jnp.asarray(rng.normal(size=(6, 4)))


def huber(a: Any, b: Any) -> Any:
    return polyloss.huber(a, b, delta=0.7)


def detect(a: Any, b: Any) -> Any:
    return detector(a, b, reduction="sum")


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-5, atol=1e-7)


TRANSFORMS = {
    "grad": lambda a, b: jax.grad(detect)(a, b),
    "vjp": lambda a, b: jax.vjp(lambda p: detect(p, b), a)[1](jnp.ones((), a.dtype))[0],
    "jacrev": lambda a, b: jax.jacrev(detect)(a, b),
    "jacfwd": lambda a, b: jax.jacfwd(detect)(a, b),
    "jvp": lambda a, b: jax.vmap(lambda p, t: jax.jvp(lambda q: detect(q, t), (p,), (jnp.ones_like(p),))[1])(
        a.reshape(-1), b.reshape(-1)
    ).reshape(a.shape),
    "linearize": lambda a, b: (
        jax.vmap(jax.linearize(lambda p: detect(p, b), a)[1])(jnp.eye(a.size, dtype=a.dtype).reshape(-1, *a.shape))
    ).reshape(a.shape),
    "vmap of grad": lambda a, b: jax.vmap(jax.grad(detect))(a, b),
    "vmap over targets": lambda a, b: jax.vmap(jax.grad(detect), in_axes=(None, 0))(a[0], b) * a**2 / a[0] ** 2,
    "grad of vmap": lambda a, b: jax.grad(lambda p: jax.vmap(detect)(p, b).sum())(a),
    "value_and_grad": lambda a, b: polyloss.value_and_grad(detect)(a, b)[1],
    "half of grad of grad": lambda a, b: jax.grad(lambda p: jax.grad(detect)(p, b).sum())(a) * a / 2,
    "half the diagonal of hessian": lambda a, b: (
        jnp.diagonal(jax.hessian(detect)(a, b).reshape(a.size, -1)).reshape(a.shape) * a / 2
    ),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transform_uses_the_closed_form(transform: Any, jit: bool, x: Any, y: Any) -> None:
    close((jax.jit(transform) if jit else transform)(x, y), 7 * x**2)


def test_numeric_derivatives(x64: bool, x: Any, y: Any) -> None:
    if x64:
        from jax import test_util

        check_grads: Any = test_util.check_grads
        check_grads(huber, (x, y), order=2)
        check_grads(lambda a, b: polyloss.triplet_margin(a, b, -b, axis=0, margin=3.0), (x, y), order=2)
        check_grads(
            lambda w: polyloss.huber(x, y, sample_weight=w, reduction="weighted_mean"), (x[:, 0] ** 2,), order=2
        )


def test_jit_with_a_batch_that_changes(x: Any, y: Any) -> None:
    step = jax.jit(jax.value_and_grad(huber))
    for rows in (2, 4, 6):
        value, gradient = step(x[:rows], y[:rows])
        expected = polyloss.value_and_grad(polyloss.huber)(np.asarray(x[:rows]), np.asarray(y[:rows]), delta=0.7)
        close(value, expected[0])
        close(gradient, expected[1])


def test_static_and_donated_arguments(x: Any, y: Any) -> None:
    def step(a: Any, b: Any, reduction: Any) -> Any:
        return a - jax.grad(lambda p: polyloss.huber(p, b, reduction=reduction))(a)

    fast = jax.jit(step, static_argnums=2, donate_argnums=0)
    for reduction in ("sum", "mean"):
        close(fast(x + 0.0, y, reduction), step(x, y, reduction))


def test_every_option_jitted(x: Any, y: Any) -> None:
    options = {"sample_weight": jnp.arange(6.0), "where": y > 0, "denominator": jnp.asarray(3.0)}
    eager = polyloss.huber(x, y, **options)
    jitted = jax.jit(lambda a, b, options: polyloss.huber(a, b, **options))(x, y, options)
    close(jitted, eager)
    close(polyloss.compile(polyloss.huber)(x, y, delta=1.0, reduction="mean", **options), eager)


def test_bad_class_id_is_nan_in_its_row_of_value_and_gradient(x: Any) -> None:
    ids = jnp.asarray([0, 1, 4, 3, -1, 2])

    def total(a: Any) -> Any:
        losses = polyloss.cross_entropy(a, ids, reduction="none")
        return losses.sum(), losses

    gradient, losses = jax.jit(jax.grad(total, has_aux=True))(x)
    bad = np.asarray([False, False, True, False, True, False])
    assert np.array_equal(np.isnan(losses), bad)
    assert np.array_equal(np.isnan(gradient).all(axis=1), bad)
    assert np.array_equal(np.isnan(gradient).any(axis=1), bad)


@pytest.mark.filterwarnings("ignore:.*the kernel reads traces")
def test_a_call_outside_jit_is_traced_once_per_set_of_parameters(x: Any, y: Any) -> None:
    traces: list[None] = []

    @polyloss.elementwise
    def scaled(xp: Any, /, prediction: Any, target: Any, *, factor: float = 1.0, **call: Any) -> Any:
        traces.append(None)
        return factor * prediction * target, lambda: factor * target, lambda: factor * prediction

    for factor in (1.0, 2.0, 3.0):
        close(scaled(x, y, factor=factor), (factor * x * y).mean())
    assert len(traces) == 1
    scaled(x[:2], y[:2])
    assert len(traces) == 2


def test_compile_traces_once(x: Any, y: Any) -> None:
    traces = []

    def loss(a: Any, b: Any, *, reduction: Any, scale: Any) -> Any:
        traces.append(reduction)
        return scale * polyloss.mse(a, b, reduction=reduction)

    fast = polyloss.compile(loss)
    for _ in range(3):
        close(fast(x, y, reduction="sum", scale=jnp.asarray(2.0)), 2 * ((x - y) ** 2).sum())
    assert traces == ["sum"]
    fast(x, y, reduction="mean", scale=jnp.asarray(2.0))
    assert traces == ["sum", "mean"]
    close(fast(x, 0.0, reduction="sum", scale=jnp.asarray(2.0)), 2 * (x**2).sum())


def test_numpy_arrays_are_welcome(x: Any, y: Any) -> None:
    expected = huber(x, y)
    for arrays in ((x, np.asarray(y)), (np.asarray(x), y)):
        assert isinstance(huber(*arrays), jax.Array)
        close(huber(*arrays), expected)
        close(polyloss.value_and_grad(huber)(*arrays)[1], jax.grad(huber)(x, y))


def test_python_number_as_target(x: Any) -> None:
    close(huber(x, 0.5), huber(x, jnp.full_like(x, 0.5)))
    close(jax.jit(lambda a: huber(a, 0.5))(x), huber(x, 0.5))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integer_target(x: Any, dtype: str) -> None:
    target = jnp.ones((6, 4), dtype)
    close(jax.grad(huber)(x, target), jax.grad(huber)(x, jnp.ones_like(x)))
    close(jax.jvp(lambda a: huber(a, target), (x,), (x,))[1], (jax.grad(huber)(x, target) * x).sum())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half(x: Any, y: Any, dtype: str) -> None:
    a, b = x.astype(dtype), y.astype(dtype)
    value, gradient = jax.value_and_grad(huber)(a, b)
    expected = jax.value_and_grad(huber)(a.astype("float32"), b.astype("float32"))
    assert value.dtype == gradient.dtype == dtype
    assert value == expected[0].astype(dtype)
    assert np.array_equal(gradient, expected[1].astype(dtype))


def test_gradient_by_a_parameter(x: Any, y: Any) -> None:
    def by_delta(delta: Any) -> Any:
        return polyloss.huber(3 * jnp.ones(4), 0.0, delta=delta)

    for transform in (lambda f: f, jax.jit):
        assert transform(jax.grad(by_delta))(2.0) == 1.0
        assert transform(jax.jacfwd(by_delta))(2.0) == 1.0
        assert transform(jax.hessian(by_delta))(2.0) == -1.0
        close(transform(jax.vmap(jax.grad(by_delta)))(jnp.asarray([1.0, 2.0, 4.0])), [2.0, 1.0, 0.0])
        close(transform(jax.grad(lambda d: jax.vmap(by_delta)(d * jnp.arange(1.0, 3.0)).sum()))(1.0), 2.0 + 2.0)
    close(jax.jvp(by_delta, (2.0,), (3.0,))[1], 3.0)
    value, slope = polyloss.value_and_grad(polyloss.huber, argnums="delta")(x, y, delta=jnp.asarray(0.7))
    close(value, huber(x, y))
    close(slope, jnp.where(abs(x - y) > 0.7, abs(x - y) - 0.7, 0.0).mean())


@polyloss.elementwise
def warped(xp: Any, /, prediction: Any, target: Any, *, power: float = 2.0, **call: Any) -> Any:
    """A loss without a closed form for its parameter."""
    error = prediction - target
    slope = power * error ** (power - 1.0)
    return error**power, lambda: slope, lambda: -slope


def test_gradient_by_a_parameter_without_a_closed_form(x: Any) -> None:
    def loss(a: Any, power: Any) -> Any:
        return warped(a, 0.0, power=power)

    a = jnp.exp(x)
    close(jax.grad(loss, 1)(a, 1.5), (a**1.5 * jnp.log(a)).mean())
    close(jax.jit(jax.grad(jax.grad(loss, 1), 1))(a, 1.5), (a**1.5 * jnp.log(a) ** 2).mean())
    mixed = (1.0 + 1.5 * jnp.log(a)) * a**0.5 / a.size
    close(jax.jacrev(jax.grad(loss, 1))(a, 1.5), mixed)
    close(jax.jacfwd(jax.grad(loss, 0), 1)(a, 1.5), mixed)


def test_rows_one_by_one(x: Any) -> None:
    ids = np.asarray([0, 3, 1, 2, 3, 1])
    expected = polyloss.cross_entropy(x, ids, reduction="none")
    close(jnp.stack([polyloss.cross_entropy(a, i) for a, i in zip(x, ids, strict=True)]), expected)
    close(jnp.stack([polyloss.cross_entropy(a, int(i)) for a, i in zip(x, ids, strict=True)]), expected)
    close(jax.vmap(polyloss.cross_entropy)(x, jnp.asarray(ids)), expected)
    close(jax.jit(polyloss.cross_entropy)(x[0], 0), expected[0])


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_an_empty_batch(transform: Any, x: Any) -> None:
    none, ids = x[:0], jnp.zeros(0, "int32")
    for loss in (lambda a: polyloss.mse(a, a), lambda a: polyloss.cross_entropy(a, ids)):
        value, gradient = transform(jax.value_and_grad(loss))(none)
        assert value == 0.0
        assert gradient.shape == (0, 4)
    layer = transform(jax.value_and_grad(lambda h, w: polyloss.linear_cross_entropy(h, w, ids), (0, 1)))
    value, (by_hidden, by_weight) = layer(none, x)
    assert value == 0.0
    assert by_hidden.shape == (0, 4)
    assert not by_weight.any()
    assert transform(lambda a: polyloss.mse(a, a, reduction="none"))(none).shape == (0, 4)


def test_exported_with_a_length_that_is_a_symbol(x: Any, y: Any) -> None:
    # Symbols of two programs must not be compared.
    for _ in range(2):
        (length,) = export.symbolic_shape("n")
        shape = jax.ShapeDtypeStruct((length, 4), x.dtype)
        exported = export.export(jax.jit(jax.value_and_grad(huber)))(shape, shape)
        for found, expected in zip(exported.call(x, y), jax.value_and_grad(huber)(x, y), strict=True):  # type: ignore[no-untyped-call]
            close(found, expected)


def test_dtype_follows_the_prediction(x64: bool, x: Any, y: Any) -> None:
    assert huber(x, y).dtype == ("float64" if x64 else "float32")
    assert huber(x.astype("float32"), y).dtype == "float32"
    assert huber(x.astype("float32"), np.asarray(y, "float64")).dtype == "float32"


def test_the_adapter_counts_as_jax() -> None:
    assert polyloss_jax.backend.name == "jax"
    with pytest.raises(TypeError, match="target must be an array"):
        polyloss.mse(jnp.ones(3), [1.0, 1.0, 1.0])
