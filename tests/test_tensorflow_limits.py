"""TensorFlow at its limits: sizes unknown while tracing, odd upstream gradients, what is refused, debuggers."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polyloss

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def x(rng: Any) -> Any:
    return tf.constant(rng.normal(size=(6, 4)), tf.float32)


@pytest.fixture
def y(rng: Any) -> Any:
    return tf.constant(rng.normal(size=(6, 4)), tf.float32)


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


UNKNOWN: list[tuple[Any, list[tuple[int, ...]], dict[str, tuple[int, ...]]]] = [
    (polyloss.mse, [(4, 1), (1, 4)], {}),
    (polyloss.mse, [(1, 4), (4, 4)], {}),
    (polyloss.mse, [(4, 2), (4, 2)], {"sample_weight": (1,)}),
    (polyloss.mse, [(4, 2), (4, 2)], {"where": (1,)}),
    (polyloss.huber, [(4, 1), (4, 1)], {"delta": (3,)}),
    (polyloss.cross_entropy, [(4, 2), (1,)], {}),
    (polyloss.cross_entropy, [(4, 2), (4, 1)], {}),
    (polyloss.cross_entropy, [(4, 2), (4,)], {"class_weight": (1,)}),
    (polyloss.contrastive_embedding, [(4, 2), (4, 2), (1,)], {}),
    (polyloss.linear_cross_entropy, [(1, 6), (5, 3), (2,)], {}),
    (polyloss.linear_cross_entropy, [(4, 3), (5, 3), (4,)], {"sample_weight": (1,)}),
]


@pytest.mark.parametrize(("loss", "shapes", "more"), UNKNOWN)
@pytest.mark.parametrize("compiler", ["graph", "xla"])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_lengths_that_do_not_agree_are_an_error_or_nan(
    compiler: str, reduction: str, loss: Any, shapes: Any, more: Any
) -> None:
    names = list(more)

    def made(shape: tuple[int, ...], name: str) -> Any:
        ids = len(shape) == 1 and name == "target" and loss in (polyloss.cross_entropy, polyloss.linear_cross_entropy)
        return tf.ones(shape, tf.bool if name == "where" else tf.int32 if ids else tf.float32)

    arrays = [made(shape, name) for shape, name in zip(shapes, loss.arrays, strict=True)]
    arrays += [made(more[name], name) for name in names]
    if loss is polyloss.cross_entropy and arrays[1].dtype == tf.float32:
        arrays[1] *= 0.5
    specs = [
        tf.TensorSpec(a.shape if name == "weight" else [None] * a.ndim, a.dtype)
        for name, a in zip((*loss.arrays, *names), arrays, strict=True)
    ]

    def step(*given: Any) -> Any:
        count = len(shapes)
        with tf.GradientTape() as tape:
            tape.watch(given[0])
            value = loss(*given[:count], reduction=reduction, **dict(zip(names, given[count:], strict=True)))
        return value, tape.gradient(value, given[0])

    compiled = MODES[compiler](step, *specs)
    if compiler == "graph":
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"nothing is broadcast|ncompatible|Shapes|must be|size"
        ):
            compiled(*arrays)
        return
    try:
        value, gradient = compiled(*arrays)
    except (ValueError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return
    assert np.isnan(value).all()
    assert np.isnan(gradient).all()


def test_a_parameter_may_have_a_length_of_1(x: Any, y: Any, mode: Any) -> None:
    delta = tf.constant([[0.5], [1.0], [1.5], [2.0], [2.5], [3.0]])
    step = mode(lambda a, b, d: polyloss.huber(a, b, delta=d), BATCH, BATCH, tf.TensorSpec([None, None]))
    spread: Any = np.broadcast_to(delta.numpy(), (6, 4))
    close(step(x, y, delta), polyloss.huber(x.numpy(), y.numpy(), delta=spread))


EMPTY: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (polyloss.mse, ((4,), (4,)), {}),
    (polyloss.tukey_biweight, ((4,), (4,)), {"scale": "mad"}),
    (polyloss.cross_entropy, ((4,), None), {}),
    (polyloss.softmax_focal, ((4,), None), {"gamma": 1.5}),
    (polyloss.kl_divergence, ((4,), (4,)), {}),
    (polyloss.triplet_margin, ((4,), (4,), (4,)), {}),
    (polyloss.linear_cross_entropy, ((4,), "weight", None), {}),
]


@pytest.mark.parametrize(("loss", "rest", "keywords"), EMPTY, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
def test_an_empty_batch_of_unknown_length(mode: Any, loss: Any, rest: Any, keywords: Any, reduction: str) -> None:
    arrays, specs = [], []
    for tail in rest:
        if tail == "weight":
            arrays.append(tf.ones((5, 4)))
            specs.append(tf.TensorSpec((5, 4)))
        else:
            dtype = tf.int32 if tail is None else tf.float32
            arrays.append(tf.zeros((0, *(tail or ())), dtype))
            specs.append(tf.TensorSpec((None, *(tail or ())), dtype))

    def step(*given: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(given[0])
            value = loss(*given, reduction=reduction, **keywords)
        return value, tape.gradient(value, given[0])

    value, gradient = mode(step, *specs)(*arrays)
    assert gradient.shape == (0, 4)
    if reduction == "none":
        assert value.shape == (0,) if loss.rowwise else (0, 4)
    else:
        assert float(value) == 0.0


@pytest.mark.parametrize("compiled", [False, True])
def test_upstream_gradient_may_be_sparse(x: Any, compiled: bool) -> None:
    variable = tf.Variable(x)
    hidden = tf.Variable(tf.ones((6, 3)))
    weight, ids = tf.ones((5, 3)), tf.constant([0, 1, 2, 3, 0, 1])

    def step() -> Any:
        with tf.GradientTape() as tape:
            some = tf.gather(polyloss.huber(variable, 0.0, reduction="none"), [0, 2])
            more = tf.gather(polyloss.linear_cross_entropy(hidden, weight, ids, reduction="none"), [0, 2])
            shares = tf.gather(polyloss.log_softmax(variable), [1, 1])
            value = tf.reduce_sum(some) + tf.reduce_sum(more) + tf.reduce_sum(shares[:, 0])
        return tape.gradient(value, (variable, hidden))

    found, by_hidden = (tf.function(step) if compiled else step)()
    chosen = np.asarray([1, 0, 1, 0, 0, 0])[:, None]
    share = np.eye(6)[1][:, None] * 2 * (np.eye(4)[0] - tf.nn.softmax(x).numpy())
    close(found, chosen * np.clip(x, -1, 1) + share)
    close(by_hidden, np.zeros((6, 3)))


def test_upstream_gradient_may_have_no_shape(x: Any) -> None:
    def step(a: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(a)
            total = tf.py_function(lambda losses: 2 * losses, [polyloss.huber(a, 0.0, reduction="none")], tf.float32)
            value = tf.reduce_sum(total)
        return tape.gradient(value, a)

    close(tf.function(step, autograph=False)(x), 2 * tf.clip_by_value(x, -1, 1))


# ------------------------------------------------------------------------------------------------------ what is refused


def test_what_is_no_tensor_is_named(x: Any) -> None:
    refused = {
        r"tf\.RaggedTensor; give .to_tensor": tf.ragged.constant([[1.0, 2.0], [3.0]]),
        r"tf\.SparseTensor; give tf\.sparse\.to_dense": tf.sparse.from_dense(x),
        r"tf\.IndexedSlices; give tf\.convert_to_tensor": tf.IndexedSlices(x, tf.range(6)),
        r"tf\.TensorArray; give .stack": tf.TensorArray(tf.float32, 2),
        r"tensorflow's .*Dataset; give a tensor": tf.data.Dataset.range(3),
    }
    for text, array in refused.items():
        with pytest.raises(TypeError, match=f"mse: prediction must be a plain array, got .*{text}"):
            polyloss.mse(array, array)
        with pytest.raises(TypeError, match=f"mse: target must be a plain array, got .*{text}"):
            polyloss.mse(x, array)
        with pytest.raises(TypeError, match=f"mse: sample_weight must be a plain array, got .*{text}"):
            polyloss.mse(x, x, sample_weight=array)
    for array in (tf.constant(["a"]), tf.constant([True]), tf.constant([1j])):
        with pytest.raises(TypeError, match="mse: prediction must be real floating, got dtype"):
            polyloss.mse(array, array)
    close(polyloss.mse(x, x > 0), polyloss.mse(x, tf.cast(x > 0, x.dtype)))


def test_unknown_rank_is_refused(x: Any, y: Any) -> None:
    with pytest.raises(TypeError, match=r"prediction must be a plain array, got .* how many axes .* tf\.ensure_shape"):
        tf.function(polyloss.huber, input_signature=[tf.TensorSpec(None)] * 2, autograph=False)(x, y)


def test_what_decides_must_be_known_while_tracing(x: Any) -> None:
    with pytest.raises(
        TypeError, match="log_target must be known while a call is traced, for it decides what is computed"
    ):
        tf.function(lambda t: polyloss.kl_divergence(x, x, log_target=t), autograph=False)(tf.constant(True))
    with pytest.raises(TypeError, match="swap must be known while a call is traced, for it decides what is computed"):
        polyloss.triplet_margin(x, x, x, swap=tf.constant(True))


def test_graphs_of_version_1_are_refused_and_take_a_function(x: Any) -> None:
    ids = np.asarray([0, 1, 2, 3, 0, 1])
    loss = tf.function(polyloss.cross_entropy, autograph=False)
    made = loss.get_concrete_function(tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64))
    with tf.Graph().as_default():
        logits, target = tf.compat.v1.placeholder("float32", [None, 4]), tf.compat.v1.placeholder("int64", [None])
        calls: list[Any] = [polyloss.cross_entropy, lambda a, b: polyloss.softmax(a)]
        for call in calls:
            with pytest.raises(TypeError, match="graph of TensorFlow 1, where == compares identities"):
                call(logits, target)
        value = made(logits, target)
        gradient = tf.gradients(value, logits)
        with tf.compat.v1.Session() as session:
            found = session.run([value, *gradient], {logits: x.numpy(), target: ids})
    for one, other in zip(found, polyloss.value_and_grad(polyloss.cross_entropy)(x.numpy(), ids), strict=True):
        close(one, other)


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


@pytest.mark.parametrize("switch", ["disable_tensor_equality", "disable_v2_behavior"])
def test_tensors_that_compare_identities_are_refused(switch: str) -> None:
    run(f"""
import tensorflow as tf, polyloss
tf.compat.v1.{switch}()
try:
    polyloss.cross_entropy(tf.ones((3, 2)), tf.constant([0, 1, 0]))
except TypeError as error:
    assert "logits must be a plain array, got tensors that behave as in TensorFlow 1; remove" in str(error), error
else:
    raise AssertionError
""")


def test_an_import_starts_no_runtime() -> None:
    run("""
import tensorflow as tf, polyloss, polyloss_tensorflow
tf.config.threading.set_intra_op_parallelism_threads(1)
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
assert len(tf.config.list_logical_devices("CPU")) == 2
assert float(polyloss.mse(tf.ones(3), 0.0)) == 1.0
""")


def test_a_debugger_of_numbers_finds_nothing_on_clean_data() -> None:
    run("""
import tensorflow as tf, polyloss
tf.debugging.enable_check_numerics()
x, ids = tf.constant([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]]), tf.constant([0, 1, 2])
share, log_share, hard = tf.nn.softmax(x), tf.nn.log_softmax(x), tf.cast(x > 0.5, tf.float32)
calls = [
    (polyloss.huber, (x, 0.5 * x), {"where": tf.constant([True, True, False])}),
    (polyloss.tukey_biweight, (x, 0.5 * x), {"scale": "mad", "where": tf.constant([True, True, False])}),
    (polyloss.cross_entropy, (x, ids), {"ignore_index": 1}),
    (polyloss.cross_entropy, (x, share), {"label_smoothing": 0.1, "class_weight": tf.ones(3)}),
    (polyloss.nll, (log_share, ids), {"label_smoothing": 0.1}),
    (polyloss.binary_cross_entropy, (share, hard), {}),
    (polyloss.binary_cross_entropy, (share, share), {"clip": 0.01}),
    (polyloss.binary_cross_entropy_with_logits, (x, hard), {"pos_weight": 2.0, "label_smoothing": 0.1}),
    (polyloss.sigmoid_focal, (x, hard), {"alpha": 0.25, "gamma": 1.5}),
    (polyloss.softmax_focal, (x, ids), {"gamma": 1.5}),
    (polyloss.kl_divergence, (log_share, share), {}),
    (polyloss.kl_divergence, (log_share, log_share), {"log_target": True}),
    (polyloss.contrastive, (x, hard), {}),
    (polyloss.triplet_margin, (x, 0.5 * x, -x), {"swap": True}),
    (polyloss.linear_cross_entropy, (x, tf.ones((5, 3)), ids), {"z_loss": 0.1, "logit_softcap": 3.0}),
]
for loss, arrays, keywords in calls:
    for reduction in ("mean", "none"):
        def step(*arrays):
            with tf.GradientTape() as tape:
                tape.watch(arrays[0])
                value = loss(*arrays, reduction=reduction, **keywords)
            return tape.gradient(value, arrays[0])
        step(*arrays)
        tf.function(step, autograph=False)(*arrays)
""")
