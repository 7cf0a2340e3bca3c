"""TensorFlow: tapes, tf.function with and without XLA, Keras."""

import doctest
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polyloss

tf = pytest.importorskip("tensorflow")
import polyloss_tensorflow  # noqa: E402


@polyloss.elementwise
def detector(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """A value whose own derivative is 0: only its closed form yields 7 p^2."""
    return 0.0 * prediction * target + 1.0, lambda: 7.0 * prediction * prediction, lambda: target


@pytest.fixture
def x(rng: Any) -> Any:
    return tf.constant(rng.normal(size=(6, 4)), tf.float32)


@pytest.fixture
def y(rng: Any) -> Any:
    return tf.constant(rng.normal(size=(6, 4)), tf.float32)


def huber(a: Any, b: Any) -> Any:
    return polyloss.huber(a, b, delta=0.7)


def detect(a: Any, b: Any) -> Any:
    return detector(a, b, reduction="sum")


def first(loss: Any, a: Any, b: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = loss(a, b)
    return tape.gradient(value, a)


def second(loss: Any, a: Any, b: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(a)
        gradient = first(loss, a, b)
    return tape.gradient(gradient, a)


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=1e-5, atol=1e-7)


MODES = {
    "eager": lambda f, *specs: f,
    "graph": lambda f, *specs: tf.function(f, input_signature=specs, autograph=False),
    "xla": lambda f, *specs: tf.function(f, input_signature=specs, autograph=False, jit_compile=True),
}
BATCH = tf.TensorSpec([None, 4], tf.float32)


@pytest.fixture(params=[*MODES.values()], ids=[*MODES])
def mode(request: Any) -> Any:
    return request.param


def test_tapes_use_the_closed_form(mode: Any, x: Any, y: Any) -> None:
    close(mode(lambda a, b: first(detect, a, b), BATCH, BATCH)(x, y), 7 * x**2)
    close(mode(lambda a, b: second(detect, a, b), BATCH, BATCH)(x, y), 14 * x)
    close(mode(lambda a, b: first(lambda p, q: tf.reduce_sum(second(detect, p, q)), a, b), BATCH, BATCH)(x, y), 14.0)


def test_batch_that_changes_is_traced_once(mode: Any, x: Any, y: Any) -> None:
    step = mode(lambda a, b: polyloss.value_and_grad(huber, argnums=(0, 1))(a, b), BATCH, BATCH)
    for rows in (2, 4, 6):
        value, gradients = step(x[:rows], y[:rows])
        arrays = x[:rows].numpy(), y[:rows].numpy()
        expected = polyloss.value_and_grad(polyloss.huber, argnums=(0, 1))(*arrays, delta=0.7)
        close(value, expected[0])
        close(gradients[0], expected[1][0])
        close(gradients[1], expected[1][1])
    if hasattr(step, "experimental_get_tracing_count"):
        assert step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
def test_every_option(mode: Any, x: Any, y: Any, reduction: Any) -> None:
    def loss(a: Any, b: Any, weight: Any, mask: Any, denominator: Any) -> Any:
        more = {"denominator": denominator} if "mean" in reduction else {}
        return polyloss.huber(a, b, sample_weight=weight, where=mask, reduction=reduction, **more)

    specs = (BATCH, BATCH, tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, 4], tf.bool), tf.TensorSpec([]))
    options = (tf.range(6.0), y > 0, tf.constant(3.0))
    expected = loss(x.numpy(), y.numpy(), *(o.numpy() for o in options))
    close(mode(loss, *specs)(x, y, *options), expected)


@pytest.mark.parametrize("options", [{}, {"ignore_index": -1}, {"label_smoothing": 0.1, "axis": 0}, {"weights": True}])
def test_class_ids(mode: Any, x: Any, options: Any) -> None:
    keywords = {k: v for k, v in options.items() if k != "weights"}
    logits = tf.transpose(x) if "axis" in options else x
    arrays = {"class_weight": np.arange(1.0, 5.0, dtype="float32"), "reduction": "weighted_mean"}
    if "weights" in options:
        keywords |= arrays
    ids = tf.constant([0, 1, 2, 3, 0, -1 if "ignore_index" in options else 2])
    spec = tf.TensorSpec([4, None] if "axis" in options else [None, 4], tf.float32)
    step = mode(
        lambda a, t: polyloss.value_and_grad(polyloss.cross_entropy)(a, t, **keywords),
        spec,
        tf.TensorSpec([None], tf.int32),
    )
    value, gradient = step(logits, ids)
    expected = polyloss.value_and_grad(polyloss.cross_entropy)(logits.numpy(), ids.numpy(), **keywords)
    close(value, expected[0])
    close(gradient, expected[1])


@pytest.mark.parametrize("classes", [4, None])
@pytest.mark.parametrize("compiler", ["graph", "xla"])
def test_bad_class_id_is_nan_in_its_row_of_value_and_gradient(compiler: str, classes: int | None, x: Any) -> None:
    def step(a: Any, ids: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(a)
            losses = polyloss.cross_entropy(a, ids, reduction="none")
        return losses, tape.gradient(losses, a)

    ids = tf.constant([0, 1, 4, 3, -1, 2])
    specs = tf.TensorSpec([None, classes], tf.float32), tf.TensorSpec([None], tf.int32)
    losses, gradient = MODES[compiler](step, *specs)(x, ids)
    bad = np.asarray([False, False, True, False, True, False])
    assert np.array_equal(np.isnan(losses), bad)
    assert np.array_equal(np.isnan(gradient).all(axis=1), bad)
    assert np.array_equal(np.isnan(gradient).any(axis=1), bad)


def test_persistent_tape(x: Any, y: Any) -> None:
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        value = huber(x, y)
        double = 2 * value
    close(tape.gradient(double, x), 2 * tape.gradient(value, x))
    close(tape.gradient(value, y), -tape.gradient(value, x))


def test_jacobian_and_upstream(x: Any, y: Any) -> None:
    cotangent = tf.reshape(tf.linspace(1.0, 2.0, 24), (6, 4))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        losses = polyloss.huber(x, y, reduction="none")
    gradient = tape.gradient(losses, x, output_gradients=cotangent)
    jacobian = tape.jacobian(losses, x)
    close(tf.einsum("ij,ijkl->kl", cotangent, jacobian), gradient)
    close(gradient, cotangent * tf.clip_by_value(x - y, -1, 1))


def test_vectorized_map(x: Any, y: Any) -> None:
    close(tf.vectorized_map(lambda ab: huber(*ab), (x, y)), [huber(a, b) for a, b in zip(x, y, strict=True)])


def test_variables_and_numpy_arrays(x: Any, y: Any) -> None:
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        value = huber(variable, y)
    close(tape.gradient(value, variable), first(huber, x, y))
    close(polyloss.value_and_grad(huber)(variable, y)[1], first(huber, x, y))
    for arrays in ((x, y.numpy()), (x.numpy(), y)):
        assert isinstance(huber(*arrays), tf.Tensor)
        close(huber(*arrays), huber(x, y))
        close(polyloss.value_and_grad(huber)(*arrays)[1], first(huber, x, y))


def test_python_number_as_target(x: Any) -> None:
    close(huber(x, 0.5), huber(x, tf.fill((6, 4), 0.5)))
    close(polyloss.compile(polyloss.huber)(x, 0.5, delta=0.7, reduction="mean"), huber(x, 0.5))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integer_target(x: Any, dtype: str) -> None:
    close(first(huber, x, tf.ones((6, 4), dtype)), first(huber, x, tf.ones((6, 4))))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(mode: Any, x: Any, y: Any, dtype: str) -> None:
    a, b = tf.cast(x, dtype), tf.cast(y, dtype)
    spec = tf.TensorSpec([None, 4], dtype)
    value, gradient = mode(polyloss.value_and_grad(huber), spec, spec)(a, b)
    expected = polyloss.value_and_grad(huber)(tf.cast(a, "float64"), tf.cast(b, "float64"))
    assert value.dtype == gradient.dtype == dtype
    tolerance = 1e-14 if dtype == "float64" else {"float16": 1e-3, "bfloat16": 8e-3}[dtype]
    np.testing.assert_allclose(tf.cast(value, "float64"), expected[0], rtol=tolerance)
    np.testing.assert_allclose(tf.cast(gradient, "float64"), expected[1], rtol=tolerance, atol=1e-4)


def test_weights_get_a_gradient_and_parameters_none(x: Any, y: Any) -> None:
    def weighted(w: Any, _: Any) -> Any:
        return polyloss.huber(x, y, sample_weight=w, reduction="weighted_mean")

    gradient = first(weighted, tf.ones(6), None)
    rows = tf.reduce_mean(polyloss.huber(x, y, reduction="none"), axis=1)
    close(gradient, (rows - tf.reduce_mean(rows)) / 6)
    assert first(lambda d, _: polyloss.huber(x, y, delta=d), tf.constant(0.7), None) is None


def test_unknown_rank_is_refused(x: Any, y: Any) -> None:
    with pytest.raises(ValueError, match="how many axes"):
        tf.function(huber, input_signature=[tf.TensorSpec(None)] * 2, autograph=False)(x, y)


def test_autograph_is_quiet(x: Any, y: Any, capfd: Any) -> None:
    code = """
import tensorflow as tf, polyloss
x = tf.ones((3, 2))
both = polyloss.mse + 0.5 * polyloss.huber
step = tf.function(lambda a, b: polyloss.value_and_grad(both)(a, b)[0] + polyloss.huber(a, b))
assert abs(float(step(x, 0 * x)) - 1.75) < 1e-6
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "AutoGraph" not in done.stderr + done.stdout


# ------------------------------------------------------------------------------------------------------------- Keras


def test_the_classes_for_keras_can_be_had_from_here(x: Any, y: Any) -> None:
    """Where they were before: tests/test_keras.py has the rest."""
    pytest.importorskip("keras")
    import polyloss_keras

    assert polyloss_tensorflow.Huber is polyloss_keras.Huber
    assert isinstance(polyloss_tensorflow.keras_loss(polyloss.huber, delta=2.0), polyloss_keras.KerasLoss)
    close(polyloss_tensorflow.Mse()(y, x), polyloss.mse(x, y))
    for name in ("TripletMargin", "Hubr"):
        with pytest.raises(AttributeError, match=name):
            getattr(polyloss_tensorflow, name)
    assert "CrossEntropy" in dir(polyloss_tensorflow)


def test_examples_in_docstrings() -> None:
    pytest.importorskip("keras")
    results = doctest.testmod(polyloss_tensorflow)
    assert results.failed == 0
    assert results.attempted > 3
