"""`polyloss.compat.keras` and `polyloss.compat.tf` against `keras.losses` and `tf.nn`."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from polyloss.compat import keras as keras_compat
from polyloss.compat import tf as tf_compat
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
        return [np.asarray(x) for x in (value, *tape.gradient(value, chosen, output_gradients=tf.constant(upstream)))]

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
    for delta in (0.5, 2):
        both("huber", TARGET, LOGITS, wrt=(0, 1), delta=delta)


def test_margins() -> None:
    for name in ("hinge", "squared_hinge"):
        both(name, np.where(LABELS < 0.5, -1.0, 1.0), LOGITS)


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


def test_divergence() -> None:
    both("kl_divergence", SIMPLEX, PROBABILITIES, wrt=(0, 1), rtol=1e-6)


def test_tf_nn() -> None:
    both("sigmoid_cross_entropy_with_logits", LABELS, LOGITS, wrt=(0, 1))
    for weight in (2.5, WEIGHT):
        both("weighted_cross_entropy_with_logits", LABELS, LOGITS, wrt=(0, 1), pos_weight=weight)
    both("softmax_cross_entropy_with_logits", SIMPLEX, LOGITS, wrt=(0, 1))
    both("softmax_cross_entropy_with_logits", LABELS / LABELS.sum(axis=0), LOGITS, wrt=(0, 1), axis=0)
    both("sparse_softmax_cross_entropy_with_logits", IDS, LOGITS)
    both("l2_loss", LOGITS, wrt=(0,))


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
