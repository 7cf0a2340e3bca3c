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


def test_weights_get_a_gradient(x: Any, y: Any) -> None:
    def weighted(w: Any, _: Any) -> Any:
        return polyloss.huber(x, y, sample_weight=w, reduction="weighted_mean")

    gradient = first(weighted, tf.ones(6), None)
    rows = tf.reduce_mean(polyloss.huber(x, y, reduction="none"), axis=1)
    close(gradient, (rows - tf.reduce_mean(rows)) / 6)


LEARNED: list[tuple[Any, int, dict[str, Any]]] = [
    (polyloss.huber, 2, {"delta": 0.9}),
    (polyloss.cross_entropy, 1, {"class_weight": [1.0, 2.0, 0.5, 0.7], "label_smoothing": 0.2}),
    (polyloss.cross_entropy.partial(), 1, {"class_weight": [1.0, 2.0, 0.5, 0.7], "reduction": "weighted_mean"}),
    (polyloss.sigmoid_focal, 3, {"alpha": 0.3, "gamma": 1.7}),
    (polyloss.binary_cross_entropy_with_logits, 3, {"pos_weight": [1.0, 2.0, 0.5, 0.7]}),
    (polyloss.triplet_margin, 4, {"margin": 6.0}),
    (polyloss.linear_cross_entropy, 5, {"z_loss": 0.1, "logit_softcap": 2.0, "class_weight": [1.0, 2.0, 3.0]}),
]


@pytest.mark.parametrize(("loss", "kind", "parameters"), LEARNED, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("blocks", [True, False])
def test_parameters_have_gradients(
    mode: Any, x: Any, loss: Any, kind: int, parameters: dict[str, Any], blocks: bool, monkeypatch: Any
) -> None:
    """First and second order, against differences of the value and of the gradient."""
    monkeypatch.setattr("polyloss.engine.blocks.enabled", blocks)
    x = tf.cast(x, tf.float64)
    ids = tf.constant([0, 1, 2, 0, 1, 2])
    weight = tf.reshape(tf.range(12, dtype=tf.float64), (3, 4)) / 9
    arrays = {1: (x, ids), 2: (x, 0.4 * x[::-1]), 3: (x, tf.cast(x > 0, x.dtype)), 4: (x, x + 0.5, x[::-1])}
    inputs = (x, weight, ids) if kind == 5 else arrays[kind]
    reduction = parameters.get("reduction", "mean")
    names = [name for name in parameters if name != "reduction"]
    point = [tf.constant(parameters[name], tf.float64) for name in names]

    def value(*numbers: Any) -> Any:
        return loss(*inputs, reduction=reduction, **dict(zip(names, numbers, strict=True)))

    def slope(*numbers: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            found = value(*numbers)
        return tf.add_n([tf.reduce_sum(g) * (i + 1) for i, g in enumerate(tape.gradient(found, numbers))])

    for function in (value, slope):

        def gradients(*numbers: Any, function: Any = function) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(numbers)
                found = function(*numbers)
            return tape.gradient(found, numbers, unconnected_gradients="zero")

        found = mode(gradients, *(tf.TensorSpec(p.shape, p.dtype) for p in point))(*point)
        for place, gradient in enumerate(found):
            direction = tf.ones_like(point[place])
            ends = [[p + h * direction if i == place else p for i, p in enumerate(point)] for h in (1e-5, -1e-5)]
            difference = (function(*ends[0]) - function(*ends[1])) / 2e-5
            np.testing.assert_allclose(tf.reduce_sum(gradient), difference, rtol=1e-5, atol=1e-8)


def test_a_variable_is_learned() -> None:
    delta = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        value = polyloss.huber(3 * tf.ones(3), 0.0, delta=delta)
    close(tape.gradient(value, delta), 1.0)


def test_numbers_that_change_are_traced_once_and_remembered_once(x: Any, y: Any) -> None:
    @tf.function  # type: ignore[untyped-decorator]
    def step(delta: Any, count: Any) -> Any:
        return polyloss.huber(x, y, delta=delta, denominator=count)

    calls = [(0.5 + number, 3.0 + number) for number in range(5)]
    expected = [polyloss.huber(x.numpy(), y.numpy(), delta=delta, denominator=count) for delta, count in calls]
    close([step(tf.constant(delta), tf.constant(count)) for delta, count in calls], expected)
    assert step.experimental_get_tracing_count() == 1
    known = len(polyloss.huber._plans)
    close([polyloss.huber(x, y, delta=delta, denominator=count) for delta, count in calls], expected)
    assert len(polyloss.huber._plans) <= known + 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_halves_are_made_in_float32(mode: Any, dtype: str) -> None:
    large, spec = tf.constant([1000.0, 900.0], dtype), tf.TensorSpec([None], dtype)
    value, gradient = mode(polyloss.value_and_grad(1e-4 * polyloss.mse), spec, spec)(large, tf.zeros(2, dtype))
    assert value.dtype == gradient.dtype == dtype
    close(tf.cast(value, tf.float32), 90.5)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), [0.1, 0.09], rtol=4e-3)


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


def test_bfloat16_without_axes() -> None:
    half = tf.bfloat16
    x, zeros, number = tf.ones([3], half), tf.zeros([3], half), tf.constant(0.5, half)
    variable = tf.Variable(number)
    for delta in (number, variable):
        assert polyloss.huber(x, zeros, delta=delta) == 0.375
        assert polyloss.huber(tf.ones(3), tf.zeros(3), delta=delta) == 0.375
    assert polyloss.mse(x, zeros, denominator=number) == 6.0
    assert polyloss.mse(number, tf.zeros([], half), sample_weight=number) == 0.125
    with tf.GradientTape() as tape:
        value = polyloss.huber(x, zeros, delta=variable)
    assert tape.gradient(value, variable) == 0.5


def test_forward_mode_of_a_layer() -> None:
    hidden = tf.constant([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5]])
    weight = tf.constant([[1.0, 0.5], [-0.5, 2.0], [0.0, -1.0], [0.25, 0.75]])
    ids = tf.constant([0, 3, 1])
    for reduction in ("mean", "none"):
        with tf.autodiff.ForwardAccumulator([hidden, weight], [weight[:3], hidden[0] * weight]) as ours:
            value = polyloss.linear_cross_entropy(hidden, weight, ids, reduction=reduction)
        with tf.autodiff.ForwardAccumulator([hidden, weight], [weight[:3], hidden[0] * weight]) as expected:
            plain = polyloss.cross_entropy(hidden @ tf.transpose(weight), ids, reduction=reduction)
        np.testing.assert_allclose(value, plain, rtol=1e-6)
        np.testing.assert_allclose(ours.jvp(value), expected.jvp(plain), rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_loss_is_an_argument(jit_compile: bool) -> None:
    """It travels as itself, and not as its kernel."""
    x = tf.constant([1.0, 3.0])

    def both(x: Any, loss: Any, other: Any = polyloss.mse) -> Any:
        return loss(x, tf.zeros_like(x)) + other(x, tf.zeros_like(x))

    step = tf.function(both, jit_compile=jit_compile)
    assert step(x, polyloss.l1) == 2.0 + 5.0
    assert step(x, polyloss.huber.partial(delta=1.0)) == 1.5 + 5.0
    assert step(x, 2.0 * polyloss.l1) == 4.0 + 5.0
