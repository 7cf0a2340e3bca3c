"""Losses of a batch whose examples are compared with each other."""

from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, Shape, floats, mask, nan, normal
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import dot
from polyloss_conformance.exact.rules import Batch
from polyloss_conformance.exact.softmax import Classes
from polyloss_conformance.spec import Advice, Perfect, Spec

_Q = normal("queries", (5, 3))
_K = _Q + normal("keys", (5, 3), 0.5)


def _info_nce(
    query: list[list[Any]], key: list[list[Any]], temperature: Any = 0.07, symmetric: bool = False
) -> list[Any]:
    scores = [[dot(q, k, ("score", i, j)) / temperature for j, k in enumerate(key)] for i, q in enumerate(query)]
    rows = _choices(scores)
    if not symmetric:
        return rows
    return [
        (one + two) / 2
        for one, two in zip(rows, _choices([list(column) for column in zip(*scores, strict=True)]), strict=True)
    ]


def _choices(scores: list[list[Any]]) -> list[Any]:
    """The cross entropy of each row, where the right one is on the diagonal."""
    slopes, values = frozenset({0, 1, 2}), frozenset({"value"})
    return [Classes(row, i, slopes, values).minus_log(i) for i, row in enumerate(scores)]


def _ordinary(name: str, shape: Shape) -> tuple[Any, ...]:
    query = normal(name, (*shape, 5), 0.5)
    return query, query + normal(name + "key", (*shape, 5), 0.25)


# fmt: off
def _cases(case: Cases) -> None:
    for temperature in (0.07, 0.5, 1.0, 4.0):
        case.sample(f"temperature_{temperature:g}", _Q, _K, temperature=temperature)
    for reduction in ("none", "mean", "sum"):
        case.sample(f"symmetric_{reduction}", _Q, _K, temperature=0.5, symmetric=True, reduction=reduction)
    case.sample("learned_temperature", _Q, _K, temperature=np.asarray(0.5), reduction="mean")
    case.sample("learned_temperature_symmetric", _Q, _K, temperature=np.asarray(0.25), symmetric=True, reduction="sum",
                sample_weight=floats(1, 2, 0.5, 1, 3))
    keep = mask(True, False, True, True, False)
    case.sample("symmetric_masked", _Q, _K, temperature=0.5, symmetric=True, where=keep,
                note="what is masked is no candidate in either direction")
    case.edge("masked_nonfinite_symmetric", np.where(keep[:, None], _Q, nan), np.where(keep[:, None], _K, np.inf),
              temperature=0.5, symmetric=True, where=keep, reduction="mean")
    case.edge("one_example_alone", _Q[:1], _K[:1], note="nothing else to choose: exactly 0")
    case.edge("equal_examples", np.ones((4, 3)), np.ones((4, 3)), temperature=1.0, note="log 4")
    case.edge("confident", 8 * np.eye(4), np.eye(4), temperature=0.125,
              note="trap: a difference of logarithms is 0 from a margin of 17 on in float32")
    case.edge("wrong", 8 * np.eye(4), np.roll(np.eye(4), 1, axis=0), temperature=0.125)
    case.edge("large_scores", floats([300, 0], [0, 300]), floats([300, 1], [1, 300]), temperature=1.0, dtypes=WIDE,
              note="trap: an exponential that overflows")
    case.edge("one_feature", floats([1], [-0.5], [2]), floats([0.5], [-1], [1]), temperature=0.5)
    for bad in (0.0, -1.0, np.inf, nan):
        case.refuse(f"temperature_{bad:g}", ValueError, "temperature", _Q, _K, temperature=bad)
    case.refuse("temperature_per_row", ValueError, "temperature", _Q, _K, temperature=np.ones(5))
    case.refuse("other_features", ValueError, "shape", _Q, _K[:, :2])
    case.refuse("more_keys", ValueError, "shape", _Q[:4], _K)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    rows = normal(f"rows {name}", (1, 5))
    return [Perfect((rows, rows.copy()), np.zeros(1))]


INFO_NCE = Spec(
    loss="info_nce",
    arrays=("query", "key"),
    rowwise=True,
    axis=False,
    differentiable=(0, 1, "temperature"),
    shared=("temperature",),
    ordinary=_ordinary,
    exact=Batch(_info_nce, alone=(0,)),
    questions=(_cases,),
    ideal=_ideal,
    advice=(
        Advice(
            "similarity",
            "pairs, and all others of the batch as negatives",
            "info_nce(query, key, temperature=0.07)",
            "each picks its own partner among all of the batch",
        ),
    ),
)
