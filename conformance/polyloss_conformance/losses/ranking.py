"""Losses of lists of items, of which the relevant ones should come first."""

from typing import Any

import numpy as np

from polyloss_conformance.arrays import WIDE, Shape, entropy, floats, generator, inf, mask, normal, simplex
from polyloss_conformance.benchmark import Benchmark
from polyloss_conformance.case import Cases
from polyloss_conformance.exact import softmax
from polyloss_conformance.exact.numbers import Number
from polyloss_conformance.exact.rules import Local
from polyloss_conformance.spec import Advice, Perfect, Spec
from polyloss_conformance.translations import Call, Said, Twin, optax

from ._examples import CUBE, IDS, LOGITS, LONGER_ROWS


def _ranking_softmax(scores: list[Number], relevance: list[Number]) -> Local:
    return softmax.cross_entropy(scores, relevance)


def _scores_and_grades(name: str, shape: Shape) -> tuple[Any, ...]:
    grades = generator(name + "y").choice([0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0], (*shape, 5))
    return normal(name, (*shape, 5), 2.0), grades


_GRADES = floats([2, 0, 1, 0], [0, 0, 0, 1], [3, 0.25, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 4, 0, 0])


# fmt: off
def _ranking_softmax_cases(case: Cases) -> None:
    case.sample("known_values", floats([2, 1, 3], [1, 0, 5]), floats([2, 0, 1], [1, 0, 0]),
                note="trap: relevance is not normalised; 3.2228, and 1.0743 where it is")
    case.sample("one_list", LOGITS[0], _GRADES[0])
    case.sample("items_axis_1", CUBE, np.round(np.abs(CUBE)), axis=1)
    case.sample("integer_grades", LOGITS, np.round(_GRADES).astype(np.int64), reduction="mean")
    case.sample("lists_of_unlike_weight", LOGITS, _GRADES, reduction="mean", sample_weight=floats(1, 2, 0.5, 1, 3, 1),
                where=mask(True, True, True, True, False, True))
    case.edge("items_left_out", floats([1, -inf, 0], [-inf, 2, 0.5], [-inf, -inf, 3]),
              floats([2, 0, 1], [0, 1, 0], [0, 0, 3]), note="trap: 0 times infinity where a score is -inf")
    case.edge("relevant_but_left_out", floats([1, -inf, 0]), floats([1, 1, 0]), note="+inf")
    case.edge("nothing_relevant", floats([1, 2, 0], [-inf, 2, 0.5], [inf, 0, 1]), np.zeros((3, 3)), note="exactly 0")
    case.edge("one_item", floats([3], [0], [-1]), floats([1], [2], [0]))
    case.edge("equal_scores", floats([0, 0, 0], [1e4, 1e4, 1e4]), floats([1, 0, 2], [0, 0, 3]))
    case.edge("confident", floats([17, 0, 0], [100, 0, 50], [0, 30, 1]), floats([1, 0, 0], [2, 0, 0], [0, 4, 0]),
              note="built-in: 0 from a margin of 17 on")
    case.edge("confidently_wrong", floats([0, 100, 1], [1e4, 0, -1e4]), floats([1, 0, 0], [0, 2, 1]))
    case.edge("infinite_scores", floats([inf, 0, 1], [inf, 0, 1]), floats([1, 0, 0], [0, 1, 0]))
    case.edge("large_and_small_relevance", floats([1, 0, -1], [0, 5, 1]), floats([1e20, 1, 0], [1e-20, 0, 1e-30]),
              dtypes=WIDE)
    case.refuse("padding_of_minus_one", ValueError, "target", LOGITS, _GRADES - 1, values=True,
                note="trap: a negative loss")
    case.refuse("relevance_infinite", ValueError, "target", floats([1, 2]), floats([inf, 0]), values=True)
    case.refuse("id_of_the_item", ValueError, "target", LOGITS, IDS)
# fmt: on


def _ideal(name: str) -> list[Perfect]:
    q, scores = simplex(f"perfect {name}", (4, 3, 5)), normal(f"perfect {name}", (4, 3, 5))
    first = np.arange(5) == scores.argmax(-1)[..., None]
    return [
        Perfect((np.log(q), q), entropy(q).sum(-1)),
        Perfect((np.where(first, 2e4, scores), 3.0 * first), np.zeros((4, 3))),
        Perfect((np.where(first, scores, -inf), 2.0 * first), np.zeros((4, 3))),
    ]


def _optax(call: Call) -> Said | None:
    if not call.has("where"):
        return None
    keywords = {} if call.reduction == "mean" else {"reduce_fn": None}
    scores, target = call.to(-1, *call.arrays)
    items = {key: call.xp.broadcast_to(rows[..., None], scores.shape) for key, rows in optax.row_mask(call).items()}
    return Said((scores, target), {**items, **keywords})


RANKING_SOFTMAX = Spec(
    loss="ranking_softmax",
    arrays=("scores", "target"),
    rowwise=True,
    ordinary=_scores_and_grades,
    exact=_ranking_softmax,
    questions=(_ranking_softmax_cases,),
    ideal=_ideal,
    twins=(Twin("optax", "ranking_softmax_loss", _optax, reductions=("none", "mean")),),
    advice=(
        Advice(
            "ranking",
            "a list of items with grades or clicks",
            "ranking_softmax(scores, target)",
            "the relevant items first; of any length, by scores of -inf",
        ),
    ),
    benchmark=Benchmark(growth=LONGER_ROWS),
)
