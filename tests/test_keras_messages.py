"""Keras: what was meant is answered with what to type, where it is typed."""

import re
import warnings
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

import polyloss_keras  # noqa: E402

LOGITS = np.asarray([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]], np.float32)
IDS = np.asarray([0, 1, 2])
MEANS = ["sum_over_batch_size", "mean", "mean_with_sample_weight"]
HOT = np.eye(3, dtype=np.float32)


def number(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


def test_what_is_refused_is_told_the_way_out() -> None:
    way = r"KerasLoss: takes its parameters by name \(delta, reduction\), .*, as in KerasLoss\(loss, delta=2.0\)$"
    with pytest.raises(TypeError, match=way):
        polyloss_keras.KerasLoss(polyloss.huber, 2.0)
    with pytest.raises(TypeError, match=r"got str 'sum' without one, as in Huber\(reduction='sum'\)$"):
        polyloss_keras.Huber("sum")
    with pytest.raises(TypeError, match=r"model.compile\(loss=\{task: ...\}"):
        polyloss_keras.KerasLoss(polyloss.multi_task({"depth": polyloss.mse}))
    with pytest.raises(AttributeError, match=r"TripletMargin.*anchor, positive, negative"):
        _ = polyloss_keras.TripletMargin
    huber = polyloss_keras.Huber()
    with pytest.raises(TypeError, match=r"Huber: reduction belongs to the object, .*criterion\.reduction = "):
        huber(LOGITS, LOGITS, reduction="sum")
    with pytest.raises(TypeError, match=r"Huber: unexpected where; its keywords are y_true, y_pred, sample_weight"):
        huber(LOGITS, LOGITS, where=LOGITS > 0)
    for name, meant in {"detla": "delta", "redution": "reduction"}.items():
        with pytest.raises(AttributeError, match=rf"Huber: has no parameter {name}; did you mean {meant}\?"):
            setattr(huber, name, 3.0)
    with pytest.raises(AttributeError, match="sample_weight is no attribute"):
        huber.sample_weight = 1.0
    huber.note = "mine"
    with pytest.raises(AttributeError, match=r"no attribute 'Hubr'; did you mean polyloss_keras.Huber\?$"):
        _ = polyloss_keras.Hubr
    way = r"nearest here: polyloss_keras.Mse; polyloss.compat.keras.mean_squared_error has Keras's signature and defi"
    with pytest.raises(AttributeError, match=way):
        _ = polyloss_keras.MeanSquaredError
    with pytest.raises(
        ValueError, match=r"reduction must be .*, got 'weighted_mean'; say reduction='mean_with_sample_weight'"
    ):
        polyloss_keras.Huber(reduction="weighted_mean")
    with pytest.raises(TypeError, match=r"one class id, got ndarray of shape \(2,\).*leave out each by where="):
        polyloss_keras.CrossEntropy(ignore_index=[3, 4])
    with pytest.raises(TypeError, match="binary_cross_entropy_with_logits takes logits"):
        polyloss_keras.BinaryCrossEntropy(from_logits=True)
    shown = "CrossEntropy(class_weight=ndarray(shape=(300,)), reduction='sum', name='cross_entropy')"
    assert repr(polyloss_keras.CrossEntropy(class_weight=np.ones(300), reduction="sum")) == shown
    assert repr(polyloss_keras.Huber(delta=keras.Variable(0.1))).startswith("Huber(delta=Variable(0.1), ")
    for weight in (np.ones(2), np.ones((3, 2)), np.ones((1, 3))):
        with pytest.raises(ValueError, match="sample_weight must have the shape of the per-example losses"):
            polyloss_keras.Mse()(LOGITS, LOGITS, weight)
    with pytest.raises(ValueError, match="axis must be in"):
        polyloss_keras.CrossEntropy(axis=3)(IDS, LOGITS)


def test_parameters_of_a_sum() -> None:
    """What all terms have belongs to the object; what one has, to that term."""
    x, y = np.full((4, 1), 3.0, np.float32), np.zeros((4, 1), np.float32)
    total = polyloss_keras.KerasLoss(polyloss.huber + polyloss.huber.partial(delta=2.0))
    assert not hasattr(total, "delta")
    with pytest.raises(TypeError, match=r"delta belongs to the object, .* set it .*criterion\.delta = "):
        total(y, x, delta=3.0)
    total.delta = 0.5
    assert number(total(y, x)) == pytest.approx(2 * 0.5 * (3.0 - 0.25))
    classes = polyloss_keras.KerasLoss(polyloss.cross_entropy + polyloss.softmax_focal)
    assert classes.ignore_index is None
    classes.ignore_index = 0
    expected = polyloss.cross_entropy(LOGITS[1:], IDS[1:]) + polyloss.softmax_focal(LOGITS[1:], IDS[1:])
    assert number(classes(IDS, LOGITS)) == pytest.approx(float(expected), rel=1e-6)

    way = r"delta belongs to huber alone: fix it there before the sum is made, as in mse \+ huber.partial\(delta=...\)$"
    mixed = polyloss_keras.KerasLoss(polyloss.mse + polyloss.huber)
    with pytest.raises(TypeError, match=way):
        polyloss_keras.KerasLoss(polyloss.mse + polyloss.huber, delta=3.0)
    with pytest.raises(TypeError, match=way):
        mixed(y, x, delta=3.0)
    with pytest.raises(AttributeError, match=way):
        mixed.delta = 3.0
    with pytest.raises(TypeError, match="KerasLoss: unexpected detla; its keywords are y_true, y_pred, sample_weight"):
        mixed(y, x, detla=3.0)


@pytest.mark.parametrize("given", [list, np.asarray, keras.ops.convert_to_tensor, keras.Variable])
def test_parameters_that_are_arrays_are_checked_where_they_are_given(given: Any) -> None:
    quantile, good = polyloss_keras.Quantile(), given([0.05, 0.5])
    for bad, shown in (([0.05, 5.0], "5 (element 1"), ([np.nan, 0.5], "nan (element 0")):
        message = re.escape(f"quantile: q must be in (0, 1), got {shown}")
        for refused in (
            lambda bad=bad: polyloss_keras.Quantile(q=given(bad)),
            lambda bad=bad: polyloss_keras.KerasLoss(polyloss.quantile + polyloss.quantile, q=given(bad)),
            lambda bad=bad: setattr(quantile, "q", given(bad)),
        ):
            with pytest.raises(ValueError, match=message):
                refused()
    with pytest.raises(ValueError, match="gamma must have the shape of a number"):
        polyloss_keras.SoftmaxFocal(gamma=given([1.0, 2.0]))
    quantile.q = good
    expected = polyloss.quantile(LOGITS[:, :2], HOT[:, :2], q=np.asarray([0.05, 0.5]))
    assert number(quantile(HOT[:, :2], LOGITS[:, :2])) == pytest.approx(float(expected), rel=1e-6)


def test_what_is_no_parameter_is_refused_where_it_is_given() -> None:
    for value, message in ((object(), "must be an array, got object"), (np.abs, "must be a real number or an array")):
        with pytest.raises(TypeError, match=f"huber: delta {message}"):
            polyloss_keras.Huber(delta=value)


@polyloss.elementwise(scale=polyloss.POSITIVE, autodiff=True)
def scaled(xp: Any, /, prediction: Any, target: Any, *, scale: Any, flag: bool = False, **call: Any) -> Any:
    return xp.abs(prediction - target) / scale


def test_an_object_has_every_parameter_that_has_no_default() -> None:
    way = "KerasLoss: missing scale, of which scaled has no default, as in "
    for loss, own in {scaled: "KerasLoss(..., scale=...)", scaled + polyloss.mse: "scaled.partial(scale=...)"}.items():
        with pytest.raises(TypeError, match=f"^{re.escape(way + own)}$"):
            polyloss_keras.KerasLoss(loss)
    with pytest.raises(TypeError, match=r"without one, as in KerasLoss\(loss, scale=2\.0\)$"):
        polyloss_keras.KerasLoss(scaled, 2.0)
    loss = polyloss_keras.KerasLoss(scaled, scale=4.0)
    assert number(loss(np.zeros((2, 1)), np.ones((2, 1)))) == 0.25


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("weighted_mean", "mean_with_sample_weight"),
        ("avg", "mean"),
        ("batchmean", "mean"),
        ("Mean", "mean"),
        ("Sum", "sum"),
        ("no", None),
        (1, None),
        (["sum"], None),
    ],
)
def test_a_bad_reduction_is_refused_where_it_is_given(wrong: Any, meant: str | None) -> None:
    """As an attribute as at construction; what it was stays."""
    message = f"reduction must be one of {', '.join(MEANS)}, sum, none, None, got {wrong!r}"
    message += "" if meant is None else f"; say reduction='{meant}'"
    loss = polyloss_keras.Huber(reduction="sum")
    for refused in (lambda: polyloss_keras.Huber(reduction=wrong), lambda: setattr(loss, "reduction", wrong)):
        with pytest.raises(ValueError, match=f"^Huber: {re.escape(message)}$"):
            refused()
    assert loss.reduction == "sum"


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("huber_los", "did you mean polyloss_keras.Huber?"),
        ("KerasLos", "did you mean polyloss_keras.KerasLoss?"),
        ("pinball", "nearest here: polyloss_keras.Quantile"),
        ("value_and_grd", "did you mean polyloss.value_and_grad?"),
    ],
)
def test_names_are_answered(name: str, way: str) -> None:
    with pytest.raises(AttributeError, match=f"{re.escape(f'{name!r}; {way}')}$"):
        getattr(polyloss_keras, name)


@pytest.mark.parametrize("name", polyloss_keras.LOSSES)
def test_words_are_attributes_like_any_other(name: str) -> None:
    loss = getattr(polyloss_keras, name)()
    for word in ("scaler", "scales", "axes", "deltas", "betas", "margins", "data", "weights", "weight", "power"):
        setattr(loss, word, 1.0)
        assert getattr(loss, word) == 1.0


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize(
    ("activation", "loss", "warned"),
    [
        ("softmax", polyloss_keras.CrossEntropy(), True),
        ("softmax", polyloss_keras.KerasLoss(polyloss.mse + polyloss.softmax_focal), True),
        ("sigmoid", polyloss_keras.BinaryCrossEntropyWithLogits(), True),
        ("sigmoid", polyloss_keras.BinaryCrossEntropy(), False),
        ("softmax", polyloss_keras.Mse(), False),
        (None, polyloss_keras.CrossEntropy(), False),
    ],
)
def test_an_activation_before_a_loss_of_logits(activation: str | None, loss: Any, warned: bool, fit: bool) -> None:
    """Warned of where a tensor tells of it: those that JAX traces do not."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, activation=activation)])
    model.compile("sgd", loss=loss)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if fit:
            model.fit(LOGITS, HOT, verbose=0)
        else:
            loss(HOT, model(LOGITS))
    found = [str(one.message) for one in caught if "this loss takes logits" in str(one.message)]
    assert bool(found) is (warned and not (fit and keras.backend.backend() == "jax"))
    assert all(one.startswith(f"{loss.name}: y_pred is the output of a softmax or a sigmoid") for one in found)


def test_objects_do_not_add() -> None:
    """Whichever side they are on: the losses do."""
    loss = polyloss_keras.Huber()
    ways: list[Any] = [
        lambda: loss + polyloss_keras.Mse(),
        lambda: loss + polyloss.mse,
        lambda: 0.5 * loss,
        lambda: loss * np.float64(0.5),
        lambda: np.float64(0.5) * loss,
        lambda: loss / 2,
        lambda: loss - loss,
        lambda: sum([loss, loss]),
        lambda: polyloss.mse + loss,
        lambda: 0.5 * polyloss.mse + loss,
        lambda: polyloss.mse + keras.losses.Huber(),
    ]
    for way in ways:
        with pytest.raises(
            TypeError, match=r"polyloss_keras\.KerasLoss\((0\.5 \* )?polyloss\.mse \+ polyloss\.huber\)"
        ):
            way()


def test_what_is_no_loss() -> None:
    for wrong, way in (
        (keras.losses.MeanSquaredError(), "got MeanSquaredError; nearest here: polyloss.mse"),
        (keras.losses.huber, "got function; nearest here: polyloss.huber"),
        (polyloss_keras.Huber(), "got Huber; nearest here: polyloss.huber"),
        (
            lambda y_true, y_pred: y_true,
            "got function; polyloss.elementwise or polyloss.rowwise makes a loss of a func",
        ),
    ):
        with pytest.raises(TypeError, match=f"^KerasLoss: expected a loss or a sum of losses, {re.escape(way)}"):
            polyloss_keras.KerasLoss(wrong)


def test_arrays_in_the_wrong_order_or_a_layer_too_narrow() -> None:
    """One way out, the right one, and never one that leads to where one is."""
    loss = polyloss_keras.CrossEntropy()
    swapped = "are they swapped? CrossEntropy takes (y_true, y_pred)"
    for arrays, way in (
        ((LOGITS, IDS), swapped),
        ((LOGITS, IDS[:, None]), swapped),
        ((HOT, LOGITS[:, :1]), "the last layer needs 3 units, as in keras.layers.Dense(3)"),
        ((LOGITS, HOT), swapped),
    ):
        with pytest.raises(ValueError, match=rf"cross_entropy: .*; {re.escape(way)}$") as caught:
            loss(*arrays)
        assert str(caught.value).count(swapped) + str(caught.value).count("the last layer") == 1
    labels = np.asarray([[0.0], [1.0]], np.float32)
    with pytest.raises(ValueError, match=r"are they swapped\? BinaryCrossEntropyWithLogits takes \(y_true, y_pred\)$"):
        polyloss_keras.BinaryCrossEntropyWithLogits()(3 * labels, labels)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", loss=loss)
    with pytest.raises(ValueError, match="the last layer needs 3 units"):
        model.fit(LOGITS, HOT, verbose=0)
