"""Reductions, weights, masks and denominators: value and gradient, against plain NumPy."""

from typing import Any

import numpy as np
import pytest

import polyloss

pytestmark = pytest.mark.unoptimised

REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
WEIGHTS = {"none": None, "number": (), "rows": (5,), "entries": (5, 3)}
MASKS = {"none": None, "rows": (5,), "entries": (5, 3)}


def reference(losses: Any, slope: Any, reduction: str, weight: Any, mask: Any, denominator: Any) -> tuple[Any, Any]:
    """The reduced loss, and its gradient (for "none": of the sum)."""

    def whole(array: Any, default: float) -> Any:
        if array is None:
            return np.full(losses.shape, default)
        array = np.asarray(array, dtype=float)
        return np.broadcast_to(array.reshape(array.shape + (1,) * (losses.ndim - array.ndim)), losses.shape)

    counted, factor = whole(mask, 1.0), whole(weight, 1.0)
    share = counted * factor
    if reduction in ("mean", "weighted_mean"):
        total = counted.sum() if reduction == "mean" else share.sum()
        share = share / (denominator if denominator is not None else total if total else 1.0)
    value = np.where(counted != 0, share * losses, 0.0)
    return value if reduction == "none" else value.sum(), np.where(counted != 0, share * slope, 0.0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("mask", MASKS)
def test_every_combination(backend: Any, rng: Any, reduction: Any, weight: str, mask: str) -> None:
    prediction, target = rng.normal(size=(2, 5, 3))
    keywords: dict[str, Any] = {}
    shape, mask_shape = WEIGHTS[weight], MASKS[mask]
    if shape is not None:
        keywords["sample_weight"] = rng.random(shape) + 0.1 if shape else 1.75
    if mask_shape is not None:
        keywords["where"] = rng.random(mask_shape) < 0.6
        keywords["where"][0] = True
    error = prediction - target
    for denominator in (None, 4.0) if "mean" in reduction else (None,):
        arrays = {k: backend.array(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()}
        if denominator is not None:
            arrays["denominator"] = denominator
        inputs = backend.array(prediction), backend.array(target)
        expected, gradient = reference(
            error**2, 2 * error, reduction, keywords.get("sample_weight"), keywords.get("where"), denominator
        )
        backend.check(polyloss.mse(*inputs, reduction=reduction, **arrays), expected, rtol=1e-14)
        if reduction != "none":
            value, (first, second) = backend.value_and_grad(polyloss.mse, *inputs, reduction=reduction, **arrays)
            backend.check(value, expected, rtol=1e-14)
            backend.check(first, gradient, rtol=1e-14)
            backend.check(second, -gradient, rtol=1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rowwise(backend: Any, rng: Any, reduction: Any) -> None:
    anchor, positive = rng.normal(size=(2, 4, 3))
    labels = np.asarray([0.0, 1.0, 1.0])
    weight, mask = rng.random(3) + 0.5, np.asarray([True, False, True])
    expected = np.sum((anchor - positive) ** 2, axis=0) / 2 * (labels == 1)
    expected += (labels == 0) * np.maximum(0, 5 - np.sqrt(np.sum((anchor - positive) ** 2, axis=0))) ** 2 / 2
    total, _ = reference(expected, expected, reduction, weight, mask, None)
    value = polyloss.contrastive_embedding(
        backend.array(anchor),
        backend.array(positive),
        backend.array(labels),
        axis=0,
        margin=5.0,
        reduction=reduction,
        sample_weight=backend.array(weight),
        where=backend.array(mask),
    )
    backend.check(value, total, rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "loss", [polyloss.mse, polyloss.huber, polyloss.log_cosh, polyloss.binary_cross_entropy_with_logits]
)
def test_what_is_masked_adds_nothing(backend: Any, loss: Any, bad: float) -> None:
    prediction, target = np.asarray([0.5, bad, 0.25]), np.asarray([1.0, 0.5, bad])
    mask = backend.array(np.asarray([True, False, False]))
    value, gradients = backend.value_and_grad(loss, backend.array(prediction), backend.array(target), where=mask)
    alone, expected = backend.value_and_grad(loss, backend.array(prediction[:1]), backend.array(target[:1]))
    backend.check(value, backend.numpy(alone))
    for gradient, part in zip(gradients, expected, strict=True):
        backend.check(gradient, np.append(backend.numpy(part), [0.0, 0.0]))


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_everything_masked(backend: Any, reduction: Any) -> None:
    arrays = backend.array(np.asarray([1.0, np.nan])), backend.array(np.zeros(2))
    mask = backend.array(np.asarray([False, False]))
    value, gradients = backend.value_and_grad(polyloss.mse, *arrays, where=mask, reduction=reduction)
    backend.check(value, np.asarray(0.0))
    for gradient in gradients:
        backend.check(gradient, np.zeros(2))


def test_all_weights_zero(backend: Any) -> None:
    arrays = backend.array(np.asarray([1.0, 2.0])), backend.array(np.zeros(2))
    weight = backend.array(np.zeros(2))
    value, gradients = backend.value_and_grad(polyloss.mse, *arrays, sample_weight=weight, reduction="weighted_mean")
    backend.check(value, np.asarray(0.0))
    backend.check(gradients[0], np.zeros(2))


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_class_weights_count_in_a_weighted_mean(backend: Any, rng: Any, shape: tuple[int, ...]) -> None:
    logits = rng.normal(size=(*shape, 4))
    ids = rng.integers(0, 4, size=shape)
    class_weight, weight = np.asarray([0.5, 1.0, 2.0, 4.0]), rng.random(shape)
    mask = ids != 1
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    losses = -np.take_along_axis(log_p, ids[..., None], axis=-1)[..., 0] * class_weight[ids]
    value = polyloss.cross_entropy(
        backend.array(logits),
        backend.array(ids),
        class_weight=backend.array(class_weight),
        ignore_index=1,
        sample_weight=backend.array(weight),
        reduction="weighted_mean",
    )
    expected = np.sum(losses * weight * mask) / np.sum(class_weight[ids] * weight * mask)
    backend.check(value, expected, rtol=1e-13)


def test_class_weights_of_probabilities(backend: Any, rng: Any) -> None:
    logits, target = rng.normal(size=(5, 4)), rng.dirichlet(np.ones(4), size=5)
    class_weight = np.asarray([0.5, 1.0, 2.0, 4.0])
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.sum(class_weight * target * log_p) / np.sum(class_weight * target)
    arrays = backend.array(logits), backend.array(target)
    value = polyloss.cross_entropy(*arrays, class_weight=backend.array(class_weight), reduction="weighted_mean")
    backend.check(value, expected, rtol=1e-13)


def test_half_sums_are_accumulated_in_float32(backend: Any) -> None:
    for dtype in {"float16", "bfloat16"} & set(backend.dtypes):
        ones = backend.array(np.ones(70_000), dtype)
        value, gradients = backend.value_and_grad(polyloss.mse, ones, backend.array(np.zeros(70_000), dtype))
        backend.check(value, np.asarray(1.0), dtype=dtype)
        assert float(backend.numpy(gradients[0]).astype("float32").max()) > 2.8e-5


def test_long_means(backend: Any) -> None:
    count = 2**18
    tenths = backend.array(np.full(count, 0.1), "float32")
    zeros = backend.array(np.zeros(count), "float32")
    value = float(backend.compile(polyloss.l1)(tenths, zeros))
    assert abs(value - 0.1) < 1e-6
