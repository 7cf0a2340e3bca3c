"""Targets as a loss takes them, of libraries that have arrays of floats alone."""

from typing import Any

import numpy as np

from .checks import describe
from .compose import Combinable, terms_of
from .domains import Domain

Numbers = np.ndarray[Any, Any]


def is_rowwise(loss: Any) -> bool:
    """Whether a loss has one value for each row, and not for each element."""
    return any(getattr(term, "rowwise", False) for _, term in terms_of(loss))


def expect_loss(module: str, loss: Any) -> None:
    """Refuse what is no loss."""
    if not isinstance(loss, Combinable):
        raise TypeError(f"{module}: expected a loss, such as polyloss.huber, got {describe(loss)}")


def mean_of(loss: Combinable, scores: Any, target: Any, weight: Numbers | None) -> float:
    """The mean of a loss, weighted where examples have weights."""
    scores = np.asarray(scores, dtype=np.float64)
    reduction = "mean" if weight is None else "weighted_mean"
    return float(loss(scores, as_target(loss, scores, target), sample_weight=weight, reduction=reduction))


def as_target(loss: Combinable, scores: Numbers, target: Any) -> Numbers:
    """Numbers in the dtype of the scores, and class ids of a row-wise loss as integers."""
    target = np.asarray(target)
    if is_rowwise(loss) and scores.ndim < 2:
        raise ValueError(f"{loss.__name__}: needs a score for each class, got scores of shape {scores.shape}")
    if not is_rowwise(loss) or target.shape == scores.shape:
        floating: Numbers = target.astype(scores.dtype)
        return floating
    ids: Numbers = target.astype(np.int64)
    if not np.array_equal(ids, target):
        raise ValueError(f"{loss.__name__}: class ids must be whole numbers, got {target[ids != target][0]}")
    return ids


def from_classes(loss: Combinable, labels: Any, classes: Any) -> Numbers:
    """Labels of any kind as class ids, or, of two classes, as the ends of what an elementwise loss takes: 0 and 1,
    or -1 and 1."""
    labels, classes = np.asarray(labels), np.asarray(classes)
    same = labels[:, None] == classes
    if not np.all(same.sum(axis=1) == 1):
        raise ValueError(f"{loss.__name__}: {labels[same.sum(axis=1) != 1][0]!r} is none of the classes {classes}")
    ids: Numbers = same.argmax(axis=1)
    if is_rowwise(loss):
        return ids
    if len(classes) != 2:
        raise ValueError(f"{loss.__name__}: takes two classes, got {len(classes)}")
    ((_, term), *_) = terms_of(loss)
    domain = term.domains.get(term.arrays[1], Domain(0, 1))
    return np.where(ids == 1, float(domain.high), float(domain.low))
