"""Losses of regions: how they belong together, and long regions in half precision."""

from typing import Any

import numpy as np
import pytest

import polyloss

IMAGES, MASKS = np.random.default_rng(1).random((2, 3, 4, 5)), np.random.default_rng(2).random((2, 3, 4, 5)) > 0.5


@pytest.mark.parametrize("axis", [(2, 3), (3, 1), (0, 1, 2, 3), 1, (-1,)])
def test_a_region_is_a_row_of_all_its_axes(backend: Any, axis: Any) -> None:
    axes = tuple(one % 4 for one in (axis if isinstance(axis, tuple) else (axis,)))
    shape = [n for place, n in enumerate(IMAGES.shape) if place not in axes]
    rows = [np.moveaxis(a, axes, range(-len(axes), 0)).reshape(*shape, -1) for a in (IMAGES, MASKS * 1.0)]
    found = polyloss.dice(backend.array(IMAGES), backend.array(MASKS * 1.0), axis=axis, reduction="none")
    expected = polyloss.dice(*map(backend.array, rows), reduction="none")
    np.testing.assert_allclose(backend.numpy(found), backend.numpy(expected), rtol=1e-6)


def test_dice_is_tversky_with_equal_weights(backend: Any) -> None:
    arrays = backend.array(IMAGES), backend.array(MASKS * 1.0)
    dice, tversky = (loss(*arrays, axis=(1, 2, 3), smooth=0.5) for loss in (polyloss.dice, polyloss.tversky))
    np.testing.assert_allclose(backend.numpy(dice), backend.numpy(tversky), rtol=1e-6)


def test_softmax_dice_is_the_mean_of_the_classes(backend: Any) -> None:
    logits, ids = np.log(IMAGES), np.random.default_rng(3).integers(0, 3, (2, 4, 5))
    shares, hot = IMAGES / IMAGES.sum(axis=1, keepdims=True), np.moveaxis(np.eye(3)[ids], -1, 1)
    each = polyloss.tversky(backend.array(shares), backend.array(hot), alpha=0.25, axis=(2, 3), reduction="none")
    found = polyloss.softmax_dice(backend.array(logits), backend.array(ids), alpha=0.25, axis=(2, 3, 1))
    np.testing.assert_allclose(backend.numpy(found), backend.numpy(each).mean(), rtol=1e-5)


def test_what_is_ignored_is_as_good_as_not_there(backend: Any) -> None:
    logits, ids = np.log(IMAGES), np.random.default_rng(3).integers(0, 3, (2, 4, 5))
    ids[:, :, 2:] = 255
    broken = np.where(ids[:, None] == 255, np.nan, logits)
    for loss in (polyloss.softmax_dice, polyloss.generalized_dice):
        found = loss(backend.array(broken), backend.array(ids), ignore_index=255, axis=(2, 3, 1))
        expected = loss(backend.array(logits[..., :2].copy()), backend.array(ids[..., :2].copy()), axis=(2, 3, 1))
        np.testing.assert_allclose(backend.numpy(found), backend.numpy(expected), rtol=1e-6)


def test_half_precision_sums_long_regions() -> None:
    """In float16 a sum of ones stops at 2048, and 65 520 of them are infinite."""
    target = np.ones((2, 90_000), np.float16)
    target[1, ::2] = 0
    prediction = (0.75 * target + 0.125).astype(np.float16)
    exact = polyloss.dice(prediction.astype(np.float64), target.astype(np.float64), reduction="none")
    found = polyloss.dice(prediction, target, reduction="none")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, exact, rtol=1e-3)


def test_an_empty_mask_has_a_gradient_with_smoothing_alone() -> None:
    prediction, target = np.full((1, 4), 0.5), np.zeros((1, 4))
    for loss in (polyloss.dice, polyloss.tversky):
        value, gradient = polyloss.value_and_grad(loss)(prediction, target)
        assert float(value) == 1
        assert not gradient.any()
        value, gradient = polyloss.value_and_grad(loss)(prediction, target, smooth=1.0)
        assert float(value) == 0.5
        assert (gradient > 0).all()
