"""What people type out of habit is answered with what to type here."""

# ruff: noqa: E501 - a table reads best with a case in a line

import importlib
import operator
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import names
from polyloss.core import words
from polyloss.core.backend import backend_of

pytestmark = pytest.mark.unoptimised

X = np.asarray([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]])
LOG_P = X - np.log(np.exp(X).sum(axis=-1, keepdims=True))
IDS = np.asarray([0, 2])
ROW = np.asarray([1.0, 2.0])
HOT = np.eye(3, dtype=np.int64)[IDS]
IMAGES = np.zeros((2, 3, 4, 5))
WEIGHT = np.zeros((4, 3))

CASES: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "one-hot integers": (polyloss.cross_entropy, (X, HOT), {}, ValueError, "such as one-hot rows, convert them to the dtype of logits"),
    "one-hot booleans": (polyloss.nll, (LOG_P, HOT == 1), {}, TypeError, "convert it to the dtype of log_probabilities"),
    "one-hot integers of a layer": (polyloss.linear_cross_entropy, (X, WEIGHT, np.eye(4, dtype=np.int64)[IDS]), {}, ValueError, "convert them to the dtype of hidden"),
    "boolean class ids": (polyloss.softmax_focal, (X, IDS == 2), {}, TypeError, "convert them to integers first"),
    "float class ids": (polyloss.cross_entropy, (X, IDS * 1.0), {}, TypeError, "convert them to integers first"),
    "integer prediction": (polyloss.mse, (HOT, X), {}, TypeError, "convert it to float32 first"),
    "class ids in a column": (polyloss.cross_entropy, (X, IDS[:, None]), {}, ValueError, "; say target[:, 0]"),
    "class ids of a layer in a column": (polyloss.linear_cross_entropy, (X, WEIGHT, IDS[:, None]), {}, ValueError, "; say target[:, 0]"),
    "class ids of images with an axis": (polyloss.cross_entropy, (IMAGES, np.zeros((2, 1, 4, 5), int)), {"axis": 1}, ValueError, "; say target[:, 0]"),
    "class ids of tokens in columns": (polyloss.cross_entropy, (IMAGES, np.zeros((2, 3, 4, 1), int)), {}, ValueError, "; say target[:, :, :, 0]"),
    "target in a column": (polyloss.mse, (ROW, ROW[:, None]), {}, ValueError, "; say target[:, 0]"),
    "prediction in a column": (polyloss.huber, (ROW[:, None], ROW), {}, ValueError, "; say prediction[:, 0]"),
    "labels of rows in a column": (polyloss.contrastive_embedding, (X, X, ROW[:, None]), {}, ValueError, "; say target[:, 0]"),
    "weight in a column": (polyloss.cross_entropy, (X, IDS), {"sample_weight": ROW[:, None]}, ValueError, "; say sample_weight[:, 0]"),
    "weight of images": (polyloss.mse, (IMAGES, IMAGES), {"sample_weight": np.ones((2, 1, 1, 1))}, ValueError, "; say sample_weight[:, 0, 0, 0]"),
    "mask in a column": (polyloss.l1, (X, X), {"where": np.ones((2, 1), bool)}, ValueError, "; say where[:, 0]"),
    "class to ignore": (polyloss.cross_entropy, (X, np.asarray([0, -100])), {}, ValueError, "to leave such examples out, cross_entropy takes ignore_index=-100"),
    "class to ignore, large": (polyloss.nll, (LOG_P, np.asarray([0, -1234567])), {}, ValueError, "to leave such examples out, nll takes ignore_index=-1234567"),
    "class to ignore of a layer": (polyloss.linear_cross_entropy, (X, WEIGHT, np.asarray([0, -1])), {}, ValueError, "to leave such examples out, linear_cross_entropy takes ignore_index=-1"),
    "classes to ignore": (polyloss.cross_entropy, (X, IDS), {"ignore_index": [3, 4]}, TypeError, "one class id, got list; of several classes, leave out each by where="),
    "array of classes to ignore": (polyloss.nll, (LOG_P, IDS), {"ignore_index": np.asarray([1, 7])}, TypeError, "leave out each by where=(target != 1) & (target != 7)"),
    "many classes to ignore": (polyloss.nll, (LOG_P, IDS), {"ignore_index": {4, 5, 6}}, TypeError, "where=(target != 4) & (target != 5) & ..."),
    "array of a class to ignore": (polyloss.nll, (LOG_P, IDS), {"ignore_index": np.asarray([7])}, TypeError, "; say ignore_index=7"),
    "logits of probabilities": (polyloss.binary_cross_entropy, (X, X), {"from_logits": True}, TypeError, "binary_cross_entropy_with_logits takes logits"),
    "logits of logits": (polyloss.binary_cross_entropy_with_logits, (X, X), {"from_logits": True}, TypeError, "it takes logits, and binary_cross_entropy takes probabilities"),
    "logits of classes": (polyloss.cross_entropy, (X, IDS), {"from_logits": False}, TypeError, "nll takes log-probabilities"),
    "batchmean": (polyloss.kl_divergence, (LOG_P, X), {"reduction": "batchmean"}, ValueError, "say reduction='mean', which divides by the number of examples"),
    "sum over the batch": (polyloss.mse, (X, X), {"reduction": "sum_over_batch_size"}, ValueError, "say reduction='mean'"),
    "mean of Keras": (polyloss.mse, (X, X), {"reduction": "mean_with_sample_weight"}, ValueError, "say reduction='weighted_mean'"),
    "mean of the weights that count": (polyloss.mse, (X, X), {"reduction": "sum_by_nonzero_weights"}, ValueError, "say reduction='mean' with where=sample_weight != 0"),
    "mean in capitals": (polyloss.mse, (X, X), {"reduction": "Mean"}, ValueError, "got 'Mean'; say reduction='mean'"),
    "mean with a dash": (polyloss.mse, (X, X), {"reduction": "weighted-mean"}, ValueError, "; say reduction='weighted_mean'"),
    "epsilon of Huber": (polyloss.huber, (X, X), {"epsilon": 1.0}, TypeError, "huber: unexpected epsilon; did you mean delta?"),
    "epsilon of smoothing": (polyloss.cross_entropy, (X, IDS), {"epsilon": 0.1}, TypeError, "did you mean label_smoothing?"),
    "k of Tukey": (polyloss.tukey_biweight, (X, X), {"k": 4.0}, TypeError, "tukey_biweight: unexpected k; did you mean c?"),
    "weight of a layer, transposed": (polyloss.linear_cross_entropy, (X, np.zeros((3, 5)), IDS), {}, ValueError, "must have the shape (classes, 3), got (3, 5); say weight.T"),
    "labels of -1 and 1 of pairs": (polyloss.contrastive, (ROW, np.asarray([-1.0, 1.0])), {}, ValueError, "; (target + 1) / 2 makes these of labels -1 and 1"),
    "labels of -1 and 1 of embeddings": (polyloss.contrastive_embedding, (X, X, np.asarray([-1.0, 1.0])), {}, ValueError, "; (target + 1) / 2 makes these of labels -1 and 1"),
    "two logarithms": (polyloss.kl_divergence, (LOG_P, LOG_P), {}, ValueError, "; log_target=True takes log-probabilities"),
    "no reduction": (polyloss.mse + polyloss.l1, (X, X), {"reduction": None}, ValueError, "say reduction='none'"),
    "mask of a number": (polyloss.mse, (X, X), {"where": 1}, TypeError, "where must be a boolean array, got int 1"),
    "mask of a boolean": (polyloss.mse, (X, X), {"where": True}, TypeError, "where must be a boolean array, got bool True"),
    "mask that is a list": (polyloss.mse, (X, X), {"where": [True, False]}, TypeError, "where must be a boolean array, got list"),
    "mask of numbers": (polyloss.mse, (X, X), {"where": ROW}, TypeError, "as in where=mask != 0"),
    "class ids first, as Keras has them": (polyloss.cross_entropy, (IDS * 1.0, X), {}, ValueError, "are they swapped? cross_entropy takes (logits, target); in Keras' compile() use polyloss_keras.CrossEntropy()"),
    "class ids first, in a column": (polyloss.nll, (IDS[:, None] * 1.0, LOG_P), {}, ValueError, "are they swapped? nll takes (log_probabilities, target); in Keras' compile() use polyloss_keras.Nll()"),
    "one-hot rows first": (polyloss.cross_entropy, (HOT * 1.0, X), {}, ValueError, "got -1 (element 1 of shape (2, 3)); are they swapped? cross_entropy takes (logits, target)"),
    "parameter without a name": (polyloss.huber, (X, X, 1.0), {}, TypeError, "parameters go by their names, as in huber(prediction, target, delta=1.0)"),
    "reduction without a name": (polyloss.huber, (X, X, "sum"), {}, TypeError, "as in huber(prediction, target, reduction='sum')"),
    "reduction of others without a name": (polyloss.huber, (X, X, "average"), {}, TypeError, "as in huber(prediction, target, reduction='mean'), which divides by"),
    "batchmean without a name": (polyloss.kl_divergence, (LOG_P, X, "batchmean"), {}, TypeError, "as in kl_divergence(log_probabilities, target, reduction='mean')"),
    "class to ignore without a name": (polyloss.cross_entropy, (X, IDS, -100), {}, TypeError, "as in cross_entropy(logits, target, ignore_index=-100);"),
    "no value of any parameter": (polyloss.huber, (X, X, -1.0), {}, TypeError, "parameters go by their names; its keywords are delta, reduction"),
    "no reduction at all, without a name": (polyloss.huber, (X, X, "abc"), {}, TypeError, "parameters go by their names; its keywords are delta, reduction"),
    "switch without a name": (polyloss.triplet_margin, (X, X, X, True), {}, TypeError, "as in triplet_margin(anchor, positive, negative, swap=True);"),
    "degree without a name": (polyloss.triplet_margin, (X, X, X, -1), {}, TypeError, "parameters go by their names; its keywords are margin, p, "),
    "weights of elements without a name": (polyloss.mse, (X, X, X), {}, TypeError, "as in mse(prediction, target, sample_weight=...)"),
    "weight without a name": (polyloss.cross_entropy, (X, IDS, ROW), {}, TypeError, "as in cross_entropy(logits, target, class_weight=...)"),
    "parameter that there is not": (polyloss.mse, (X, X, 2.0), {}, TypeError, "parameters go by their names; its keywords are reduction, sample_weight, where, denominator"),
    "array that came already": (polyloss.mse, (X, X), {"target": X}, TypeError, "mse: target came twice, by its position and by its name"),
    "labels of 0 and 1": (polyloss.hinge, (ROW, np.asarray([0.0, 1.0])), {}, ValueError, "; 2 * target - 1 makes these of labels 0 and 1"),
    "labels of -1 and 1": (polyloss.binary_cross_entropy, (ROW / 4, np.asarray([-1.0, 1.0])), {}, ValueError, "; (target + 1) / 2 makes these of labels -1 and 1"),
    "labels of -1 and 1 of logits": (polyloss.binary_cross_entropy_with_logits, (ROW, np.asarray([-1, 1])), {}, ValueError, "; (target + 1) / 2 makes these of labels -1 and 1"),
    "logits as probabilities": (polyloss.binary_cross_entropy, (ROW, ROW / 4), {}, ValueError, "; binary_cross_entropy_with_logits takes logits"),
    "probabilities as their logarithms": (polyloss.nll, (np.exp(LOG_P), IDS), {}, ValueError, "must be at most 0 (0.1 for rounding), got 0.1"),
    "the way to logarithms": (polyloss.nll, (np.exp(LOG_P), IDS), {}, ValueError, "; log makes log-probabilities of probabilities, log_softmax of logits; cross_entropy takes logits"),
}  # fmt: skip
"""Loss, arrays, keywords, exception, and what the message must say."""


def given(backend: Any, value: Any) -> Any:
    return backend.array(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_way_out_is_in_the_message(backend: Any, case: Any) -> None:
    loss, arrays, keywords, error, message = case
    with pytest.raises(error, match=re.escape(message)):
        loss(*(given(backend, a) for a in arrays), **{name: given(backend, value) for name, value in keywords.items()})


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sample_weight": np.ones((3, 1))}, "got (3, 1); nothing is broadcast along other axes$"),
        ({"sample_weight": np.ones((2, 3))}, "got (2, 3); nothing is broadcast along other axes$"),
        ({"ignore_index": 3.0}, "must be a whole number, one class id, got float 3.0$"),
        ({"reduction": "avrg"}, "got 'avrg'$"),
        ({"reduction": "weighted_sum"}, "got 'weighted_sum'$"),
    ],
)
def test_no_way_out_is_invented(backend: Any, keywords: dict[str, Any], message: str) -> None:
    call = {name: given(backend, value) for name, value in keywords.items()}
    with pytest.raises((TypeError, ValueError), match=re.escape(message.removesuffix("$")) + "$"):
        polyloss.cross_entropy(backend.array(X), backend.array(IDS), **call)
    with pytest.raises(ValueError, match=r"got -1 \(element 1 of shape \(2,\)\)$"):
        polyloss.cross_entropy(backend.array(X), backend.array([0, -1]), ignore_index=-100)
    with pytest.raises(ValueError, match=r"got 7 \(element 1 of shape \(2,\)\)$"):
        polyloss.cross_entropy(backend.array(X), backend.array([0, 7]))


def test_a_layer_has_no_class_axis_to_name(backend: Any) -> None:
    hidden, weight, ids = (
        backend.array(np.zeros((2, 4, 3))),
        backend.array(WEIGHT),
        backend.array(np.zeros((2, 1), int)),
    )
    with pytest.raises(ValueError, match=r"nothing is broadcast$"):
        polyloss.linear_cross_entropy(hidden, weight, ids)


@pytest.mark.parametrize("argnums", [0.5, True, None, (0.5,), (0, None), [True]])
def test_what_names_no_argument(argnums: Any) -> None:
    with pytest.raises(TypeError, match="huber: argnums must be the number or the name of an argument, or a sequence"):
        polyloss.value_and_grad(polyloss.huber, argnums=argnums)


def test_arguments_to_differentiate_by_may_come_once() -> None:
    function = polyloss.value_and_grad(polyloss.mse, argnums=iter((0, 1)))  # type: ignore[arg-type]
    for _ in range(2):
        assert len(function(X, X)[1]) == 2


def test_a_number_to_differentiate_by(backend: Any) -> None:
    """The message has the call that makes it an array, and that works."""
    x = backend.array(X)
    name = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant", "mlx": "mx.array"}.get(
        backend.framework, "np.asarray"
    )
    with pytest.raises(
        TypeError,
        match=re.escape(f"delta must be an array to have a gradient, got float 2.0; make it one: {name}(2.0)"),
    ):
        polyloss.value_and_grad(polyloss.huber, argnums="delta")(x, x, delta=2.0)
    polyloss.value_and_grad(polyloss.huber, argnums="delta")(x, x, delta=backend.array(2.0))
    with pytest.raises(TypeError, match=r"target must be real floating to have a gradient, .*; convert it to float32"):
        polyloss.value_and_grad(polyloss.cross_entropy, argnums=1)(x, backend.array(IDS))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (
            "mse_loss",
            "; nearest here: polyloss.mse; polyloss.compat.torch.mse_loss has PyTorch's signature and definition",
        ),
        (
            "MSELoss",
            "; nearest here: polyloss.mse; polyloss.compat.torch.mse_loss has PyTorch's signature and definition",
        ),
        (
            "squared_error",
            "; nearest here: polyloss.mse; polyloss.compat.optax.squared_error has Optax's signature and definition",
        ),
        (
            "MeanSquaredError",
            "; nearest here: polyloss.mse; polyloss.compat.keras.mean_squared_error has Keras's signature and definition",
        ),
        (
            "l2_loss",
            "; nearest here: polyloss.mse; polyloss.compat.optax.l2_loss has Optax's signature and definition; "
            "polyloss.compat.tf.l2_loss has TensorFlow's signature and definition",
        ),
        (
            "bce_with_logits",
            "; nearest here: polyloss.binary_cross_entropy_with_logits; polyloss.compat.torch."
            "binary_cross_entropy_with_logits has PyTorch's signature and definition",
        ),
        ("grad", "; did you mean polyloss.value_and_grad?"),
        ("jit", "; did you mean polyloss.compile?"),
        (
            "BCELoss",
            "; nearest here: polyloss.binary_cross_entropy; polyloss.compat.torch.binary_cross_entropy has PyTorch's "
            "signature and definition; polyloss.compat.keras.binary_crossentropy has Keras's signature and definition",
        ),
        ("hubre", "; did you mean polyloss.huber?"),
        ("loss", "; did you mean polyloss.Loss?"),
        ("Contrastive", "; did you mean polyloss.contrastive?"),
        ("value_and_gradient", "; did you mean polyloss.value_and_grad?"),
        ("frobnicate", ""),
        ("__wrapped__", ""),
        ("_huber", ""),
    ],
)
def test_names_of_others_are_answered_with_ours(name: str, way: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"module 'polyloss' has no attribute {name!r}{way}") + "$"):
        getattr(polyloss, name)


OF_TWO = [v for v in vars(polyloss).values() if isinstance(v, polyloss.Loss) and len(v.arrays) == 2]


@pytest.mark.parametrize("loss", OF_TWO, ids=repr)
def test_a_target_that_comes_first(backend: Any, loss: Any) -> None:
    """Only a target that cannot be a prediction tells; and there is one way out, not two."""
    integers, floats = backend.array(HOT), backend.array(X)
    for target in (floats, integers):
        with pytest.raises(TypeError, match=rf"{loss.__name__}: {loss.arrays[0]} must be real floating") as caught:
            loss(integers, target)
        message = str(caught.value)
        domain = loss.domains.get("target", polyloss.Domain())
        tells = target is floats and (not domain.everything or getattr(domain, "ids_only", False))
        assert message.count(";") == 1 + tells
        assert ("; convert it to float32 first" in message) is not tells
        way = f"are they swapped? {loss.__name__} takes ({', '.join(loss.arrays)}); in Keras' compile() use "
        kind = words.class_name(loss.__name__)
        assert (f"; {way}polyloss_keras.{kind}()" in message) is tells


def test_a_target_that_comes_first_in_a_loss_of_ones_own() -> None:
    """Even if it has the name of one of ours."""

    @polyloss.elementwise(target=polyloss.UNIT)
    def huber(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        return prediction - target, lambda: 1.0 + 0.0 * target, lambda: -1.0 + 0.0 * target

    with pytest.raises(TypeError, match=re.escape("in Keras' compile() use polyloss_keras.KerasLoss(huber)")):
        huber(HOT, X)


SWAPPED = "are they swapped?"
VALUES: dict[str, tuple[Any, Any, Any, str]] = {
    "labels of 0 and 255": (polyloss.binary_cross_entropy_with_logits, [-1.5, 2.0], [0, 255], ""),
    "labels of 1 and 2": (polyloss.binary_cross_entropy_with_logits, [0.5, 0.2], [1, 2], ""),
    "labels of -1 and 1": (polyloss.binary_cross_entropy_with_logits, [0.5, 0.2], [1.0, -1.0], "(target + 1) / 2"),
    "logits last": (polyloss.binary_cross_entropy_with_logits, [0.0, 1.0], [0.5, 2.5], SWAPPED),
    "scores last": (polyloss.hinge, [1.0, -1.0], [0.5, 2.5], SWAPPED),
    "neither is a label": (polyloss.hinge, [0.3, -1.0], [0.5, 2.5], ""),
    "labels of 0 and 1": (polyloss.squared_hinge, [0.3, 1.5], [1.0, 0.0], "2 * target - 1"),
    "labels of 1 and 2 for a hinge": (polyloss.squared_hinge, [1.0, 1.0], [1, 2], ""),
    "class ids": (polyloss.cross_entropy, [[0.5, 0.2]], [2], ""),
    "an axis too much": (polyloss.cross_entropy, [0.5, 0.2, 0.1], [[0.5, 0.2, 0.3]], "say target[0]"),
}


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES.keys())
def test_values_tell_what_happened(backend: Any, case: Any) -> None:
    """Of each kind of wrong target one way out, the second time as the first."""
    loss, first, second, way = case
    for _ in range(2):
        with pytest.raises(ValueError, match="target must ") as caught:
            loss(backend.array(first), backend.array(second))
        message = str(caught.value)
        assert way in message
        hints = (SWAPPED, "(target + 1) / 2", "2 * target - 1", "say target")
        assert sum(hint in message for hint in hints) == bool(way)


def test_what_is_no_array_of_the_framework(backend: Any) -> None:
    """The message has the call that makes it one, and that works."""
    x, make = backend.array(X), backend_of(backend.array(X)).constructor
    for arrays, name in (((x, X.tolist()), "target"), ((X.tolist(), x), "prediction")):
        with pytest.raises(
            TypeError, match=re.escape(f"{name} must be an array, got list; make it one: {make}({name})")
        ):
            polyloss.mse(*arrays)
    with pytest.raises(TypeError, match=re.escape(f"got list; make it one: {make}(class_weight)")):
        polyloss.cross_entropy(x, backend.array(IDS), class_weight=[1.0, 2.0, 3.0])
    adapter = backend_of(x)
    if adapter.name != "numpy" and not adapter.welcomes_numpy:
        with pytest.raises(TypeError, match=re.escape(f"; convert what is NumPy's, as in {make}(target)")):
            polyloss.cross_entropy(x, IDS)


def test_arrays_by_name_have_a_gradient(backend: Any) -> None:
    x, ids = backend.array(X), backend.array(IDS)
    for loss in (polyloss.cross_entropy, 2.0 * polyloss.cross_entropy):
        value, gradient = polyloss.value_and_grad(loss)(logits=x, target=ids)
        expected, other = polyloss.value_and_grad(loss)(x, ids)
        backend.check(value, float(expected))
        backend.check(gradient, backend.numpy(other))
    _, gradients = polyloss.value_and_grad(polyloss.mse, (1, 0))(x, target=x + 1.0)
    backend.check(gradients[0], np.full((2, 3), 1 / 3))
    backend.check(gradients[1], np.full((2, 3), -1 / 3))
    with pytest.raises(
        ValueError, match=r"argnums=0 is none of .* call: a; a keyword goes by its name, as in argnums='a'$"
    ):
        polyloss.value_and_grad(lambda a: polyloss.mse(a, a))(a=x)
    with pytest.raises(TypeError, match="unless it holds class ids: they have no gradient; give probabilities instead"):
        polyloss.value_and_grad(polyloss.cross_entropy, argnums=1)(x, ids)


@pytest.mark.parametrize("transform", [polyloss.value_and_grad, polyloss.compile])
def test_what_is_no_function(backend: Any, transform: Any) -> None:
    name = transform.__name__
    for wrong in (backend.array(X), "huber", None):
        with pytest.raises(
            TypeError, match=rf"^{name}: expected a function, such as a loss, got .*{name}\(polyloss.mse"
        ):
            transform(wrong)
    with pytest.raises(TypeError, match=f"^{name}: expected a function, got the class Loss; make an object of it"):
        transform(polyloss.Loss)


def test_what_does_not_combine(backend: Any) -> None:
    x, total = backend.array(X), polyloss.mse + polyloss.l1
    loss: Any
    left: Any
    right: Any
    for loss in (polyloss.mse, total):
        for left, right in ((loss, 1), (1, loss), (loss, x), (loss, np.ones(2)), (np.ones(2), loss), (loss, "l1")):
            with pytest.raises(TypeError, match=r"^a loss adds to losses and sums of losses, got "):
                operator.add(left, right)
        for left, right in ((loss, float), (float, loss)):
            with pytest.raises(
                TypeError, match=r"polyloss\.elementwise or polyloss\.rowwise makes a loss of a function$"
            ):
                operator.add(left, right)
        for operation, left, right in (
            (operator.mul, loss, x),
            (operator.mul, np.ones(2), loss),
            (operator.truediv, loss, x),
        ):
            with pytest.raises(
                TypeError, match=r"^a loss must be (scaled|divided) by a real number, .*polyloss\.multi_task$"
            ):
                operation(left, right)
        with pytest.raises(TypeError, match="must be scaled by a real number, got Loss"):
            operator.mul(loss, polyloss.l1)
        with pytest.raises(TypeError, match=r"^1 / loss is no loss; divide by loss\(prediction, target\)$"):
            operator.truediv(1.0, loss)


def test_losses_that_are_not_here_yet() -> None:
    for name in names.MISSING:
        for spelled in (name, words.class_name(name)):
            with pytest.raises(AttributeError, match="; there is no such loss in polyloss yet; polyloss"):
                getattr(polyloss, spelled)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("pinball_loss", "polyloss.quantile"),
        ("QuantileLoss", "did you mean polyloss.quantile?"),
        ("InfoNCE", "did you mean polyloss.info_nce?"),
        ("clip_loss", "polyloss.info_nce (with symmetric=True)"),
        ("MultipleNegativesRankingLoss", "polyloss.info_nce"),
        *(
            (name, "polyloss.cosine_distance (1 - cosine; with similarity=True minus the cosine); polyloss.compat...")
            for name in ("cosine_similarity", "CosineSimilarity")
        ),
    ],
)
def test_names_of_losses_without_a_twin(name: str, way: str) -> None:
    way = re.escape(way.removesuffix("...")) + ("" if way.endswith("...") else "$")
    with pytest.raises(AttributeError, match=f"^module 'polyloss' has no attribute '{name}'; (nearest here: )?{way}"):
        getattr(polyloss, name)


def test_a_class_that_keras_cannot_have_leads_to_the_loss() -> None:
    made = {"huber": "polyloss_keras.Huber"}
    message = str(names.no_attribute("polyloss_keras", "CosineLoss", made, ["keras"]))
    assert "; nearest here: polyloss.cosine_distance (1 - cosine; with similarity=True minus the cosine)" in message


def test_names_that_compat_does_not_have() -> None:
    compat = importlib.import_module("polyloss.compat")
    for name, way in {"jax": "optax", "tensorflow": "tf", "pytorch": "torch"}.items():
        for module in (polyloss, compat):
            with pytest.raises(AttributeError, match=rf"attribute '{name}'; polyloss\.compat\.{way} has "):
                getattr(module, name)
    for name, way in {
        "torch": "polyloss_torch has modules",
        "keras": "polyloss_keras has classes for compile()",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(f"; {way}") + "$"):
            getattr(polyloss, name)
    with pytest.raises(AttributeError, match=r"; polyloss\.compat\.torch\.mse_loss has PyTorch's signature"):
        _ = compat.mse_loss


@pytest.mark.parametrize(
    ("family", "name", "way"),
    [
        ("torch", "MseLoss", "nearest here: polyloss.compat.torch.mse_loss"),
        ("torch", "huber", "nearest here: polyloss.compat.torch.huber_loss"),
        ("torch", "cross_entrpy", "nearest here: polyloss.compat.torch.cross_entropy"),
        ("torch", "hinge", "nearest here: polyloss.hinge; polyloss.compat.keras.hinge has Keras's signature and definition"),
        ("keras", "HuberLoss", "nearest here: polyloss.compat.keras.huber"),
        ("keras", "mse_loss", "nearest here: polyloss.compat.keras.mean_squared_error"),
        ("optax", "hinge", "nearest here: polyloss.compat.optax.hinge_loss"),
        ("tf", "huber", "nearest here: polyloss.huber; polyloss.compat.keras.huber has Keras's signature and definition"),
        ("tf", "frobnicate", ""),
        ("torch", "_huber_loss", ""),
        *((family, "sup_con", "there is no such loss in polyloss yet; ...") for family in ("torch", "keras", "optax", "tf")),
    ],
)  # fmt: skip
def test_names_that_a_module_of_compat_does_not_have(family: str, name: str, way: str) -> None:
    module = importlib.import_module(f"polyloss.compat.{family}")
    message = f"module 'polyloss.compat.{family}' has no attribute {name!r}{way and f'; {way}'}"
    shown = re.escape(message.removesuffix("...")) + ("" if way.endswith("...") else "$")
    with pytest.raises(AttributeError, match=shown):
        getattr(module, name)


def test_an_answer_is_of_the_families_that_are_asked_for() -> None:
    known = {"huber": "polyloss_torch.Huber"}
    for families, other in ((["torch"], "Keras"), (["keras"], "PyTorch")):
        message = str(names.no_attribute("polyloss_torch", "HuberLoss", known, families))
        assert "nearest here: polyloss_torch.Huber; polyloss.compat." in message
        assert other not in message
    assert str(names.no_attribute("polyloss_torch", "grad", known)).endswith("has no attribute 'grad'")


def test_every_twin_says_what_it_computes() -> None:
    """The loss that is nearest to a name is the one that the documentation has."""
    for twin, loss in names.twins().items():
        documented = re.search(r"`polyloss\.(\w+)`", operator.attrgetter(twin)(polyloss.compat).__doc__ or "")
        assert documented is not None
        assert documented[1] == loss, twin


def test_what_comes_with_a_call_comes_with_no_partial() -> None:
    way = re.escape("reduction comes with a call, not with partial, as in huber(prediction, target, reduction=...)")
    with pytest.raises(TypeError, match=way):
        polyloss.huber.partial(reduction="sum")
    with pytest.raises(TypeError, match="nll: axis comes with a call"):
        polyloss.nll.partial(axis=1)
    with pytest.raises(TypeError, match="mse: unexpected axis"):
        polyloss.mse.partial(axis=1)


def test_arrays_of_no_numbers() -> None:
    for arrays, name in (((np.asarray([1, None]), ROW), "prediction"), ((ROW, np.asarray([1, None])), "target")):
        with pytest.raises(TypeError, match=f"mse: {name} must be a plain array, got dtype object, .*NaN is a"):
            polyloss.mse(*arrays)
    with pytest.raises(TypeError, match=r"target must be a plain array, got dtype <U1, which is not one of numbers$"):
        polyloss.mse(ROW, np.asarray(["a", "b"]))


def test_the_way_out_of_masked_arrays_works() -> None:
    for mask in (False, [True, False]):
        array = np.ma.masked_array(ROW, mask)
        with pytest.raises(TypeError) as caught:
            polyloss.mse(array, ROW)
        data, where = re.findall(r"(array\.data)|where=(.*)$", str(caught.value))
        arrays = {"np": np, "array": array}
        polyloss.mse(eval(data[0], arrays), ROW, where=eval(where[1], arrays))


@pytest.mark.parametrize("first", ["prediction", "target", "y_true", "logits"])
def test_a_kernel_without_the_namespace(first: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def mine({first}, other, **call): return {first} - other", scope)
    way = f"mine: the first parameter of a kernel is the namespace of the arrays, got {first}; write def mine(xp, {first}, other, **call)"
    with pytest.raises(TypeError, match=re.escape(way)):
        polyloss.elementwise(scope["mine"])
    with pytest.raises(TypeError, match=re.escape(way)):
        polyloss.rowwise(autodiff=True)(scope["mine"])


@pytest.mark.parametrize(
    ("base", "way"),
    [("torch.nn.modules.loss", "polyloss_torch.module makes a loss"), ("keras.src.losses.loss", "polyloss_keras.KerasLoss(")],
)  # fmt: skip
def test_an_object_of_a_framework_is_not_added(base: str, way: str) -> None:
    theirs = type("Theirs", (type("Base", (), {"__module__": base}),), {})()
    for left, right in ((polyloss.mse, theirs), (theirs, polyloss.mse)):
        with pytest.raises(TypeError, match=re.escape(way)):
            operator.add(left, right)


@pytest.mark.parametrize("divisor", [0, 0.0, -2, float("nan"), float("inf"), 5e-324])
def test_what_does_not_divide_a_loss(divisor: float) -> None:
    way = f"a loss must be divided by a positive number that is finite, got {divisor!r}"
    with pytest.raises(ValueError, match=re.escape(way)):
        operator.truediv(polyloss.mse, divisor)


def test_what_is_not_imported_yet_is_found() -> None:
    code = "import polyloss; polyloss.compat.torch.mse_loss; assert not hasattr(polyloss, 'mse_loss')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_numbers_of_numpy_are_numbers(backend: Any) -> None:
    x, y = backend.array([1.0, 2.0]), backend.array([0.0, 0.0])
    places: list[Any] = [np.int64(0), np.arange(1)]
    for argnums in places:
        found = polyloss.value_and_grad(polyloss.mse, argnums)(x, y)[1]
        backend.check(found if not isinstance(found, tuple) else found[0], [1.0, 2.0])
    assert repr(polyloss.cross_entropy.partial(ignore_index=backend.array(np.asarray(-100)))).endswith("(-100)>")


def test_every_name_that_is_answered_leads_somewhere() -> None:
    for name in {*names.WORDS, *(twin.partition(".")[2] for twin in names.twins())} - {*dir(polyloss)}:
        with pytest.raises(AttributeError) as caught:
            getattr(polyloss, name)
        ways = re.findall(r"polyloss(?:\.\w+)+", str(caught.value))
        assert ways, name
        for way in ways:
            assert callable(operator.attrgetter(way.partition(".")[2])(polyloss))


_SLIPS = {"huber_los": "huber", "HuberLos": "huber", "cros_entropy": "cross_entropy", "pinbal_loss": "quantile"}


def _here(package: Any, loss: str) -> str:
    """Where a package says that a loss is: the class that it has for it, or the loss itself."""
    classes = words.class_name(loss) in dir(package)
    return f"{package.__name__}.{words.class_name(loss)}" if classes else f"polyloss.{loss}"


def test_every_package_answers_names(backend: Any) -> None:
    package = importlib.import_module(type(backend_of(backend.array(1.0))).__module__)
    for asked in (package, polyloss):
        for slip, loss in _SLIPS.items():
            with pytest.raises(AttributeError, match=rf"'{slip}'; did you mean {_here(asked, loss)}( or \S+)?\?$"):
                getattr(asked, slip)
        with pytest.raises(
            AttributeError, match=rf"'huber_loss'; nearest here: {_here(asked, 'huber')}; polyloss\.compat"
        ):
            _ = asked.huber_loss
        for tool in ("grad", "value_and_grd"):
            with pytest.raises(AttributeError, match=rf"'{tool}'; did you mean polyloss\.value_and_grad\?$"):
                getattr(asked, tool)
        with pytest.raises(AttributeError, match="'sup_con'; there is no such loss in polyloss yet"):
            _ = asked.sup_con
        for name in ("frobnicate", "_huber_loss", "__wrapped__"):
            with pytest.raises(AttributeError, match=f"^module '{asked.__name__}' has no attribute '{name}'$"):
                getattr(asked, name)
    with pytest.raises(AttributeError, match=rf"'bakend'; did you mean {package.__name__}\.backend\?$"):
        _ = package.bakend
    with pytest.raises(ImportError, match="cannot import name 'huber_loss'"):
        exec(f"from {package.__name__} import huber_loss")


def test_a_slip_in_the_ending_of_a_short_name_is_not_any_loss() -> None:
    for name in ("frob_loss", "my_loss", "FooLoss", "abc_los", "loss", "los"):
        with pytest.raises(AttributeError, match=rf"has no attribute '{name}'(; did you mean polyloss\.Loss\?)?$"):
            getattr(polyloss, name)


def test_answers_are_not_imported_before_somebody_asks() -> None:
    code = "import polyloss, polyloss_numpy, sys; assert 'polyloss.compat' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
