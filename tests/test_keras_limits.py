"""Keras: the shapes, masks, dtypes and files at the edge of what the classes take."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyloss

keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.keras,
    # Keras, about its own variables.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

from keras.src.backend import get_keras_mask, set_keras_mask  # noqa: E402

import polyloss_keras  # noqa: E402

LOGITS = np.asarray([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]], np.float32)
IDS = np.asarray([0, 1, 2])
ROWS = np.asarray([2.40760596, 0.55144471, 5.01338587])
MEANS = ["sum_over_batch_size", "mean", "mean_with_sample_weight"]


@polyloss.elementwise
def huber(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
    """A loss of one's own, under the name of one of ours."""
    error = prediction - target
    return 100.0 * error * error, lambda: 200.0 * error, lambda: -200.0 * error


class Shelf:
    """Losses may be attributes of a class."""

    @polyloss.elementwise(scale=polyloss.POSITIVE)
    def scaled(xp: Any, /, prediction: Any, target: Any, *, scale: Any = 1.0, **call: Any) -> Any:  # noqa: N805
        error = prediction - target
        return scale * error * error, lambda: 2 * scale * error, lambda: -2 * scale * error


keras.saving.register_keras_serializable("test_keras_limits")(Shelf.scaled)


def number(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


def made(name: str, config: Any) -> Any:
    """What Keras makes of a class and its configuration in a file."""
    found = {"class_name": name, "config": config, "module": "polyloss_keras", "registered_name": f"polyloss>{name}"}
    return keras.losses.deserialize(json.loads(json.dumps(found)))


def masked(array: Any, mask: Any, value: float = 0.0) -> Any:
    """A tensor with a mask, as layers of Keras make it; with `value` where that is False."""
    tensor = keras.ops.convert_to_tensor(np.where(mask[..., None], array, value).astype(np.float32))
    set_keras_mask(tensor, keras.ops.convert_to_tensor(mask))
    assert get_keras_mask(tensor) is not None
    return tensor


@pytest.fixture
def sequences(rng: Any) -> tuple[Any, Any, Any]:
    """Predictions and targets of shape (2, 5, 3), and which steps count."""
    mask = np.asarray([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    return (*rng.normal(size=(2, 2, 5, 3)).astype(np.float32), mask)


@pytest.mark.parametrize("reduction", [*MEANS, "sum", "none", None])
@pytest.mark.parametrize("shape", [None, (2,), (2, 1), (2, 5), (2, 5, 1)])
def test_masks_and_weights_of_every_shape(sequences: Any, reduction: Any, shape: Any) -> None:
    """As arithmetic on the losses of the steps, and as Keras, where that has one weight for each step."""
    prediction, target, mask = sequences
    weight = None if shape is None else np.linspace(0.5, 2.0, int(np.prod(shape))).reshape(shape).astype(np.float32)
    losses = ((prediction - target) ** 2).mean(-1) * mask
    wide = np.ones((2, 5)) if weight is None else np.broadcast_to(weight.reshape(2, -1), (2, 5))
    divisor = (wide * mask).sum() if reduction == "mean_with_sample_weight" else mask.sum()
    expected = losses * wide
    if reduction not in ("none", None):
        expected = expected.sum() / (1 if reduction == "sum" else divisor)
    y_pred = masked(prediction, mask)
    found = number(polyloss_keras.Mse(reduction=reduction)(target, y_pred, weight))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if shape in (None, (2, 5), (2, 5, 1)):
        builtin = keras.losses.MeanSquaredError(reduction=reduction)
        np.testing.assert_allclose(found, number(builtin(target, y_pred, weight)), rtol=1e-5)


def test_what_is_masked_may_be_anything(sequences: Any) -> None:
    """NaN, infinity, ids that do not exist: a masked step adds exactly 0."""
    prediction, target, mask = sequences
    y_pred = masked(prediction, mask, np.nan)
    assert np.isnan(number(y_pred)).any()
    expected = ((prediction - target) ** 2)[mask].mean()
    bad = np.where(mask[..., None], target, np.nan)
    assert number(polyloss_keras.Mse()(bad, y_pred)) == pytest.approx(expected, rel=1e-6)
    rows = polyloss.cross_entropy(prediction[mask], np.ones(5, np.int64))
    for ids in (np.where(mask, 1, -7), np.where(mask, 1.0, np.nan), np.where(mask, 1, 99)[..., None]):
        assert number(polyloss_keras.CrossEntropy()(ids, y_pred)) == pytest.approx(float(rows), rel=1e-6)
    nothing = masked(prediction, np.zeros_like(mask))
    assert [number(polyloss_keras.Mse(reduction=r)(target, nothing)) for r in (*MEANS, "sum")] == [0.0] * 4


def test_a_mask_and_an_ignored_class_together(sequences: Any) -> None:
    prediction, _, mask = sequences
    ids = np.where(np.arange(5) == 1, -1, 2) * np.ones((2, 1), np.int64)
    counted = mask & (ids != -1)
    expected = polyloss.cross_entropy(prediction[counted], ids[counted])
    loss = polyloss_keras.CrossEntropy(ignore_index=-1)
    assert number(loss(ids, masked(prediction, mask))) == pytest.approx(float(expected), rel=1e-6)


def test_steps_of_one_output(sequences: Any) -> None:
    """(N, T) against (N, T, 1): as Keras squeezes, and with a mask each step is an example."""
    prediction, target, mask = sequences[0][..., :1], sequences[1][..., 0], sequences[2]
    for reduction in (*MEANS, "sum", "none"):
        builtin = keras.losses.MeanSquaredError(reduction=reduction)
        found = number(polyloss_keras.Mse(reduction=reduction)(target, prediction))
        np.testing.assert_allclose(found, number(builtin(target, prediction)), rtol=1e-5)
    expected = ((prediction[..., 0] - target) ** 2)[mask].mean()
    assert number(polyloss_keras.Mse()(target, masked(prediction, mask))) == pytest.approx(expected, rel=1e-6)


def test_an_empty_batch_is_zero() -> None:
    for loss, y in ((polyloss_keras.Mse, np.zeros((0, 3))), (polyloss_keras.CrossEntropy, np.zeros(0, np.int32))):
        for reduction in (*MEANS, "sum"):
            value = number(loss(reduction=reduction)(y, np.zeros((0, 3), np.float32)))
            assert (value.shape, float(value)) == ((), 0.0)
        assert number(loss(reduction="none")(y, np.zeros((0, 3), np.float32))).shape == (0,)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_the_result_alone(dtype: str) -> None:
    """Sums in float32, rounded once; ids are not rounded at all."""
    ones = np.ones((70_000, 1), np.float32)
    assert float(number(keras.ops.cast(polyloss_keras.Mse(dtype=dtype)(0 * ones, ones), "float32"))) == 1.0
    large = 20.0 * ones[:400]
    assert float(number(keras.ops.cast(polyloss_keras.Mse(dtype=dtype)(0 * large, large), "float32"))) == 400.0
    logits = np.where(np.arange(300) == 257, 20.0, 0.0)[None].astype(np.float32)
    for ids in (np.asarray([257]), np.asarray([257.0], np.float32)):
        value = polyloss_keras.CrossEntropy(dtype=dtype)(ids, keras.ops.convert_to_tensor(logits))
        assert float(number(keras.ops.cast(value, "float32"))) < 1e-5
    with pytest.raises(ValueError, match=f"y_true must be integers: {dtype} cannot tell the ids of 3000 classes apart"):
        polyloss_keras.CrossEntropy()(keras.ops.zeros((1,), dtype), np.zeros((1, 3000), np.float32))


def test_the_dtype_is_kept_in_the_configuration() -> None:
    loss = polyloss_keras.Huber(dtype="bfloat16")
    assert type(loss).from_config(loss.get_config()).dtype == "bfloat16"


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "bool", "float64"])
def test_ids_of_any_dtype(kind: str) -> None:
    ids = IDS % 2 if kind == "bool" else IDS
    expected = polyloss.cross_entropy(LOGITS, ids)
    for shaped in (ids, ids[:, None]):
        assert number(polyloss_keras.CrossEntropy()(shaped.astype(kind), LOGITS)) == pytest.approx(float(expected))
    if kind == "uint8":
        loss = polyloss_keras.CrossEntropy(ignore_index=-254)
        assert number(loss(ids.astype(kind), LOGITS)) == pytest.approx(float(expected)), "-254 wraps to 2"


def test_a_fraction_that_cannot_be_seen_is_nan() -> None:
    """Inside of `fit` values are not looked at, unless Keras runs eagerly, as PyTorch does."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_initializer="identity")])
    for ignored in (None, -1):
        model.compile(keras.optimizers.SGD(0.0), loss=polyloss_keras.CrossEntropy(ignore_index=ignored))
        right = model.evaluate(LOGITS, IDS.astype(np.float32), verbose=0)
        assert right == pytest.approx(ROWS.mean(), rel=1e-6)
        wrong = IDS + np.asarray([0.0, 0.5, 0.0], np.float32)
        if keras.backend.backend() == "torch":
            with pytest.raises(ValueError, match=r"whole numbers, got 1\.5"):
                model.evaluate(LOGITS, wrong, verbose=0)
        else:
            assert np.isnan(model.evaluate(LOGITS, wrong, verbose=0))


@pytest.mark.parametrize("kind", [np.asarray, list, np.float32, keras.Variable, keras.ops.convert_to_tensor])
def test_parameters_of_any_kind(kind: Any) -> None:
    """Alone, in a partial, in a sum; and all of them are plain numbers in a configuration."""
    weight = np.asarray([0.5, 1.0, 2.0], np.float32)
    given = weight.astype(kind) if kind is np.float32 else kind(weight.tolist() if kind is list else weight)
    expected = float(polyloss.cross_entropy(LOGITS, IDS, class_weight=weight))
    partial = polyloss.cross_entropy.partial(class_weight=weight)
    for loss in (
        polyloss_keras.CrossEntropy(class_weight=given),
        polyloss_keras.KerasLoss(partial),
        polyloss_keras.KerasLoss(0.5 * partial + 0.5 * polyloss.cross_entropy, class_weight=given),
    ):
        again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
        for one in (loss, again, copy.deepcopy(loss)):
            assert number(one(IDS, LOGITS)) == pytest.approx(expected, rel=1e-6)
        assert again.get_config() == loss.get_config()


def test_numbers_of_numpy_are_numbers() -> None:
    loss = polyloss_keras.CrossEntropy(ignore_index=np.int64(0), label_smoothing=np.float32(0.5))
    assert json.loads(json.dumps(loss.get_config()))["ignore_index"] == 0
    expected = polyloss.cross_entropy(LOGITS, IDS, ignore_index=0, label_smoothing=0.5)
    assert number(loss(IDS, LOGITS)) == pytest.approx(float(expected), rel=1e-6)


def test_parameters_are_attributes() -> None:
    loss = polyloss_keras.Huber()
    assert loss.delta == 1.0
    loss.delta = np.float64(0.5)
    loss.reduction = "sum"
    assert loss.get_config() == {"name": "huber", "reduction": "sum", "delta": 0.5}
    assert number(loss(np.zeros((1, 1)), np.full((1, 1), 3.0))) == 1.375
    with pytest.raises(ValueError, match="delta must be positive"):
        loss.delta = -1.0
    with pytest.raises(AttributeError, match="Huber has no attribute dleta"):
        _ = loss.dleta
    assert pickle.loads(pickle.dumps(loss)).delta == 0.5


@pytest.mark.parametrize("reduction", [*MEANS, "sum", "none"])
def test_a_sum_of_a_row_wise_and_an_element_wise_loss(reduction: str) -> None:
    """Each as its own class: a square matrix would hide that one of them was broadcast."""
    target = np.eye(3, dtype=np.float32)[IDS]
    both = polyloss_keras.KerasLoss(2.0 * (polyloss.cross_entropy + polyloss.mse), reduction=reduction)
    apart = [kind(reduction=reduction) for kind in (polyloss_keras.CrossEntropy, polyloss_keras.Mse)]
    expected = 2.0 * sum(number(loss(target, LOGITS)) for loss in apart)
    np.testing.assert_allclose(number(both(target, LOGITS)), expected, rtol=1e-6)


def test_a_file_names_losses_and_nothing_else() -> None:
    """A loss of one's own is never taken for one of polyloss that has the same name."""
    with pytest.warns(UserWarning, match="huber is a loss of your own that is not registered"):
        stored = polyloss_keras.KerasLoss(huber, name="mine").get_config()
    with pytest.raises(ValueError, match="there is no loss 'huber'"):
        polyloss_keras.KerasLoss.from_config(stored)
    with keras.saving.custom_object_scope({"huber": huber}):
        again = polyloss_keras.KerasLoss.from_config(stored)
        assert again.loss is huber
        # In this scope it is known.
        assert again.get_config() == stored
    shelf = polyloss_keras.KerasLoss(0.5 * Shelf.scaled.partial(scale=3.0) + Shelf.scaled)
    again = polyloss_keras.KerasLoss.from_config(json.loads(json.dumps(shelf.get_config())))
    assert number(again(np.zeros((1, 1)), np.full((1, 1), 2.0))) == 10.0
    for name in ("Loss", "compile", "register_backend", "polyloss>compile", "polyloss>Huber", "os>system"):
        with pytest.raises(ValueError, match="there is no loss"):
            polyloss_keras.KerasLoss.from_config({"loss": [[1.0, name, {}]]})
    with pytest.raises(TypeError, match="delta must be a number or an array of numbers"):
        made("Huber", {"delta": {"class_name": "Dense", "module": "keras.layers", "config": {}}})


def test_a_loss_that_is_not_registered_is_told_of_when_it_is_saved(tmp_path: Path) -> None:
    """Not when a model with it is compiled and trained; and the file can be loaded as the warning says."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", loss=polyloss_keras.KerasLoss(0.5 * huber + polyloss.mse))
    model.fit(LOGITS, LOGITS, verbose=0)
    way = r"loaded only with custom_objects=\{'huber': \.\.\.\}.*register_keras_serializable\('my_package'\)\(huber\)"
    with pytest.warns(UserWarning, match=way):
        model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"huber": huber})
    assert again.evaluate(LOGITS, LOGITS, verbose=0) == pytest.approx(model.evaluate(LOGITS, LOGITS, verbose=0))


def test_files_of_version_0_1_are_read() -> None:
    """They name the module of a loss, and have arrays as Keras writes them."""
    terms = [[0.5, "polyloss.regression", "mse", {}], [1.0, "polyloss.regression", "huber", {"delta": 0.2}]]
    config = {"name": "0.5 * mse + huber", "reduction": "sum", "loss": terms}
    loss = keras.losses.deserialize(
        {
            "class_name": "KerasLoss",
            "config": config,
            "module": "polyloss_tensorflow._keras",
            "registered_name": "polyloss>KerasLoss",
        }
    )
    expected = polyloss.mse(2.0 * np.ones(1), np.zeros(1)) * 0.5 + polyloss.huber(
        2 * np.ones(1), np.zeros(1), delta=0.2
    )
    assert number(loss(np.zeros((1, 1)), np.full((1, 1), 2.0))) == pytest.approx(float(expected), rel=1e-6)
    weights = {"class_name": "__numpy__", "config": {"value": [0.5, 1.0, 2.0], "dtype": "float32"}}
    loss = made("CrossEntropy", {"name": "a", "reduction": "sum", "class_weight": weights})
    assert number(loss(IDS, LOGITS)) == pytest.approx((ROWS * [0.5, 1.0, 2.0]).sum(), rel=1e-6)
    with pytest.raises(ValueError, match="there is no loss 'mse'"):
        polyloss_keras.KerasLoss.from_config({"loss": [[1.0, "mine", "mse", {}]]})


@pytest.mark.parametrize("kind", ["Hinge", "SquaredHinge"])
def test_labels_of_0_and_1_are_those_of_a_hinge(rng: Any, kind: str) -> None:
    """As of Keras: where all that count are such. Under `fit` too, where values are not looked at."""
    x, labels = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, (8, 1))
    ours, builtin = getattr(polyloss_keras, kind), getattr(keras.losses, kind)
    scores = x[:, :1]
    for same in (labels, 2 * labels - 1, labels.astype(bool), np.ones_like(labels)):
        np.testing.assert_allclose(
            number(ours()(same, scores)), number(builtin()(same.astype("float32"), scores)), rtol=1e-6
        )
    curves = []
    for loss in (ours(), builtin()):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), loss=loss)
        curves.append(model.fit(x, labels, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)
    for wrong in (labels - 1, labels + 0.5):
        with pytest.raises(ValueError, match="target must be -1 or 1"):
            ours()(np.append(wrong, [[1.0]], axis=0), np.append(scores, [[1.0]], axis=0))


def test_masked_labels_of_a_hinge(rng: Any) -> None:
    mask = np.asarray([[True, True, False]])
    scores, labels = rng.normal(size=(1, 3, 1)).astype(np.float32), np.asarray([[[0.0], [1.0], [np.nan]]])
    expected = polyloss.hinge(scores[mask], np.asarray([[-1.0], [1.0]], np.float32))
    assert number(polyloss_keras.Hinge()(labels, masked(scores, mask))) == pytest.approx(float(expected), rel=1e-6)
