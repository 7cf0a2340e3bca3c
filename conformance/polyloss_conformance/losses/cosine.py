"""Losses of the angle between vectors."""

from functools import partial
from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, Shape, bits, floats, nan, normal
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Cases
from polyloss_conformance.exact.jets import norm, plain, positive_part
from polyloss_conformance.exact.rules import of_rows
from polyloss_conformance.spec import Advice, Laws, Perfect, Spec
from polyloss_conformance.translations import REDUCTIONS, Call, Said, Twin

from ._examples import CUBE, ROWS_GROW

_E1 = normal("e1", (6, 4))
_E2 = _E1 + normal("e2", (6, 4), 0.5)
_CUBE2 = CUBE + normal("cube2", CUBE.shape, 0.4)
_SIGNS = 2 * bits("pair", (6,)) - 1


def _units(*rows: Any) -> list[Any] | None:
    """Both by their lengths; None where one of these is 0."""
    return [[a / norm(row) for a in row] for row in rows] if all(any(map(plain, row)) for row in rows) else None


def _versine(one: Any, two: Any) -> Any:
    """1 - cos of unit vectors: half of the squared distance, where sixty digits would cancel."""
    return sum((a - b) * (a - b) for a, b in zip(one, two, strict=True)) / 2


def _cosine(one: Any, two: Any) -> Any:
    products = [a * b for a, b in zip(one, two, strict=True)]
    return sum(products).rounded(sum(abs(plain(product)) for product in products), "cosine")


@of_rows
def _cosine_embedding(x1: Any, x2: Any, target: Any, margin: Any = 0) -> Any:
    units = _units(x1, x2)
    if units is None:
        return 1 + 0 * x1[0] if plain(target) > 0 else positive_part(0 * x1[0] - margin)
    return _versine(*units) if plain(target) > 0 else positive_part(_cosine(*units) - margin)


# fmt: off
def _cosine_embedding_cases(case: Cases) -> None:
    for margin in (-0.5, 0.0, 0.25, 0.75):
        case.sample(f"margin_{margin:g}", _E1, _E2, _SIGNS, margin=margin)
    case.sample("feature_axis_1", CUBE, _CUBE2, 2 * bits("cube pairs", (2, 3)) - 1, axis=1)
    case.sample("feature_axis_0", _E1.T.copy(), _E2.T.copy(), _SIGNS, axis=0, reduction="mean")
    case.sample("one_pair", _E1[0], _E2[0], np.asarray(1.0))
    case.sample("integer_labels", _E1, _E2, np.asarray([1, -1, 1, -1, 1, -1]), margin=0.5)
    case.edge("same_direction", floats([1, 2, 3], [-0.5, 2, 1]), floats([2, 4, 6], [-0.5, 2, 1]), floats(-1, -1))
    case.edge("nearly_the_same_direction", floats([1, 2, 3], [1, 2, 3]),
              floats([1, 2, 3 + 2**-7], [1, 2 + 2**-7, 3]), floats(1, -1), note="trap: one minus a rounded cosine")
    case.edge("opposite", floats([1, 2], [1, 2]), floats([-1, -2], [-2, -4]), floats(1, -1), margin=-0.5)
    case.edge("across", floats([1, 0], [0, 2]), floats([0, 3], [1, 0]), floats(1, -1),
              note="a hinge exactly at 0")
    case.edge("zero_vectors", floats([0, 0], [1, 2], [0, 0], [0, 0]), floats([1, 2], [0, 0], [0, 0], [1, 0]),
              floats(1, 1, 1, -1), margin=-0.5, note="trap: 0/0, or a gradient of 1e6 by an epsilon")
    case.edge("tiny", floats([1e-20, 2e-20], [3e-25, 1e-25]), floats([1, 3], [2, 1]), floats(1, -1), dtypes=WIDE,
              note="the square underflows")
    case.edge("huge", floats([1e20, 2e20], [3e37, -1e37]), floats([1, -2], [2, 1]), floats(1, -1), dtypes=WIDE,
              note="the square overflows")
    case.edge("one_feature", floats([1], [-0.5], [3]), floats([0.5], [0.5], [0.25]), floats(1, 1, -1))
    case.refuse("label_zero", ValueError, "target", _E1, _E2, np.zeros(6), values=True,
                note="trap: torch counts such a pair for nothing")
    for bad in (-1.5, 2.0, nan):
        case.refuse(f"margin_{bad:g}", ValueError, "margin", _E1, _E2, _SIGNS, margin=bad)
    case.refuse("other_features", ValueError, "shape", _E1, _E2[:, :3], _SIGNS)
    case.refuse("target_in_a_column", ValueError, "target", _E1, _E2, _SIGNS.reshape(6, 1))
# fmt: on


def _embeddings_and_sign(name: str, shape: Shape) -> tuple[Any, ...]:
    x1 = normal(name, (*shape, 5))
    return x1, x1 + normal(name + "2", (*shape, 5), 0.4), 2 * bits(name + "y", shape) - 1


def _cosine_embedding_ideal(name: str) -> list[Perfect]:
    rows, sign = normal(f"rows {name}", (4, 3, 5)), 2 * bits(f"hard {name}", (4, 3)) - 1
    return [Perfect((rows, rows * sign[..., None], sign), np.zeros((4, 3)))]


def _torch_cosine_embedding(call: Call) -> Said | None:
    if not call.has("margin") or call.options or call.reduction == "weighted_mean" or call.arrays[0].ndim > 2:
        return None
    return Said(call.to(-1, *call.arrays), {**call.parameters, "reduction": call.reduction})


COSINE_EMBEDDING = Spec(
    loss="cosine_embedding",
    arrays=("x1", "x2", "target"),
    rowwise=True,
    ordinary=_embeddings_and_sign,
    exact=_cosine_embedding,
    questions=(_cosine_embedding_cases,),
    ideal=_cosine_embedding_ideal,
    laws=Laws(symmetric=True),
    twins=(Twin("torch", "cosine_embedding_loss", _torch_cosine_embedding, reductions=REDUCTIONS[:3]),),
    advice=(
        Advice(
            "similarity",
            "directions of pairs",
            "cosine_embedding(x1, x2, same_or_not)",
            "pairs point the same way, others do not, whatever their lengths",
        ),
    ),
    benchmark=Benchmark(
        shapes=((128, 128), (8192, 128)), most_used=True, halves=((8192, 128),), growth=ROWS_GROW, wanted=(0, 1)
    ),
)


@of_rows
def _cosine_distance(prediction: Any, target: Any, similarity: bool = False) -> Any:
    units = _units(prediction, target)
    if units is None:
        return (0 if similarity else 1) + 0 * prediction[0]
    return -_cosine(*units) if similarity else _versine(*units)


def _vectors(name: str, shape: Shape) -> tuple[Any, ...]:
    return normal(name, (*shape, 5)), normal(name + "2", (*shape, 5))


# fmt: off
def _cosine_distance_cases(case: Cases) -> None:
    case.sample("feature_axis_1", CUBE, _CUBE2, axis=1)
    case.sample("feature_axis_0", _E1.T.copy(), _E2.T.copy(), axis=0, reduction="mean")
    case.sample("one_pair", _E1[0], _E2[0])
    case.sample("similarity", _E1, _E2, similarity=True, note="trap: the cosine, minus it, or one minus it")
    case.sample("similarity_axis_1", CUBE, _CUBE2, axis=1, similarity=True, reduction="mean")
    for similarity in (False, True):
        name = "similarity_" * similarity
        case.edge(f"{name}tiny", floats([1e-20, 2e-20], [3e-25, 1e-25]), floats([1, 3], [2, 1]), dtypes=WIDE,
                  similarity=similarity, note="built-in: the square underflows")
        case.edge(f"{name}nearly_across", floats([1, 0, 0], [0, 2, 2**-7]), floats([2**-7, 0, 3], [1, 0, 4]),
                  similarity=similarity, note="trap: a small cosine as 1 less a number next to 1")
        case.edge(f"{name}zero_vectors", floats([0, 0], [1, 2], [0, 0]), floats([1, 2], [0, 0], [0, 0]),
                  similarity=similarity, note="built-in: NaN, or a gradient of 1e6 by an epsilon")
    case.edge("nearly_the_same_direction", floats([1, 2, 3], [1, 2, 3]), floats([1, 2, 3 + 2**-7], [1, 2 + 2**-7, 3]),
              note="trap: one minus a rounded cosine")
    case.edge("opposite", floats([1, 2], [1, 2]), floats([-1, -2], [-2, -4]))
    case.edge("similarity_same_direction", floats([1, 2, 3], [-0.5, 2, 1]), floats([2, 4, 6], [-0.5, 2, 1]),
              similarity=True)
    case.edge("huge", floats([1e20, 2e20], [3e37, -1e37]), floats([1, -2], [2, 1]), dtypes=WIDE,
              note="built-in: the square overflows")
    case.edge("one_feature", floats([1], [-0.5]), floats([0.5], [0.5]))
    case.refuse("other_features", ValueError, "shape", _E1, _E2[:, :3])
    case.refuse("one_feature_for_all", ValueError, "shape", _E1, _E2[:, :1],
                note="built-in: it broadcasts, and is below -1")
# fmt: on


def _cosine_distance_ideal(name: str) -> list[Perfect]:
    rows = normal(f"rows {name}", (4, 3, 5))
    return [
        Perfect((rows, 4.0 * rows), np.zeros((4, 3))),
        Perfect((rows, rows), -np.ones((4, 3)), parameters={"similarity": True}),
    ]


def _keras_cosine(call: Call) -> Said | None:
    if call.options or not call.has("similarity") or not call.parameters.get("similarity"):
        return None
    prediction, target = call.arrays
    return Said((target, prediction), {"axis": call.axis})


def _optax_cosine(call: Call, *, similarity: bool) -> Said | None:
    # It can leave out features, and no rows.
    if not call.has("similarity") or bool(call.parameters.get("similarity")) != similarity:
        return None
    said = Said(call.arrays, {"axis": call.axis})
    return said._replace(result=lambda value: -value) if similarity else said


COSINE_DISTANCE = Spec(
    loss="cosine_distance",
    arrays=("prediction", "target"),
    rowwise=True,
    ordinary=_vectors,
    exact=_cosine_distance,
    questions=(_cosine_distance_cases,),
    ideal=_cosine_distance_ideal,
    laws=Laws(symmetric=True),
    twins=(
        Twin("keras", "cosine_similarity", _keras_cosine),
        Twin("optax", "cosine_similarity", partial(_optax_cosine, similarity=True)),
        Twin("optax", "cosine_distance", partial(_optax_cosine, similarity=False)),
    ),
    advice=(
        Advice(
            "similarity",
            "the direction of a vector",
            "cosine_distance(prediction, target)",
            "whatever the lengths; digits are kept where they nearly agree",
        ),
    ),
)
