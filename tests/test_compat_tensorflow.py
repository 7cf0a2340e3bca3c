"""`polyloss.compat.keras` and `polyloss.compat.tf` against `keras.losses` and `tf.nn`."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import compat
from polyloss.compat import keras as keras_compat
from polyloss.compat import tf as tf_compat
from polyloss.compat.keras import aliases
from polyloss_conformance import deviations
from polyloss_conformance.builtins import FAMILIES

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")


BUILT_IN = {
    **dict.fromkeys(keras_compat.__all__, (keras.losses, keras_compat)),
    **dict.fromkeys(tf_compat.__all__, (tf.nn, tf_compat)),
}
LOGITS = np.random.default_rng(1).normal(0, 2, (6, 4))
TARGET = np.random.default_rng(2).normal(0, 2, (6, 4))
LABELS = np.random.default_rng(3).uniform(0, 1, (6, 4))
SIMPLEX = LABELS / LABELS.sum(axis=-1, keepdims=True)
IDS = np.asarray([0, 3, 1, 2, 3, 1])
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)


def both(
    name: str, *arrays: np.ndarray[Any, Any], wrt: Sequence[int] = (1,), rtol: float = 1e-9, **keywords: Any
) -> None:
    """Value and gradient, with an upstream gradient that is not uniform, of the built-in and of its twin."""

    def run(function: Callable[..., Any]) -> list[np.ndarray[Any, Any]]:
        inputs = [tf.constant(a) for a in arrays]
        chosen = [inputs[i] for i in wrt]
        with tf.GradientTape() as tape:
            tape.watch(chosen)
            value = function(*inputs, **keywords)
        upstream = np.linspace(-1, 2, int(np.prod(value.shape))).reshape(value.shape)
        gradients = tape.gradient(value, chosen, output_gradients=tf.constant(upstream))
        return [np.asarray(x) for x in (value, *map(tf.convert_to_tensor, gradients))]

    built_in, compat = BUILT_IN[name]
    for one, other in zip(run(getattr(compat, name)), run(getattr(built_in, name)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_signature_is_that_of_the_built_in(name: str) -> None:
    built_in, compat = BUILT_IN[name]
    expected = inspect.signature(getattr(built_in, name)).parameters.values()
    found = inspect.signature(getattr(compat, name)).parameters.values()
    assert [(p.name, p.default, p.kind) for p in found] == [(p.name, p.default, p.kind) for p in expected]


def test_residuals() -> None:
    for name in ("mean_squared_error", "mean_absolute_error"):
        both(name, TARGET, LOGITS, wrt=(0, 1))
    # Keras takes its constant log(2) in float32.
    both("log_cosh", TARGET, LOGITS, wrt=(0, 1), rtol=1e-6)
    both("mean_absolute_percentage_error", TARGET, LOGITS, wrt=(0, 1))
    both("mean_squared_logarithmic_error", LABELS, PROBABILITIES, wrt=(0, 1), rtol=1e-6)
    both("mean_squared_logarithmic_error", TARGET, LOGITS, wrt=(0, 1), rtol=1e-6)
    both("poisson", np.round(3 * LABELS), 1 + PROBABILITIES, wrt=(0, 1), rtol=1e-4)
    for delta in (0.5, 2):
        both("huber", TARGET, LOGITS, wrt=(0, 1), delta=delta)


def test_margins() -> None:
    for name in ("hinge", "squared_hinge"):
        both(name, np.where(LABELS < 0.5, -1.0, 1.0), LOGITS)
        both(name, np.where(LABELS < 0.5, 0.0, 1.0), LOGITS)
        for labels in (np.where(LABELS < 0.5, 0, 1), LABELS < 0.5):
            expected = getattr(keras.losses, name)(labels, LOGITS)
            np.testing.assert_allclose(getattr(keras_compat, name)(labels, LOGITS), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"y_true must be -1 or 1, got 0"):
        keras_compat.hinge(np.asarray([[1.0, 0.0, -1.0]]), np.zeros((1, 3)))


@pytest.mark.parametrize(("smoothing", "axis"), list(itertools.product((0.0, 0.3), (-1, 0))))
def test_binary(smoothing: float, axis: int) -> None:
    both("binary_crossentropy", LABELS, LOGITS, wrt=(0, 1), from_logits=True, label_smoothing=smoothing, axis=axis)
    both("binary_crossentropy", LABELS, SIMPLEX, wrt=(0, 1), label_smoothing=smoothing, axis=axis, rtol=1e-6)
    hard = np.where(LABELS < 0.5, 0.0, 1.0)
    for labels, balanced, gamma in itertools.product((LABELS, hard), (False, True), (1.5, 2.0)):
        keywords: Any = {"apply_class_balancing": balanced, "gamma": gamma, "label_smoothing": smoothing, "axis": axis}
        both("binary_focal_crossentropy", labels, LOGITS, from_logits=True, rtol=1e-6, **keywords)
        both("binary_focal_crossentropy", labels, SIMPLEX, rtol=1e-6, **keywords)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_classes(smoothing: float) -> None:
    for labels in (SIMPLEX, np.eye(4)[IDS]):
        both("categorical_crossentropy", labels, LOGITS, from_logits=True, label_smoothing=smoothing)
        both("categorical_crossentropy", labels, 0.5 * PROBABILITIES, label_smoothing=smoothing, rtol=1e-6)
        for alpha in (0.25, WEIGHT):
            both(
                "categorical_focal_crossentropy",
                labels,
                LOGITS,
                from_logits=True,
                alpha=alpha,
                label_smoothing=smoothing,
                rtol=1e-6,
            )
            both(
                "categorical_focal_crossentropy",
                labels,
                PROBABILITIES,
                alpha=alpha,
                gamma=1.5,
                label_smoothing=smoothing,
                rtol=1e-6,
            )
    both("categorical_crossentropy", SIMPLEX, 0.5 * PROBABILITIES, wrt=(0, 1), rtol=1e-6)
    cube = np.stack([LOGITS, LOGITS[::-1]], axis=-1)
    both("categorical_crossentropy", np.stack([SIMPLEX, SIMPLEX], axis=-1), cube, from_logits=True, axis=1)


WEIGHT = np.asarray([0.5, 2.0, 1.0, 3.0])


@pytest.mark.parametrize("ignored", [None, 3, -1])
def test_class_ids(ignored: int | None) -> None:
    target = IDS if ignored is None else np.where(IDS == 3, ignored, IDS)
    for labels in (target, target[:, None]):
        both("sparse_categorical_crossentropy", labels, LOGITS, from_logits=True, ignore_class=ignored)
        both("sparse_categorical_crossentropy", labels, PROBABILITIES, ignore_class=ignored, rtol=1e-6)


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "huber", "log_cosh"])
@pytest.mark.parametrize("shapes", [((6,), (6, 1)), ((6, 1), (6,)), ((6, 4, 1), (6, 4)), ((6, 4), (6, 4, 1))])
def test_a_last_axis_of_length_1_is_given_or_taken_as_in_keras(
    name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    arrays = (np.resize(a, shape) for a, shape in zip((TARGET, LOGITS), shapes, strict=True))
    both(name, *arrays, wrt=(0, 1), rtol=1e-6)


def test_other_targets_keep_their_shapes() -> None:
    for name in keras_compat.__all__:
        if name in ("circle", "ctc", "sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"):
            continue  # of class ids
        with pytest.raises(ValueError, match="must have the shape of"):
            getattr(keras_compat, name)(tf.constant(SIMPLEX[:1]), tf.constant(PROBABILITIES))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_class_ids_may_be_whole_numbers_in_floats(backend: Any, from_logits: bool, column: bool) -> None:
    loss = keras_compat.sparse_categorical_crossentropy
    prediction = backend.array(LOGITS if from_logits else PROBABILITIES, "float32")

    def ids(values: Any, dtype: str) -> Any:
        return backend.array(np.reshape(values, (-1, 1) if column else -1), dtype)

    expected = backend.numpy(loss(ids(IDS, "int32"), prediction, from_logits=from_logits))
    for dtype in ("float32", "float64", "uint8"):
        backend.check(loss(ids(IDS, dtype), prediction, from_logits=from_logits), expected)
    with pytest.raises(ValueError, match=r"y_true must be class ids: whole numbers, got 1\.5"):
        loss(ids([0, 3, 1, 1.5, 3, 1], "float32"), prediction, from_logits=from_logits)
    if backend.has_autodiff:
        compiled = backend.compile(lambda t, p: loss(t, p, from_logits=from_logits))
        found = backend.numpy(compiled(ids([0, 3, 1, 1.5, 3, 1], "float32"), prediction))
        assert np.isnan(found).tolist() == [False, False, False, True, False, False]
        np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-6)


def test_keras_trains_with_the_functions() -> None:
    for name, labels in (("sparse_categorical_crossentropy", IDS), ("sparse_categorical_crossentropy", IDS[:, None])):
        losses = []
        for loss in (getattr(keras_compat, name), getattr(keras.losses, name)):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.layers.Dense(4, activation="softmax")])
            model.compile("sgd", loss)
            losses.append(model.fit(LOGITS, labels, epochs=2, verbose=0).history["loss"])
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_alpha_may_be_a_list_and_every_parameter_a_tensor() -> None:
    for from_logits, prediction in ((True, LOGITS), (False, PROBABILITIES)):
        for kind in (list, tuple, tf.constant):
            both(
                "categorical_focal_crossentropy",
                SIMPLEX,
                prediction,
                alpha=kind(WEIGHT.tolist()),
                from_logits=from_logits,
                rtol=1e-6,
            )
    for name in ("categorical_focal_crossentropy", "binary_focal_crossentropy"):
        for from_logits in (True, False):
            step = 1e-6

            def loss(alpha: Any, gamma: Any, name: str = name, from_logits: bool = from_logits) -> Any:
                more = {"apply_class_balancing": True} if name.startswith("binary") else {}
                prediction = tf.constant(LOGITS if from_logits else PROBABILITIES)
                twin = getattr(keras_compat, name)
                labels = tf.constant(SIMPLEX)
                return tf.reduce_sum(
                    twin(labels, prediction, alpha=alpha, gamma=gamma, from_logits=from_logits, **more)
                )

            point = tf.constant(0.3, tf.float64), tf.constant(1.7, tf.float64)
            with tf.GradientTape() as tape:
                tape.watch(point)
                value = loss(*point)
            np.testing.assert_allclose(value, loss(0.3, 1.7), rtol=1e-12)
            by_alpha, by_gamma = tape.gradient(value, point)
            np.testing.assert_allclose(by_alpha, (loss(0.3 + step, 1.7) - loss(0.3 - step, 1.7)) / (2 * step), 1e-6)
            np.testing.assert_allclose(by_gamma, (loss(0.3, 1.7 + step) - loss(0.3, 1.7 - step)) / (2 * step), 1e-6)


def test_an_axis_that_does_not_exist_is_named() -> None:
    for name in keras_compat.__all__:
        function = getattr(keras_compat, name)
        known = inspect.signature(function).parameters
        if "axis" in known:
            logits = {"from_logits": True} if "from_logits" in known else {}
            for labels in (SIMPLEX, IDS):
                with pytest.raises(
                    (ValueError, TypeError), match=r"axis must be in \[-2, 2\), got 9|must have the shape"
                ):
                    function(tf.constant(labels), tf.constant(LOGITS), **logits, axis=9)


def variables(values: Any) -> list[Any]:
    return [tf.Variable(values), keras.Variable(values, dtype=str(values.dtype)), tf.constant(values)]


def test_variables_are_what_they_hold() -> None:
    logits, ids = LOGITS.astype("float32"), IDS.astype("int32")
    shares = SIMPLEX.astype("float32")
    calls: list[tuple[Any, Any, Any]] = [
        (compat.torch.cross_entropy, logits, ids),
        (compat.torch.nll_loss, -np.abs(logits), ids),
        (compat.torch.kl_div, -np.abs(logits), shares),
        (compat.torch.mse_loss, logits, shares),
        (lambda p, t: compat.keras.sparse_categorical_crossentropy(t, p, from_logits=True), logits, ids),
        (lambda p, t: compat.keras.categorical_crossentropy(t, p), PROBABILITIES.astype("float32"), shares),
        (lambda p, t: compat.tf.sparse_softmax_cross_entropy_with_logits(t, p), logits, ids),
        (compat.optax.softmax_cross_entropy_with_integer_labels, logits, ids),
        (polyloss.cross_entropy, logits, ids),
        (polyloss.mse, logits, shares),
    ]
    for function, first, second in calls:
        expected = function(tf.constant(first), tf.constant(second))
        for prediction, target in itertools.product(variables(first), variables(second)):
            with tf.GradientTape() as tape:
                tape.watch(
                    getattr(prediction, "value", prediction) if isinstance(prediction, keras.Variable) else prediction
                )
                value = function(prediction, target)
            np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(TypeError, match=r"mean_squared_error: y_true must be a plain array, got a tf\.RaggedTensor"):
        keras_compat.mean_squared_error(tf.ragged.constant([[1.0], [1.0, 2.0]]), tf.constant(LOGITS))


@pytest.mark.parametrize("compiler", [False, True])
def test_sizes_unknown_while_tracing(compiler: bool) -> None:
    def run(function: Callable[..., Any], *arrays: Any, **keywords: Any) -> None:
        specs = [tf.TensorSpec([None] * a.ndim, a.dtype) for a in arrays]
        step = tf.function(
            lambda *a: function(*a, **keywords), input_signature=specs, autograph=False, jit_compile=compiler
        )
        np.testing.assert_allclose(step(*map(tf.constant, arrays)), function(*map(tf.constant, arrays), **keywords))

    run(tf_compat.weighted_cross_entropy_with_logits, LABELS, LOGITS, pos_weight=tf.constant(WEIGHT))
    run(keras_compat.mean_squared_error, TARGET, LOGITS)
    for options in ({"from_logits": True}, {}):
        labels = {"label_smoothing": 0.2, **options}
        run(keras_compat.categorical_crossentropy, SIMPLEX, PROBABILITIES, **labels)
        run(keras_compat.categorical_focal_crossentropy, SIMPLEX, PROBABILITIES, **labels)
        run(keras_compat.binary_crossentropy, SIMPLEX, PROBABILITIES, **labels)
        run(keras_compat.sparse_categorical_crossentropy, IDS, PROBABILITIES, **options)
    mask = np.abs(LOGITS) < 1.5

    def masked(name: str) -> Callable[..., Any]:
        return lambda *arrays: getattr(compat.optax, name)(*arrays[:2], where=arrays[2])

    for name in ("ranking_softmax_loss", "softmax_cross_entropy", "poly_loss_cross_entropy"):
        run(masked(name), LOGITS, SIMPLEX, mask if name != "poly_loss_cross_entropy" else mask[:, 0])
    run(masked("cosine_distance"), LOGITS, TARGET, mask)
    run(masked("generalized_kl_divergence"), np.log(PROBABILITIES), SIMPLEX, mask)
    run(lambda *arrays: compat.optax.ranking_softmax_loss(*arrays[:2], weights=arrays[2]), LOGITS, SIMPLEX, SIMPLEX)
    for var in (PROBABILITIES, PROBABILITIES[:, :1]):
        run(compat.torch.gaussian_nll_loss, LOGITS, TARGET, var)


def test_divergence() -> None:
    both("kl_divergence", SIMPLEX, PROBABILITIES, wrt=(0, 1), rtol=1e-6)


def functions(module: Any) -> dict[str, Any]:
    """The losses of a module that are functions."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    tools = {"deserialize", "get", "serialize"}
    return {name: value for name, value in public.items() if inspect.isfunction(value) and name not in tools}


def test_every_function_of_keras_has_a_twin() -> None:
    found = functions(keras.losses)
    assert {*found} >= {"mean_squared_error", "categorical_crossentropy", "poisson"}
    assert {*found} - {*keras_compat.__all__} == set()


def test_every_loss_of_tensorflow_has_a_twin() -> None:
    losses = {name for name in dir(tf.nn) if "loss" in name or "cross_entropy" in name}
    # The last two reduce and scale what is no loss of their own.
    others = {"compute_average_loss", "scale_regularization_loss"}
    assert losses - {*tf_compat.__all__} == others


def test_a_short_name_is_the_function_itself() -> None:
    found = {name: value.__name__ for name, value in functions(tf.keras.losses).items() if name != value.__name__}
    assert {"mse", "MSE", "kld", "logcosh"} <= {*found}
    here = {name: getattr(keras_compat, name) for name in aliases.__all__}
    assert here == {name: getattr(keras_compat, full) for name, full in found.items()}
    assert {*here} & {*keras_compat.__all__} == set()


def test_tf_nn() -> None:
    both("log_poisson_loss", np.round(3 * LABELS), LOGITS, wrt=(0, 1))
    both("log_poisson_loss", 2 + LABELS, LOGITS, wrt=(0, 1), compute_full_loss=True)
    both("sigmoid_cross_entropy_with_logits", LABELS, LOGITS, wrt=(0, 1))
    for weight in (2.5, WEIGHT):
        both("weighted_cross_entropy_with_logits", LABELS, LOGITS, wrt=(0, 1), pos_weight=weight)
    both("softmax_cross_entropy_with_logits", SIMPLEX, LOGITS, wrt=(0, 1))
    both("softmax_cross_entropy_with_logits", LABELS / LABELS.sum(axis=0), LOGITS, wrt=(0, 1), axis=0)
    both("sparse_softmax_cross_entropy_with_logits", IDS, LOGITS)
    both("l2_loss", LOGITS, wrt=(0,))


@pytest.mark.parametrize("name", ["sampled_softmax_loss", "nce_loss"])
@pytest.mark.parametrize(("true", "hits"), list(itertools.product((1, 2), (False, True))))
def test_losses_of_a_sample(name: str, true: int, hits: bool) -> None:
    rng = np.random.default_rng(10)
    labels = np.stack([rng.permutation(9)[:true] for _ in range(6)])
    arrays = rng.normal(size=(9, 4)), rng.normal(size=9), labels, LOGITS
    sample = tuple(map(tf.constant, (np.asarray([0, 5, 2, 3, 8]), rng.uniform(0, 1, (6, true)), rng.uniform(0, 1, 5))))
    keywords: Any = {"num_true": true, "sampled_values": sample, "remove_accidental_hits": hits}
    both(name, *arrays, wrt=(0, 1, 3), num_sampled=5, num_classes=9, **keywords)
    narrow = tf.constant(labels, tf.int32)
    layer = tf.constant(arrays[0]), tf.constant(arrays[1]), narrow, tf.constant(LOGITS)
    assert np.isfinite(getattr(tf_compat, name)(*layer, 5, 9, **keywords)).all()


def test_what_is_wrong_with_a_sample_is_said() -> None:
    layer, rows, one = np.eye(3, 2), np.ones((2, 2)), np.ones(1)

    def call(labels: Any = ((0,), (1,)), sampled: Any = (2,), **keywords: Any) -> Any:
        values = np.asarray(sampled), np.ones((2, 1)), one
        given: Any = {"sampled_values": values, "num_sampled": 1, "num_classes": 3, **keywords}
        return tf_compat.nce_loss(layer, np.zeros(3), np.asarray(labels), rows, **given)

    np.testing.assert_allclose(call(labels=(0, 1)), call())
    with pytest.raises(ValueError, match=r"nce_loss: sampled_values must be given.*log_uniform_candidate_sampler"):
        call(sampled_values=None)
    with pytest.raises(ValueError, match=r"nce_loss: labels must be class ids in \[0, 3\), got 3"):
        call(labels=((0,), (3,)))
    with pytest.raises(ValueError, match=r"nce_loss: sampled_values must be class ids in \[0, 3\), got -1"):
        call(sampled=(-1,))
    with pytest.raises(TypeError, match="nce_loss: labels must be class ids"):
        call(labels=((0.0,), (1.0,)))
    with pytest.raises(
        ValueError, match=r"nce_loss: labels must have a row of num_true classes .*\(2, 2\), got \(2, 1\)"
    ):
        call(num_true=2)
    with pytest.raises(ValueError, match=r"nce_loss: sampled_values must have three arrays.* \(2,\), got \(1,\)"):
        call(num_sampled=2)
    bad = tf.constant([[0], [3]])
    values = tf.constant([2]), tf.ones((2, 1), tf.float64), tf.constant(one)
    compiled = tf.function(tf_compat.nce_loss)(
        tf.constant(layer), tf.zeros(3, tf.float64), bad, tf.constant(rows), 1, 3, sampled_values=values
    )
    assert np.isnan(compiled).tolist() == [False, True]


def test_ctc() -> None:
    """PyTorch's steps come first, and a negative blank counts from the end. Keras counts labels that are not 0."""
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(4, 3, 5)).astype("float32"), np.asarray([[1, 2], [3, 3], [2, 0]])
    steps, count = tf.constant([4, 4, 3]), tf.constant([2, 2, 1])

    def same(one: Any, other: Any, x: Any) -> None:
        found = []
        for function in (one, other):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            found.append((value, tape.gradient(value, x)))
        for got, expected in zip(*found, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)

    options: dict[str, Any]
    for options in ({}, {"blank_index": 4}, {"blank_index": -1}, {"logits_time_major": False}):
        first = tf.constant(logits if options.get("logits_time_major", True) else logits.swapaxes(0, 1))
        given = (labels, count) if "blank_index" not in options else (labels, tf.constant([2, 2, 2]))
        same(
            lambda x, given=given, options=options: tf_compat.ctc_loss(
                tf.constant(given[0]), x, given[1], steps, **options
            ),
            lambda x, given=given, options=options: tf.nn.ctc_loss(
                tf.constant(given[0]), x, given[1], steps, **options
            ),
            first,
        )
    batch = tf.constant(logits.swapaxes(0, 1))
    for target in (labels, labels.astype("float32")):
        same(
            lambda x, target=target: keras_compat.ctc(tf.constant(target), x),
            lambda x, target=target: keras.losses.ctc(tf.constant(target), x),
            batch,
        )


def test_embeddings_longer_than_one_are_as_near_as_can_be() -> None:
    embeddings, labels = np.asarray([[3.0, 0], [2, 1], [1, 1], [0.5, -1]]), np.asarray([0, 1, 0, 1])
    both("circle", labels, embeddings, gamma=2.0)
    both("circle", labels, embeddings, gamma=2.0, remove_diagonal=False)


def test_samples_that_do_not_fit_are_refused() -> None:
    layer, sample = np.ones((5, 3)), (np.asarray([0, 1]), np.ones((4, 1)), np.ones(2))

    def call(labels: Any, classes: int = 5, values: Any = sample) -> Any:
        ids = np.asarray(labels)
        return tf_compat.nce_loss(layer, np.zeros(5), ids, np.ones((4, 3)), 2, classes, sampled_values=values)

    assert call([2, 1, 1, 0]).shape == (4,)
    for labels in ([2], [2, 1, 1]):
        with pytest.raises(ValueError, match="labels must have a class for each of inputs"):
            call(labels)
    with pytest.raises(ValueError, match="num_classes must be the rows of weights, 5, got 99"):
        call([2, 1, 1, 0], 99)
    with pytest.raises(ValueError, match="sampled_values must be three arrays"):
        call([2, 1, 1, 0], values=sample[:2])


def test_arrays_of_numpy_are_welcome_beside_tensors() -> None:
    value = keras_compat.mean_squared_error(TARGET, tf.constant(LOGITS))
    np.testing.assert_allclose(value, keras.losses.mean_squared_error(TARGET, tf.constant(LOGITS)))


@pytest.mark.parametrize(
    "entry",
    [e for e in deviations.load() if e.input and FAMILIES[e.family].backend == "tensorflow"],
    ids=lambda e: e.input,
)
def test_what_the_table_of_deviations_says_is_so(entry: deviations.Deviation) -> None:
    if not deviations.holds(str({"keras": keras, "tf": tf}[entry.family].__version__), entry.versions):
        pytest.skip("another version")
    assert deviations.confirm(entry) == ""


@pytest.mark.parametrize(
    "name",
    sorted(
        {n for n in dir(keras.losses) if not n.startswith("_")} - {"Loss", "get", "serialize", "deserialize"}
        | {n for n in dir(tf.nn) if n.endswith("_loss") or "entropy" in n}
        - {"compute_average_loss", "scale_regularization_loss"}
    ),
)
def test_every_loss_of_theirs_is_answered(name: str) -> None:
    for module in (polyloss, keras_compat, tf_compat):
        if not hasattr(module, name):
            with pytest.raises(AttributeError, match=r"; (nearest here: |there is no such loss in polyloss yet)"):
                getattr(module, name)
