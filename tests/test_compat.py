"""The functions of `polyloss.compat` on every kind of array: what they refuse, and what they get right."""

# ruff: noqa: E501 - a table reads best with a case in a line

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import compat
from polyloss_conformance import cases, reference
from polyloss_conformance.builtins import TWINS, Twin

pytestmark = pytest.mark.unoptimised

LOGITS = np.random.default_rng(1).normal(0, 2, (6, 4))
TARGET = np.random.default_rng(2).normal(0, 2, (6, 4))
IDS = np.asarray([0, 3, 1, 2, 3, 1])
UNIFORM = np.random.default_rng(3).uniform(0.02, 0.98, (6, 4))
SIMPLEX = UNIFORM / UNIFORM.sum(axis=-1, keepdims=True)
EVERYTHING = [
    (module, name) for module in ("torch", "keras", "optax", "tf") for name in getattr(compat, module).__all__
]


def samples(twin: Twin) -> list[cases.Case]:
    """An ordinary case of a twin: `polyloss conformance --full` has them all."""
    found = [c for c in cases.cases_of(twin.loss) if any(twin.expressible(c, r) for r in twin.reductions)]
    return ([c for c in found if c.kind == "sample"] or found)[:1]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.id}-{twin.loss}")
def test_every_backend_gives_the_exact_result(twin: Twin, backend: Any) -> None:
    found = samples(twin)
    assert found
    for case in found:
        truth = reference.truth(case, "float64")
        given = case.at("float64")
        arrays = [backend.array(a) for a in given.arrays]
        options = {k: backend.array(v) if isinstance(v, np.ndarray) else v for k, v in given.options.items()}
        parameters = {k: backend.array(v) if isinstance(v, np.ndarray) else v for k, v in given.parameters.items()}
        wanted = [
            i
            for i in cases.LOSSES[twin.loss].differentiable
            if truth.gradients.get(i) is not None and i not in twin.constants
        ]
        for reduction in twin.reductions:
            if not twin.expressible(case, reduction):
                continue

            def call(*inputs: Any, said: tuple[Any, ...] = (parameters, options), how: str = reduction) -> Any:
                return twin.evaluate(twin.twin(), cases.Arguments(inputs, *said), how)

            exact = reference.reduced(case, truth, reduction=reduction)
            value = call(*arrays)
            backend.check(value, np.asarray(exact.value, dtype=np.float64), dtype="float64", rtol=1e-11)
            if not backend.has_autodiff:
                continue
            cotangent = np.linspace(-1, 2, exact.value.size).reshape(exact.value.shape)
            exact = reference.reduced(case, truth, cotangent, reduction=reduction)
            gradients = (
                backend.grad(lambda *a, **_: call(*a), *arrays, cotangent=cotangent)
                if exact.value.shape
                else backend.grad(call, *arrays)
            )
            if not exact.value.shape:
                exact = reference.reduced(case, truth, reduction=reduction)
            for i in wanted:
                expected = np.asarray(exact.gradients[i], dtype=np.float64)
                # Of what cancels, nearly nothing is left.
                np.testing.assert_allclose(backend.numpy(gradients[i]), expected, rtol=1e-9, atol=1e-30)


@pytest.mark.parametrize(("module", "name"), EVERYTHING, ids=lambda value: value)
def test_everything_is_documented_and_has_a_plain_signature(module: str, name: str) -> None:
    function = getattr(getattr(compat, module), name)
    assert function.__doc__
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_every_function_is_a_twin() -> None:
    assert {(t.family, t.name) for t in TWINS} == set(EVERYTHING)


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in compat.torch.__all__
        if n not in ("ctc_loss", "huber_loss", "linear_cross_entropy", "gaussian_nll_loss") and "distance" not in n
    ],
)
@pytest.mark.parametrize(
    ("legacy", "reduction"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"reduce": True, "size_average": False}, "sum"),
    ],
)
def test_legacy_arguments_are_refused_and_the_message_says_what_to_use(name: str, legacy: Any, reduction: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: .*use reduction='{reduction}'"):
        getattr(compat.torch, name)(*[LOGITS] * needed(name), **legacy)


def needed(name: str) -> int:
    """How many arrays a function of torch takes."""
    parameters = inspect.signature(getattr(compat.torch, name)).parameters.values()
    return sum(p.default is p.empty for p in parameters)


@pytest.mark.parametrize("name", compat.torch.__all__)
@pytest.mark.parametrize("reduction", ["weighted_mean", "average", None])
def test_only_the_reductions_of_torch(name: str, reduction: Any) -> None:
    arrays = {
        "cross_entropy": (LOGITS, IDS),
        "linear_cross_entropy": (TARGET, LOGITS[:5], IDS),
        "nll_loss": (LOGITS, IDS),
        "cosine_embedding_loss": (LOGITS, TARGET, np.sign(LOGITS[:, 0])),
        "soft_margin_loss": (LOGITS, np.sign(LOGITS)),
        "hinge_embedding_loss": (UNIFORM, np.sign(LOGITS)),
        "multi_margin_loss": (LOGITS, IDS),
        "multilabel_margin_loss": (LOGITS, np.full(LOGITS.shape, -1)),
        "margin_ranking_loss": (LOGITS, UNIFORM, np.sign(LOGITS)),
    }
    with pytest.raises(ValueError, match="reduction"):
        getattr(compat.torch, name)(*arrays.get(name, [UNIFORM] * needed(name)), reduction=reduction)


def test_cosines_of_the_features_that_are_selected() -> None:
    optax = compat.optax
    some = np.asarray([True, False, True, True])
    for name, sign, offset in (("cosine_similarity", 1.0, 0.0), ("cosine_distance", -1.0, 1.0)):
        function = getattr(optax, name)
        x, y = LOGITS[:, some], TARGET[:, some]
        cosine = np.sum(x * y, axis=-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))
        np.testing.assert_allclose(function(LOGITS, TARGET, where=some), offset + sign * cosine)
        whole = np.sum(LOGITS * TARGET) / (np.linalg.norm(LOGITS) * np.linalg.norm(TARGET))
        np.testing.assert_allclose(function(LOGITS, TARGET, axis=None), offset + sign * whole)
        with pytest.raises(ValueError, match=rf"{name}: epsilon must be 0 .*; got 1e-08"):
            function(LOGITS, TARGET, epsilon=1e-8)


def test_what_torch_accepts_is_refused() -> None:
    torch = compat.torch
    with pytest.raises(ValueError, match="shape"):
        torch.mse_loss(LOGITS[:, :1], LOGITS[:, 0])
    with pytest.raises(ValueError, match="shape"):
        torch.kl_div(LOGITS, SIMPLEX[:1])
    with pytest.raises(ValueError, match="weight"):
        torch.mse_loss(LOGITS, TARGET, weight=np.ones(4))
    with pytest.raises(ValueError, match="weight"):
        torch.huber_loss(LOGITS, TARGET, weight=np.ones((6, 1)))
    with pytest.raises(TypeError, match="class ids"):
        torch.nll_loss(LOGITS, SIMPLEX)
    with pytest.raises(
        ValueError, match=r"input must have the shape \(N, 4\) beside linear_weight of shape \(5, 1, 4\)"
    ):
        torch.linear_cross_entropy(TARGET[0], LOGITS[:5, None], IDS[:, None])
    with pytest.raises(ValueError, match=r"linear_bias must have the shape of .*\(5, 1\), got \(5,\)"):
        torch.linear_cross_entropy(TARGET, LOGITS[:5, None], IDS[:, None], linear_bias=TARGET[:5, 0])
    with pytest.raises(TypeError, match="options must be LinearCrossEntropyOptions, got 5"):
        torch.linear_cross_entropy(TARGET, LOGITS[:5], IDS, options=5)
    for ignored in (2, -100):
        with pytest.raises(ValueError, match="ignore_index"):
            torch.linear_cross_entropy(TARGET, LOGITS[:4], SIMPLEX, ignore_index=ignored)
    with pytest.raises(ValueError, match="eps"):
        torch.triplet_margin_loss(LOGITS, TARGET, UNIFORM, eps=1e-3)
    with pytest.raises(ValueError, match="eps"):
        compat.optax.triplet_margin_loss(LOGITS, TARGET, UNIFORM, eps=1e-3)
    for margin in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="margin"):
            torch.triplet_margin_loss(LOGITS, TARGET, UNIFORM, margin=margin)
        with pytest.raises(ValueError, match="margin"):
            torch.triplet_margin_with_distance_loss(LOGITS, TARGET, UNIFORM, margin=margin)
    for loss in (torch.soft_margin_loss, torch.hinge_embedding_loss, compat.optax.hinge_loss):
        with pytest.raises(ValueError, match="target"):
            loss(UNIFORM, np.zeros((6, 4)))
    with pytest.raises(ValueError, match="ignore_index"):
        torch.cross_entropy(LOGITS, SIMPLEX, ignore_index=2)
    with pytest.raises(TypeError, match="missing labels"):
        compat.tf.sigmoid_cross_entropy_with_logits(logits=LOGITS)


def test_what_keras_accepts_is_refused() -> None:
    keras = compat.keras
    for function in (keras.binary_crossentropy, keras.categorical_crossentropy, keras.binary_focal_crossentropy):
        for logits in (False, True):
            with pytest.raises(ValueError, match="label_smoothing"):
                function(SIMPLEX, UNIFORM, from_logits=logits, label_smoothing=1.5)
        with pytest.raises(TypeError, match="array"):
            function(SIMPLEX.tolist(), UNIFORM)
        with pytest.raises(ValueError, match="shape"):
            function(SIMPLEX[:1], UNIFORM)
        with pytest.raises(ValueError, match="in \\[0, 1\\]"):
            function(SIMPLEX, 3 * UNIFORM)
    for focal in (keras.binary_focal_crossentropy, keras.categorical_focal_crossentropy):
        with pytest.raises(ValueError, match="gamma"):
            focal(SIMPLEX, UNIFORM, gamma=-1.0)
    with pytest.raises(ValueError, match="class id"):
        keras.sparse_categorical_crossentropy(np.asarray([4] * 6), SIMPLEX)
    with pytest.raises(ValueError, match="shape"):
        keras.sparse_categorical_crossentropy(IDS[:2], SIMPLEX)
    with pytest.raises(ValueError, match="whole numbers"):
        keras.sparse_categorical_crossentropy(IDS + 0.5, LOGITS, from_logits=True)


def test_a_bad_label_that_cannot_be_seen_gives_nan(dask: Any) -> None:
    values = compat.torch.soft_margin_loss(dask.array([1.0, 2.0]), dask.array([1.0, 0.0]), reduction="none")
    assert np.isnan(values.compute()).tolist() == [False, True]


def test_the_mean_of_cross_entropy_divides_by_weights_for_ids_and_by_rows_for_probabilities(backend: Any) -> None:
    logits, weight = backend.array([[1.0, 0.0], [0.0, 0.0]]), backend.array([1.0, 3.0])
    by_ids = compat.torch.cross_entropy(logits, backend.array([0, 1]), weight)
    by_rows = compat.torch.cross_entropy(logits, backend.array([[1.0, 0.0], [0.0, 1.0]]), weight)
    total = math.log1p(math.exp(-1)) + 3 * math.log(2)
    backend.check(by_ids, total / 4, rtol=1e-14)
    backend.check(by_rows, total / 2, rtol=1e-14)


def test_means_over_nothing_are_zero(backend: Any) -> None:
    logits, ids = backend.array(LOGITS), backend.array(np.full(6, -100))
    backend.check(compat.torch.cross_entropy(logits, ids), 0.0)
    backend.check(compat.torch.mse_loss(logits, logits + 1, weight=backend.array(np.zeros((6, 4)))), 0.0)


def test_batchmean_is_the_mean_over_the_first_axis(backend: Any) -> None:
    cube, target = np.log(SIMPLEX).reshape(2, 3, 4), SIMPLEX[::-1].reshape(2, 3, 4)
    exact = np.sum(target * (np.log(target) - cube)) / 2
    for reduction, expected in (("batchmean", exact), ("sum", 2 * exact), ("mean", exact / 12)):
        found = compat.torch.kl_div(backend.array(cube), backend.array(target.copy()), reduction=reduction)
        backend.check(found, expected, rtol=1e-12)


def test_keras_probabilities_are_exact_to_the_ends(backend: Any) -> None:
    keras = compat.keras
    certain = backend.array([[0.0, 1.0], [1.0, 0.0]])
    one_hot = backend.array([[0.0, 1.0], [0.0, 1.0]])
    expected = [0.0, math.inf]
    backend.check(keras.categorical_crossentropy(one_hot, certain), expected)
    backend.check(keras.sparse_categorical_crossentropy(backend.array([1, 1]), certain), expected)
    backend.check(keras.kl_divergence(one_hot, certain), expected)
    backend.check(keras.categorical_focal_crossentropy(one_hot, certain, alpha=1.0), expected)
    binary = backend.array([[1.0], [1.0]]), backend.array([[1.0], [0.0]])
    backend.check(keras.binary_crossentropy(*binary), expected)
    for gamma in (0.0, 0.5, 2.0):
        backend.check(keras.binary_focal_crossentropy(*binary, gamma=gamma), expected)


def test_keras_probabilities_have_a_gradient_to_the_ends(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("a function of losses has a gradient only where there is automatic differentiation")
    keras = compat.keras
    certain = np.asarray([[0.0, 1.0], [1.0, 0.0]])
    one_hot = np.asarray([[0.0, 1.0], [0.0, 1.0]])
    cross = [[1.0, 0.0], [1.0, -math.inf]]

    def slope(function: Any, target: Any, **keywords: Any) -> Any:
        target = backend.array(target)
        return backend.grad(
            lambda p, **_: function(target, p, **keywords), backend.array(certain), cotangent=np.ones(2)
        )[0]

    backend.check(slope(keras.categorical_crossentropy, one_hot), cross)
    backend.check(slope(keras.sparse_categorical_crossentropy, [1, 1]), cross)
    backend.check(slope(keras.kl_divergence, one_hot), [[0.0, -1.0], [0.0, -math.inf]])
    found = backend.numpy(slope(keras.binary_focal_crossentropy, one_hot, gamma=0.5))
    np.testing.assert_array_equal(found, [[0.0, 0.0], [math.inf, -math.inf]])


def test_keras_ignores_a_class_whatever_is_in_its_rows(backend: Any) -> None:
    rows = backend.array([[0.25, 0.75], [math.nan, math.nan]])
    found = compat.keras.sparse_categorical_crossentropy(backend.array([1, -1]), rows, ignore_class=-1)
    backend.check(found, [-math.log(0.75), 0.0], rtol=1e-14)


def test_half_precision_is_rounded_once(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("no half precision")
    prediction, target = (
        backend.array(np.full((1, 4096), 8.0), "float16"),
        backend.array(np.zeros((1, 4096)), "float16"),
    )
    backend.check(compat.keras.mean_squared_error(target, prediction), [64.0], dtype="float16")
    probabilities = backend.array([[0.1, 0.9]], "float16")
    exact = -math.log(float(np.float16(0.1)) / float(np.float16(0.1) + np.float64(np.float16(0.9))))
    found = compat.keras.sparse_categorical_crossentropy(backend.array([0]), probabilities)
    backend.check(found, [float(np.float16(exact))], dtype="float16", rtol=0)


def test_scripts_need_no_framework() -> None:
    # NumPy alone runs what was written for any of them.
    assert compat.torch.huber_loss(LOGITS, TARGET) == polyloss.huber(LOGITS, TARGET)
    assert compat.tf.l2_loss(LOGITS) == pytest.approx(np.sum(LOGITS**2) / 2)
    np.testing.assert_allclose(compat.optax.l2_loss(LOGITS), LOGITS**2 / 2)


COMPILED = {
    "torch.cross_entropy": (LOGITS, IDS),
    "torch.linear_cross_entropy": (TARGET, LOGITS[:5].copy(), IDS),
    "torch.kl_div": (np.log(SIMPLEX), SIMPLEX[::-1].copy()),
    "torch.soft_margin_loss": (LOGITS, np.sign(TARGET)),
    "torch.triplet_margin_loss": (LOGITS, TARGET, UNIFORM),
    "keras.categorical_crossentropy": (SIMPLEX[::-1].copy(), SIMPLEX),
    "keras.sparse_categorical_crossentropy": (IDS, SIMPLEX),
    "keras.binary_focal_crossentropy": (UNIFORM[::-1].copy(), UNIFORM),
    "optax.softmax_cross_entropy": (LOGITS, SIMPLEX),
    "tf.l2_loss": (LOGITS,),
}


@pytest.mark.parametrize("name", COMPILED)
def test_compilers_take_them(name: str, backend: Any) -> None:
    module, _, function = name.partition(".")
    loss = getattr(getattr(compat, module), function)
    arrays = [backend.array(a) for a in COMPILED[name]]
    backend.check(backend.compile(loss)(*arrays), backend.numpy(loss(*arrays)), rtol=1e-12)


@pytest.mark.parametrize(("module", "name"), EVERYTHING, ids=lambda value: value)
def test_a_twin_names_its_own_arguments(module: str, name: str, backend: Any) -> None:
    """Whatever a loss refuses that it calls."""
    function = getattr(getattr(compat, module), name)
    parameters = inspect.signature(function).parameters
    needed = [key for key, p in parameters.items() if p.default is p.empty or key in ("labels", "logits")]
    wrong: list[dict[str, Any]] = [
        {key: backend.array(array) for key in needed}
        for array in (np.eye(3, dtype=np.int64) > 0, np.eye(3, dtype=np.int64) * 5, -LOGITS[:3, :3], 1j * LOGITS)
    ]
    wrong += [{**wrong[2], key: backend.array(LOGITS[:2, :2])} for key in needed]
    messages = []
    for arguments in wrong:
        try:
            function(**arguments)
        except (TypeError, ValueError) as error:
            messages.append(str(error))
    assert messages
    for message in messages:
        said = re.match(r"(\w+): (.+?) must ", message)
        assert said is not None, message
        assert (said[1], said[2] in parameters) == (name, True), message
        assert "polyloss_keras" not in message


SAID: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "cross_entropy: unexpected class_weight; did you mean weight?": (compat.torch.cross_entropy, (LOGITS, IDS), {"class_weight": 1.0}),
    "huber_loss: unexpected sample_weight; did you mean weight?": (compat.torch.huber_loss, (LOGITS, LOGITS), {"sample_weight": 1.0}),
    "huber: unexpected prediction; did you mean y_pred?": (compat.keras.huber, (LOGITS,), {"prediction": 1.0}),
    "huber: unexpected target; did you mean y_true?": (compat.keras.huber, (LOGITS,), {"target": 1.0}),
    "huber_loss: unexpected dleta; did you mean delta?": (compat.optax.huber_loss, (LOGITS, LOGITS), {"dleta": 1.0}),
    "cross_entropy: weight must have one number per class": (compat.torch.cross_entropy, (LOGITS, IDS, UNIFORM[0, :2]), {}),
    "linear_weight must have the shape (classes, 4), got (4, 6); say linear_weight.T": (compat.torch.linear_cross_entropy, (LOGITS, LOGITS.T.copy(), IDS), {}),
    "to leave such examples out, sparse_categorical_crossentropy takes ignore_class=-1": (compat.keras.sparse_categorical_crossentropy, (IDS - 1, SIMPLEX), {}),
    "labels must be class ids in [0, 4), got -1": (compat.optax.softmax_cross_entropy_with_integer_labels, (LOGITS, IDS - 1), {}),
    "to leave such examples out, polyloss.cross_entropy takes ignore_index=-1": (compat.optax.softmax_cross_entropy_with_integer_labels, (LOGITS, IDS - 1), {}),
    "triplet_margin_loss: margin must be zero or positive": (compat.optax.triplet_margin_loss, (LOGITS, LOGITS, LOGITS), {"margin": -1.0}),
    "triplet_margin_loss: norm_degree must be in [1, inf]": (compat.optax.triplet_margin_loss, (LOGITS, LOGITS, LOGITS), {"norm_degree": 0.5}),
    "binary_crossentropy: y_pred must be in [0, 1], got ": (compat.keras.binary_crossentropy, (UNIFORM, LOGITS), {}),
    "; from_logits=True takes logits": (compat.keras.binary_crossentropy, (UNIFORM, LOGITS), {}),
    "logit_length must be lengths in [0, 1], got 2": (compat.tf.ctc_loss, (np.ones((1, 1), int), LOGITS[:1, None], np.asarray([1]), np.asarray([2])), {}),
    "size_average and reduce are not supported": (compat.torch.cross_entropy, (LOGITS, IDS), {"size_average": True}),
}  # fmt: skip
"""What a message must say; twin, arrays, keywords."""


@pytest.mark.parametrize("message", SAID)
def test_a_twin_answers_in_the_words_of_its_built_in(message: str, backend: Any) -> None:
    twin, arrays, keywords = SAID[message]
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        twin(*map(backend.array, arrays), **keywords)
