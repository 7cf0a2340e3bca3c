"""The classes of `polyloss.compat.keras` are those of `keras.losses`, on whichever backend ``KERAS_BACKEND`` names."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyloss import compat
from polyloss.compat.keras.classes import CLASSES

keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.keras,
    # Keras, about its own variables.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

RNG = np.random.default_rng(6)
PREDICTION = RNG.normal(0, 2, (6, 4)).astype("float32")
TARGET = RNG.normal(0, 2, (6, 4)).astype("float32")
SHARES = RNG.dirichlet(np.ones(4), 6).astype("float32")
OTHER_SHARES = RNG.dirichlet(np.ones(4), 6).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
UNITS = PREDICTION / np.sqrt(np.sum(PREDICTION * PREDICTION, axis=1, keepdims=True))
IDS = np.asarray([0, 1, 2, 3, 0, 1])
STEPS = RNG.normal(0, 2, (6, 4, 4)).astype("float32")
BITS = (TARGET > 0).astype("float32")
SIGNS = np.sign(TARGET)

CALLS: dict[str, tuple[Any, Any, tuple[dict[str, Any], ...]]] = {
    "BinaryCrossentropy": (BITS, SHARES, ({}, {"label_smoothing": 0.25})),
    "BinaryFocalCrossentropy": (BITS, SHARES, ({}, {"apply_class_balancing": True, "gamma": 3.0})),
    "CTC": (np.asarray([[1, 2], [3, 3], [2, 0], [0, 0], [1, 0], [1, 1]]), STEPS, ({},)),
    "CategoricalCrossentropy": (ONE_HOT, SHARES, ({}, {"label_smoothing": 0.25})),
    "CategoricalFocalCrossentropy": (ONE_HOT, SHARES, ({}, {"alpha": 0.5})),
    "CategoricalGeneralizedCrossEntropy": (IDS, SHARES, ({}, {"q": 0.75})),
    "CategoricalHinge": (ONE_HOT, np.abs(PREDICTION), ({},)),
    "Circle": (IDS, UNITS, ({}, {"gamma": 8.0, "margin": 0.25, "remove_diagonal": False})),
    "CosineSimilarity": (TARGET, PREDICTION, ({}, {"axis": 1})),
    "Dice": (BITS, SHARES, ({}, {"axis": -1}, {"axis": (0, 1)})),
    "Hinge": (SIGNS, PREDICTION, ({},)),
    "Huber": (TARGET, PREDICTION, ({}, {"delta": 0.5})),
    "KLDivergence": (OTHER_SHARES, SHARES, ({},)),
    "LogCosh": (TARGET, PREDICTION, ({},)),
    "MeanAbsoluteError": (TARGET, PREDICTION, ({},)),
    "MeanAbsolutePercentageError": (TARGET, PREDICTION, ({},)),
    "MeanSquaredError": (TARGET, PREDICTION, ({},)),
    "MeanSquaredLogarithmicError": (SHARES, OTHER_SHARES, ({},)),
    "Poisson": (np.round(4 * SHARES), OTHER_SHARES, ({},)),
    "SparseCategoricalCrossentropy": (
        IDS,
        PREDICTION,
        ({"from_logits": True}, {"from_logits": True, "ignore_class": 1}),
    ),
    "SquaredHinge": (SIGNS, PREDICTION, ({},)),
    "Tversky": (BITS, SHARES, ({}, {"axis": -1, "alpha": 0.25, "beta": 0.25})),
}


def number(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


def test_every_class_of_keras_is_here() -> None:
    theirs = {name for name in dir(keras.losses) if inspect.isclass(getattr(keras.losses, name)) and name != "Loss"}
    assert theirs <= CLASSES.keys()
    assert CALLS.keys() == CLASSES.keys()
    assert CLASSES.keys() <= set(dir(compat.keras))


@pytest.mark.parametrize("name", CLASSES)
def test_objects_are_those_of_keras_in_all_but_what_they_compute(name: str) -> None:
    y_true, y_pred, calls = CALLS[name]
    ours, theirs = getattr(compat.keras, name), getattr(keras.losses, name)
    assert issubclass(ours, theirs)
    assert inspect.signature(ours) == inspect.signature(theirs)
    for keywords in calls:
        for reduction in ("sum_over_batch_size", "mean_with_sample_weight", "sum", "none"):
            one, other = (kind(**keywords, reduction=reduction) for kind in (ours, theirs))
            for weight in (None, np.linspace(0, 2, 6, dtype="float32")):
                found, expected = number(one(y_true, y_pred, weight)), number(other(y_true, y_pred, weight))
                assert found.dtype == expected.dtype
                np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-6)
            assert one.get_config().keys() == inspect.signature(theirs).parameters.keys() - {"dtype"}
            again = keras.losses.deserialize(keras.losses.serialize(one))
            assert type(again) is ours
            assert again.get_config() == one.get_config()
            np.testing.assert_array_equal(number(again(y_true, y_pred)), number(one(y_true, y_pred)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a function of TensorFlow")
@pytest.mark.parametrize("name", CLASSES)
def test_an_object_may_be_a_function_of_tensorflow(name: str) -> None:
    import tensorflow as tf

    y_true, y_pred, (keywords, *_) = CALLS[name]
    one = getattr(compat.keras, name)(**keywords)
    np.testing.assert_allclose(tf.function(one)(y_true, y_pred), one(y_true, y_pred), rtol=1e-5)


COLUMNS = [name for name in CLASSES if "Categorical" not in name and name not in ("CTC", "Circle")]
"""Classes whose examples may be numbers: of a target and a prediction, one may be a column."""


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_and_a_vector_are_the_same_examples(name: str) -> None:
    target = SIGNS[:, 0] if "Hinge" in name else BITS[:, 0]
    prediction = np.linspace(0.125, 0.875, 6, dtype="float32")
    ours, theirs = getattr(compat.keras, name)(), getattr(keras.losses, name)()
    for y_true, y_pred in ((target, prediction[:, None]), (target[:, None], prediction)):
        np.testing.assert_allclose(number(ours(y_true, y_pred)), number(theirs(y_true, y_pred)), rtol=3e-6, atol=1e-6)


def test_an_older_keras_lacks_some_classes() -> None:
    code = "import keras; del keras.losses.CategoricalGeneralizedCrossEntropy; import polyloss_keras as p; p.Huber()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_is_trained_saved_and_loaded(tmp_path: Path) -> None:
    """With a parameter that Keras forgets to save of its own class."""
    model = keras.Sequential([keras.layers.Dense(4)])
    model.compile("sgd", compat.keras.Huber(delta=0.25))
    before = model.evaluate(PREDICTION, TARGET, verbose=0)
    model.fit(PREDICTION, TARGET, epochs=3, verbose=0)
    after = model.evaluate(PREDICTION, TARGET, verbose=0)
    assert after < before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.delta == 0.25
    assert again.evaluate(PREDICTION, TARGET, verbose=0) == pytest.approx(after, rel=1e-6)


def test_ignored_classes_count_in_no_mean_while_training() -> None:
    losses = []
    for kind in (compat.keras.SparseCategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.compile("sgd", kind(from_logits=True, ignore_class=1))
        losses.append(model.fit(PREDICTION, IDS, epochs=2, verbose=0, batch_size=4).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_masks_and_lists_are_for_keras() -> None:
    tokens = np.asarray([[1, 2, 0, 0], [3, 1, 2, 0]])
    y = RNG.normal(size=(2, 4, 3)).astype("float32")
    found = []
    for loss in (compat.keras.MeanSquaredError(), keras.losses.MeanSquaredError()):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Embedding(5, 3, mask_zero=True)])
        model.compile(loss=loss)
        found.append(model.evaluate(tokens, y, verbose=0))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert number(compat.keras.Huber()([0.0, 3.0], [1.0, 1.0])) == 1.0
    assert repr(compat.keras.Huber(delta=2.0)).startswith("Huber(name='huber_loss', ")
