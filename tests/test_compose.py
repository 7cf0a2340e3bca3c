"""Sums of losses, and totals over tasks with fixed and with learned weights."""

import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss import LossSum, cross_entropy, huber, l1, mse, multi_task, tukey_biweight

pytestmark = pytest.mark.unoptimised

# ---------------------------------------------------------------------------------------------------------------- sums


def test_a_sum_is_the_sum(backend: Any, rng: np.random.Generator) -> None:
    arrays = backend.array(rng.normal(size=(3, 4))), backend.array(rng.normal(size=(3, 4)))
    combined = 0.5 * mse + l1 * 2 + huber.partial(delta=0.5) / 4
    for keywords in (
        {},
        {"reduction": "sum"},
        {"reduction": "none"},
        {"where": backend.array([True, False, True]), "sample_weight": backend.array([1.0, 2.0, 3.0])},
    ):
        losses: list[Any] = [mse, l1, huber.partial(delta=0.5)]
        one, two, three = (backend.numpy(loss(*arrays, **keywords)) for loss in losses)
        backend.check(combined(*arrays, **keywords), 0.5 * one + 2 * two + 0.25 * three)


def test_a_sum_has_the_gradient_of_a_sum(backend: Any, rng: np.random.Generator) -> None:
    prediction, target = rng.normal(size=(2, 6))
    arrays = backend.array(prediction), backend.array(target)
    expected = (0.5 * 2 * (prediction - target) + 2 * np.sign(prediction - target)) / 6
    value, (first, second) = polyloss.value_and_grad(0.5 * mse + 2 * l1, (0, 1))(*arrays)
    backend.check(value, np.mean(0.5 * (prediction - target) ** 2 + 2 * np.abs(prediction - target)))
    backend.check(first, expected)
    backend.check(second, -expected)


def test_sum_of_a_list(backend: Any) -> None:
    arrays = backend.array([3.0]), backend.array([1.0])
    losses: list[Any] = [mse, l1, 0.5 * mse]
    backend.check(sum(losses)(*arrays), 4 + 2 + 2)
    assert sum(losses[:1]) is mse


def test_names() -> None:
    combined = 0.7 * mse + huber.partial(delta=2.0)
    assert repr(combined) == "<polyloss loss 0.7 * mse + huber(delta=2.0)>"
    assert combined.__name__ == "0.7 * mse + huber"
    assert combined.arrays == ("prediction", "target")
    assert combined.tasks == ("regression",)
    assert repr(2 * combined) == "<polyloss loss 1.4 * mse + 2 * huber(delta=2.0)>"


def test_numpy_numbers_scale(backend: Any) -> None:
    arrays = backend.array([3.0]), backend.array([1.0])
    factors: list[Any] = [np.float32(0.5), np.float64(0.5), np.int64(1) / 2]
    for factor in factors:
        assert isinstance(factor * mse, LossSum)
        backend.check((factor * mse)(*arrays), 2.0)


@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_factors_must_be_finite_and_not_negative(factor: float) -> None:
    with pytest.raises(ValueError, match="finite number that is not negative"):
        factor * mse


def test_what_is_refused() -> None:
    differences: list[tuple[Any, Any]] = [(mse, l1), (0.5 * mse, l1), (1, mse)]
    for left, right in differences:
        with pytest.raises(TypeError, match=r"^losses are not subtracted: a difference may have no minimum"):
            left - right
    with pytest.raises(TypeError, match="has no negative"):
        operator.neg(mse)
    wrongs: list[tuple[Any, Any, Any]] = [(operator.mul, mse, l1), (operator.add, mse, 1.0), (operator.mul, mse, True)]
    for operation, left, right in [*wrongs, (operator.mul, [1.0], mse), (operator.truediv, mse, mse)]:
        with pytest.raises(
            TypeError,
            match=r"a loss (must be (scaled|divided) by a real number|adds to losses and sums of .*), got ",
        ):
            operation(left, right)
    with pytest.raises(TypeError, match="triplet_margin takes anchor, positive, negative"):
        operator.add(mse, polyloss.triplet_margin)
    with pytest.raises(ValueError, match="must have a term"):
        LossSum([])


def test_sums_pickle(backend: Any) -> None:
    arrays = backend.array([3.0]), backend.array([1.0])
    combined = pickle.loads(pickle.dumps(0.5 * mse + huber.partial(delta=2.0)))
    assert repr(combined) == "<polyloss loss 0.5 * mse + huber(delta=2.0)>"
    backend.check(combined(*arrays), 2 + 2)


# --------------------------------------------------------------------------------------------------------------- tasks


def data(backend: Any, dtype: str = "float64") -> tuple[Any, ...]:
    """Logits, class ids, prediction, target."""
    return (
        backend.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 1.0]], dtype),
        backend.array([0, 0, 1]),
        backend.array([1.0, 3.0], dtype),
        backend.array([0.5, 1.0], dtype),
    )


CE = float(np.mean([math.log1p(math.exp(-2)), math.log1p(math.exp(1)), math.log1p(math.exp(-2))]))
MSE = (0.25 + 4) / 2


def test_fixed_weights(backend: Any) -> None:
    logits, ids, prediction, target = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": mse}, {"seg": 2.0, "depth": 0.25})
    backend.check(task({"depth": (prediction, target), "seg": (logits, ids)}), 2 * CE + 0.25 * MSE)
    total, parts = task(logits, ids, prediction, target, parts=True)
    backend.check(total, 2 * CE + 0.25 * MSE)
    backend.check(parts["seg"], CE)
    backend.check(parts["depth"], MSE)
    assert list(parts) == ["seg", "depth"]
    assert task.arrays == ("seg.logits", "seg.target", "depth.prediction", "depth.target")
    backend.check(multi_task({"seg": cross_entropy, "depth": mse})(logits, ids, prediction, target), CE + MSE)


@pytest.mark.parametrize(
    ("regularizer", "kinds", "factors"),
    [
        ("log", None, (1.0, 0.5)),
        ("log1p", None, (1.0, 0.5)),
        ("log1p", {"seg": "regression"}, (0.5, 0.5)),
        ("log", {"depth": "classification"}, (1.0, 1.0)),
    ],
)
def test_learned_weights(backend: Any, regularizer: Any, kinds: Any, factors: tuple[float, float]) -> None:
    logits, ids, prediction, target = data(backend)
    task = multi_task(
        {"seg": cross_entropy, "depth": mse}, {"seg": 3.0, "depth": 1.0}, kinds=kinds, regularizer=regularizer
    )
    for s in (np.zeros(2), np.asarray([0.5, -1.5]), np.asarray([60.0, -20.0])):
        weighted = np.exp(-s) * factors * np.asarray([3 * CE, MSE])
        penalty, slope = (0.5 * s, 0.5) if regularizer == "log" else (np.logaddexp(0, s), 1 / (1 + np.exp(-s)))
        given = backend.array(s)
        expected = (weighted + penalty).sum()
        for value in (
            task(logits, ids, prediction, target, given),
            task({"seg": (logits, ids), "depth": (prediction, target)}, given),
            task({"seg": (logits, ids), "depth": (prediction, target)}, log_variances=given),
        ):
            backend.check(value, expected, dtype="float64")
        value, (by_logits, by_prediction, by_target, by_s) = polyloss.value_and_grad(task, (0, 2, 3, 4))(
            logits, ids, prediction, target, given
        )
        backend.check(value, expected)
        backend.check(by_s, slope - weighted, rtol=1e-13)
        for found, bare, share in (
            (by_logits, backend.grad(cross_entropy, logits, ids)[0], 3 * factors[0] * math.exp(-s[0])),
            (by_prediction, backend.grad(mse, prediction, target)[0], factors[1] * math.exp(-s[1])),
            (by_target, backend.grad(mse, prediction, target)[1], factors[1] * math.exp(-s[1])),
        ):
            backend.check(found, share * backend.numpy(bare))


def test_best_log_variances(backend: Any) -> None:
    # Of a regression log L, of a classification log 2L; the total may be negative.
    task = multi_task({"seg": cross_entropy, "depth": mse})
    s = backend.array([math.log(2 * CE), math.log(MSE)])
    gradient = polyloss.value_and_grad(task, 4)(*data(backend), s)[1]
    np.testing.assert_allclose(backend.numpy(gradient), 0, atol=1e-15)
    perfect = multi_task({"depth": mse})
    value = perfect(backend.array([1.0]), backend.array([1.1]), backend.array([math.log(0.01)]))
    backend.check(value, 0.5 - 0.5 * math.log(100), rtol=1e-12)


def test_gradient_of_some_arrays_with_fixed_weights(backend: Any) -> None:
    logits, ids, prediction, target = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": l1 + mse}, {"seg": 1.0, "depth": 10.0})
    value, (gradient,) = polyloss.value_and_grad(task, (2,))(logits, ids, prediction, target)
    backend.check(value, CE + 10 * (MSE + 1.25))
    backend.check(gradient, [10 * (0.5 + 0.5), 10 * (0.5 + 2)])


def test_options_of_some_tasks(backend: Any) -> None:
    logits, ids, prediction, target = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": mse})
    options = {"depth": {"where": backend.array([True, False])}, "seg": {"reduction": "sum"}}
    backend.check(task(logits, ids, prediction, target, options=options), 3 * CE + 0.25)
    value, gradient = polyloss.value_and_grad(task, 2)(logits, ids, prediction, target, options=options)
    backend.check(value, 3 * CE + 0.25)
    backend.check(gradient, [1.0, 0.0])
    # Under a name, and with an option, log-variances are still differentiated when they come last.
    s = backend.array([0.0, 0.0])
    gradient = polyloss.value_and_grad(task, -1)(logits, ids, prediction, target, s, options=options)[1]
    backend.check(gradient, [0.5 - 3 * CE, 0.5 - 0.125])


def test_half_precision_and_mixed_dtypes(backend: Any) -> None:
    if "float16" not in backend.dtypes:
        pytest.skip("has no half precision")
    task = multi_task({"seg": cross_entropy, "depth": mse})
    logits, ids, prediction, target = data(backend, "float16")
    s = backend.array([0.25, 1.0], "float32")
    value, (by_prediction, by_s) = polyloss.value_and_grad(task, (2, 4))(logits, ids, prediction, target, s)
    expected = math.exp(-0.25) * CE + math.exp(-1) / 2 * MSE + 0.625
    backend.check(value, float(np.float16(expected)), dtype="float16")
    backend.check(by_prediction, np.asarray([0.25, 1.0]) * math.exp(-1), dtype="float16", rtol=2**-10)
    backend.check(by_s, [0.5 - math.exp(-0.25) * CE, 0.5 - math.exp(-1) / 2 * MSE], dtype="float32", rtol=1e-6)
    wide = task(logits, ids, backend.array([1.0, 3.0], "float32"), backend.array([0.5, 1.0], "float32"))
    backend.check(wide, CE + MSE, dtype="float32")


def test_tasks_compile(backend: Any) -> None:
    arrays = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": mse})
    compiled = backend.compile(lambda *a: task(*a))
    backend.check(
        compiled(*arrays, backend.array([0.5, -0.5])), backend.numpy(task(*arrays, backend.array([0.5, -0.5])))
    )


def test_tasks_pickle(backend: Any) -> None:
    task = pickle.loads(
        pickle.dumps(multi_task({"seg": cross_entropy, "depth": 0.5 * mse + l1}, {"seg": 2.0, "depth": 1.0}))
    )
    assert repr(task) == "<polyloss multi_task seg: 2 * cross_entropy, depth: (0.5 * mse + l1)>"
    backend.check(task(*data(backend)), 2 * CE + 0.5 * MSE + 1.25)


def test_what_a_task_is() -> None:
    with pytest.raises(TypeError, match="depth must be a loss or a sum of losses"):
        multi_task({"depth": lambda a, b: a - b})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="losses must be a mapping"):
        multi_task([mse])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights must be there for every task, missing depth"):
        multi_task({"seg": cross_entropy, "depth": mse}, {"seg": 1.0})
    with pytest.raises(ValueError, match=r"weights must be those of its tasks, got flow; the tasks are seg, depth"):
        multi_task({"seg": cross_entropy, "depth": mse}, {"seg": 1.0, "depth": 1.0, "flow": 1.0})
    with pytest.raises(ValueError, match="depth must be scaled by a finite number that is not negative, got -1"):
        multi_task({"depth": mse}, {"depth": -1.0})
    with pytest.raises(ValueError, match="regularizer must be one of log, log1p, got 'none'"):
        multi_task({"depth": mse}, regularizer="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kinds must be one of regression, classification"):
        multi_task({"depth": mse}, kinds={"depth": "other"})  # type: ignore[dict-item]


def test_bad_calls(backend: Any) -> None:
    logits, ids, prediction, target = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": mse})
    with pytest.raises(ValueError, match="the arrays must be there for every task, missing depth; the tasks"):
        task({"seg": (logits, ids)})
    with pytest.raises(ValueError, match="the arrays must be those of its tasks, got flow; the tasks are seg, depth"):
        task({"seg": (logits, ids), "depth": (prediction, target), "flow": (prediction, target)})
    with pytest.raises(ValueError, match="options must be those of its tasks, got flow"):
        task(logits, ids, prediction, target, options={"flow": {}})
    with pytest.raises(TypeError, match=r"depth must be a tuple \(prediction, target\), got 1 of them"):
        task({"seg": (logits, ids), "depth": (prediction,)})
    with pytest.raises(TypeError, match=r"multi_task: missing depth\.target"):
        task(logits, ids, prediction)
    with pytest.raises(TypeError, match="got 2 arrays more"):
        task(logits, ids, prediction, target, prediction, target)
    with pytest.raises(ValueError, match=r"log_variances must have one value per task, shape \(2,\), got \(3,\)"):
        task(logits, ids, prediction, target, backend.array([0.0, 0.0, 0.0]))
    with pytest.raises(TypeError, match="log_variances must be real floating"):
        task(logits, ids, prediction, target, backend.array([0, 0]))
    with pytest.raises(ValueError, match="the loss of depth must have"):
        task(logits, ids, prediction, target, options={"depth": {"reduction": "none"}})


def test_keywords_of_a_task_are_options(backend: Any) -> None:
    arrays = data(backend)
    task = multi_task({"seg": cross_entropy, "depth": 0.5 * mse + huber})
    call: Any
    for call in (task, polyloss.value_and_grad(task, 2)):
        for key, owner in (("reduction", "seg"), ("label_smoothing", "seg"), ("where", "seg")):
            way = rf"multi_task: unexpected {key}; its keywords .* by options={{'{owner}': {{'{key}': \.\.\.}}}}"
            with pytest.raises(TypeError, match=way):
                call(*arrays, **{key: "sum"})
        with pytest.raises(TypeError, match=r"unexpected log_variance; did you mean log_variances\?.* parts"):
            call(*arrays, log_variance=1.0)
        # Of a sum, all terms must have it.
        with pytest.raises(TypeError, match=r"unexpected delta; .* parts"):
            call(*arrays, delta=1.0)


def test_a_loss_that_does_not_tell_its_kind(backend: Any) -> None:
    distance, target, s = backend.array([0.5]), backend.array([1.0]), backend.array([0.0])
    task = multi_task({"pairs": polyloss.contrastive})
    backend.check(task(distance, target), 0.125)
    with pytest.raises(ValueError, match="kinds must say whether pairs is a regression or a classification"):
        task(distance, target, s)
    backend.check(
        multi_task({"pairs": polyloss.contrastive}, kinds={"pairs": "classification"})(distance, target, s), 0.125
    )
    # A sum tells what all of its terms tell.
    known = multi_task({"depth": mse + tukey_biweight})
    backend.check(known(backend.array([0.0]), backend.array([0.0]), s), 0.0)


def test_frameworks_do_not_mix(backends: list[Any]) -> None:
    found = {one.framework: one for one in backends}
    if "torch" not in found:
        pytest.skip("needs PyTorch")
    torch, other = found.pop("torch"), next(iter(found.values()))
    task = multi_task({"one": mse, "two": mse})
    arrays = [library.array([1.0]) for library in (torch, torch, other, other)]
    with pytest.raises(TypeError, match=r"one framework, but one\.prediction is torch"):
        task(*arrays)
