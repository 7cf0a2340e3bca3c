"""What cannot be: logits for log-probabilities, NaN for a parameter or a weight, derivatives that are none."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import optax as like_optax
from polyloss.compat import torch as like_torch

# torch's own: forward mode loads decompositions by torch.jit.script.
pytestmark = [pytest.mark.unoptimised, pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")]

LOGITS = np.asarray([[0.5, 2.0, -1.0], [3.5, -2.0, 0.25]])
LOGS = LOGITS - np.log(np.sum(np.exp(LOGITS), axis=-1, keepdims=True))
SHARES = np.full((2, 3), 1 / 3)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_logits_are_no_log_probabilities(backend: Any, reduction: Any) -> None:
    logits, logs, shares, ids = map(backend.array, (LOGITS, LOGS, SHARES, np.asarray([1, 0])))
    way_out = "log makes log-probabilities of probabilities, log_softmax of logits"
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: polyloss.nll(logits, ids, reduction=reduction), "nll: log_probabilities"),
        (lambda: polyloss.nll(logits, shares, reduction=reduction), "nll: log_probabilities"),
        (lambda: polyloss.kl_divergence(logits, shares, reduction=reduction), "kl_divergence: log_probabilities"),
        (lambda: polyloss.kl_divergence(logs, logits, log_target=True, reduction=reduction), "kl_divergence: target"),
    ]
    for call, name in calls:
        with pytest.raises(
            ValueError, match=rf"^{name} must be at most 0 \(0\.1 for rounding\), got 3\.5 .*; {way_out}"
        ):
            call()


def test_logits_that_cannot_be_seen_become_nan(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    logits, logs, shares, ids = map(backend.array, (LOGITS, LOGS, SHARES, np.asarray([2, 0])))
    # The first row has logits that are positive, but not that of its class.
    for loss, arrays, expected in (
        (polyloss.nll, (logits, ids), [False, True]),
        (polyloss.nll, (logits, shares), [True, True]),
        (polyloss.kl_divergence, (logits, shares), [True, True]),
        (polyloss.kl_divergence.partial(log_target=True), (logs, logits), [True, True]),
        (polyloss.nll, (logs, ids), [False, False]),
    ):
        compiled = backend.compile(functools.partial(loss, reduction="none"))
        np.testing.assert_array_equal(np.isnan(backend.numpy(compiled(*arrays))), expected)


def test_beside_class_ids_only_the_entries_that_count_are_looked_at(backend: Any) -> None:
    positive = np.asarray([[-0.5, 7.0, -2.0], [9.0, 9.0, 9.0], [-1.0, -1.0, 4.0]])
    for axis in (0, 1):
        logs = backend.array(positive if axis else np.ascontiguousarray(positive.T))
        for reduction in ("sum", "none"):
            value = polyloss.nll(logs, backend.array([0, -1, 1]), axis=axis, ignore_index=-1, reduction=reduction)
            backend.check(value, 1.5 if reduction == "sum" else [0.5, 0.0, 1.0])
            with pytest.raises(ValueError, match=r"log_probabilities must be at most 0 .*, got 7 .element 0 of"):
                polyloss.nll(logs, backend.array([1, -1, 1]), axis=axis, ignore_index=-1, reduction=reduction)
            with pytest.raises(ValueError, match=r"target must be class ids in .0, 3., got 3"):
                polyloss.nll(logs, backend.array([1, -1, 3]), axis=axis, ignore_index=-1, reduction=reduction)


def test_a_logarithm_may_have_been_rounded_up(backend: Any) -> None:
    for dtype in backend.dtypes:
        logs = backend.array(np.asarray([[0.0625, -3.0], [-4.0, 0.0078125]]), dtype)
        assert polyloss.nll(logs, backend.array([0, 1]), reduction="sum") < 0
        with pytest.raises(ValueError, match="at most 0"):
            polyloss.nll(logs + 0.0625, backend.array([0, 1]))


def test_where_the_built_ins_take_positive_logarithms_so_do_their_twins(backend: Any) -> None:
    logits, shares = backend.array(LOGITS), backend.array(SHARES)
    backend.check(like_torch.nll_loss(logits, backend.array([1, 0])), -(2.0 + 3.5) / 2)
    terms = SHARES * (np.log(SHARES) - LOGITS)
    backend.check(like_torch.kl_div(logits, shares, reduction="sum"), terms.sum())
    backend.check(like_optax.kl_divergence(logits, shares), terms.sum(-1))
    other = np.exp(LOGS + 1) * (LOGS + 1 - LOGITS)
    target = backend.array(LOGS + 1)
    backend.check(like_optax.kl_divergence_with_log_targets(logits, target), other.sum(-1), rtol=1e-13)
    backend.check(like_torch.kl_div(logits, target, reduction="sum", log_target=True), other.sum(), rtol=1e-13)


X = np.asarray([[0.5, -2.0, 1.0], [1.5, 0.25, -1.0]])
NAN = np.asarray([1.0, np.nan, 1.0])
PARAMETERS: list[tuple[Callable[..., Any], str, Any]] = [
    (polyloss.huber, "delta", X),
    (polyloss.smooth_l1, "beta", X),
    (polyloss.tukey_biweight, "c", X),
    (polyloss.tukey_biweight, "scale", X),
    (polyloss.sigmoid_focal, "alpha", SHARES),
    (polyloss.sigmoid_focal, "gamma", SHARES),
    (polyloss.binary_cross_entropy_with_logits, "pos_weight", SHARES),
    (polyloss.cross_entropy, "class_weight", np.asarray([0, 2])),
    (polyloss.softmax_focal, "alpha", SHARES),
    (polyloss.softmax_focal, "gamma", np.asarray([0, 2])),
]


@pytest.fixture
def every_way() -> Callable[..., list[Callable[..., Any]]]:
    """The ways to differentiate a loss of an array and an array among its keywords by both, outside of compilers."""

    def ways(backend: Any, loss: Any, target: Any, name: str) -> list[Callable[..., Any]]:
        def function(x: Any, parameter: Any) -> Any:
            return loss(x, target, **{name: parameter})

        by_name = polyloss.value_and_grad(loss, (0, name))
        found: list[Callable[..., Any]] = [lambda x, parameter: by_name(x, target, **{name: parameter})]
        if not backend.has_autodiff:
            return found
        found.append(polyloss.value_and_grad(function, (0, 1)))
        if backend.name == "jax":
            jax = pytest.importorskip("jax")
            found += [jax.grad(function, (0, 1)), jax.hessian(function), lambda *a: jax.jvp(function, a, a)]
        if backend.name == "torch":
            func = pytest.importorskip("torch").func
            found += [func.grad(function, (0, 1)), func.hessian(function), lambda *a: func.jvp(function, a, a)]
        return found

    return ways


@pytest.mark.parametrize(("loss", "name", "target"), PARAMETERS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_nan_is_no_parameter(loss: Any, name: str, target: Any, reduction: str, backend: Any) -> None:
    x, target = backend.array(X), backend.array(target)
    whole = loss is polyloss.softmax_focal and name == "gamma"
    parameter = backend.array(np.asarray(np.nan) if whole else NAN)
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: {name} must be .*, got nan"):
        loss(x, target, reduction=reduction, **{name: parameter})


@pytest.mark.parametrize(("loss", "name", "target"), PARAMETERS)
def test_a_nan_that_cannot_be_seen_stays_one(loss: Any, name: str, target: Any, backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    whole = loss is polyloss.softmax_focal and name == "gamma"
    parameter = backend.array(np.asarray(np.nan) if whole else NAN)
    compiled = backend.compile(lambda x, target, parameter: loss(x, target, **{name: parameter}))
    assert math.isnan(compiled(backend.array(X), backend.array(target), parameter))


@pytest.mark.parametrize(("loss", "name", "target"), PARAMETERS)
def test_what_is_bad_is_seen_while_it_is_differentiated(
    loss: Any, name: str, target: Any, every_way: Callable[..., Any], backend: Any
) -> None:
    x, target = backend.array(X), backend.array(target)
    whole = loss is polyloss.softmax_focal and name == "gamma"
    parameter = backend.array(np.asarray(-1.0) if whole else -np.abs(NAN))
    for call in every_way(backend, loss, target, name):
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: {name} must be "):
            call(x, parameter)
    weight = backend.array(np.asarray([1.0, np.inf]))
    for call in every_way(backend, loss, target, "sample_weight"):
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: sample_weight must be finite, got inf"):
            call(x, weight)


def test_bad_labels_are_seen_while_predictions_are_differentiated(every_way: Callable[..., Any], backend: Any) -> None:
    x = backend.array(X)
    for loss, bad in (
        (polyloss.cross_entropy, np.asarray([0, 3])),
        (polyloss.softmax_focal, np.asarray([-100, 1])),
        (polyloss.binary_cross_entropy_with_logits, 2 * SHARES + 1),
        (polyloss.hinge, SHARES),
    ):
        for call in every_way(backend, loss, backend.array(bad), "sample_weight"):
            with pytest.raises(ValueError, match=rf"^{loss.__name__}: target must be "):
                call(x, backend.array(np.ones(2)))


@pytest.mark.parametrize("reduction", ["sum", "weighted_mean", "none"])
def test_a_weight_that_cannot_be_seen(reduction: Any, backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    x, zeros = backend.array(X), backend.array(np.zeros_like(X))
    compiled = backend.compile(lambda x, weight: polyloss.mse(x, zeros, sample_weight=weight, reduction=reduction))
    layer = backend.compile(
        lambda x, weight: polyloss.linear_cross_entropy(
            x, x, backend.array([0, 1]), sample_weight=weight, reduction=reduction
        )
    )
    for bad in (math.nan, math.inf, -math.inf):
        weight = backend.array(np.asarray([2.0, bad]))
        found = np.isnan(backend.numpy(compiled(x, weight)))
        np.testing.assert_array_equal(found, [[False] * 3, [True] * 3] if reduction == "none" else True)
        found = np.isnan(backend.numpy(layer(x, weight)))
        np.testing.assert_array_equal(found, [False, True] if reduction == "none" else True)


@pytest.mark.parametrize("reduction", ["sum", "weighted_mean", "none"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_weight_is_a_number(reduction: str, bad: float, backend: Any) -> None:
    x, zeros, ids = backend.array(X), backend.array(np.zeros_like(X)), backend.array([0, 2])
    row = backend.array(np.asarray([2.0, bad]))
    call: dict[str, Any] = {"reduction": reduction}
    with pytest.raises(ValueError, match=rf"^mse: sample_weight must be finite, got {bad}"):
        polyloss.mse(x, zeros, sample_weight=row, **call)
    with pytest.raises(ValueError, match=rf"^mse: sample_weight must be finite, got {bad}"):
        polyloss.mse(x, zeros, sample_weight=bad, **call)
    with pytest.raises(ValueError, match=rf"^cross_entropy: sample_weight must be finite, got {bad}"):
        polyloss.cross_entropy(x, ids, sample_weight=row, **call)
    with pytest.raises(ValueError, match=rf"^linear_cross_entropy: sample_weight must be finite, got {bad}"):
        polyloss.linear_cross_entropy(x, x, backend.array([0, 1]), sample_weight=row, **call)
    # The weight of an example that does not count does not matter.
    for mask in (np.asarray([True, False]), np.asarray([[True] * 3, [False] * 3])):
        value = polyloss.mse(x, zeros, sample_weight=row, where=backend.array(mask), **call)
        assert np.isfinite(backend.numpy(value)).all()
        if reduction != "none":
            of_delta = polyloss.value_and_grad(polyloss.huber, ("delta", "prediction"))
            delta = backend.array(np.asarray(0.5))
            _, found = of_delta(x, zeros, delta=delta, sample_weight=row, where=backend.array(mask), **call)
            assert all(np.isfinite(backend.numpy(gradient)).all() for gradient in found)
    value = polyloss.cross_entropy(x, ids, sample_weight=row, ignore_index=2, **call)
    assert np.isfinite(backend.numpy(value)).all()
    if reduction != "none":
        of_classes = polyloss.value_and_grad(polyloss.cross_entropy, "class_weight")
        _, gradient = of_classes(x, ids, sample_weight=row, class_weight=backend.array([1.0, 2.0, 3.0]), ignore_index=2)
        assert np.isfinite(backend.numpy(gradient)).all()


def test_weights_of_any_kind(backend: Any) -> None:
    x, zeros = backend.array(X), backend.array(np.zeros_like(X))
    for weight in (backend.array([2, 0]), backend.array([True, False]), 2, -0.5):
        spread = np.asarray(backend.numpy(weight) if hasattr(weight, "shape") else [weight] * 2, np.float64)
        backend.check(polyloss.mse(x, zeros, sample_weight=weight, reduction="sum"), (spread[:, None] * X * X).sum())


def _kernel(rowwise: bool, derivative: Callable[..., Any]) -> Any:
    """A loss whose kernel has the derivative `derivative` of its arguments by its first array."""

    def odd(xp: Any, /, prediction: Any, target: Any, *, scale: float = 1.0, **call: Any) -> Any:
        error = prediction - target
        value = xp.sum(error * error, axis=-1) if rowwise else error * error
        return value, lambda: derivative(xp, error), lambda: -2.0 * error

    return (polyloss.rowwise if rowwise else polyloss.elementwise)(odd)


@pytest.mark.parametrize("rowwise", [False, True])
@pytest.mark.parametrize(
    ("derivative", "came"),
    [
        (lambda xp, error: None, "NoneType"),
        (lambda xp, error: 2.0, "float 2.0"),
        (lambda xp, error: xp.sum(error, axis=-1), r"of shape \(2,\)"),
        (lambda xp, error: error[..., None] * 2.0, r"of shape \(2, 3, 1\)"),
        (lambda xp, error: error > 0, "and dtype .*bool"),
    ],
)
def test_a_derivative_has_the_shape_of_its_array(rowwise: bool, derivative: Any, came: str, backend: Any) -> None:
    loss = _kernel(rowwise, derivative)
    with pytest.raises(TypeError, match=rf"^odd: a kernel must return .*{came}.* as the derivative by prediction, "):
        backend.grad(loss, backend.array(X), backend.array(np.zeros_like(X)))


def test_a_derivative_by_a_parameter_is_one_for_each_example(backend: Any) -> None:
    @polyloss.elementwise
    def odd(xp: Any, /, prediction: Any, target: Any, *, scale: float = 1.0, **call: Any) -> Any:
        error = prediction - target
        return scale * error, lambda: scale * xp.ones_like(error), lambda: -error, {"scale": lambda: None}

    x, zeros, scale = map(backend.array, (X, np.zeros_like(X), np.asarray(2.0)))
    with pytest.raises(TypeError, match=r"^odd: a kernel must return .*NoneType as the derivative by scale, "):
        polyloss.value_and_grad(odd, "scale")(x, zeros, scale=scale)


@pytest.mark.parametrize("bad", ["auto", True, len])
def test_a_parameter_that_is_data_is_a_number_or_an_array(bad: Any, backend: Any) -> None:
    loss = _kernel(False, lambda xp, error: 2.0 * error)
    x = backend.array(X)
    with pytest.raises(TypeError, match=r"^odd: scale must be a real number or an array, got "):
        loss(x, x, scale=bad)
    with pytest.raises(TypeError, match=r"^odd: scale must be a real number or an array, got "):
        loss.partial(scale=bad)(x, x)


def test_bad_values_are_seen_at_every_call(backend: Any) -> None:
    """Not only by the first one of its kind; whatever the gradient is by, and however it is found."""
    x, zeros, good = backend.array(X), backend.array(np.zeros_like(X)), backend.array(np.asarray([1.0, 2.0]))
    bad = backend.array(np.asarray([1.0, np.inf]))
    delta = backend.array(np.asarray(0.5))
    for wanted in ("prediction", "delta", ("target", "delta")):
        call = polyloss.value_and_grad(polyloss.huber, wanted)
        for _ in range(2):
            value, _ = call(x, zeros, delta=delta, sample_weight=good)
            assert np.isfinite(backend.numpy(value))
            with pytest.raises(ValueError, match=r"^huber: sample_weight must be finite, got inf"):
                call(x, zeros, delta=delta, sample_weight=bad)
            with pytest.raises(ValueError, match=r"^huber: delta must be positive, got -0\.5"):
                call(x, zeros, delta=-delta, sample_weight=good)
