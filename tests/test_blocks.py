"""Calls in blocks give what calls on whole arrays give, in no more memory than the gradient and a few blocks."""

import math
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

import polyloss
from polyloss.engine import blocks as _blocks
from polyloss.engine import code as _code
from polyloss.engine import compiled as _compiled
from polyloss.engine import dialect as _dialect
from polyloss.engine.code import NUMPY
from polyloss.engine.program import Program
from polyloss.engine.quiet import quietly

from .ordinary import ordinary

pytestmark = pytest.mark.unoptimised

ROWS, CLASSES = 37, 5


def arguments(loss: Any, rng: Any) -> list[Any]:
    """Valid arrays for a loss."""
    return list(ordinary(loss, rng, ROWS, CLASSES))


LOSSES = [
    loss
    for loss in (getattr(polyloss, name) for name in vars(polyloss)["__all__"])
    if isinstance(loss, polyloss.Loss)
    and loss.fuse is None
    and len(loss.row) < 2
    and loss not in (polyloss.multilabel_margin, polyloss.multiclass_sparsemax)
]
"""All but those that compare the entries of a row with each other, or sort them: they are of whole arrays."""
PER_ROW = np.arange(1.0, ROWS + 1)
KEPT = np.arange(ROWS) % 3 != 1
CALLS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"sample_weight": PER_ROW, "reduction": "weighted_mean"},
    {"where": KEPT},
    {"where": KEPT, "sample_weight": PER_ROW},
    {"denominator": 3.5},
    {"where": np.zeros(ROWS, dtype=bool)},
    {"sample_weight": np.asarray(2.0)},
]
PARAMETERS: list[tuple[Any, dict[str, Any]]] = [
    (polyloss.huber, {"delta": np.linspace(0.1, 2.0, CLASSES)}),
    (polyloss.smooth_l1, {"beta": 0.0}),
    (polyloss.smooth_l1, {"beta": np.linspace(0.0, 2.0, CLASSES)}),
    (polyloss.tukey_biweight, {"scale": np.asarray(0.5), "c": 2.0}),
    (polyloss.binary_cross_entropy, {"clip": 0.1}),
    (polyloss.binary_cross_entropy_with_logits, {"pos_weight": np.linspace(0.1, 2.0, CLASSES)}),
    (polyloss.binary_cross_entropy_with_logits, {"pos_weight": 2.0, "label_smoothing": 0.1}),
    (polyloss.sigmoid_focal, {"alpha": 0.25, "gamma": 0.5}),
    (polyloss.sigmoid_focal, {"gamma": 0.0}),
    (polyloss.cross_entropy, {"class_weight": np.linspace(0.1, 2.0, CLASSES), "reduction": "weighted_mean"}),
    (polyloss.cross_entropy, {"label_smoothing": 0.1, "ignore_index": 2}),
    (polyloss.nll, {"class_weight": np.linspace(0.1, 2.0, CLASSES), "ignore_index": 0}),
    (polyloss.softmax_focal, {"alpha": np.linspace(0.1, 2.0, CLASSES), "gamma": 1.5}),
    (polyloss.contrastive, {"power": 1, "similar_label": 0}),
    (polyloss.contrastive_embedding, {"power": 1}),
    (polyloss.triplet_margin, {"swap": True, "squared": True}),
    (polyloss.triplet_margin, {"p": 3.0}),
    (polyloss.triplet_margin, {"p": float("inf"), "swap": True}),
    (polyloss.triplet_margin, {"p": 1}),
]


def in_blocks(loss: Any, arrays: list[Any], keywords: dict[str, Any]) -> bool:
    return _blocks.is_traced(loss, *arrays, **keywords)


def compare(loss: Any, arrays: list[Any], keywords: dict[str, Any], monkeypatch: Any, block: int) -> None:
    floating = tuple(i for i, array in enumerate(arrays) if array.dtype.kind == "f")
    function = polyloss.value_and_grad(loss, floating)
    monkeypatch.setattr(_dialect, "BLOCK", block)
    assert in_blocks(loss, arrays, keywords)
    value, gradients = function(*arrays, **keywords)
    monkeypatch.setattr(_blocks, "enabled", False)
    with np.errstate(all="ignore"):
        expected, others = function(*arrays, **keywords)
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for gradient, other in zip(gradients, others, strict=True):
        assert gradient.dtype == other.dtype
        # What is a difference may have lost as much as its terms were rounded.
        np.testing.assert_allclose(
            gradient, other, rtol=1e-13, atol=1e-300 + 1e-16 * np.abs(other[np.isfinite(other)]).max(initial=0.0)
        )


@pytest.mark.parametrize("block", [7, 64, 1 << 17])
@pytest.mark.parametrize("call", range(len(CALLS)))
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_every_loss(loss: Any, call: int, block: int, rng: Any, monkeypatch: Any) -> None:
    compare(loss, arguments(loss, rng), CALLS[call], monkeypatch, block)


@pytest.mark.parametrize("block", [7, 1 << 17])
@pytest.mark.parametrize(("loss", "keywords"), PARAMETERS, ids=lambda p: p.__name__ if callable(p) else "-".join(p))
def test_every_parameter(loss: Any, keywords: dict[str, Any], block: int, rng: Any, monkeypatch: Any) -> None:
    compare(loss, arguments(loss, rng), keywords, monkeypatch, block)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_axis(axis: int, rng: Any, monkeypatch: Any) -> None:
    logits = rng.normal(size=(4, 3, 6))
    target = rng.integers(0, 3, np.moveaxis(logits, axis, -1).shape[:-1])
    compare(polyloss.cross_entropy, [logits, target], {"axis": axis}, monkeypatch, 5)


OF_LOGITS = [loss for loss in LOSSES if loss.rowwise and loss.arrays[0] in ("logits", "scores")]


@pytest.mark.parametrize("block", [7, 1 << 17])
@pytest.mark.parametrize("of_ids", [True, False], ids=["ids", "probabilities"])
@pytest.mark.parametrize("loss", OF_LOGITS, ids=lambda loss: loss.__name__)
def test_infinite_logits(loss: Any, of_ids: bool, block: int, rng: Any, monkeypatch: Any) -> None:
    """Blocks take the largest entry of a row to be finite, and compute anew those where it is not."""
    logits, target = arguments(loss, rng)
    if not of_ids and loss in (polyloss.cross_entropy, polyloss.softmax_focal):
        target = rng.dirichlet(np.ones(CLASSES), ROWS)
    logits[3, 1], logits[20], logits[30, 2] = np.inf, -np.inf, -np.inf
    compare(loss, [logits, target], {}, monkeypatch, block)


@pytest.fixture
def careful_runs(monkeypatch: Any) -> list[Any]:
    """What was computed without taking anything to be finite, while a test runs."""
    found: list[Any] = []
    careful = _blocks.Blocks._careful

    def counted(*given: Any) -> Any:
        found.append(given)
        return careful(*given)

    monkeypatch.setattr(_blocks.Blocks, "_careful", counted)
    return found


def test_finite_logits_are_computed_once(rng: Any, careful_runs: list[Any]) -> None:
    loss = polyloss.cross_entropy.partial(ignore_index=-1)
    logits, ids = rng.normal(size=(ROWS, CLASSES)), rng.integers(0, CLASSES, ROWS)
    logits[:, 0] = -np.inf
    loss(logits, np.maximum(ids, 1))
    assert not careful_runs
    logits[5] = np.inf
    loss(logits, np.maximum(ids, 1))
    assert len(careful_runs) == 1


def test_after_some_calls_logits_are_taken_to_be_finite_again(rng: Any, careful_runs: list[Any]) -> None:
    loss = polyloss.cross_entropy.partial(label_smoothing=0.125)
    logits, ids = rng.normal(size=(ROWS, CLASSES)), rng.integers(1, CLASSES, ROWS)
    masked = logits.copy()
    masked[3, 0] = -np.inf
    loss(masked, ids)
    for _ in range(_blocks._CAREFUL_CALLS + 5):
        loss(logits, ids)
    assert len(careful_runs) == 1 + _blocks._CAREFUL_CALLS


@pytest.mark.parametrize("soft", [False, True])
def test_masked_classes_are_computed_once_from_the_second_call_on(
    soft: bool, rng: Any, careful_runs: list[Any], monkeypatch: Any
) -> None:
    """Under label smoothing, and for probabilities by their gradient, each class is asked whether it is masked."""
    loss = polyloss.cross_entropy.partial(label_smoothing=0.125)
    logits, target = rng.normal(size=(ROWS, CLASSES)), rng.integers(1, CLASSES, ROWS)
    if soft:
        target = np.eye(CLASSES)[target]
    loss(logits, target)
    assert not careful_runs
    logits[:, 0] = -np.inf
    values = [polyloss.value_and_grad(loss)(logits, target) for _ in range(2)]
    assert len(careful_runs) == 2
    monkeypatch.setattr(_blocks, "enabled", False)
    whole, whole_gradient = polyloss.value_and_grad(loss)(logits, target)
    for value, gradient in values:
        np.testing.assert_allclose(value, whole, rtol=1e-12)
        np.testing.assert_allclose(gradient, whole_gradient, rtol=1e-12)
    runs = len(careful_runs)
    monkeypatch.setattr(_blocks, "enabled", True)
    calls: list[Any] = []
    run = Program.run

    def counted(*given: Any) -> Any:
        calls.append(given)
        return run(*given)

    monkeypatch.setattr(Program, "run", counted)
    loss(logits, target)
    assert (len(calls), len(careful_runs)) == (1, runs + 1)


CHOICES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "minus absolute": lambda xp, x, y: xp.where(x > 0, -x, x),
    "absolute": lambda xp, x, y: xp.where(x > 0, x, -x),
    "positive part": lambda xp, x, y: xp.where(x <= 0, 0.0, x),
    "not above 0": lambda xp, x, y: xp.where(x <= 0, 0.0, y),
    "above 0": lambda xp, x, y: xp.where(x > 0, x, 0.0),
    "sign": lambda xp, x, y: xp.where(x > 0, y, -y),
    "opposite sign": lambda xp, x, y: xp.where(x > 0, -y, y),
    "line": lambda xp, x, y: xp.where(y > 0, 1.0 - x, -x),
    "one number": lambda xp, x, y: xp.where(x > 0, xp.full_like(x, 2.0), 2.0),
    "two numbers": lambda xp, x, y: xp.where(x > 0, xp.full_like(x, 2.0), -3.0),
    "xp.sign": lambda xp, x, y: 3.0 * xp.sign(x) * y,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("choice", CHOICES)
def test_choices(choice: str, dtype: str, monkeypatch: Any) -> None:
    """Each way to write a choice down, of all pairs of what is special."""
    choose = CHOICES[choice]

    @polyloss.elementwise
    def chosen(xp: Any, x: Any, y: Any) -> Any:
        return xp.zeros_like(x), lambda: choose(xp, x, y)

    ends = [0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38]
    x, y = (array.reshape(-1).astype(dtype) for array in np.meshgrid(ends, ends))
    gradient = polyloss.value_and_grad(chosen)
    assert in_blocks(chosen, [x, y], {})
    _, found = gradient(x, y, reduction="sum")
    monkeypatch.setattr(_blocks, "enabled", False)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, gradient(x, y, reduction="sum")[1])


def test_weights_of_several_kinds(rng: Any, monkeypatch: Any) -> None:
    prediction, target = rng.normal(size=(2, 4, 3, 6))
    keywords = {"sample_weight": rng.random((4,)), "where": rng.random((4, 3, 6)) < 0.5, "delta": rng.random(6) + 0.1}
    compare(polyloss.huber, [prediction, target], keywords, monkeypatch, 9)


def test_strided(rng: Any, monkeypatch: Any) -> None:
    prediction, target = rng.normal(size=(2, 30, 8))
    compare(polyloss.mse, [prediction[::2, ::-1], target.T.reshape(8, 30).T[::2]], {}, monkeypatch, 16)
    monkeypatch.undo()
    compare(polyloss.l1, [np.broadcast_to(prediction[:1], (30, 8)), target], {}, monkeypatch, 16)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float64"])
def test_target_of_another_dtype(dtype: str, rng: Any, monkeypatch: Any) -> None:
    logits, target = rng.normal(size=ROWS).astype("float32"), (rng.random(ROWS) < 0.5).astype(dtype)
    assert in_blocks(polyloss.sigmoid_focal, [logits, target], {})
    value = polyloss.sigmoid_focal(logits, target)
    monkeypatch.setattr(_blocks, "enabled", False)
    np.testing.assert_allclose(value, polyloss.sigmoid_focal(logits, target), rtol=1e-6)


@pytest.mark.parametrize("place", [0, 20, 36])
def test_bad_value_in_any_block(place: int, rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_dialect, "BLOCK", 8)
    target = np.full(ROWS, 0.5)
    polyloss.binary_cross_entropy_with_logits(rng.normal(size=ROWS), target)
    target[place] = 1.5
    with pytest.raises(ValueError, match=rf"target must be in \[0, 1\], got 1.5 \(element {place} "):
        polyloss.binary_cross_entropy_with_logits(rng.normal(size=ROWS), target)
    where = np.arange(ROWS) != place
    assert np.isfinite(polyloss.binary_cross_entropy_with_logits(rng.normal(size=ROWS), target, where=where))


@pytest.mark.parametrize("bad", [-1, CLASSES])
def test_bad_class(bad: int, rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_dialect, "BLOCK", 8)
    logits, target = rng.normal(size=(ROWS, CLASSES)), rng.integers(0, CLASSES, ROWS)
    polyloss.cross_entropy(logits, target)
    target[-1] = bad
    with pytest.raises(ValueError, match=rf"class ids in \[0, {CLASSES}\), got {bad}"):
        polyloss.cross_entropy(logits, target)


def test_bad_parameter_of_a_known_call() -> None:
    x, loss = np.ones((3, 2)), cast(Any, polyloss.huber)
    loss(x, x, delta=np.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match="delta must be positive, got -1"):
        loss(x, x, delta=np.asarray([1.0, -1.0]))


def test_no_temporary_of_the_size_of_the_arrays(rng: Any) -> None:
    size = 1 << 22
    prediction, target = rng.random((2, size), dtype=np.float32)
    function = polyloss.value_and_grad(polyloss.binary_cross_entropy_with_logits)
    function(prediction, target)
    tracemalloc.start()
    function(prediction, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size + (1 << 20)


def test_long_sums_are_exact() -> None:
    tenths = np.full(1 << 20, 0.1, dtype=np.float32)
    expected = float(np.float32(0.1)) ** 2
    assert abs(float(polyloss.mse(tenths, np.zeros_like(tenths))) / expected - 1) < 2 * np.finfo(np.float32).eps


def test_same_result_with_any_number_of_threads(rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_dialect, "BLOCK", 1 << 10)
    prediction, target = rng.normal(size=(2, 1 << 16)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("polyloss_numpy.NumpyBackend.threads", lambda self, threads=threads: threads)
        found.append(polyloss.value_and_grad(polyloss.log_cosh)(prediction, target))
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


def test_calls_from_several_threads(rng: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(_dialect, "BLOCK", 1 << 8)
    arrays = rng.normal(size=(6, 2, 1 << 12))
    expected = [float(polyloss.huber(*pair)) for pair in arrays]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            if float(polyloss.huber(*arrays[number])) != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(arrays))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes fork here")
def test_forked_process() -> None:
    code = """
import os, warnings
import numpy as np, polyloss
from polyloss.engine import dialect as _dialect
warnings.simplefilter("ignore", DeprecationWarning)
_dialect.BLOCK = 256
prediction, target = np.random.default_rng(0).normal(size=(2, 4096))
expected = float(polyloss.huber(prediction, target))
child = os.fork()
if not child:
    os._exit(0 if float(polyloss.huber(prediction, target)) == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_call_while_the_interpreter_shuts_down() -> None:
    code = """
import atexit
import numpy as np, polyloss
from polyloss.engine import dialect as _dialect
_dialect.BLOCK = 256
prediction, target = np.random.default_rng(0).normal(size=(2, 4096))
expected = float(polyloss.huber(prediction, target))
atexit.register(lambda: print(float(polyloss.huber(prediction, target)) == expected))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert run.stdout == "True\n"


def test_kernel_that_blocks_do_not_know(rng: Any) -> None:
    @polyloss.elementwise
    def running(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = prediction - target
        return xp.cumulative_sum(error), lambda: xp.ones_like(error)

    x = rng.normal(size=5)
    assert not in_blocks(running, [x, np.zeros(5)], {})
    np.testing.assert_allclose(running(x, np.zeros(5), reduction="sum"), np.cumsum(x).sum())


def test_kernel_that_branches(rng: Any) -> None:
    @polyloss.elementwise
    def branching(xp: Any, /, prediction: Any, target: Any, **call: Any) -> Any:
        error = prediction - target
        return (error if bool(xp.any(error > 0)) else -error), lambda: xp.ones_like(error)

    assert float(branching(np.asarray([-2.0]), np.asarray([0.0]))) == 2.0
    assert float(branching(np.asarray([3.0]), np.asarray([0.0]))) == 3.0


def test_partial_shares_its_code(rng: Any) -> None:
    x = rng.normal(size=4)
    polyloss.huber.partial(delta=2.0)(x, x)
    before = _compiled.compiled.cache_info().misses
    polyloss.huber.partial(delta=2.0)(x, x)
    polyloss.huber(x, x, delta=2.0)
    assert _compiled.compiled.cache_info().misses == before


@pytest.mark.parametrize("layout", [lambda x: x, lambda x: np.repeat(x, 2)[::2]], ids=["dense", "strided"])
@pytest.mark.parametrize("function", [NUMPY.functions["log1p"], _code._log1p], ids=["chosen", "own"])
def test_log1p_is_that_of_numpy(function: Any, layout: Any, rng: Any) -> None:
    """Within three eps, and exactly that at the ends, of zeros of both signs, and of what is no number."""
    ends = np.asarray([0.0, -0.0, np.inf, -1.0, -2.0, np.nan, 1e-45, -1e-45, 3e38, -0.99999994], np.float32)
    ordinary = np.concatenate([10.0 ** rng.uniform(-40, 38, 99_999), -rng.random(99_999)]).astype(np.float32)
    for x in (ends, ordinary):
        x = layout(x)
        found = np.empty_like(x)
        with np.errstate(all="ignore"):
            function(x, found)
            exact = np.log1p(x.astype(np.float64))
        np.testing.assert_allclose(found, exact, rtol=float(3 * np.finfo(np.float32).eps))
        np.testing.assert_array_equal(np.signbit(found[found == 0.0]), np.signbit(x[found == 0.0]))


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (70_000, 2), (9, 64), (9, 65), (4, 2, 3)], ids=str)
@pytest.mark.parametrize("name", ["max", "min"])
def test_largest_of_a_row(name: str, shape: tuple[int, ...], rng: Any) -> None:
    """In any number of columns, and in more rows than are copied at a time; NaN counts as it does for NumPy."""
    x = np.repeat(rng.normal(size=shape), 2, axis=0)[::2]
    x[0, ..., -1] = np.nan
    found = np.empty((*shape[:-1], 1))
    NUMPY.functions[f"{name}_rows"](x, found)
    np.testing.assert_array_equal(found, getattr(np, name)(x, axis=-1, keepdims=True))


def test_quietly_ignores_errors_there_and_nowhere_else() -> None:
    """Also within itself, after an error, and in another thread."""

    def divides(again: bool) -> float:
        quotient = np.float64(1.0) / np.float64(0.0)
        return float(quotient) + (quietly(divides, False) if again else 0.0)

    with np.errstate(all="raise"):
        for _ in range(2):
            assert quietly(divides, True) == math.inf
            with pytest.raises(ZeroDivisionError):
                quietly(lambda: 1 // 0)
        with pytest.raises(FloatingPointError):
            divides(False)
    with ThreadPoolExecutor(1) as pool:
        assert quietly(lambda: pool.submit(quietly, divides, True).result(10.0)) == math.inf


def test_numbers_are_rounded_to_halves_as_numpy_does() -> None:
    """Bit by bit, also where halves are subnormal, on both sides of each tie, and for what is no number."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)]
    ordered = np.unique(halves)
    ties = (ordered[1:] + ordered[:-1]) / 2
    around = [np.nextafter(ties, np.float32(side)) for side in (-np.inf, np.inf)]
    ends = np.asarray([np.inf, -np.inf, np.nan, 65520.0, 3e38, 1e-45, -1e-45, 0.0, -0.0], np.float32)
    x = np.concatenate([halves, ties, *around, ends])
    found = np.empty(x.shape, np.float16)
    quietly(_code._round_to, found, x)
    with np.errstate(all="ignore"):
        expected = x.astype(np.float16)
    assert np.all((found.view(np.uint16) == expected.view(np.uint16)) | (np.isnan(found) & np.isnan(expected)))
