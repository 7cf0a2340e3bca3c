"""Arrays that the cases of several losses are about, and how elementwise losses are measured."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyloss_conformance.arrays import Floats, Shape, bits, classes, floats, ids, normal, simplex
from polyloss_conformance.benchmark import MI, SIZES, Benchmark, elements, normal32

LOGITS = normal("logits", (6, 4), 2.0)
IDS = ids(0, 3, 1, 2, 3, 1)
SOFT = simplex("soft", (6, 4))
CLASS_WEIGHT = floats(0.5, 2, 1, 3)
CUBE = normal("cube", (2, 4, 3), 2.0)
CUBE_IDS = classes("cube", (2, 3), 4)
CUBE_SOFT = simplex("cube", (2, 4, 3), axis=1)


def scores_and_ids(name: str, shape: Shape) -> tuple[Any, ...]:
    """Ordinary scores of five classes, and the ids of the right ones."""
    return normal(name, (*shape, 5), 2.0), classes(name + "y", shape, 5)


def ahead_by(*margins: float) -> Floats:
    """Two logits each, the first ahead by a margin."""
    return np.stack([floats(*margins), np.zeros(len(margins))], axis=1)


X = normal("x", (4, 3), 3.0)
HARD = bits("hard", (4, 3))


def _residuals(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return normal32(rng, shape), normal32(rng, shape)


def _labels(rng: np.random.Generator, shape: Shape) -> tuple[NDArray[Any], ...]:
    return normal32(rng, shape), (normal32(rng, shape) > 0.5).astype(np.float32)


ALL_SIZES: dict[str, Any] = {"shapes": SIZES, "quick": SIZES[:3:2], "most_used": True, "halves": (elements(MI),)}
"""Of the elementwise losses that are most used."""
ELEMENTS_GROW = {0: (64, 64)}
ROWS_GROW = {0: (16, 64)}
LONGER_ROWS = {1: (16, 64)}
of_residuals = partial(Benchmark, make=_residuals)
of_labels = partial(Benchmark, make=_labels)


def products(xp: Any, rows: Any, columns: Any) -> Any:
    """Of all rows of one array with all of another one."""
    return xp.matmul(rows, xp.matrix_transpose(columns))
