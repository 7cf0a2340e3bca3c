"""What people type out of habit is answered with what to type here."""

# ruff: noqa: E501 - a table reads best with a case in a line

import operator
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import _words

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
    "array of classes to ignore": (polyloss.nll, (LOG_P, IDS), {"ignore_index": np.asarray([3, 4])}, TypeError, "leave out each by where="),
    "logits of probabilities": (polyloss.binary_cross_entropy, (X, X), {"from_logits": True}, TypeError, "binary_cross_entropy_with_logits takes logits"),
    "logits of logits": (polyloss.binary_cross_entropy_with_logits, (X, X), {"from_logits": True}, TypeError, "it takes logits, and binary_cross_entropy takes probabilities"),
    "logits of classes": (polyloss.cross_entropy, (X, IDS), {"from_logits": False}, TypeError, "nll takes log-probabilities"),
    "batchmean": (polyloss.kl_divergence, (LOG_P, X), {"reduction": "batchmean"}, ValueError, "say reduction='mean', which divides by the number of examples"),
    "sum over the batch": (polyloss.mse, (X, X), {"reduction": "sum_over_batch_size"}, ValueError, "say reduction='mean'"),
    "mean of Keras": (polyloss.mse, (X, X), {"reduction": "mean_with_sample_weight"}, ValueError, "say reduction='weighted_mean'"),
    "no reduction": (polyloss.mse + polyloss.l1, (X, X), {"reduction": None}, ValueError, "say reduction='none'"),
    "mask of a number": (polyloss.mse, (X, X), {"where": 1}, TypeError, "where must be a boolean array, got int 1"),
    "mask of a boolean": (polyloss.mse, (X, X), {"where": True}, TypeError, "where must be a boolean array, got bool True"),
    "mask that is a list": (polyloss.mse, (X, X), {"where": [True, False]}, TypeError, "where must be a boolean array, got list"),
    "mask of numbers": (polyloss.mse, (X, X), {"where": ROW}, TypeError, "as in where=mask != 0"),
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
    ],
)
def test_no_way_out_is_invented(backend: Any, keywords: dict[str, Any], message: str) -> None:
    call = {name: given(backend, value) for name, value in keywords.items()}
    with pytest.raises((TypeError, ValueError), match=re.escape(message.removesuffix("$")) + "$"):
        polyloss.cross_entropy(backend.array(X), backend.array(IDS), **call)
    with pytest.raises(ValueError, match=r"got -1 \(element 1 of shape \(2,\)\)$"):
        polyloss.cross_entropy(backend.array(X), backend.array([0, -1]), ignore_index=-100)


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
    name = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant"}.get(
        backend.framework, "np.asarray"
    )
    with pytest.raises(
        TypeError,
        match=re.escape(f"delta must be an array to have a gradient, got float 2.0; make it one: {name}(2.0)"),
    ):
        polyloss.value_and_grad(polyloss.huber, argnums="delta")(x, x, delta=2.0)
    polyloss.value_and_grad(polyloss.huber, argnums="delta")(x, x, delta=backend.array(2.0))
    with pytest.raises(
        TypeError, match=r"argument 1 must be real floating to have a gradient, .*; convert it to float32"
    ):
        polyloss.value_and_grad(polyloss.cross_entropy, argnums=1)(x, backend.array(IDS))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("mse_loss", "; here it is polyloss.mse; polyloss.compat.torch.mse_loss has PyTorch's signature"),
        ("MSELoss", "; here it is polyloss.mse; polyloss.compat.torch.mse_loss has PyTorch's signature"),
        ("squared_error", "; here it is polyloss.mse; polyloss.compat.optax.squared_error has Optax's signature"),
        (
            "MeanSquaredError",
            "; here it is polyloss.mse; polyloss.compat.keras.mean_squared_error has Keras's signature",
        ),
        ("BCELoss", "; here it is polyloss.binary_cross_entropy"),
        ("hubre", "; did you mean polyloss.huber?"),
        ("value_and_gradient", "; did you mean polyloss.value_and_grad?"),
        ("frobnicate", ""),
        ("losses", ""),
        ("__wrapped__", ""),
        ("_huber", ""),
    ],
)
def test_names_of_others_are_answered_with_ours(name: str, way: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"module 'polyloss' has no attribute {name!r}{way}") + "$"):
        getattr(polyloss, name)
    assert not hasattr(polyloss, name)
    assert name not in dir(polyloss)


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
    for name in {*_words.WORDS, *(twin.partition(".")[2] for twin in _words._twins())} - {*dir(polyloss)}:
        with pytest.raises(AttributeError) as caught:
            getattr(polyloss, name)
        ways = re.findall(r"polyloss(?:\.\w+)+", str(caught.value))
        assert ways, name
        for way in ways:
            assert callable(operator.attrgetter(way.partition(".")[2])(polyloss))
