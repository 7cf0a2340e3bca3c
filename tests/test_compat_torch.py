"""`polyloss.compat.torch` against `torch.nn.functional`."""

import importlib.metadata
import inspect
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import torch as compat
from polyloss_conformance import deviations
from polyloss_conformance.builtins import FAMILIES

torch = pytest.importorskip("torch")
F = torch.nn.functional


LOGITS = np.random.default_rng(1).normal(0, 2, (6, 4))
CUBE = np.random.default_rng(2).normal(0, 2, (2, 4, 3, 2))
WEIGHT = np.asarray([0.5, 2.0, 1.0, 3.0])


def both(
    name: str, *arrays: np.ndarray[Any, Any], wrt: Sequence[int] = (0,), rtol: float = 1e-11, **keywords: Any
) -> None:
    """Value and gradient, with an upstream gradient that is not uniform, of the built-in and of its twin."""

    def run(function: Callable[..., Any]) -> tuple[Any, ...]:
        inputs = [torch.tensor(a, requires_grad=i in wrt) for i, a in enumerate(arrays)]
        given = {
            key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in keywords.items()
        }
        value = function(*inputs, **given)
        upstream = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
        return value.detach(), *torch.autograd.grad(value, [inputs[i] for i in wrt], upstream)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kl_div warns of its own mean
        expected = run(getattr(F, name))
    found = run(getattr(compat, name))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-12)


def test_every_loss_of_torch_has_a_twin() -> None:
    public = {name for name in dir(F) if not name.startswith("_") and callable(getattr(F, name))}
    losses = {name for name in public if name.endswith("_loss") or "cross_entropy" in name} | {"kl_div"}
    # An older version may lack some that are here.
    assert losses - {*compat.__all__} == set()


@pytest.mark.parametrize("name", compat.__all__)
def test_the_signature_is_that_of_the_built_in(name: str) -> None:
    if not hasattr(F, name):
        pytest.skip(f"torch {torch.__version__} has no {name}")
    theirs = inspect.signature(getattr(F, name)).parameters
    ours = inspect.signature(getattr(compat, name)).parameters
    known = [(p.name, p.default, p.kind) for p in ours.values()]
    expected = [(p.name, p.default, p.kind) for p in theirs.values()]
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13):
        assert known == expected
    else:
        # An older version may lack parameters.
        assert [p for p in known if p in expected] == expected


def ids(shape: tuple[int, ...], ignored: int | None) -> np.ndarray[Any, Any]:
    found = np.random.default_rng(3).integers(0, 4, shape)
    if ignored is not None:
        found.reshape(-1)[::3] = ignored
    return found


def simplex(logits: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    powers = np.exp(np.random.default_rng(4).normal(0, 1, logits.shape))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def log_softmax(logits: np.ndarray[Any, Any], axis: int = 1) -> np.ndarray[Any, Any]:
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=axis, keepdims=True)))


GRID = list(itertools.product((None, WEIGHT), (None, -100, 2), ("none", "sum", "mean"), ((6, 4), (2, 4, 3, 2), (4,))))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(("weight", "ignored", "reduction", "shape"), GRID)
def test_cross_entropy_of_class_ids(
    weight: Any, ignored: int | None, reduction: str, shape: tuple[int, ...], smoothing: float
) -> None:
    logits = LOGITS[1] if shape == (4,) else LOGITS if len(shape) == 2 else CUBE
    target = np.asarray(1) if shape == (4,) else ids((shape[0], *shape[2:]), ignored)
    keywords: Any = {} if ignored is None else {"ignore_index": ignored}
    both("cross_entropy", logits, target, weight=weight, reduction=reduction, label_smoothing=smoothing, **keywords)
    if not smoothing:
        scores = log_softmax(logits, 0 if logits.ndim == 1 else 1)
        if logits.ndim == 4 and reduction == "none":
            scores = np.ascontiguousarray(scores)
        both("nll_loss", scores, target, weight=weight, reduction=reduction, **keywords)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_cross_entropy_of_probabilities(reduction: str, weight: Any, smoothing: float) -> None:
    for logits in (LOGITS, CUBE, LOGITS[0]):
        target = simplex(logits, min(1, logits.ndim - 1))
        both("cross_entropy", logits, target, wrt=(0, 1), weight=weight, reduction=reduction, label_smoothing=smoothing)


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="torch before 2.13")
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_linear_cross_entropy(reduction: str, weight: Any) -> None:
    layer, bias = np.random.default_rng(8).normal(0, 1, (4, 4)), np.random.default_rng(9).normal(0, 1, 4)
    chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    more: dict[str, Any]
    for more in ({}, {"linear_bias": bias}, {"ignore_index": 1}, {"label_smoothing": 0.3}, {"options": chunks}):
        ignored: Any = more.get("ignore_index", -100)
        target = ids((6,), ignored)
        both("linear_cross_entropy", LOGITS, layer, target, wrt=(0, 1), weight=weight, reduction=reduction, **more)
    target = simplex(LOGITS, 1)
    both("linear_cross_entropy", LOGITS, layer, target, wrt=(0, 1, 2), weight=weight, reduction=reduction)
    layers, biases = (
        np.random.default_rng(8).normal(0, 1, (4, 3, 2, 4)),
        np.random.default_rng(9).normal(0, 1, (4, 3, 2)),
    )
    keywords: Any = {"weight": weight, "reduction": reduction, "linear_bias": biases}
    both("linear_cross_entropy", LOGITS, layers, ids((6, 3, 2), -100), wrt=(0, 1), label_smoothing=0.3, **keywords)
    both("linear_cross_entropy", LOGITS, layers, simplex(np.zeros((6, 4, 3, 2)), 1), wrt=(0, 1, 2), **keywords)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_binary(reduction: str) -> None:
    target = np.random.default_rng(5).uniform(0, 1, (6, 4))
    probabilities = np.random.default_rng(6).uniform(0.02, 0.98, (6, 4))
    for weight in (None, WEIGHT, np.ones((6, 1)) / 3, np.random.default_rng(7).uniform(0, 2, (6, 4))):
        both("binary_cross_entropy", probabilities, target, wrt=(0, 1), weight=weight, reduction=reduction)
        for pos_weight in (None, WEIGHT, np.asarray([2.5])):
            both(
                "binary_cross_entropy_with_logits",
                LOGITS,
                target,
                wrt=(0, 1),
                weight=weight,
                pos_weight=pos_weight,
                reduction=reduction,
            )
        both("multilabel_soft_margin_loss", LOGITS, target, wrt=(0, 1), weight=weight, reduction=reduction)
    both("soft_margin_loss", LOGITS, np.where(target < 0.5, -1.0, 1.0), reduction=reduction)
    both("hinge_embedding_loss", probabilities, np.where(target < 0.5, -1.0, 1.0), margin=0.4, reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_regression(reduction: str) -> None:
    target = LOGITS[::-1].copy()
    for weight in (None, np.random.default_rng(8).uniform(0, 2, (6, 4))):
        both("mse_loss", LOGITS, target, wrt=(0, 1), reduction=reduction, weight=weight)
        both("l1_loss", LOGITS, target, wrt=(0, 1), reduction=reduction, weight=weight)
        both("huber_loss", LOGITS, target, wrt=(0, 1), reduction=reduction, delta=0.7, weight=weight)
    for beta in (0.0, 0.7, 2):
        both("smooth_l1_loss", LOGITS, target, wrt=(0, 1), reduction=reduction, beta=beta)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_likelihood(reduction: str) -> None:
    target = LOGITS[::-1].copy()
    counts = np.round(4 * np.abs(target))
    both("poisson_nll_loss", LOGITS, counts, reduction=reduction)
    both("poisson_nll_loss", LOGITS, 1.5 + counts, wrt=(0, 1), full=True, reduction=reduction)
    both("poisson_nll_loss", np.exp(LOGITS), counts, log_input=False, eps=0.0, full=True, reduction=reduction)
    variance = np.exp(target)
    for full in (False, True):
        both("gaussian_nll_loss", LOGITS, target, variance, wrt=(0, 1, 2), full=full, reduction=reduction)
    both("gaussian_nll_loss", LOGITS, target, variance[:, 0], wrt=(0, 1, 2), eps=0.5, reduction=reduction)
    both("gaussian_nll_loss", LOGITS, target, variance[:, :1], wrt=(0, 1, 2), reduction=reduction)
    both("gaussian_nll_loss", LOGITS, target, wrt=(0, 1), var=0.25, reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_kl_div(reduction: str) -> None:
    for logits in (LOGITS, CUBE, LOGITS[0]):
        prediction, target = log_softmax(logits, -1), simplex(logits, -1)
        both("kl_div", prediction, target, wrt=(0, 1), reduction=reduction)
        both("kl_div", prediction, np.log(target), wrt=(0, 1), reduction=reduction, log_target=True)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_triplet(reduction: str, swap: bool) -> None:
    anchor, positive, negative = np.random.default_rng(9).normal(0, 1, (3, 5, 4))
    for p in (1.0, 1.5, 2, 3.0):
        both(
            "triplet_margin_loss",
            anchor,
            positive,
            negative,
            wrt=(0, 1, 2),
            eps=0,
            p=p,
            margin=2.0,
            swap=swap,
            reduction=reduction,
        )
        both(
            "triplet_margin_loss",
            anchor,
            positive,
            negative,
            rtol=1e-4,
            p=p,
            margin=2.0,
            swap=swap,
            reduction=reduction,
        )
    for distance in (None, lambda x, y: abs(x - y).sum(-1), lambda x, y: 1 - F.cosine_similarity(x, y)):
        both(
            "triplet_margin_with_distance_loss",
            *(anchor, positive, negative),
            rtol=1e-4 if distance is None else 1e-9,
            distance_function=distance,
            margin=2.0,
            swap=swap,
            reduction=reduction,
        )


@pytest.mark.parametrize(
    "entry", [e for e in deviations.load() if e.input and FAMILIES[e.family].backend == "torch"], ids=lambda e: e.input
)
def test_what_the_table_of_deviations_says_is_so(entry: deviations.Deviation) -> None:
    if not deviations.holds(importlib.metadata.version(FAMILIES[entry.family].package), entry.versions):
        pytest.skip("another version")
    assert deviations.confirm(entry) == ""


@pytest.mark.parametrize(
    "name",
    sorted(
        {n for n in dir(torch.nn) if n.endswith("Loss")} | {n for n in dir(F) if n.endswith("_loss") or "entropy" in n}
    ),
)
def test_every_loss_of_theirs_is_answered(name: str) -> None:
    for module in (polyloss, compat):
        if not hasattr(module, name):
            with pytest.raises(AttributeError, match=r"; (nearest here: |there is no such loss in polyloss yet)"):
                getattr(module, name)


def test_ctc() -> None:
    """Behind a log_softmax, everything is as it is there; targets may be one behind the other, and lengths numbers."""
    x = torch.randn((6, 4, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets, steps, labels = torch.tensor([[1, 2, 4], [3, 3, 0], [2, 0, 0], [0, 0, 0]]), [6, 6, 5, 4], [3, 2, 1, 0]
    together = torch.cat([row[:count] for row, count in zip(targets, labels, strict=True)])

    def same(*arrays: Any, **options: Any) -> None:
        results = []
        for function in (F.ctc_loss, compat.ctc_loss):
            value = function(
                x.log_softmax(-1)[:, : len(arrays[1])] if options.pop("batch", True) else x, *arrays, **options
            )
            results.append((value, *torch.autograd.grad(value.sum(), x)))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)

    for reduction in ("none", "mean", "sum"):
        same(targets, torch.tensor(steps), torch.tensor(labels), reduction=reduction)
        same(together, torch.tensor(steps), torch.tensor(labels), reduction=reduction)
        same(targets, tuple(steps), tuple(labels), reduction=reduction)
    same(targets, [1, 6, 6, 6], labels, zero_infinity=True)
    same(torch.zeros(0, dtype=torch.int64), steps, [0, 0, 0, 0])
    found = compat.ctc_loss(x[:, 0].log_softmax(-1), targets[0], 6, 3, blank=3)
    torch.testing.assert_close(
        found, F.ctc_loss(x[:, 0].log_softmax(-1), targets[0], torch.tensor(6), torch.tensor(3), blank=3)
    )
    one = compat.ctc_loss(x[:, 0].log_softmax(-1), targets[0], (6,), torch.tensor([3]), blank=3)
    torch.testing.assert_close(one, found)
    with pytest.raises(ValueError, match="targets must be as many as target_lengths add up to, 7, got 6"):
        compat.ctc_loss(x, together, steps, [3, 2, 1, 1])
    with pytest.raises(TypeError, match="input_lengths must be whole numbers, or an integer array of them"):
        compat.ctc_loss(x, together, [6.0, 6.0, 5.0, 4.0], labels)
    traced = torch.compile(compat.ctc_loss, backend="eager", fullgraph=True)
    wrong = traced(x, together, torch.tensor(steps), torch.tensor([3, 2, 1, 1]), reduction="none")
    assert wrong.isnan().all()


def test_the_gradient_of_ctc_is_that_by_log_probabilities() -> None:
    x = torch.randn((4, 2, 3), dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets, steps, labels = torch.tensor([[1, 2], [2, 0]]), torch.tensor([4, 3]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda x: compat.ctc_loss(x, targets, steps, labels), (x,))
    assert not torch.autograd.gradcheck(lambda x: F.ctc_loss(x, targets, steps, labels), (x,), raise_exception=False)


@pytest.mark.parametrize("eps", [-1.0, float("nan")])
def test_a_floor_is_no_negative_number(backend: Any, eps: float) -> None:
    x = backend.array([0.5, 1.0])
    with pytest.raises(ValueError, match=r"gaussian_nll_loss: eps must be .*, got "):
        compat.gaussian_nll_loss(x, x, x, eps=eps)


def test_a_power_is_a_number(backend: Any) -> None:
    x, ids = backend.array([[0.5, 1.0]]), backend.array([1])
    with pytest.raises(TypeError, match="multi_margin_loss: p must be a number, got bool True"):
        compat.multi_margin_loss(x, ids, p=True)


def test_no_way_out_is_told_that_a_twin_does_not_have(backend: Any) -> None:
    with pytest.raises(ValueError, match="target") as raised:
        compat.cross_entropy(backend.array(np.ones((2, 4, 5, 3))), backend.array(np.zeros((2, 4, 5), dtype=int)))
    assert "axis=" not in str(raised.value)
