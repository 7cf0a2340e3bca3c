"""What a kernel computes in blocks is what it computes of whole arrays; what blocks cannot do goes around them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import polyloss
from polyloss.core import reduction
from polyloss.engine import blocks as _blocks
from polyloss.engine import compiled as _compiled
from polyloss.engine import program as _program
from polyloss.engine import trace as _trace
from polyloss.engine.blocks import is_traced
from polyloss.engine.code import NUMPY
from polyloss.engine.symbols import ROWS

from .test_blocks import LOSSES, arguments

pytestmark = pytest.mark.unoptimised

Kernel = Callable[..., Any]


def both_ways(loss: Any, arrays: list[Any], keywords: dict[str, Any], monkeypatch: Any) -> None:
    """Value and gradient, in blocks if there is a way, are those of whole arrays, but for the order of sums."""
    function = polyloss.value_and_grad(loss)
    value, gradient = function(*arrays, **keywords)
    monkeypatch.setattr(_blocks, "enabled", False)
    expected, other = function(*arrays, **keywords)
    np.testing.assert_allclose(value, expected, rtol=2 * np.finfo(value.dtype).eps)
    np.testing.assert_allclose(gradient, other, rtol=2 * np.finfo(value.dtype).eps)


def test_every_loss_is_traced(rng: Any) -> None:
    assert len(LOSSES) > 18
    for loss in LOSSES:
        assert is_traced(loss, *arguments(loss, rng)), loss


def test_a_linear_layer_is_traced_by_rows(rng: Any, monkeypatch: Any) -> None:
    found: list[Any] = []
    program = _blocks._row_program

    def remembered(*key: Any) -> Any:
        found.append(program(*key))
        return found[-1]

    monkeypatch.setattr(_blocks, "_row_program", remembered)
    hidden, weight = rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    polyloss.value_and_grad(polyloss.linear_cross_entropy, (0, 1))(hidden, weight, rng.integers(0, 3, 5))
    assert found
    assert None not in found


def fraction(xp: Any, logits: Any, target: Any, **call: Any) -> Any:
    total = xp.sum(logits, axis=-1)
    factor = xp.where(target < 0.5, 10.0, xp.ones_like(total))
    return factor * total, lambda: factor[..., None] * xp.ones_like(logits)


def whole_fraction(xp: Any, logits: Any, target: Any, **call: Any) -> Any:
    total = xp.sum(logits, axis=-1)
    factor = xp.where(target < 1.0, 10.0, xp.ones_like(total))
    return factor * total, lambda: factor[..., None] * xp.ones_like(logits)


def half(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    kept = xp.where((prediction > 0) == 0.5, 3.0 * prediction, prediction)
    return kept * 1.0, lambda: xp.ones_like(kept)


def two_of_three(xp: Any, logits: Any, target: Any, **call: Any) -> Any:
    hot = xp.arange(2, dtype=target.dtype) == target[..., None]
    chosen = xp.astype(hot, logits.dtype)
    value = xp.sum(logits * logits, axis=-1) + xp.sum(chosen, axis=-1)
    return value, lambda: 2.0 * logits


def own_classes(xp: Any, logits: Any, target: Any, **call: Any) -> Any:
    hot = xp.arange(logits.shape[-1], dtype=target.dtype) == target[..., None]
    return xp.sum(xp.where(hot, logits, 0.0), axis=-1), lambda: xp.where(hot, xp.ones_like(logits), 0.0)


def by_length(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target) / prediction.shape[-1]
    return error * error, lambda: 2.0 * error / prediction.shape[-1]


def by_axes(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target) * prediction.ndim
    return error * error, lambda: 2.0 * error * prediction.ndim


def by_largest(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target) / xp.max(xp.abs(prediction), axis=-1, keepdims=True)
    return error, lambda: xp.ones_like(error)


def by_place(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target) * xp.astype(xp.arange(prediction.shape[-1], dtype=xp.int32), prediction.dtype)
    return error, lambda: xp.ones_like(error)


def of_pairs(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    slots = xp.astype(xp.arange(2, dtype=xp.int32), prediction.dtype)
    error = xp.sum((prediction[..., None] - slots) * xp.exp(-slots), axis=-1)
    return error * error, lambda: 2.0 * error * (1.0 + float(np.exp(-1.0)))


def handed_on(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = prediction - target
    return error * xp.broadcast_to(xp.asarray(2.0, dtype=error.dtype), error.shape), lambda: xp.full_like(error, 2.0)


def of_numpy(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = np.exp(prediction - target)
    return error, lambda: error


def with_a_method(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target).clip(-1.0, 1.0)
    return error, lambda: xp.ones_like(error)


def in_double(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = (prediction - target) * np.float64(0.1)
    return error * error, lambda: error * np.float64(0.2)


def of_constants(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = prediction - target
    return error * error, lambda: 2.0 * error * xp.where(error > 0, 10.0, 1.0)


def in_place(xp: Any, prediction: Any, target: Any, **call: Any) -> Any:
    error = prediction - target
    first = error
    error += 1.0
    return first * error, lambda: 2.0 * first


WHOLE = (4, 2, 3)
KERNELS: list[tuple[Kernel, bool]] = [
    # and whether it is traced
    (half, False),
    (by_length, False),
    (by_axes, False),
    (by_largest, False),
    (by_place, False),
    (of_pairs, True),
    (handed_on, True),
    (of_numpy, False),
    (with_a_method, False),
    (in_double, False),
    (of_constants, False),
    (in_place, False),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kernel", "traced"), KERNELS, ids=lambda k: getattr(k, "__name__", ""))
def test_kernel_of_elements(kernel: Kernel, traced: bool, weighted: bool, rng: Any, monkeypatch: Any) -> None:
    arrays = list(rng.normal(size=(2, *WHOLE)).astype("float32"))
    keywords = {"sample_weight": np.arange(1.0, 5.0, dtype="float32")} if weighted else {}
    loss = polyloss.elementwise(kernel)
    assert is_traced(loss, *arrays, **keywords) == traced
    both_ways(loss, arrays, keywords, monkeypatch)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "uint32", "uint64", "int16"])
@pytest.mark.parametrize(
    ("kernel", "traced"),
    [(two_of_three, True), (own_classes, True), (whole_fraction, True), (fraction, False)],
    ids=lambda k: getattr(k, "__name__", ""),
)
def test_kernel_of_classes(kernel: Kernel, traced: bool, dtype: str, mask: bool, rng: Any, monkeypatch: Any) -> None:
    loss = polyloss.rowwise(target=polyloss.CLASSES)(kernel)
    arrays = [rng.normal(size=(7, 3)), np.arange(7).astype(dtype) % 3]
    keywords = {"where": np.arange(7) != 2} if mask else {}
    assert is_traced(loss, *arrays, **keywords) == traced
    both_ways(loss, arrays, keywords, monkeypatch)


def test_ids_that_nobody_has_checked(rng: Any, monkeypatch: Any) -> None:
    @polyloss.rowwise(target=polyloss.Domain(per_example=True))
    def chosen(xp: Any, /, logits: Any, target: Any, **call: Any) -> Any:
        hot = xp.arange(3, dtype=xp.int64) == xp.astype(target, xp.int64)[..., None]
        return xp.sum(xp.where(hot, logits, 0.0), axis=-1), lambda: xp.where(hot, xp.ones_like(logits), 0.0)

    arrays = [rng.normal(size=(5, 3)), np.arange(5) - 1.0]
    assert is_traced(chosen, *arrays)
    both_ways(chosen, arrays, {}, monkeypatch)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, KeyError])
def test_another_error_is_not_about_tracing(error: type[BaseException], rng: Any, monkeypatch: Any) -> None:
    @polyloss.elementwise
    def exact(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = xp.exp(prediction - target)
        return error, lambda: error

    def fails(*_: Any) -> Any:
        raise error("once")

    x = rng.normal(size=5)
    with monkeypatch.context() as patched:
        patched.setattr(_trace.Trace, "apply", fails)
        with pytest.raises(error, match="once"):
            exact(x, x)
    assert is_traced(exact, x, x)


def test_a_derivative_is_traced_when_it_is_wanted(rng: Any, monkeypatch: Any) -> None:
    traced: list[Any] = []
    pull = reduction.pull

    def fails_once(share: Any, local: Any) -> Any:
        traced.append(local)
        if len(traced) == 1:
            raise KeyError("once")
        return pull(share, local)

    @polyloss.elementwise
    def exact(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = xp.exp(prediction - target)
        return error, lambda: error

    monkeypatch.setattr(_compiled, "pull", fails_once)
    x = rng.normal(size=5)
    exact(x, x)
    assert traced == []
    with pytest.raises(KeyError, match="once"):
        polyloss.value_and_grad(exact)(x, x)
    assert is_traced(exact, x, x)
    assert len(traced) == 2
    both_ways(exact, [x, 0.0 * x], {}, monkeypatch)


def test_gradient_that_blocks_cannot_do(backend: Any) -> None:
    @polyloss.elementwise
    def stepped(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = prediction - target
        return error * error, lambda: 2.0 * error + xp.floor(error), lambda: -2.0 * error

    prediction, target = np.asarray([0.5, -1.5, 3.25]), np.zeros(3)
    value, (by_prediction, by_target) = backend.value_and_grad(
        stepped, backend.array(prediction), backend.array(target)
    )
    backend.check(value, np.mean(prediction**2))
    backend.check(by_prediction, (2.0 * prediction + np.floor(prediction)) / 3.0)
    backend.check(by_target, -2.0 * prediction / 3.0)


def test_gradient_without_a_closed_form(backend: Any) -> None:
    @polyloss.elementwise
    def one_sided(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = prediction - target
        return error * error, lambda: 2.0 * error

    prediction, target = np.asarray([0.5, -1.5]), np.asarray([1.0, 0.0])
    arrays = backend.array(prediction), backend.array(target)
    if backend.has_autodiff:
        by_prediction, by_target = backend.grad(one_sided, *arrays)
        backend.check(by_prediction, prediction - target)
        backend.check(by_target, target - prediction)
    else:
        with pytest.raises(ValueError, match="argnums must be of prediction"):
            backend.grad(one_sided, *arrays)


EXTREMES: list[tuple[Any, list[Any], dict[str, Any]]] = [
    (polyloss.tukey_biweight, [[1e-18, 1e-30, 5.0], [0.0, 0.0, 0.0]], {"c": 100.0, "reduction": "sum"}),
    (polyloss.contrastive, [[3e38, 2e38, 1e-38], [1.0, 1.0, 1.0]], {"margin": 1.0}),
    (polyloss.mse, [[1.7e38, 1e-38, 1.0], [0.0, 0.0, 0.0]], {}),
    (polyloss.smooth_l1, [[1e-40, 1e-42, 1e-30], [0.0, 0.0, 0.0]], {"beta": 1e-39}),
    (polyloss.huber, [[1e-44, 1e38, 2.0], [0.0, 0.0, 0.0]], {"sample_weight": [4.0, 0.5, 1e-38]}),
    (polyloss.squared_hinge, [[-3e38, 1.0, 1e-38], [1.0, 1.0, 1.0]], {"sample_weight": [0.25, 1.0, 4.0]}),
    (polyloss.triplet_margin, [[[2e-41] * 4], [[1e-42] * 4], [[5e-42] * 4]], {}),
    (polyloss.contrastive_embedding, [[[4e-41] * 4], [[-3e-41] * 4], [1.0]], {}),
]


@pytest.mark.parametrize(("loss", "arrays", "keywords"), EXTREMES, ids=lambda p: getattr(p, "__name__", ""))
def test_nothing_over_or_underflows_in_blocks_alone(
    loss: Any, arrays: list[Any], keywords: dict[str, Any], monkeypatch: Any
) -> None:
    given = [np.asarray(array, "float32") for array in arrays]
    keywords = {k: np.asarray(v, "float32") if isinstance(v, list) else v for k, v in keywords.items()}
    with np.errstate(all="ignore"):
        both_ways(loss, given, keywords, monkeypatch)


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
@pytest.mark.parametrize(
    ("weight", "where"),
    [
        ([1.0, -1.0, 0.0], None),
        ([1.0, -1.0, 2.0], [True, True, False]),
        ([0.0, 0.0, 0.0], None),
        ([0.0, 0.0, 1.0], [True, True, False]),
        ([2.0, -1.0, 0.0], None),
        ([1.0, 1.0, 1.0], [False, False, False]),
    ],
)
def test_denominator_that_vanishes(
    weight: list[float], where: list[bool] | None, reduction: str, monkeypatch: Any
) -> None:
    keywords = {"sample_weight": np.asarray(weight), "reduction": reduction}
    keywords |= {} if where is None else {"where": np.asarray(where)}
    x = np.asarray([3.0, 2.0, 5.0])
    assert is_traced(polyloss.mse, x, 0.0 * x, **keywords)
    with np.errstate(all="ignore"):
        both_ways(polyloss.mse, [x, 0.0 * x], keywords, monkeypatch)


def test_parameters_that_change_are_traced_once(backend: Any) -> None:
    x, zero = backend.array([3.0, -2.0, 0.1]), backend.array([0.0, 0.0, 0.0])
    polyloss.huber(x, zero, delta=0.25)
    before = _compiled.compiled.cache_info().misses
    for delta in (0.5, 1.0, 2.0):
        value, (gradient, _) = backend.value_and_grad(polyloss.huber, x, zero, delta=delta, reduction="sum")
        slope = np.clip([3.0, -2.0, 0.1], -delta, delta)
        backend.check(value, np.sum(slope * ([3.0, -2.0, 0.1] - 0.5 * slope)), rtol=1e-6)
        backend.check(gradient, slope, rtol=1e-6)
    assert _compiled.compiled.cache_info().misses <= before + 1


def test_what_the_core_asks_of_symbols() -> None:
    trace = _trace.Trace()
    shapes: list[Any] = [(ROWS, 3), (), (3,)]
    rows, number, whole = (cast(Any, trace.input(i, shape, "float32")) for i, shape in enumerate(shapes))
    ids, one = trace.input(3, (ROWS,), "uint64"), cast(Any, trace.input(4, (), "int64"))
    wide: Any = trace.astype(ids, trace.int64)
    wide = trace.where(wide < 0, trace.full_like(wide, trace.iinfo(wide.dtype).max), wide)
    flags: list[Any] = [trace.any(rows > number, axis=-1), trace.all(rows == whole, axis=-1), wide != one]
    factor: Any = 1.0 + trace.sqrt(-trace.astype(flags[0], trace.float32))
    rows = trace.minimum(trace.clip(rows, -number, number), whole) * factor[..., None]
    rows = trace.where((wide >= one)[..., None], rows, trace.min(trace.maximum(rows, 0.5), axis=-1, keepdims=True))
    program = _program.Program(NUMPY, trace.whole(rows), [rows], [flags[2]])
    values = np.asarray([[1.0, -2.0, 3.0], [4.0, 0.0, 0.0]], "float32")
    given = [values, np.asarray(2.5, "float32"), np.ones(3, "float32"), np.asarray([2, 2**64 - 1], "uint64")]
    written = np.empty_like(values)
    with np.errstate(all="ignore"):
        given.append(np.asarray(2))
        _, bad = program.run(given, [True, False, False, True, False], [written], 2, 3, lambda: 1)
    assert bad
    expected = np.minimum(np.clip(values, -2.5, 2.5), 1.0)
    poison = np.where((values > 2.5).any(-1), np.nan, 1.0)[:, None]
    np.testing.assert_array_equal(written, expected * poison)


@pytest.mark.parametrize(("value", "on"), [("1", True), ("Yes", True), ("0", False), ("false", False), ("off", False)])
def test_switch(value: str, on: bool, monkeypatch: Any) -> None:
    monkeypatch.setenv("POLYLOSS_BLOCKS", value)
    assert _blocks._switch("POLYLOSS_BLOCKS") == on


def test_switch_that_says_nothing() -> None:
    code = (
        "import os; os.environ['POLYLOSS_BLOCKS'] = 'maybe'; import polyloss, numpy; polyloss.mse(numpy.ones(1), 0.0)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True, text=True)
    assert "ValueError: POLYLOSS_BLOCKS must be one of 1, true, yes, on, 0, false, no, off, got 'maybe'" in run.stderr
