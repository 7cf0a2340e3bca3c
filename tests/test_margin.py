"""Losses of margins: what the records of the losses do not say."""

import functools
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import keras as like_keras
from polyloss.compat import torch as like_torch

pytestmark = pytest.mark.unoptimised

SCORES = np.asarray([[-3.0, -5.0, -6.0], [2.0, 1.5, 1.875], [0.5, 0.25, 4.0]])
IDS = np.asarray([0, 0, 1])
HOT = np.eye(3)[IDS]


@pytest.mark.parametrize("target", [HOT, 2 * HOT - 1, HOT.astype(np.int64), HOT == 1], ids=["0", "-1", "int", "bool"])
def test_categorical_hinge_of_targets_with_a_one_in_each_row(backend: Any, target: Any) -> None:
    expected = polyloss.multiclass_hinge(SCORES, IDS, reduction="none")
    np.testing.assert_array_equal(expected, [0.0, 0.875, 4.75])
    target = backend.array(target, str(target.dtype))
    backend.check(like_keras.categorical_hinge(target, backend.array(SCORES)), expected)


BAD = np.asarray([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]])


@pytest.mark.parametrize("row", range(3))
def test_categorical_hinge_refuses_other_rows(backend: Any, row: int) -> None:
    target = np.where(np.arange(3)[:, None] == row, BAD, HOT)
    with pytest.raises(
        ValueError, match="categorical_hinge: y_true must be one-hot: a 1 in each row, 0 or -1 elsewhere"
    ):
        like_keras.categorical_hinge(backend.array(target), backend.array(SCORES))
    if backend.has_autodiff:
        found = backend.compile(like_keras.categorical_hinge)(backend.array(target), backend.array(SCORES))
        np.testing.assert_array_equal(np.isnan(backend.numpy(found)), np.arange(3) == row)


def test_what_are_no_class_ids_is_told_how_to_make_them(backend: Any) -> None:
    scores = backend.array(SCORES)
    with pytest.raises(TypeError, match=r"multiclass_hinge: target must be class ids.*; argmax along the axis of the"):
        polyloss.multiclass_hinge(scores, backend.array(HOT))
    with pytest.raises(ValueError, match=r"multiclass_hinge: target must have class ids.*; argmax along the axis of"):
        polyloss.multiclass_hinge(scores, backend.array(HOT, "int64"))


def test_ids_that_cannot_be_seen_make_their_row_nan(backend: Any) -> None:
    if not backend.has_autodiff:
        pytest.skip("nothing is traced")
    compiled = backend.compile(functools.partial(polyloss.multiclass_hinge, reduction="none"))
    found = backend.numpy(compiled(backend.array(SCORES), backend.array([0, 3, -1])))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True])


def test_a_batch_without_examples_costs_nothing(backend: Any) -> None:
    # PyTorch's own returns what is in memory.
    for reduction in ("mean", "sum"):
        nothing = backend.array(np.zeros((0, 3))), backend.array(np.zeros(0, np.int64))
        backend.check(like_torch.multi_margin_loss(*nothing, reduction=reduction), 0.0)


def test_the_power_of_multi_margin_is_found_by_its_name_in_pytorch(backend: Any) -> None:
    with pytest.raises(TypeError, match=r"multi_margin: unexpected p; did you mean power\?"):
        polyloss.multi_margin(backend.array(SCORES), backend.array(IDS), p=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"multi_margin_loss: p must be 1 or 2, got 3"):
        like_torch.multi_margin_loss(backend.array(SCORES), backend.array(IDS), p=3)
    with pytest.raises(ValueError, match=r"multi_margin_loss: p must be 1 or 2, got 1.5"):
        like_torch.multi_margin_loss(backend.array(SCORES), backend.array(IDS), p=1.5)  # type: ignore[arg-type]


def test_multilabel_margin_loss_of_ids_ended_by_minus_one(backend: Any) -> None:
    scores, lists = (
        np.asarray([[0.1, 0.2, 0.4, 0.8]] * 4),
        np.asarray([[3, 0, -1, 1], [-1, 3, 3, 9], [0, 1, 2, 3], [3] * 4]),
    )
    labels = np.asarray([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]])
    expected = polyloss.multilabel_margin(scores, labels, reduction="none")
    np.testing.assert_allclose(expected, [0.85, 0.0, 0.0, 0.325])
    found = like_torch.multilabel_margin_loss(backend.array(scores), backend.array(lists), reduction="none")
    backend.check(found, expected)
    bad = backend.array(np.where(lists == 0, 4, lists)), backend.array(np.where(lists == 0, -2, lists))
    for target in bad:
        with pytest.raises(
            ValueError, match=r"multilabel_margin_loss: target must be class ids in \[0, 4\), ended by -1"
        ):
            like_torch.multilabel_margin_loss(backend.array(scores), target)
        if backend.has_autodiff:
            compiled = backend.compile(functools.partial(like_torch.multilabel_margin_loss, reduction="none"))
            found = backend.numpy(compiled(backend.array(scores), target))
            np.testing.assert_array_equal(np.isnan(found), [True, False, True, False])


def test_a_label_of_nan_shows(backend: Any) -> None:
    target = backend.array([[1.0, float("nan"), 0.0], [1.0, 0.0, 0.0]])
    found = polyloss.multilabel_margin(backend.array(SCORES[:2]), target, reduction="none")
    np.testing.assert_array_equal(np.isnan(backend.numpy(found)), [True, False])
