"""Keras: classes made of losses behave as Keras's own, on whichever backend ``KERAS_BACKEND`` names."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.classes import classes

keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.keras,
    # Keras, about its own variables.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

import polyloss_keras  # noqa: E402

from .ordinary import ordinary  # noqa: E402

BACKENDS = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}


@polyloss.elementwise(scale=polyloss.POSITIVE)
def cauchy(xp: Any, /, prediction: Any, target: Any, *, scale: Any = 1.0, **call: Any) -> Any:
    ratio = (prediction - target) / scale
    slope = 2.0 * ratio / (1.0 + ratio * ratio) / scale
    return xp.log1p(ratio * ratio), lambda: slope, lambda: -slope


keras.saving.register_keras_serializable("test_keras")(cauchy)


def number(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


@pytest.fixture
def data(rng: Any) -> tuple[Any, Any, Any]:
    """Inputs, class ids and regression targets."""
    x = rng.normal(size=(24, 5)).astype(np.float32)
    return x, rng.integers(0, 3, 24), rng.normal(size=(24, 3)).astype(np.float32)


def model(units: int, **policy: Any) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(units, **policy)])


def fitted(loss: Any, x: Any, y: Any, units: int = 3, epochs: int = 3, **options: Any) -> list[float]:
    made = model(units)
    made.compile(keras.optimizers.SGD(0.1), loss=loss, **options)
    return list(made.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history["loss"])


REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_reductions_are_those_of_keras(rng: Any, data: Any, reduction: str, weighted: bool) -> None:
    """Of elements, of rows, with ignored rows; with and without weights."""
    _, ids, target = data
    logits, weight = rng.normal(size=(24, 3)).astype(np.float32), rng.uniform(0.5, 2.0, 24).astype(np.float32)
    some = np.where(np.arange(24) % 3 == 0, -1, ids)
    pairs = [
        (polyloss_keras.Huber(delta=0.5, reduction=reduction), keras.losses.Huber(0.5, reduction=reduction), target),
        (
            polyloss_keras.CrossEntropy(reduction=reduction),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction),
            ids,
        ),
        (
            polyloss_keras.CrossEntropy(ignore_index=-1, reduction=reduction),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1, reduction=reduction),
            some,
        ),
    ]
    for ours, builtin, y in pairs:
        given = (y, logits, weight) if weighted else (y, logits)
        found, expected = number(ours(*given)), number(builtin(*given))
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


def test_masks_are_honoured(rng: Any) -> None:
    """As keras.losses do with the mask that an embedding makes."""
    tokens = np.asarray([[1, 2, 0, 0], [3, 1, 2, 0]])
    y = rng.normal(size=(2, 4, 3)).astype(np.float32)
    found = []
    for loss in (polyloss_keras.Mse(), keras.losses.MeanSquaredError()):
        keras.utils.set_random_seed(0)
        made = keras.Sequential([keras.layers.Embedding(5, 3, mask_zero=True)])
        made.compile(loss=loss)
        found.append(made.evaluate(tokens, y, verbose=0))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_targets_have_the_shapes_that_keras_takes(rng: Any, data: Any) -> None:
    _, ids, target = data
    logits = rng.normal(size=(24, 3)).astype(np.float32)
    loss = polyloss_keras.CrossEntropy()
    expected = number(loss(ids, logits))
    for same in (ids[:, None], ids.astype(np.float32), ids[:, None].astype(np.float64), ids.astype(np.uint8)):
        assert number(loss(same, logits)) == expected
    np.testing.assert_allclose(number(loss(np.eye(3)[ids], logits)), expected, rtol=1e-6)
    mse = polyloss_keras.Mse()
    assert number(mse(target[:, 0], logits[:, :1])) == number(mse(target[:, :1], logits[:, :1]))
    assert number(mse(target[:, :1], logits[:, 0])) == number(mse(target[:, :1], logits[:, :1]))
    with pytest.raises(ValueError, match=r"y_true must be class ids, whole numbers, got 0\.5"):
        loss(0 * ids + 0.5, logits)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_result_has_the_dtype_of_the_loss(dtype: str) -> None:
    """float32 whatever the prediction is; another one where the loss is told so. As of Keras's own."""
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless told so")
    y = np.asarray([[1.0], [2.0]], np.float32)
    x = keras.ops.convert_to_tensor(np.asarray([[3.0], [300.0]], np.float32))
    value = polyloss_keras.Mse(reduction="sum")(y, keras.ops.cast(x, dtype))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert number(value) == pytest.approx((4.0 + 298.0**2), rel=0.01)
    assert keras.backend.standardize_dtype(polyloss_keras.Mse(dtype=dtype)(y, x).dtype) == dtype


def test_class_weights_and_variables(rng: Any, data: Any) -> None:
    """Arrays of NumPy, lists and variables of Keras go with every backend."""
    _, ids, _ = data
    logits, weight = rng.normal(size=(24, 3)).astype(np.float32), [0.5, 1.0, 2.0]
    expected = polyloss.cross_entropy(logits, ids, class_weight=np.asarray(weight, np.float32))
    for given in (weight, np.asarray(weight), np.asarray(weight, np.float32), keras.Variable(weight)):
        found = polyloss_keras.CrossEntropy(class_weight=given)(ids, keras.Variable(logits))
        assert number(found) == pytest.approx(float(expected), rel=1e-6)
    found = polyloss.cross_entropy(keras.Variable(logits), keras.ops.convert_to_tensor(ids))
    assert number(found) == pytest.approx(float(polyloss.cross_entropy(logits, ids)), rel=1e-6)


@pytest.mark.parametrize("kind", ["float ids", "sum", "own", "partial", "weights", "many"])
def test_fit_as_the_built_in(data: Any, kind: str) -> None:
    x, ids, target = data
    if kind == "float ids":
        builtin = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        pairs = [(polyloss_keras.CrossEntropy(), builtin, ids[:, None].astype(np.float32))]
    elif kind == "sum":
        pairs = [
            (polyloss_keras.KerasLoss(0.5 * polyloss.mse + 0.5 * polyloss.mse), keras.losses.MeanSquaredError(), target)
        ]
    elif kind == "own":
        pairs = [
            (polyloss_keras.KerasLoss(cauchy, scale=2.0), lambda y, p: keras.ops.log1p(((p - y) / 2) ** 2), target)
        ]
    elif kind == "partial":
        pairs = [(polyloss_keras.KerasLoss(polyloss.huber.partial(delta=0.5)), keras.losses.Huber(0.5), target)]
    else:
        pairs = [(polyloss_keras.LogCosh(), keras.losses.LogCosh(), target)]
    for ours, builtin, y in pairs:
        options: dict[str, Any] = {"loss_weights": 0.5} if kind == "weights" else {}
        if kind != "many":
            one, other = (np.asarray(fitted(loss, x, y, **options)) for loss in (ours, builtin))
            np.testing.assert_allclose(one, other, rtol=1e-4)
            continue
        curves = []
        for loss in (ours, builtin):
            keras.utils.set_random_seed(0)
            entry = keras.Input((5,))
            outputs = {name: keras.layers.Dense(3, name=name)(entry) for name in ("one", "two")}
            made = keras.Model(entry, outputs)
            made.compile("sgd", loss={"one": loss, "two": loss}, loss_weights={"one": 0.5, "two": 2.0})
            history = made.fit(x, {"one": y, "two": -y}, epochs=2, shuffle=False, verbose=0).history
            curves.append(history["loss"])
        np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_as_the_built_in(data: Any, policy: str) -> None:
    """40 steps: the same loss, and with float16 the same scale of the loss at the end."""
    x, ids, _ = data
    found = []
    for loss in (polyloss_keras.CrossEntropy(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)):
        made = model(3, dtype=policy)
        optimizer: Any = keras.optimizers.SGD(0.1)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**24, dynamic_growth_steps=10)
        made.compile(optimizer, loss=loss)
        history = made.fit(x[:16], ids[:16], epochs=20, batch_size=8, shuffle=False, verbose=0).history["loss"]
        scale = float(number(optimizer.dynamic_scale)) if policy == "mixed_float16" else 1.0
        found.append((history[-1], scale))
    assert found[0][1] == found[1][1]
    assert found[0][0] == pytest.approx(found[1][0], rel=0.01)


def test_config_keeps_every_parameter() -> None:
    losses = [
        polyloss_keras.Huber(delta=0.5, reduction="sum", name="mine"),
        polyloss_keras.CrossEntropy(class_weight=np.asarray([0.5, 1.0, 2.0]), label_smoothing=0.1, ignore_index=-1),
        polyloss_keras.KerasLoss(0.5 * polyloss.mse + polyloss.huber.partial(delta=0.2)),
        polyloss_keras.KerasLoss(cauchy.partial(scale=2.0)),
        polyloss_keras.KerasLoss(cauchy, scale=3.0),
    ]
    for loss in losses:
        stored = json.loads(json.dumps(keras.losses.serialize(loss)))
        again = keras.losses.deserialize(stored)
        assert (type(again), again.get_config()) == (type(loss), loss.get_config())
        assert repr(again) == repr(loss)
    assert repr(losses[0]) == "Huber(delta=0.5, reduction='sum', name='mine')"


SAVED = """
import sys, keras, numpy as np
import polyloss_keras
for path in sys.argv[1:]:
    model = keras.models.load_model(path)
    print(repr(model.loss), model.evaluate(np.ones((2, 5), "float32"), np.zeros((2, 3), "float32"), verbose=0))
"""


def test_models_are_loaded_in_another_process(data: Any, tmp_path: Path) -> None:
    """A class and a sum; in one process, since most of its time is the import of Keras."""
    losses = [polyloss_keras.Huber(delta=0.5), polyloss_keras.KerasLoss(0.5 * polyloss.mse + polyloss.l1)]
    paths, expected = [str(tmp_path / name) for name in ("class.keras", "sum.keras")], []
    for loss, path in zip(losses, paths, strict=True):
        made = model(3)
        made.compile("sgd", loss=loss)
        made.fit(data[0], data[2], verbose=0)
        made.save(path)
        expected.append(made.evaluate(np.ones((2, 5), np.float32), np.zeros((2, 3), np.float32), verbose=0))
    command = [sys.executable, "-P", "-c", SAVED, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-2:]
    for loss, line, value in zip(losses, lines, expected, strict=True):
        assert line.startswith(repr(loss))
        assert float(line.split()[-1]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", ["getpass", "os.getcwd", "compile", "Loss", "nowhere"])
def test_a_file_imports_nothing(tmp_path: Path, name: str) -> None:
    """A model whose configuration names a module, or something that is no loss, is refused."""
    made = model(3)
    made.compile("sgd", loss=polyloss_keras.KerasLoss(polyloss.mse))
    made.save(tmp_path / "model.keras")
    crafted = tmp_path / "crafted.keras"
    with zipfile.ZipFile(tmp_path / "model.keras") as source, zipfile.ZipFile(crafted, "w") as target:
        for item in source.namelist():
            content = source.read(item)
            if item == "config.json":
                terms = json.dumps([[1.0, "antigravity", name, {}]]).encode()
                content = content.replace(b'[[1.0, "polyloss>mse", {}]]', terms)
                assert b"antigravity" in content
            target.writestr(item, content)
    with pytest.raises((TypeError, ValueError), match=r"there is no loss|getpass|nowhere"):
        keras.models.load_model(crafted)
    assert "antigravity" not in sys.modules


def test_refusals_name_the_way_out() -> None:
    with pytest.raises(TypeError, match=r"Huber: takes its parameters by name .*, got float 2.0 without one"):
        polyloss_keras.Huber(2.0)
    with pytest.raises(TypeError, match=r"then call it with arrays: CrossEntropy\(...\)\(y_true, y_pred\)"):
        polyloss_keras.CrossEntropy(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="delta must be positive"):
        polyloss_keras.KerasLoss(polyloss.huber, delta=-1.0)
    with pytest.raises(TypeError, match="Keras has two arrays for a loss"):
        polyloss_keras.KerasLoss(polyloss.triplet_margin)
    with pytest.raises(ValueError, match="the losses of a sum must ignore the same class"):
        polyloss_keras.KerasLoss(polyloss.nll + polyloss.nll.partial(ignore_index=1))
    with pytest.raises(TypeError, match="did you mean delta"):
        polyloss_keras.Huber(dleta=1.0)


def test_needs_no_other_framework() -> None:
    """The package imports Keras and what Keras itself runs on."""
    others = sorted(BACKENDS.keys() - {keras.backend.backend()})
    code = f"import polyloss_keras, sys; print([name for name in {others} if 'polyloss_' + name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "[]"


@polyloss.elementwise
def own(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    error = prediction - target
    return error * error, lambda: 2.0 * error, lambda: -2.0 * error


OF_TWO = {name: loss for name, loss in classes().items() if len(loss.arrays) == 2}


@pytest.mark.parametrize("name", OF_TWO)
def test_an_object_is_the_mean_of_what_the_function_returns(name: str, rng: Any) -> None:
    """The mean over examples is the same, whether elements, rows or a batch have losses."""
    loss = OF_TWO[name]
    first, second = (
        np.asarray(array, np.float32) if array.dtype.kind == "f" else array for array in ordinary(loss, rng)
    )
    to = keras.ops.convert_to_tensor
    expected = float(number(loss(to(first), to(second))))
    for reduction, factor in (("sum_over_batch_size", 1.0), ("mean", 1.0), ("sum", 6.0)):
        made = getattr(polyloss_keras, name)(reduction=reduction)
        np.testing.assert_allclose(number(made(to(second), to(first))), factor * expected, rtol=1e-5)
    each = number(getattr(polyloss_keras, name)(reduction="none")(to(second), to(first)))
    assert each.shape == (6,)
    np.testing.assert_allclose(each.mean(), expected, rtol=1e-5)


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize(
    ("function", "way"),
    [
        (polyloss.binary_cross_entropy_with_logits, r"polyloss_keras.BinaryCrossEntropyWithLogits\(\)"),
        (polyloss.huber.partial(delta=0.5), r"polyloss_keras.Huber\(\)"),
        (polyloss.mse + polyloss.l1, r"polyloss_keras.KerasLoss\(\.\.\.\) of it"),
        (own, r"polyloss_keras.KerasLoss\(\.\.\.\) of it"),
    ],
)
def test_a_function_is_not_called_with_the_target_first(function: Any, way: str, run_eagerly: bool) -> None:
    """Where both fit, the network would be trained on the wrong values without a word."""
    x, y = np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2), np.asarray([[0.0], [1.0], [1.0], [0.0]], "float32")
    message = (
        rf"takes \((logits|prediction), target\), and Keras calls its losses with \(y_true, y_pred\): give it {way}"
    )
    for where in ({"loss": function}, {"loss": "mse", "metrics": [function]}):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
        model.compile("sgd", run_eagerly=run_eagerly, **where)
        with pytest.raises(TypeError, match=message):
            model.fit(x, y, verbose=0)


def test_a_function_of_ones_own_may_call_a_loss() -> None:
    x, y = np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2), np.ones((4, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    twin = polyloss.compat.keras.mean_absolute_error
    model.compile("sgd", loss=lambda y_true, y_pred: polyloss.mse(y_pred, y_true), metrics=[twin])
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
