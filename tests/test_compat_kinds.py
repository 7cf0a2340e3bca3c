"""The twins of torch and optax on every backend: ids and parameters as arrays or scalars, and what is no array."""

import inspect
import math
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import compat

pytestmark = pytest.mark.unoptimised

X = np.asarray([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
Y = np.asarray([0, 1, 2])
ROWS = np.log(np.exp(X).sum(axis=1)) - X[np.arange(3), Y]
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
LOG = np.log(P)
SIGNS = np.asarray([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])

torch, optax = compat.torch, compat.optax
ARRAYS: dict[Any, Any] = {
    torch.cross_entropy: (X, Y),
    torch.ctc_loss: (X, np.asarray([1, 2]), np.asarray(3), np.asarray(2)),
    optax.ctc_loss: (X[None], np.zeros((1, 3)), np.asarray([[1, 2]]), np.zeros((1, 2))),
    torch.linear_cross_entropy: (X, X, Y),
    torch.nll_loss: (LOG, Y),
    torch.multi_margin_loss: (X, Y),
    torch.multilabel_margin_loss: (X, np.asarray([[0, -1, 0], [2, 1, -1], [-1, 5, 5]])),
    torch.binary_cross_entropy: (P, P),
    torch.binary_cross_entropy_with_logits: (X, P),
    torch.mse_loss: (X, P),
    torch.l1_loss: (X, P),
    torch.huber_loss: (X, P),
    torch.smooth_l1_loss: (X, P),
    torch.kl_div: (LOG, P),
    torch.poisson_nll_loss: (X, P),
    torch.gaussian_nll_loss: (X, P, P),
    torch.triplet_margin_loss: (X, P, LOG),
    torch.triplet_margin_with_distance_loss: (X, P, LOG),
    torch.multilabel_soft_margin_loss: (X, P),
    torch.soft_margin_loss: (X, SIGNS),
    torch.hinge_embedding_loss: (P, SIGNS),
    torch.margin_ranking_loss: (X, P, SIGNS),
    optax.squared_error: (X, P),
    optax.l2_loss: (X, P),
    optax.huber_loss: (X, P),
    optax.log_cosh: (X, P),
    torch.cosine_embedding_loss: (X, P, SIGNS[:, 0]),
    optax.cosine_distance: (X, P),
    optax.cosine_similarity: (X, P),
    optax.hinge_loss: (X, SIGNS),
    optax.multiclass_hinge_loss: (X, Y),
    optax.multiclass_perceptron_loss: (X, Y),
    optax.multiclass_sparsemax_loss: (X, Y),
    optax.perceptron_loss: (X, SIGNS),
    optax.sigmoid_binary_cross_entropy: (X, P),
    optax.sigmoid_focal_loss: (X, P),
    optax.sparsemax_loss: (X, P),
    optax.poly_loss_cross_entropy: (X, P),
    optax.ranking_softmax_loss: (X, P),
    optax.binary_dice_loss: (X, P),
    optax.dice_loss: (X, P),
    optax.multiclass_generalized_dice_loss: (X, P),
    optax.softmax_cross_entropy: (X, P),
    optax.softmax_cross_entropy_with_integer_labels: (X, Y),
    optax.safe_softmax_cross_entropy: (X, P),
    optax.kl_divergence: (LOG, P),
    optax.generalized_kl_divergence: (LOG, P),
    optax.convex_kl_divergence: (LOG, P),
    optax.kl_divergence_with_log_targets: (LOG, LOG),
    optax.triplet_margin_loss: (X, P, LOG),
    optax.ntxent: (X, Y),
}
NAMES = [f"{function.__module__.rpartition('.')[2]}.{function.__name__}" for function in ARRAYS]
of_each = pytest.mark.parametrize("function", ARRAYS, ids=NAMES)


def test_every_function_is_here() -> None:
    assert {f.__name__ for f in ARRAYS} == {*torch.__all__, *optax.__all__}


@of_each
def test_what_is_no_array_is_refused_by_name(function: Any, backend: Any) -> None:
    wrong: Any
    arrays = [backend.array(a) for a in ARRAYS[function]]
    parameters = inspect.signature(function).parameters
    positional = [name for name, p in parameters.items() if p.default is p.empty]
    optional = [name for name in parameters if name in ("weight", "pos_weight", "linear_bias", "where")]
    for wrong in ([[1.0, 2.0, 3.0]], "a", {"a": 1}):
        for place, name in enumerate(positional):
            given = [*arrays[:place], wrong, *arrays[place + 1 :]]
            with pytest.raises(
                TypeError, match=f"{function.__name__}: {name} must be an array, got {type(wrong).__name__}"
            ):
                function(*given)
        for name in optional:
            with pytest.raises(
                TypeError, match=f"{function.__name__}: {name} must be an array, got {type(wrong).__name__}"
            ):
                function(*arrays, **{name: wrong})
        for name in {"alpha", "gamma", "delta", "beta", "margin", "label_smoothing", "norm_degree", "p"} & {
            *parameters
        }:
            with pytest.raises((TypeError, ValueError), match=r"\w+: \w+ must be .*, got "):
                function(*arrays, **{name: wrong})
    for place, name in enumerate(positional):
        if name not in ("targets", "target") or function not in (optax.squared_error, optax.l2_loss):
            with pytest.raises(TypeError, match=f"{function.__name__}: {name} must be an array, got NoneType"):
                function(*arrays[:place], None, *arrays[place + 1 :])


def test_an_ignored_id_may_be_an_array(backend: Any) -> None:
    wrong: Any
    x, ids = backend.array(X), backend.array(Y)
    expected = ROWS[1:].mean()
    layer = backend.array(np.eye(3))
    for ignored in (0, np.int64(0), backend.array(np.asarray(0)), backend.array(np.asarray(0), "uint8")):
        backend.check(torch.cross_entropy(x, ids, ignore_index=ignored), expected, rtol=1e-14)
        backend.check(torch.nll_loss(backend.array(LOG), ids, ignore_index=ignored), expected, rtol=1e-14)
        backend.check(torch.linear_cross_entropy(x, layer, ids, ignore_index=ignored), expected, rtol=1e-14)
    for wrong in (0.5, "-1", [0], backend.array(np.asarray(0.5)), backend.array(np.asarray([0]))):
        with pytest.raises(TypeError, match="cross_entropy: ignore_index must be"):
            torch.cross_entropy(x, ids, ignore_index=wrong)
    compiled = backend.compile(lambda x, ids, ignored: torch.cross_entropy(x, ids, ignore_index=ignored))
    backend.check(compiled(x, ids, backend.array(np.asarray(0))), expected, rtol=1e-14)


def test_ids_of_any_dtype_do_not_wrap(backend: Any) -> None:
    loss: Any
    logits = np.zeros((2, 200))
    logits[0, 156], logits[1, 3] = 1.0, 2.0
    exact = np.log(np.exp(logits).sum(axis=1)) - [1.0, 2.0]
    for dtype in ("uint8", "int16", "int32"):
        ids = backend.array([156, 3], dtype)
        backend.check(torch.cross_entropy(backend.array(logits), ids), exact.mean(), rtol=1e-14)
        found = optax.softmax_cross_entropy_with_integer_labels(backend.array(logits), ids)
        backend.check(found, exact, rtol=1e-14)
    for loss in (polyloss.hinge, torch.soft_margin_loss, optax.hinge_loss):
        with pytest.raises(ValueError, match="must be -1 or 1, got 255"):
            loss(backend.array([0.5, 0.5]), backend.array([255, 1], "uint8"))


def test_ids_of_a_sample_do_not_wrap(backend: Any) -> None:
    """Neither the labels in the dtype of the sample, nor the number of classes in that of either."""
    rng = np.random.default_rng(0)
    layer, hidden = rng.normal(size=(1000, 3)), rng.normal(size=(2, 3))
    arrays = [backend.array(a) for a in (layer, np.zeros(1000))], backend.array(hidden)
    counts = backend.array([[0.5], [0.25]]), backend.array([0.5, 0.25, 1.0])

    def losses(function: Any, kind: str) -> Any:
        sample, labels = backend.array([1, 7, 100], kind), backend.array([[300], [5]], "int32")
        return function(*arrays[0], labels, arrays[1], 3, 1000, sampled_values=(sample, *counts))

    for function in (compat.tf.sampled_softmax_loss, compat.tf.nce_loss):
        expected = backend.numpy(losses(function, "int64"))
        for kind in ("int8", "uint8", "int32"):
            backend.check(losses(function, kind), expected)


def test_a_floor_of_the_variance_is_no_half(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    zero = backend.array([0.0], "float16")
    expected = np.float16(0.5 * np.log(1e-6))
    backend.check(torch.gaussian_nll_loss(zero, zero, zero), expected, dtype="float16", rtol=0)


def test_words_of_a_ranking(backend: Any) -> None:
    logits, labels = backend.array([[1.0, 2.0, 0.5]]), backend.array([[0.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="ranking_softmax_loss: reduce_fn must be one of none, sum, mean"):
        optax.ranking_softmax_loss(logits, labels, reduce_fn="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ranking_softmax_loss: weights must be zero or positive.*, got -1"):
        optax.ranking_softmax_loss(logits, labels, weights=-labels)


def test_weights_of_classes_in_another_dtype(backend: Any) -> None:
    logits, targets = backend.array([[[1.0, 2.0], [0.5, -1.0]]]), backend.array([[[1.0, 0.0], [0.0, 1.0]]])
    weights = [backend.array([0.5, 2.0], kind) for kind in ("float32", "float64")]
    found = [optax.dice_loss(logits, targets, class_weights=weight) for weight in weights]
    backend.check(found[0], backend.numpy(found[1]))


def test_rows_one_by_one(backend: Any) -> None:
    loss: Any
    kind: Any
    for kind in (int, np.int64, np.uint8):
        for place in range(3):
            row, log, one = backend.array(X[place]), backend.array(LOG[place]), kind(Y[place])
            backend.check(torch.cross_entropy(row, one), ROWS[place], rtol=1e-14)
            backend.check(torch.nll_loss(log, one), ROWS[place], rtol=1e-14)
            backend.check(optax.softmax_cross_entropy_with_integer_labels(row, one), ROWS[place], rtol=1e-14)
    for loss in (torch.cross_entropy, torch.nll_loss, optax.softmax_cross_entropy_with_integer_labels):
        with pytest.raises(ValueError, match=r"(target|labels) must have class ids, one per row"):
            loss(backend.array(LOG), 0)
        with pytest.raises(TypeError, match="class id"):
            loss(backend.array(LOG), 0.5)


def test_a_number_stands_for_an_array_full_of_it(backend: Any) -> None:
    x = backend.array(X)
    backend.check(torch.mse_loss(x, 2), ((X - 2) ** 2).mean())
    backend.check(torch.mse_loss(x, np.float32(2.0), weight=3.0), ((X - 2) ** 2).mean())
    backend.check(torch.kl_div(backend.array(LOG), 0.5), (0.5 * (math.log(0.5) - LOG)).mean(), rtol=1e-14)
    backend.check(optax.l2_loss(x, 2.0), (X - 2) ** 2 / 2)


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 3, 1), (1, 1, 1), (3, 2), (2,), (1,), (), (4, 1, 2)], ids=str)
def test_pos_weight_belongs_to_the_last_axes(shape: tuple[int, ...], backend: Any) -> None:
    loss: Any
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(2, 4, 3, 2)), rng.uniform(size=(2, 4, 3, 2))
    w = rng.uniform(0.5, 2.0, shape)
    exact = w * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    for loss in (torch.binary_cross_entropy_with_logits, polyloss.binary_cross_entropy_with_logits):
        found = loss(backend.array(x), backend.array(t), pos_weight=backend.array(w), reduction="none")
        backend.check(found, exact, rtol=1e-14)
        if shape not in ((), (1,)):
            with pytest.raises(ValueError, match=r"pos_weight must have the shape of the last axes of \(2, 4, 3, 2\)"):
                loss(backend.array(x), backend.array(t), pos_weight=backend.array(np.ones((*shape[:-1], 5))))


def test_weights_spread_as_in_torch(backend: Any) -> None:
    p = backend.array(P)
    exact = -P * np.log(P) - (1 - P) * np.log(1 - P)
    for weight in (np.asarray([1.0, 2.0, 0.5]), np.asarray([[1.0], [2.0], [0.5]]), np.asarray(3.0)):
        found = torch.binary_cross_entropy(p, p, weight=backend.array(weight), reduction="none")
        backend.check(found, weight * exact, rtol=1e-14)
    for loss in (torch.binary_cross_entropy, torch.binary_cross_entropy_with_logits):
        for shape in ((2,), (3, 2), (1, 3, 3)):
            with pytest.raises(ValueError, match=r"weight must broadcast to the shape of input, \(3, 3\), got shape"):
                loss(p, p, weight=backend.array(np.ones(shape)))


def test_parameters_may_be_arrays(backend: Any) -> None:
    def array(number: float) -> Any:
        return backend.array(np.asarray(number))

    wrong: Any
    function: Any
    arrays = {function: [backend.array(a) for a in given] for function, given in ARRAYS.items()}
    calls: list[tuple[Any, dict[str, float]]] = [
        (optax.sigmoid_focal_loss, {"gamma": 1.5, "alpha": 0.25}),
        (optax.sigmoid_focal_loss, {"gamma": 2.0}),
        (optax.huber_loss, {"delta": 0.5}),
        (optax.triplet_margin_loss, {"margin": 2.0, "norm_degree": 3.0, "eps": 1e-6}),
        (torch.triplet_margin_loss, {"margin": 2.0}),
        (torch.triplet_margin_with_distance_loss, {"margin": 2.0}),
        (torch.hinge_embedding_loss, {"margin": 2.0}),
        (torch.huber_loss, {"delta": 0.5}),
        (torch.smooth_l1_loss, {"beta": 0.5}),
        (torch.cross_entropy, {"label_smoothing": 0.25}),
    ]
    for function, parameters in calls:
        expected = backend.numpy(function(*arrays[function], **parameters))
        found = function(*arrays[function], **{name: array(value) for name, value in parameters.items()})
        backend.check(found, expected, rtol=1e-13)
        found = function(*arrays[function], **{name: np.float64(value) for name, value in parameters.items()})
        backend.check(found, expected, rtol=1e-13)
    for function in (torch.triplet_margin_loss, torch.triplet_margin_with_distance_loss):
        for wrong in (0.0, -1.0, math.nan, array(0.0)):
            with pytest.raises(ValueError, match=f"{function.__name__}: margin must be positive, got"):
                function(*arrays[function], margin=wrong)
    with pytest.raises(ValueError, match="triplet_margin_loss: eps must be 0 or left alone"):
        optax.triplet_margin_loss(backend.array(X), backend.array(P), backend.array(LOG), eps=array(0.1))


def test_axes_are_checked_by_name(backend: Any) -> None:
    wrong: Any
    call: Any
    x, p, log, ids = (backend.array(a) for a in (X, P, LOG, Y))
    for call in (
        lambda **k: optax.softmax_cross_entropy(x, p, **k),
        lambda **k: optax.softmax_cross_entropy_with_integer_labels(x, ids, **k),
        lambda **k: optax.kl_divergence(log, p, **k),
        lambda **k: optax.kl_divergence_with_log_targets(log, log, **k),
    ):
        with pytest.raises(ValueError, match=r"axis must be in \[-2, 2\), got 9"):
            call(axis=9)
        for wrong in (1.0, "a", [0.5]):
            with pytest.raises(TypeError, match="axis must be an integer, got"):
                call(axis=wrong)
        for wrong in ((1, 1), (1, -1), ()):
            with pytest.raises(ValueError, match="axis must name one axis or more, each once"):
                call(axis=wrong)
        with pytest.raises(TypeError, match="where must be boolean, got dtype"):
            call(where=p)
        with pytest.raises(ValueError, match=r"where must (broadcast|have)"):
            call(where=p[:2, :] > 0)
        with pytest.raises(TypeError, match="where must be an array, got bool"):
            call(where=True)


def test_targets_out_of_range_are_refused(backend: Any) -> None:
    loss: Any
    x, over = backend.array(X), backend.array(P + 1.0)
    for loss in (torch.binary_cross_entropy_with_logits, optax.sigmoid_binary_cross_entropy, optax.sigmoid_focal_loss):
        with pytest.raises(ValueError, match=r"(target|labels) must be in \[0, 1\], got 1\."):
            loss(x, over)
    for loss in (torch.cross_entropy, optax.softmax_cross_entropy, optax.safe_softmax_cross_entropy):
        with pytest.raises(ValueError, match=r"(target|labels) must be probabilities in \[0, 1\], got 1\."):
            loss(x, over)
    for loss in (torch.cross_entropy, optax.softmax_cross_entropy_with_integer_labels):
        with pytest.raises(ValueError, match=r"(target|labels) must be class ids in \[0, 3\), got 3"):
            loss(x, backend.array(Y + 1))
    with pytest.raises(ValueError, match="target must be zero or positive, got -"):
        torch.kl_div(backend.array(LOG), backend.array(-P))
