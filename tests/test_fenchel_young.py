"""Losses made of what they maximize."""

import math
from typing import Any

import numpy as np
import pytest

import polyloss
from polyloss.compat import optax

SCORES = np.random.default_rng(1).normal(0, 1, (5, 4))
LABELS = np.eye(4)[[0, 3, 1, 2, 2]]


def log_sum_exp(xp: Any, scores: Any) -> Any:
    return polyloss.log_sum_exp(scores)


def softmax(xp: Any, scores: Any) -> Any:
    return polyloss.softmax(scores)


def half_square(xp: Any, scores: Any) -> Any:
    """The maximum that half a squared norm leaves, of any prediction: the loss is half a squared error, less a part."""
    return 0.5 * xp.sum(scores * scores, axis=-1)


def both(backend: Any, loss: Any, *arrays: Any, **keywords: Any) -> Any:
    def total(scores: Any, target: Any) -> Any:
        return loss(scores, target, **keywords)

    value, gradients = polyloss.value_and_grad(total if backend.has_autodiff else loss, (0, 1))(*arrays)
    return backend.numpy(value), [backend.numpy(gradient) for gradient in gradients]


def test_that_of_the_entropy_is_cross_entropy(backend: Any) -> None:
    arrays = backend.array(SCORES), backend.array(LABELS)
    expected, slope = polyloss.value_and_grad(polyloss.cross_entropy)(SCORES, LABELS)
    for argmax in (softmax, None) if backend.has_autodiff else (softmax,):
        value, gradients = both(backend, polyloss.fenchel_young(log_sum_exp, argmax), *arrays)
        np.testing.assert_allclose(value, expected, rtol=1e-13)
        np.testing.assert_allclose(gradients[0], slope, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(gradients[1], -SCORES / 5, rtol=1e-13)


def test_it_takes_what_every_loss_takes(backend: Any) -> None:
    loss = polyloss.fenchel_young(half_square, lambda xp, scores: scores)
    expected = 0.5 * np.sum(SCORES**2, axis=-1) - np.sum(SCORES * LABELS, axis=-1)
    scores, labels = backend.array(SCORES.T.copy()), backend.array(LABELS.T.copy(), "int64")
    backend.check(loss(scores, labels, axis=0, reduction="none"), expected, rtol=1e-14)
    keep = np.asarray([True, True, False, True, False])
    masked = loss(backend.array(SCORES), backend.array(LABELS), where=backend.array(keep, "bool"))
    backend.check(masked, expected[keep].mean(), rtol=1e-14)
    value = backend.compile(polyloss.fenchel_young(half_square))(backend.array(SCORES), backend.array(LABELS))
    backend.check(value, expected.mean(), rtol=1e-14)


def test_a_class_that_is_masked_adds_nothing(backend: Any) -> None:
    scores = backend.array([[0.0, -math.inf, 1.0]])
    value = polyloss.fenchel_young(log_sum_exp)(scores, backend.array([[1.0, 0.0, 0.0]]))
    backend.check(value, math.log1p(math.e), rtol=1e-14)


def test_optax_has_a_maximum_of_one_vector(backend: Any) -> None:
    loss = optax.make_fenchel_young_loss(lambda row, scale=1.0: scale * backend.xp.max(row))
    cube = np.stack([SCORES, 2 * SCORES])
    labels = np.stack([LABELS, LABELS])
    for scale in (1.0, 3.0):
        for scores, target in ((SCORES, LABELS), (SCORES[0], LABELS[0]), (cube, labels), (SCORES[:0], LABELS[:0])):
            expected = scale * scores.max(axis=-1) if scores.size else np.zeros(0)
            found = loss(backend.array(scores), backend.array(target), **({} if scale == 1.0 else {"scale": scale}))
            backend.check(found, expected - np.sum(scores * target, axis=-1), rtol=1e-14)
    compiled = backend.compile(lambda scores, target: loss(scores, target))
    expected = SCORES.max(axis=-1) - np.sum(SCORES * LABELS, axis=-1)
    backend.check(compiled(backend.array(SCORES), backend.array(LABELS)), expected, rtol=1e-14)


def test_what_is_no_function_is_refused() -> None:
    wrong: Any = 3.0
    with pytest.raises(TypeError, match="fenchel_young: maximum must be a function, got float"):
        polyloss.fenchel_young(wrong)
    with pytest.raises(TypeError, match="fenchel_young: argmax must be a function or None, got float"):
        polyloss.fenchel_young(log_sum_exp, wrong)
